//! Requests that wait for a worker.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::future::BoxFuture;
use tokio::sync::Semaphore;

/// What a worker does for a request.
pub(super) type Task = BoxFuture<'static, ()>;

/// The requests, in the order of arrival. Clones share them.
#[derive(Clone)]
pub(super) struct PendingRequests(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// One permit for each task.
    ready: Semaphore,
}

#[derive(Default)]
struct State {
    tasks: VecDeque<(u64, Task)>,
    next_id: u64,
    is_closed: bool,
}

/// A request's place. Dropped while it waits, the request goes: its memory, its place and its turn are others'.
pub(super) struct Place {
    requests: PendingRequests,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let abandoned = {
            let mut state = self.requests.state();
            let at = state.tasks.binary_search_by_key(&self.id, |(id, _)| *id);
            at.ok().and_then(|at| state.tasks.remove(at))
        };
        if abandoned.is_some() {
            // A worker that has the permit already finds nothing, and waits on.
            self.requests.0.ready.forget_permits(1);
        }
    }
}

impl Default for PendingRequests {
    fn default() -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), ready: Semaphore::new(0) }))
    }
}

impl PendingRequests {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one; `None` if none is taken any more.
    pub(super) fn push(&self, task: Task) -> Option<Place> {
        let mut state = self.state();
        if state.is_closed {
            return None;
        }
        let id = state.next_id;
        state.next_id += 1;
        state.tasks.push_back((id, task));
        self.0.ready.add_permits(1);
        Some(Place { requests: self.clone(), id })
    }

    /// Takes no more; what is there can still be had.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
    }

    /// Waits for one. May be dropped while it waits.
    pub(super) async fn next(&self) -> Task {
        loop {
            // Nobody closes it.
            if let Ok(permit) = self.0.ready.acquire().await {
                permit.forget();
            }
            if let Some(task) = self.pop() {
                return task;
            }
        }
    }

    /// One, if there is any.
    pub(super) fn try_next(&self) -> Option<Task> {
        self.0.ready.try_acquire().ok()?.forget();
        self.pop()
    }

    fn pop(&self) -> Option<Task> {
        self.state().tasks.pop_front().map(|(_, task)| task)
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, poll};

    use super::*;

    #[tokio::test]
    async fn a_cancelled_wait_takes_no_request() {
        let requests = PendingRequests::default();
        let mut leaving = Box::pin(requests.next());
        let mut served = Box::pin(requests.next());
        assert!(poll!(&mut leaving).is_pending() && poll!(&mut served).is_pending());
        let _place = requests.push(async {}.boxed());
        drop(leaving);
        assert!(served.now_or_never().is_some());
        let _place = requests.push(async {}.boxed());
        requests.close();
        assert!(requests.push(async {}.boxed()).is_none());
        assert!(requests.try_next().is_some() && requests.try_next().is_none());
    }

    #[tokio::test]
    async fn an_abandoned_request_leaves_its_place_at_once() {
        let requests = PendingRequests::default();
        let body = Arc::new(());
        let places: Vec<_> = (0..3)
            .map(|_| {
                let body = body.clone();
                requests.push(async move { drop(body) }.boxed())
            })
            .collect();
        assert_eq!(Arc::strong_count(&body), 4);
        drop(places);
        assert_eq!((Arc::strong_count(&body), requests.0.ready.available_permits()), (1, 0));
        // A place left after a worker has its permit delays nothing.
        let mut waiting = Box::pin(requests.next());
        assert!(poll!(&mut waiting).is_pending());
        drop(requests.push(async {}.boxed()));
        assert!(poll!(&mut waiting).is_pending());
        let _place = requests.push(async {}.boxed());
        assert!(waiting.now_or_never().is_some());
    }
}
