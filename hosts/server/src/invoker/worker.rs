//! A worker thread: takes requests and events in turn and calls the function.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use tintype_engine::Scratch;
use tintype_pipeline::{
    Failure, ObjectKey, Outcome, Report, clock::now_ms, event::Record, event::Sequencer, outcome::Reason,
    store::Location, thumbnails::Call,
};

use super::{
    Desk, Request, Shared,
    attempt::{self, Attempt, Of},
};
use crate::{
    instruments::{self, Entry, Next as After},
    ledger::DeadLetter,
    queue::{Lease, Next, Settled, Verdict},
    store::SettlingStore,
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
                    panicked(shared, &lease);
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
            Ok(Next::GivenUp(letter)) => {
                given_up(shared, &letter);
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
    start(&lease.event.request_id, &lease.at, lease.event.failed + 1);
    instruments.event_taken(lease.age());
    // Dropped last: once nothing is under way, everything has been counted.
    let mut attempt = Attempt::begin(instruments, Of::Record);
    let deadline = attempt.started() + shared.timeout;
    let stop = || shared.stopping.load(Ordering::Relaxed) || Instant::now() >= deadline;
    let triggers = shared.store.triggers();
    let store = SettlingStore::new(&shared.store, Some(lease.settlement()));
    let mut call = Call { triggers: &triggers, stop: &stop, scratch };
    let record = record(lease);
    let report = futures::executor::block_on(shared.thumbnails.handle(&mut call, &store, &record));

    let released = shared.stopping.load(Ordering::Relaxed)
        && matches!(&report.outcome, Outcome::Failed(failure) if failure.reason == Reason::Stopped);
    let ended_ms = now_ms();
    if !released {
        attempt.count(matches!(report.outcome, Outcome::Failed(_)));
        let since_upload = instruments::is_an_upload(lease.event.cause()).then(|| {
            let since = u64::try_from(ended_ms - lease.event.queued_ms).unwrap_or(0);
            Duration::from_millis(since)
        });
        instruments.report(&report, since_upload);
    }
    let verdict = if released { Verdict::Released } else { verdict(&report, store.is_settled()) };
    let next = finish(shared, lease, verdict);
    if !released {
        let entry = Entry { next, ..entry(lease, &report, ended_ms) };
        ended(shared, entry);
    }
}

/// The engine's panics are the function's errors already; this one is the host's own.
fn panicked(shared: &Shared, lease: &Lease) {
    let report = attempt::panicked();
    let message = report.outcome.why().unwrap_or_default();
    let next = finish(shared, lease, Verdict::Retry { reason: Reason::Internal.name(), message });
    ended(shared, Entry { next, ..entry(lease, &report, now_ms()) });
}

/// An event was given up without another attempt.
fn given_up(shared: &Shared, letter: &DeadLetter) {
    shared.instruments.event_dropped();
    let failure = Failure::new(Reason::Unavailable, letter.message.clone());
    let report = Report { outcome: Outcome::Failed(failure), ..Report::bad_event(String::new()) };
    let Ok(key) = ObjectKey::new(&letter.event.key) else { return };
    let at = Location { bucket: letter.event.bucket.clone(), key };
    let entry = Entry {
        reason: letter.reason.clone(),
        queued_ms: Some(letter.event.queued_ms),
        request_id: letter.event.request_id.clone(),
        event: Some(letter.event.id),
        cause: letter.event.cause().to_owned(),
        attempt: letter.event.started,
        next: After::DeadLetter,
        ..Entry::of(&report, &at, letter.dead_ms)
    };
    ended(shared, entry);
}

/// Acts on how an attempt ended; answers what comes after it.
fn finish(shared: &Shared, lease: &Lease, verdict: Verdict) -> After {
    let dead = matches!(verdict, Verdict::Dead { .. });
    match shared.queue.finish(lease, verdict) {
        Ok(Settled::Dead) => {
            shared.instruments.event_dropped();
            After::DeadLetter
        }
        Ok(Settled::Done) => After::Done,
        Ok(Settled::Requeued) => After::Retry,
        Err(error) => {
            if dead {
                shared.instruments.dead_letter_error();
            }
            tracing::error!(%error, object = %lease.at, "an event could not be settled; it is due again");
            // The ledger cannot be written: trying again at once would only do the same work over.
            let state = shared.state();
            if !state.draining {
                drop(shared.wake.wait_timeout(state, LONGEST_SLEEP));
            }
            After::Retry
        }
    }
}

/// An event as the function takes it.
#[must_use]
pub fn record(lease: &Lease) -> Record {
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

/// What a report means for its event; `settled`: it was settled together with its thumbnails.
#[must_use]
pub fn verdict(report: &Report, settled: bool) -> Verdict {
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

fn entry(lease: &Lease, report: &Report, ended_ms: i64) -> Entry {
    let event = &lease.event;
    Entry {
        queued_ms: Some(event.queued_ms),
        request_id: event.request_id.clone(),
        event: Some(event.id),
        cause: event.cause().to_owned(),
        attempt: event.failed + 1,
        ..Entry::of(report, &lease.at, ended_ms)
    }
}

/// Logs that an attempt begins; on a terminal only its end is shown.
pub(super) fn start(request_id: &str, at: &Location, attempt: u32) {
    started(now_ms(), request_id, at, attempt);
}

/// Logs when an attempt began.
pub(super) fn started(began_ms: i64, request_id: &str, at: &Location, attempt: u32) {
    let line = || instruments::start_line(began_ms, request_id, at, attempt);
    tracing::info!(target: "platform.start", json = line());
}

/// Logs a call that is about no record, such as a picture that is answered: it leaves no result to be kept.
pub(super) fn called(
    shared: &Shared,
    request_id: String,
    name: &str,
    took: Duration,
    failure: Option<&Failure>,
) {
    let outcome = failure.map_or(Outcome::Made, |failure| Outcome::Failed(failure.clone()));
    let report = Report { outcome, total: took, ..Report::bad_event(String::new()) };
    let entry = Entry { request_id, cause: name.to_owned(), ..Entry::unnamed(&report, now_ms()) };
    log(shared, &entry);
}

/// Logs, shows and keeps how an attempt ended.
pub(super) fn ended(shared: &Shared, entry: Entry) {
    log(shared, &entry);
    shared.instruments.result(entry);
}

fn log(shared: &Shared, entry: &Entry) {
    let json = || instruments::report_line(entry, &shared.function_name, shared.memory_mb);
    let words = instruments::human(entry);
    if entry.has_failed() {
        tracing::warn!(target: "platform.report", json = json(), "{words}");
    } else {
        tracing::info!(target: "platform.report", json = json(), "{words}");
    }
}
