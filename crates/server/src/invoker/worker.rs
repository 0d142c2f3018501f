//! A worker thread: takes requests and events in turn and calls the function.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use tintype_engine::Scratch;
use tintype_function::{
    Outcome, Report, event::Record, event::Sequencer, outcome::Reason, store::Location, thumbnails::Call,
};

use super::{Desk, Request, Shared};
use crate::{
    queue::{Lease, Next, Settled, Verdict},
    store::{SettlingStore, now_ms},
};

/// Looks at the queue at least this often, should the clock or a wake-up go astray.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

enum Job {
    Request(Request),
    Event(Box<Lease>),
}

pub(super) fn run(shared: &Shared) {
    let mut scratch = Scratch::default();
    // Requests and events take turns, so that neither starves the other.
    let mut request_first = true;
    while let Some(job) = next_job(shared, request_first) {
        request_first = matches!(job, Job::Event(_));
        match job {
            Job::Request(request) => {
                let served = catch_unwind(AssertUnwindSafe(|| serve(shared, request, &mut scratch)));
                if served.is_err() {
                    tracing::error!("a request panicked");
                    scratch = Scratch::default();
                }
            }
            Job::Event(lease) => {
                let handled = catch_unwind(AssertUnwindSafe(|| handle(shared, &lease, &mut scratch)));
                if handled.is_err() {
                    scratch = Scratch::default();
                    let message = "the function panicked; the log has the place".to_owned();
                    finish(shared, &lease, Verdict::Retry { reason: Reason::Internal.name(), message });
                }
                drop(lease);
                // An event leased on its own keeps the others from looking until now.
                shared.wake();
            }
        }
    }
}

/// The next thing to do; `None` once everything is drained.
fn next_job(shared: &Shared, mut request_first: bool) -> Option<Job> {
    loop {
        let generation = {
            let mut state = shared.state();
            if request_first && let Some(request) = state.requests.pop_front() {
                return Some(Job::Request(request));
            }
            if state.draining {
                return state.requests.pop_front().map(Job::Request);
            }
            state.generation
        };
        let sleep = match shared.queue.lease() {
            Ok(Next::Lease(lease)) => return Some(Job::Event(lease)),
            Ok(Next::GivenUp) => {
                shared.instruments.event_dropped();
                request_first = true;
                continue;
            }
            Ok(Next::Wait(time)) => time.min(LONGEST_SLEEP),
            Ok(Next::Empty) => LONGEST_SLEEP,
            Err(error) => {
                tracing::error!(%error, "the queue cannot be read");
                LONGEST_SLEEP
            }
        };
        request_first = true;
        let state = shared.state();
        if state.generation == generation && state.requests.is_empty() && !state.draining {
            drop(shared.wake.wait_timeout(state, sleep));
        }
    }
}

fn serve(shared: &Shared, request: Request, scratch: &mut Scratch) {
    let Request { task, deadline, abandoned, _waiting } = request;
    let stop = || {
        shared.stopping.load(Ordering::Relaxed)
            || abandoned.load(Ordering::Relaxed)
            || Instant::now() >= deadline
    };
    if stop() {
        return;
    }
    let triggers = shared.store.triggers();
    let call = Call { triggers: &triggers, stop: &stop, scratch };
    task(&mut Desk { shared, call });
}

fn handle(shared: &Shared, lease: &Lease, scratch: &mut Scratch) {
    let instruments = &shared.instruments;
    instruments.event_taken(lease.age());
    let under_way = instruments.invocation();
    let started = Instant::now();
    let deadline = started + shared.timeout;
    let stop = || shared.stopping.load(Ordering::Relaxed) || Instant::now() >= deadline;
    let triggers = shared.store.triggers();
    let store = SettlingStore::new(&shared.store, Some(lease.settlement()));
    let mut call = Call { triggers: &triggers, stop: &stop, scratch };
    let record = record(lease);
    let report = futures::executor::block_on(shared.thumbnails.handle(&mut call, &store, &record));

    let released = shared.stopping.load(Ordering::Relaxed)
        && matches!(&report.outcome, Outcome::Failed(failure) if failure.reason == Reason::Stopped);
    if !released {
        instruments.ended(started.elapsed(), matches!(report.outcome, Outcome::Failed(_)));
        instruments.report(&report);
    }
    if report.outcome == Outcome::Made {
        let since = u64::try_from(now_ms() - lease.event.queued_ms).unwrap_or(0);
        instruments.thumbnail_ready(Duration::from_millis(since));
    }
    log(shared, lease, &report);
    let verdict = if released { Verdict::Released } else { verdict(&report, store.is_settled()) };
    finish(shared, lease, verdict);
    // Last: once nothing is under way, everything has been counted.
    drop(under_way);
}

fn finish(shared: &Shared, lease: &Lease, verdict: Verdict) {
    match shared.queue.finish(lease, verdict) {
        Ok(Settled::Dead) => shared.instruments.event_dropped(),
        Ok(Settled::Done | Settled::Requeued) => {}
        Err(error) => {
            tracing::error!(%error, object = %lease.at, "an event could not be settled; it is due again");
            // The ledger cannot be written: trying again at once would only do the same work over.
            let state = shared.state();
            if !state.draining {
                drop(shared.wake.wait_timeout(state, LONGEST_SLEEP));
            }
        }
    }
}

fn record(lease: &Lease) -> Record {
    Record {
        kind: lease.event.kind(),
        name: lease.event.name.clone(),
        bucket: lease.event.bucket.clone(),
        key: lease.at.key.clone(),
        etag: Some(lease.event.etag.clone()),
        size: (!lease.event.removed).then_some(lease.event.size),
        sequencer: Some(Sequencer(format!("{:016X}", lease.event.id))),
    }
}

fn verdict(report: &Report, settled: bool) -> Verdict {
    let renditions = || -> Vec<Location> { report.renditions.iter().map(|made| made.at.clone()).collect() };
    match &report.outcome {
        Outcome::Made if settled => Verdict::Settled,
        outcome @ (Outcome::Made | Outcome::UpToDate | Outcome::Removed | Outcome::Ignored(_)) => {
            Verdict::Done { outcome: outcome.name(), why: outcome.why(), renditions: renditions() }
        }
        Outcome::Failed(failure) => {
            let (reason, message) = (failure.reason.name(), failure.message.clone());
            if failure.reason.is_permanent() {
                Verdict::Dead { reason, message }
            } else if failure.reason == Reason::Unavailable {
                Verdict::Away { message }
            } else {
                Verdict::Retry { reason, message }
            }
        }
    }
}

/// One line a call, with the fields of Lambda's own report.
fn log(shared: &Shared, lease: &Lease, report: &Report) {
    let duration_ms = report.total.as_secs_f64() * 1e3;
    let why = report.outcome.why().unwrap_or_default();
    tracing::info!(
        r#type = "platform.report",
        function = shared.function_name,
        request_id = lease.event.request_id,
        bucket = lease.event.bucket,
        key = lease.event.key,
        outcome = report.outcome.name(),
        why,
        attempt = lease.event.failed + 1,
        duration_ms = (duration_ms * 1e3).round() / 1e3,
        billed_duration_ms = duration_ms.ceil(),
        memory_size_mb = shared.memory_mb,
        "invocation"
    );
}
