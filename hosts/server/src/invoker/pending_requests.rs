//! Requests that wait for a worker.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures::future::BoxFuture;
use tokio::sync::Semaphore;

/// What a worker does for a request.
pub(super) type Task = BoxFuture<'static, ()>;

/// The requests, in the order of arrival.
pub(super) struct PendingRequests {
    state: Mutex<State>,
    /// One permit for each task.
    ready: Semaphore,
}

#[derive(Default)]
struct State {
    tasks: VecDeque<Task>,
    is_closed: bool,
}

impl Default for PendingRequests {
    fn default() -> Self {
        Self { state: Mutex::default(), ready: Semaphore::new(0) }
    }
}

impl PendingRequests {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one; the task comes back if none is taken any more.
    pub(super) fn push(&self, task: Task) -> Result<(), Task> {
        let mut state = self.state();
        if state.is_closed {
            return Err(task);
        }
        state.tasks.push_back(task);
        self.ready.add_permits(1);
        Ok(())
    }

    /// Takes no more; what is there can still be had.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
    }

    /// Waits for one. May be dropped while it waits.
    pub(super) async fn next(&self) -> Task {
        loop {
            // Nobody closes it.
            if let Ok(permit) = self.ready.acquire().await {
                permit.forget();
            }
            if let Some(task) = self.state().tasks.pop_front() {
                return task;
            }
        }
    }

    /// One, if there is any.
    pub(super) fn try_next(&self) -> Option<Task> {
        let permit = self.ready.try_acquire().ok()?;
        permit.forget();
        self.state().tasks.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, poll};

    use super::*;

    #[tokio::test]
    async fn who_stops_waiting_takes_nothing_away() {
        let requests = PendingRequests::default();
        let mut leaving = Box::pin(requests.next());
        let mut served = Box::pin(requests.next());
        assert!(poll!(&mut leaving).is_pending() && poll!(&mut served).is_pending());
        assert!(requests.push(async {}.boxed()).is_ok());
        drop(leaving);
        assert!(served.now_or_never().is_some());
        requests.push(async {}.boxed()).unwrap_or_else(|_| panic!("it is open"));
        requests.close();
        assert!(requests.push(async {}.boxed()).is_err());
        assert!(requests.try_next().is_some() && requests.try_next().is_none());
    }
}
