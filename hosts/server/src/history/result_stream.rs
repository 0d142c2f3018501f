//! The stream of results. A subscription that falls behind is ended, so that the server's buffer is bounded.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use tokio::sync::broadcast;

use super::Entry;

/// Results that a subscription may lag behind.
const MAX_LAG: usize = 256;
/// Subscriptions at once: each holds a connection.
const MAX_SUBSCRIPTIONS: usize = 64;

/// Publishes results to subscriptions.
#[derive(Debug)]
pub struct ResultStream {
    sender: Mutex<Option<broadcast::Sender<Arc<Entry>>>>,
    subscriptions: Arc<AtomicUsize>,
}

/// Receives results until dropped.
#[derive(Debug)]
pub struct Subscription {
    receiver: broadcast::Receiver<Arc<Entry>>,
    subscriptions: Arc<AtomicUsize>,
}

impl Default for ResultStream {
    fn default() -> Self {
        Self { sender: Mutex::new(Some(broadcast::Sender::new(MAX_LAG))), subscriptions: Arc::default() }
    }
}

impl ResultStream {
    pub(super) fn publish(&self, entry: &Arc<Entry>) {
        if let Some(sender) = self.sender.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            // It fails if there is no subscription.
            let _ = sender.send(entry.clone());
        }
    }

    pub(super) fn close(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Subscribes to results from now on; `None` if there are too many subscriptions or the server shuts down.
    #[must_use]
    pub fn subscribe(&self) -> Option<Subscription> {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = sender.as_ref()?.subscribe();
        if self.subscriptions.fetch_add(1, Relaxed) >= MAX_SUBSCRIPTIONS {
            self.subscriptions.fetch_sub(1, Relaxed);
            return None;
        }
        Some(Subscription { receiver, subscriptions: self.subscriptions.clone() })
    }

    /// The same without the bound, for the server's own exporter.
    pub(super) fn subscribe_unbounded(&self) -> Option<Subscription> {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = sender.as_ref()?.subscribe();
        self.subscriptions.fetch_add(1, Relaxed);
        Some(Subscription { receiver, subscriptions: self.subscriptions.clone() })
    }
}

impl Subscription {
    /// The next result; `None` once this subscription fell behind or the server shuts down.
    pub async fn next(&mut self) -> Option<Arc<Entry>> {
        self.receiver.recv().await.ok()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.subscriptions.fetch_sub(1, Relaxed);
    }
}
