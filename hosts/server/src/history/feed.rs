//! The latest results, handed to whoever follows them. A follower that does not keep up is ended, so that
//! nobody makes the server buffer.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use tokio::sync::broadcast;

use super::Entry;

/// Results that a follower may be behind.
const BEHIND: usize = 256;
/// Followers at once: each holds a connection.
const FOLLOWERS: usize = 64;

/// The feed.
#[derive(Debug)]
pub struct Feed {
    sender: Mutex<Option<broadcast::Sender<Arc<Entry>>>>,
    followers: Arc<AtomicUsize>,
}

/// Follows the feed until dropped.
#[derive(Debug)]
pub struct Follower {
    receiver: broadcast::Receiver<Arc<Entry>>,
    followers: Arc<AtomicUsize>,
}

impl Default for Feed {
    fn default() -> Self {
        Self { sender: Mutex::new(Some(broadcast::Sender::new(BEHIND))), followers: Arc::default() }
    }
}

impl Feed {
    pub(super) fn publish(&self, entry: &Arc<Entry>) {
        if let Some(sender) = self.sender.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            // That nobody follows is no error.
            let _ = sender.send(entry.clone());
        }
    }

    pub(super) fn close(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Follows from now on; `None` if too many do, or the server shuts down.
    #[must_use]
    pub fn follow(&self) -> Option<Follower> {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = sender.as_ref()?.subscribe();
        if self.followers.fetch_add(1, Relaxed) >= FOLLOWERS {
            self.followers.fetch_sub(1, Relaxed);
            return None;
        }
        Some(Follower { receiver, followers: self.followers.clone() })
    }

    /// The same for what the server itself passes on, which the bound must not keep out.
    pub(super) fn follow_within(&self) -> Option<Follower> {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = sender.as_ref()?.subscribe();
        self.followers.fetch_add(1, Relaxed);
        Some(Follower { receiver, followers: self.followers.clone() })
    }
}

impl Follower {
    /// The next result; `None` once this follower fell behind or the server shuts down.
    pub async fn next(&mut self) -> Option<Arc<Entry>> {
        self.receiver.recv().await.ok()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.followers.fetch_sub(1, Relaxed);
    }
}
