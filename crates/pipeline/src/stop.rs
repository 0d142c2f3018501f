//! When to stop: at a deadline, at a shutdown, or once the client is gone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use tokio_util::sync::CancellationToken;

/// A deadline and a cancellation token. Clones share the cancellation.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    deadline: Option<Instant>,
    cancelled: CancellationToken,
    /// Set once a render has begun under it, or under a clone.
    has_begun: Arc<AtomicBool>,
}

impl Stop {
    /// Stops once `cancelled` is cancelled.
    #[must_use]
    pub fn new(cancelled: CancellationToken) -> Self {
        Self { cancelled, ..Self::default() }
    }

    /// Never stops, unless a clone of its token is cancelled.
    #[must_use]
    pub fn never() -> Self {
        Self::default()
    }

    /// Stops at `deadline`, too; the earliest deadline holds. Waiting for it needs Tokio's timer.
    #[must_use]
    pub fn by(self, deadline: Instant) -> Self {
        Self { deadline: Some(self.deadline.map_or(deadline, |known| known.min(deadline))), ..self }
    }

    /// Whether it was cancelled, regardless of the deadline.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    /// Whether to stop now: for loops on CPU threads. Async code waits with [`Stop::bound`].
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.is_cancelled() || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// A render begins: from now on time is spent on the image, not on waiting for its turn.
    pub(crate) fn begin(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
    }

    /// Whether a render has begun before it was time to stop. If none has, the image is not at fault.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed)
    }

    /// Waits for `work` until it is time to stop; then drops it and returns `None`.
    pub async fn bound<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        // The timer rounds up: without this check work could start after the deadline.
        if self.is_due() {
            return None;
        }
        let due = async {
            match self.deadline {
                None => self.cancelled.cancelled().await,
                Some(deadline) => tokio::select! {
                    () = self.cancelled.cancelled() => {}
                    () = tokio::time::sleep_until(deadline.into()) => {}
                },
            }
        };
        tokio::select! {
            biased;
            () = due => None,
            done = work => Some(done),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, time::Duration};

    use super::*;

    #[tokio::test]
    async fn a_past_deadline_is_due_and_endless_work_is_dropped() {
        let past = Stop::never().by(Instant::now());
        assert!(past.is_due() && !past.is_cancelled());
        assert_eq!(past.bound(async { 5 }).await, None, "no work starts after the deadline");
        let ahead = Stop::never().by(Instant::now() + Duration::from_secs(60));
        assert!(!ahead.is_due());
        assert_eq!(ahead.bound(async { 5 }).await, Some(5));
        assert!(ahead.clone().by(Instant::now()).is_due());
        assert!(past.by(Instant::now() + Duration::from_secs(60)).is_due(), "the earlier one holds");
        let soon = Stop::never().by(Instant::now() + Duration::from_millis(1));
        assert_eq!(soon.bound(pending::<()>()).await, None);
    }

    #[tokio::test]
    async fn a_cancelled_token_ends_every_clone() {
        let token = CancellationToken::new();
        let stop = Stop::new(token.child_token());
        let waiting = stop.clone();
        let (ended, ()) = tokio::join!(waiting.bound(pending::<()>()), async { token.cancel() });
        assert_eq!(ended, None);
        assert!(stop.is_due() && stop.is_cancelled());
        waiting.begin();
        assert!(stop.has_begun() && !Stop::new(token).has_begun());
    }
}
