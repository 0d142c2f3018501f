//! Attempts at events, as many at once as there are tasks.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt as _;
use tintype_api::out_of_time;
use tintype_pipeline::{
    Attempt, Call, Conclusion, Delivery as _, Disposition, EventSource as _, Failure, Outcome, Reason,
    Report, Stop,
};
use tintype_sources::{Exhausted, Intake, MessageDelivery};
use tintype_telemetry::metrics::Metric;

use crate::{reporter::Origin, worker::Shared};

/// Works on events until the source has ended.
pub(crate) async fn work(shared: Arc<Shared>, intake: Arc<Intake>) {
    loop {
        match intake.next().await {
            Ok(Some(delivery)) => {
                shared.readiness.source_answers();
                handle(&shared, delivery).await;
            }
            Ok(None) => return,
            Err(error) => shared.readiness.source_failed(&error.to_string()),
        }
    }
}

async fn handle(shared: &Shared, mut delivery: MessageDelivery) {
    shared.reporter.taken(delivery.occurred_ms());
    if let Some(why) = delivery.exhausted() {
        give_up(shared, &delivery, why).await;
        return;
    }
    let ended = AssertUnwindSafe(attempt(shared, &mut delivery)).catch_unwind().await;
    if ended.is_err() {
        tracing::error!("an event panicked");
        let failure = Failure::new(Reason::Internal, "the function panicked; the log has the place");
        let report = report_of(&delivery, failure);
        let disposition = disposition(shared, &delivery, &report);
        let conclusion = Conclusion {
            disposition,
            outcome: report.outcome.clone(),
            renditions: Vec::new(),
            steps: Vec::new(),
        };
        let settled = delivery.settle(conclusion).await;
        finish(shared, &delivery, &report, disposition, settled);
    }
}

/// Without another attempt, which might end this process, too.
async fn give_up(shared: &Shared, delivery: &MessageDelivery, why: Exhausted) {
    let settled = delivery.give_up(&why).await;
    let disposition = Disposition::DeadLetter(why.failure.reason);
    let report = report_of(delivery, why.failure);
    finish(shared, delivery, &report, disposition, settled);
}

async fn attempt(shared: &Shared, delivery: &mut MessageDelivery) {
    let under_way = shared.reporter.begin();
    let stop = Stop::new(shared.stopping.clone()).by(under_way.started() + shared.timeout);
    let call = Call { triggers: &shared.triggers, stop: &stop };
    let attempting = shared.thumbnails.attempt(call, &shared.policy, shared.store.as_ref(), delivery);
    // Waiting for the store is bounded, too.
    let ended = stop.bound(attempting).await.filter(|attempt| stop.has_begun() || !was_stopped(attempt));
    let (report, disposition, settled) = if let Some(attempt) = ended {
        let settled = attempt.settle(delivery).await;
        let Attempt { report, disposition, .. } = attempt;
        (report, disposition, settled)
    } else {
        // Waiting is not the event's fault, and a shutdown is no time-out.
        let is_counted = stop.has_begun() || shared.stopping.is_cancelled();
        let report = report_of(delivery, if is_counted { out_of_time() } else { out_of_turn() });
        let disposition = disposition(shared, delivery, &report);
        let conclusion = Conclusion {
            disposition,
            outcome: report.outcome.clone(),
            renditions: Vec::new(),
            steps: Vec::new(),
        };
        let settled = delivery.settle(conclusion).await;
        (report, disposition, settled)
    };
    under_way.ended(matches!(report.outcome, Outcome::Failed(_)));
    finish(shared, delivery, &report, disposition, settled);
}

fn was_stopped(attempt: &Attempt) -> bool {
    matches!(&attempt.report.outcome, Outcome::Failed(failure) if failure.reason == Reason::Stopped)
}

/// The time-out came before the render began.
fn out_of_turn() -> Failure {
    Failure::new(
        Reason::Unavailable,
        "the time was used up waiting for the store, for memory or for a thread that renders; it will be tried again. If it \
         happens often, look at the store, raise function.timeout_s, or lower function.concurrency",
    )
}

fn disposition(shared: &Shared, delivery: &MessageDelivery, report: &Report) -> Disposition {
    let is_shutdown = shared.stopping.is_cancelled();
    Disposition::of(&report.outcome, delivery.attempts(), &shared.policy, is_shutdown)
}

fn report_of(delivery: &MessageDelivery, failure: Failure) -> Report {
    match delivery.record() {
        Ok(record) => Report::of(record, Outcome::Failed(failure)),
        Err(_) => Report { outcome: Outcome::Failed(failure), ..Report::bad_event(String::new()) },
    }
}

/// Counts and logs; at a shutdown the attempt does not count, nor is it logged.
fn finish(
    shared: &Shared,
    delivery: &MessageDelivery,
    report: &Report,
    disposition: Disposition,
    settled: Result<(), tintype_pipeline::store::StoreError>,
) {
    if disposition == Disposition::Defer(Duration::ZERO) {
        return;
    }
    let metrics = &shared.reporter.metrics;
    let is_dead = matches!(disposition, Disposition::DeadLetter(_));
    match &settled {
        Ok(()) => metrics.add(Metric::AsyncEventsDropped, is_dead.into()),
        Err(error) => {
            metrics.add(Metric::DeadLetterErrors, is_dead.into());
            tracing::warn!(request_id = delivery.request_id(), %error, "an event could not be settled; it is delivered again");
        }
    }
    let disposition = if settled.is_ok() { disposition } else { Disposition::RetryAfter(Duration::ZERO) };
    let event = delivery.record().map_or("", |record| record.name.as_str());
    let origin = Origin {
        request_id: delivery.request_id(),
        event,
        attempt: delivery.deliveries(),
        occurred_ms: delivery.occurred_ms(),
    };
    shared.reporter.record(origin, report, disposition);
}
