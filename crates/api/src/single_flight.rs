//! Concurrent requests for the same result share one computation.

use std::{
    collections::HashMap,
    future::Future,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{
    FutureExt as _,
    future::{BoxFuture, WeakShared},
};

type Shared<T> = WeakShared<BoxFuture<'static, T>>;

/// Computations in flight by key. Callers with the same key join; a computation is cancelled once no caller is left.
pub(crate) struct SingleFlight<K, T: Clone>(Arc<Mutex<HashMap<K, Shared<T>>>>);

impl<K, T: Clone> Clone for SingleFlight<K, T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, T: Clone> Default for SingleFlight<K, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// Cancelled computations leave an entry until a sweep above this many.
const SWEEP_ABOVE: usize = 256;

impl<K: Hash + Eq + Clone, T: Clone + Send + Sync + 'static> SingleFlight<K, T> {
    /// Joins the computation for `key`, or starts it.
    pub(crate) async fn join<F>(&self, key: K, start: impl FnOnce() -> F) -> T
    where
        F: Future<Output = T> + Send + 'static,
    {
        let shared = {
            let mut in_flight = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if in_flight.len() > SWEEP_ABOVE {
                in_flight.retain(|_, flight| flight.upgrade().is_some());
            }
            if let Some(shared) = in_flight.get(&key).and_then(WeakShared::upgrade) {
                shared
            } else {
                let shared = start().boxed().shared();
                if let Some(weak) = shared.downgrade() {
                    in_flight.insert(key.clone(), weak);
                }
                shared
            }
        };
        let result = shared.clone().await;
        let mut in_flight = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Another caller may have started the next computation meanwhile.
        if in_flight.get(&key).is_some_and(|now| now.upgrade().is_none_or(|now| now.ptr_eq(&shared))) {
            in_flight.remove(&key);
        }
        drop(in_flight);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Notify;

    #[tokio::test]
    async fn concurrent_callers_share_one_result_and_later_ones_do_not() {
        let single_flight: SingleFlight<&str, u32> = SingleFlight::default();
        let (runs, go) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let join = |key| {
            let (runs, go) = (runs.clone(), go.clone());
            single_flight.join(key, move || async move {
                go.notified().await;
                runs.fetch_add(1, Ordering::SeqCst)
            })
        };
        let callers = futures::future::join3(join("a"), join("a"), join("b"));
        let release = async {
            go.notify_one();
            tokio::task::yield_now().await;
            go.notify_one();
        };
        let ((first, second, _), ()) = futures::future::join(callers, release).await;
        assert_eq!(first, second);
        assert_eq!(runs.load(Ordering::SeqCst), 2);
        go.notify_one();
        assert_eq!(join("a").await, 2);
        assert!(single_flight.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_late_caller_does_not_remove_the_next_computation() {
        let single_flight: SingleFlight<u8, u32> = SingleFlight::default();
        let (runs, go) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let join = || {
            let (runs, go) = (runs.clone(), go.clone());
            Box::pin(single_flight.join(1, move || async move {
                go.notified().await;
                runs.fetch_add(1, Ordering::SeqCst)
            }))
        };
        let (mut early, mut late) = (join(), join());
        assert!(futures::poll!(&mut early).is_pending());
        assert!(futures::poll!(&mut late).is_pending());
        go.notify_one();
        assert_eq!(early.await, 0);
        // The first computation is done, and one of its callers has not been polled yet: the next one starts.
        let mut next = join();
        assert!(futures::poll!(&mut next).is_pending());
        assert_eq!(late.await, 0);
        let mut joined = join();
        assert!(futures::poll!(&mut joined).is_pending());
        go.notify_one();
        assert_eq!((next.await, joined.await), (1, 1));
        assert_eq!(runs.load(Ordering::SeqCst), 2);
        assert!(single_flight.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_cancelled_caller_does_not_cancel_the_others() {
        let single_flight: SingleFlight<u8, u32> = SingleFlight::default();
        let go = Arc::new(Notify::new());
        let join = || {
            let go = go.clone();
            single_flight.join(1, move || async move {
                go.notified().await;
                7
            })
        };
        let mut cancelled = Box::pin(join());
        assert!(futures::poll!(&mut cancelled).is_pending());
        let mut remaining = Box::pin(join());
        assert!(futures::poll!(&mut remaining).is_pending());
        drop(cancelled);
        go.notify_one();
        assert_eq!(remaining.await, 7);
    }
}
