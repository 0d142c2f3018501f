//! What is asked for by several at the same time is made once.

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

type Under<T> = WeakShared<BoxFuture<'static, T>>;

/// Work under way, by what it makes. Whoever asks for the same joins it; it ends early only when nobody
/// waits for it any more.
pub(crate) struct Flights<K, T: Clone>(Arc<Mutex<HashMap<K, Under<T>>>>);

impl<K, T: Clone> Clone for Flights<K, T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, T: Clone> Default for Flights<K, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// Work that was given up leaves an entry; there are never many more than work under way.
const SWEEP_ABOVE: usize = 256;

impl<K: Hash + Eq + Clone, T: Clone + Send + Sync + 'static> Flights<K, T> {
    /// Joins the work under way for `key`, or begins it.
    pub(crate) async fn join<F>(&self, key: K, begin: impl FnOnce() -> F) -> T
    where
        F: Future<Output = T> + Send + 'static,
    {
        let shared = {
            let mut under = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if under.len() > SWEEP_ABOVE {
                under.retain(|_, flight| flight.upgrade().is_some());
            }
            if let Some(shared) = under.get(&key).and_then(WeakShared::upgrade) {
                shared
            } else {
                let shared = begin().boxed().shared();
                if let Some(weak) = shared.downgrade() {
                    under.insert(key.clone(), weak);
                }
                shared
            }
        };
        let made = shared.clone().await;
        let mut under = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // By now somebody may have begun anew.
        if under.get(&key).is_some_and(|now| now.upgrade().is_none_or(|now| now.ptr_eq(&shared))) {
            under.remove(&key);
        }
        drop(under);
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Notify;

    #[tokio::test]
    async fn the_same_is_made_once_and_another_or_a_later_one_anew() {
        let flights: Flights<&str, u32> = Flights::default();
        let (made, go) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let join = |key| {
            let (made, go) = (made.clone(), go.clone());
            flights.join(key, move || async move {
                go.notified().await;
                made.fetch_add(1, Ordering::SeqCst)
            })
        };
        let together = futures::future::join3(join("a"), join("a"), join("b"));
        let release = async {
            go.notify_one();
            tokio::task::yield_now().await;
            go.notify_one();
        };
        let ((first, second, _), ()) = futures::future::join(together, release).await;
        assert_eq!(first, second);
        assert_eq!(made.load(Ordering::SeqCst), 2);
        go.notify_one();
        assert_eq!(join("a").await, 2);
        assert!(flights.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn who_comes_back_late_does_not_end_what_was_begun_anew() {
        let flights: Flights<u8, u32> = Flights::default();
        let (made, go) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let join = || {
            let (made, go) = (made.clone(), go.clone());
            Box::pin(flights.join(1, move || async move {
                go.notified().await;
                made.fetch_add(1, Ordering::SeqCst)
            }))
        };
        let (mut early, mut late) = (join(), join());
        assert!(futures::poll!(&mut early).is_pending());
        assert!(futures::poll!(&mut late).is_pending());
        go.notify_one();
        assert_eq!(early.await, 0);
        // The first work is done, and one who waits for it has not looked yet: another begins.
        let mut anew = join();
        assert!(futures::poll!(&mut anew).is_pending());
        assert_eq!(late.await, 0);
        let mut joined = join();
        assert!(futures::poll!(&mut joined).is_pending());
        go.notify_one();
        assert_eq!((anew.await, joined.await), (1, 1));
        assert_eq!(made.load(Ordering::SeqCst), 2);
        assert!(flights.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn who_leaves_does_not_end_the_work_for_others() {
        let flights: Flights<u8, u32> = Flights::default();
        let go = Arc::new(Notify::new());
        let join = || {
            let go = go.clone();
            flights.join(1, move || async move {
                go.notified().await;
                7
            })
        };
        let mut leaving = Box::pin(join());
        assert!(futures::poll!(&mut leaving).is_pending());
        let mut staying = Box::pin(join());
        assert!(futures::poll!(&mut staying).is_pending());
        drop(leaving);
        go.notify_one();
        assert_eq!(staying.await, 7);
    }
}
