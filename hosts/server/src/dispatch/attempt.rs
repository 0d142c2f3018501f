//! A call of the function, counted however it ends.

use std::time::{Duration, Instant};

use tintype_pipeline::{Failure, Outcome, Reason, Report};
use tintype_telemetry::metrics::InvocationGuard;

use crate::history::History;

/// What a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// A record, whose outcome is counted, too.
    Record,
    /// An image that is returned or looked at.
    Image,
}

/// Which calls the dispatcher logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogMode {
    /// None: the work logs its own.
    Own,
    /// Each, by this name.
    All(&'static str),
    /// Those that fail, by this name; the work logs the others.
    Failed(&'static str),
}

/// A call under way. One that is dropped in a panic counts as an error, and its record as failed.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    history: &'a History,
    subject: Subject,
    started: Instant,
    is_counted: bool,
    _under_way: InvocationGuard<'a>,
}

/// What became of a record whose call panicked.
pub(super) fn panicked() -> Report {
    let failure = Failure::new(Reason::Internal, "the function panicked; the log has the place");
    Report { outcome: Outcome::Failed(failure), ..Report::bad_event(String::new()) }
}

impl<'a> Attempt<'a> {
    pub(super) fn begin(history: &'a History, subject: Subject) -> Self {
        let under_way = history.invocation();
        Self { history, subject, started: Instant::now(), is_counted: false, _under_way: under_way }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) const fn started(&self) -> Instant {
        self.started
    }

    /// Counts it as ended; the call is under way until this is dropped.
    pub(super) fn count(&mut self, error: bool) {
        self.history.ended(self.elapsed(), error);
        self.is_counted = true;
    }

    /// It came to its end.
    pub(super) fn ended(mut self, error: bool) {
        self.count(error);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.is_counted || !std::thread::panicking() {
            return;
        }
        self.history.ended(self.elapsed(), true);
        if self.subject == Subject::Record {
            self.history.report(&panicked(), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use tintype_telemetry::metrics::Metric;

    use super::*;

    #[test]
    fn a_call_that_panics_is_an_error() {
        let history = History::default();
        for subject in [Subject::Record, Subject::Image] {
            let call = catch_unwind(AssertUnwindSafe(|| {
                let _attempt = Attempt::begin(&history, subject);
                panic!("on purpose");
            }));
            assert!(call.is_err());
        }
        Attempt::begin(&history, Subject::Record).ended(false);
        let value = |metric| history.value(metric).unwrap();
        assert_eq!((value(Metric::Invocations), value(Metric::Errors)), (3, 2));
        assert_eq!((value(Metric::Failed), value(Metric::FailedInternal)), (1, 1));
        assert_eq!(value(Metric::ConcurrentExecutions), 0);
    }
}
