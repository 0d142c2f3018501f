//! An attempt at an event of the queue.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt as _;
use tintype_pipeline::{
    Call, Conclusion, Delivery as _, Disposition, Failure, ObjectKey, Outcome, Reason, Report, Stop,
    clock::now_ms,
    store::{Location, StoreError},
};

use super::{
    Shared,
    attempt::{self, Attempt, Subject},
    delivery::{DiskDelivery, LONGEST_SLEEP},
    log,
};
use crate::{
    history::{self, Entry, Settlement},
    queue::{DeadLetter, Lease},
};

/// Waits where trying again at once would only do the same work over.
pub(super) async fn wait_out(shared: &Shared) {
    let draining = shared.source.draining.cancelled();
    // Either way it goes on.
    let _ = tokio::time::timeout(LONGEST_SLEEP, draining).await;
}

/// Has another worker look at the queue, however the work on an event ends.
struct WakeOnDrop<'a>(&'a Shared);

impl Drop for WakeOnDrop<'_> {
    fn drop(&mut self) {
        self.0.source.wake.notify_one();
    }
}

pub(super) async fn handle(shared: &Shared, delivery: DiskDelivery) {
    // Dropped last: an event leased on its own keeps the others from looking until then.
    let _wake = WakeOnDrop(shared);
    let mut delivery = delivery;
    let lease = delivery.lease().clone();
    if AssertUnwindSafe(attempt(shared, &lease, &mut delivery)).catch_unwind().await.is_err() {
        panicked(shared, &lease, &mut delivery).await;
    }
    drop((delivery, lease));
}

async fn attempt(shared: &Shared, lease: &Lease, delivery: &mut DiskDelivery) {
    let history = &shared.history;
    log::start(&lease.event.request_id, Some(&lease.at), lease.event.failed + 1);
    history.event_taken(lease.age());
    // Dropped last: once nothing is under way, everything has been counted.
    let mut under_way = Attempt::begin(history, Subject::Record);
    let stop = Stop::new(shared.stopping.clone()).by(under_way.started() + shared.timeout);
    let triggers = shared.store.storage().notifications.triggers();
    let call = Call { triggers: &triggers, stop: &stop };
    let policy = shared.source.queue.policy();
    let ended = shared.thumbnails.attempt(call, policy, &shared.store, delivery).await;
    // At a shutdown the attempt does not count, nor is it logged.
    let stages = &ended.report.stages;
    lease.worked(stages.decode + stages.resample + stages.encode);
    let counts = ended.disposition != Disposition::Defer(Duration::ZERO);
    let ended_ms = now_ms();
    if counts {
        under_way.count(matches!(ended.report.outcome, Outcome::Failed(_)));
        let since_upload = history::is_upload_cause(lease.event.cause())
            .then(|| Duration::from_millis(u64::try_from(ended_ms - lease.event.queued_ms).unwrap_or(0)));
        history.report(&ended.report, since_upload);
    }
    let settled = ended.settle(delivery).await;
    let next = next(shared, lease, ended.disposition, settled).await;
    if counts {
        let entry = Entry { next, ..entry(lease, &ended.report, ended_ms) };
        log::ended(&shared.function, history, entry);
    }
}

/// The engine's panics are the function's errors already; this one is the host's own, and is counted.
async fn panicked(shared: &Shared, lease: &Lease, delivery: &mut DiskDelivery) {
    let report = attempt::panicked();
    let policy = shared.source.queue.policy();
    let disposition = Disposition::of(&report.outcome, delivery.attempts(), policy, false);
    let outcome = report.outcome.clone();
    let conclusion = Conclusion { disposition, outcome, renditions: Vec::new(), steps: Vec::new() };
    // It may have panicked after all was done.
    let next = match delivery.is_settled() {
        true => Settlement::Done,
        false => next(shared, lease, disposition, delivery.settle(conclusion).await).await,
    };
    let entry = Entry { next, ..entry(lease, &report, now_ms()) };
    log::ended(&shared.function, &shared.history, entry);
}

/// What comes after an attempt whose event was `settled`, or is due again.
async fn next(
    shared: &Shared,
    lease: &Lease,
    disposition: Disposition,
    settled: Result<(), StoreError>,
) -> Settlement {
    match (settled, disposition) {
        (Ok(()), Disposition::Ack) => Settlement::Done,
        (Ok(()), Disposition::RetryAfter(_) | Disposition::Defer(_)) => Settlement::Retry,
        (Ok(()), Disposition::DeadLetter(_)) => {
            shared.history.event_dropped();
            Settlement::DeadLetter
        }
        (Err(error), _) => {
            if matches!(disposition, Disposition::DeadLetter(_)) {
                shared.history.dead_letter_error();
            }
            tracing::error!(%error, object = %lease.at, "an event could not be settled; it is due again");
            wait_out(shared).await;
            Settlement::Retry
        }
    }
}

/// An event became a dead letter without another attempt.
pub(super) fn dead_letter(letter: &DeadLetter) -> Option<Entry> {
    let failure = Failure::new(Reason::Unavailable, letter.message.clone());
    let report = Report { outcome: Outcome::Failed(failure), ..Report::bad_event(String::new()) };
    let key = ObjectKey::new(&letter.event.key).ok()?;
    let at = Location { bucket: letter.event.bucket.clone(), key };
    Some(Entry {
        reason: letter.reason.clone(),
        queued_ms: Some(letter.event.queued_ms),
        request_id: letter.event.request_id.clone(),
        event: Some(letter.event.id),
        cause: letter.event.cause().to_owned(),
        attempt: letter.event.started,
        next: Settlement::DeadLetter,
        ..Entry::new(&report, &at, letter.dead_ms)
    })
}

fn entry(lease: &Lease, report: &Report, ended_ms: i64) -> Entry {
    let event = &lease.event;
    Entry {
        queued_ms: Some(event.queued_ms),
        request_id: event.request_id.clone(),
        event: Some(event.id),
        cause: event.cause().to_owned(),
        attempt: event.failed + 1,
        ..Entry::new(report, &lease.at, ended_ms)
    }
}
