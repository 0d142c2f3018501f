//! The queue: leases, order, retries, dead letters, crashes.

mod common;

use std::time::Duration;

use common::{IN, Opened, at, cause, eventually, finish, open, open_with, put, queue};
use tintype::{
    ledger::{LedgerError, Place},
    queue::{EventRecord, Lease, Next, Queue},
    storage::Cause,
};
use tintype_pipeline::{Disposition, Failure, Ignored, Outcome, Reason};

const HOUR: Duration = Duration::from_secs(3600);

fn lease(queue: &std::sync::Arc<Queue>) -> Box<Lease> {
    match queue.lease().unwrap() {
        Next::Lease(lease) => lease,
        other => panic!("{other:?}"),
    }
}

fn failed(reason: Reason, message: &str) -> Outcome {
    Outcome::Failed(Failure::new(reason, message))
}

fn retry() -> Outcome {
    failed(Reason::Internal, "the store was away")
}

fn done() -> Outcome {
    Outcome::Ignored(Ignored::NoTrigger)
}

/// Stopped by a shutdown.
fn released() -> Outcome {
    failed(Reason::Stopped, "the program ends")
}

fn end(queue: &Queue, lease: &Lease, outcome: Outcome) -> Disposition {
    let is_shutdown = outcome == released();
    finish(queue, lease, outcome, is_shutdown)
}

fn upload(opened: &Opened, key: &str) {
    put(&opened.store, &at(IN, key), key.as_bytes()).unwrap();
}

#[test]
fn only_what_the_trigger_matches_is_queued_and_in_order() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let queue = queue(&opened, 2, Duration::ZERO, HOUR);
    for key in ["a.jpg", "b.txt", "c.png", "photos/"] {
        upload(&opened, key);
    }
    assert_eq!(queue.depth().unwrap(), 2);
    let (first, second) = (lease(&queue), lease(&queue));
    assert_eq!((first.event.key.as_str(), second.event.key.as_str()), ("a.jpg", "c.png"));
    assert!(matches!(queue.lease().unwrap(), Next::Empty));
    end(&queue, &first, done());
    drop(second);
    assert_eq!(lease(&queue).event.key, "c.png", "a lease dropped without being settled is due again");
    assert_eq!(queue.depth().unwrap(), 1);
}

#[test]
fn one_object_is_worked_on_once_at_a_time() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let queue = queue(&opened, 2, Duration::ZERO, HOUR);
    upload(&opened, "a.jpg");
    upload(&opened, "b.jpg");
    let first = lease(&queue);
    upload(&opened, "a.jpg");
    let other = lease(&queue);
    assert_eq!((first.event.key.as_str(), other.event.key.as_str()), ("a.jpg", "b.jpg"));
    assert!(matches!(queue.lease().unwrap(), Next::Empty));
    let id = first.event.id;
    end(&queue, &first, done());
    drop(first);
    let second = lease(&queue);
    assert!(second.event.key == "a.jpg" && second.event.id > id, "sequencers rise");
}

#[test]
fn an_event_not_begun_is_superseded_by_the_next_of_its_object() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let queue = queue(&opened, 2, Duration::ZERO, HOUR);
    for _ in 0..100 {
        upload(&opened, "hot.jpg");
    }
    upload(&opened, "other.jpg");
    assert_eq!(queue.depth().unwrap(), 2);
    let hot = lease(&queue);
    let object = opened.store.objects.head(&at(IN, "hot.jpg")).unwrap().unwrap();
    assert_eq!(hot.event.id, object.order, "the newest version's event");
    end(&queue, &hot, done());
    drop(hot);
    upload(&opened, "hot.jpg");
    assert_eq!(queue.depth().unwrap(), 2);
}

/// A disk that takes no word of how attempts end, or a program that panics: none of that is a crash, of which the program
/// can have one in each of its lives.
#[test]
fn attempts_whose_end_was_not_written_down_are_one_crash_a_run() {
    let data = tempfile::tempdir().unwrap();
    let started = |opened: &Opened| {
        let view = opened.ledger.view().unwrap();
        let id = view.object(&at(IN, "a.jpg")).unwrap().unwrap().order;
        view.queue().event(id).unwrap().unwrap().started
    };
    for run in 1..=4 {
        let opened = open(data.path());
        let queue = queue(&opened, 2, Duration::ZERO, HOUR);
        if run == 1 {
            upload(&opened, "a.jpg");
        }
        for _ in 0..10 {
            drop(lease(&queue));
        }
        // Whatever was to be written down is by then.
        let nothing = opened.ledger.submit(Vec::new(), |_| Ok::<_, LedgerError>(()));
        nothing.wait().unwrap();
        assert_eq!(started(&opened), run);
    }
}

#[test]
fn puts_and_deletes_in_turn_keep_two_events_at_most() {
    let data = tempfile::tempdir().unwrap();
    let opened = open_with(data.path(), "[[trigger]]\nmirror_deletes = true");
    let queue = queue(&opened, 2, Duration::ZERO, HOUR);
    let place = at(IN, "a.jpg");
    let delete = || opened.store.objects.delete(&place, None, cause()).unwrap();
    for _ in 0..20 {
        upload(&opened, "a.jpg");
        assert!(delete());
    }
    assert_eq!(queue.depth().unwrap(), 2);
    // One under way is not taken back, and what comes after it is queued beside it.
    let under_way = lease(&queue);
    upload(&opened, "a.jpg");
    delete();
    assert_eq!(queue.depth().unwrap(), 3);
    assert!(matches!(queue.lease().unwrap(), Next::Empty), "one attempt at a time at an object");
    assert_eq!(end(&queue, &under_way, done()), Disposition::Ack);
    drop(under_way);
    let kinds: Vec<bool> = (0..2)
        .map(|_| {
            let lease = lease(&queue);
            end(&queue, &lease, done());
            lease.event.removed
        })
        .collect();
    assert!(kinds.contains(&true) && kinds.contains(&false), "{kinds:?}");
    assert_eq!(queue.depth().unwrap(), 0);
}

/// Retries stamped by a clock that was years ahead are due, also behind one that really is due soon.
#[test]
fn a_retry_from_ahead_of_the_clock_waits_for_none_that_is_due_soon() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let queue = queue(&opened, 2, Duration::from_secs(200), HOUR);
    for key in ["soon.jpg", "ahead.jpg"] {
        upload(&opened, key);
        assert!(matches!(end(&queue, &lease(&queue), retry()), Disposition::RetryAfter(_)));
    }
    assert!(matches!(queue.lease().unwrap(), Next::Wait(_)));
    let ahead = queue.event_of(&at(IN, "ahead.jpg")).unwrap().unwrap();
    let years = EventRecord { due_ms: ahead.due_ms + 100_000_000_000, ..ahead };
    assert_eq!(years.turn, None);
    let pending = opened.ledger.submit(Vec::new(), move |changes| changes.queue().put_event(&years));
    pending.wait().unwrap();
    assert_eq!(lease(&queue).event.key, "ahead.jpg");
}

#[test]
fn a_dead_letter_is_closed_when_its_object_is_replaced_or_removed() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let queue = queue(&opened, 0, Duration::ZERO, HOUR);
    upload(&opened, "a.jpg");
    let dead = failed(Reason::Malformed, "no picture");
    assert_eq!(end(&queue, &lease(&queue), dead), Disposition::DeadLetter(Reason::Malformed));
    upload(&opened, "a.jpg");
    assert_eq!((queue.dead_letter_count().unwrap(), queue.depth().unwrap()), (0, 1));
    let dead = failed(Reason::Malformed, "no picture");
    assert_eq!(end(&queue, &lease(&queue), dead), Disposition::DeadLetter(Reason::Malformed));
    assert_eq!(queue.dead_letter_count().unwrap(), 1);
    opened.store.objects.delete(&at(IN, "a.jpg"), None, cause()).unwrap();
    assert_eq!(queue.dead_letter_count().unwrap(), 0);
}

#[test]
fn a_store_that_is_away_uses_up_no_retries() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let queue = queue(&opened, 0, Duration::ZERO, HOUR);
    upload(&opened, "a.jpg");
    let away = failed(Reason::Unavailable, "no space");
    assert_eq!(end(&queue, &lease(&queue), away), Disposition::Defer(Duration::from_secs(1)));
    match queue.lease().unwrap() {
        Next::Wait(time) => assert!(time <= Duration::from_secs(1)),
        other => panic!("{other:?}"),
    }
    let id = opened.store.objects.head(&at(IN, "a.jpg")).unwrap().unwrap().order;
    let event = opened.ledger.view().unwrap().queue().event(id).unwrap().unwrap();
    assert_eq!((event.started, event.failed, event.deferred), (0, 0, 1));
    assert_eq!(event.last_error.as_deref(), Some("no space"));
}

#[test]
fn retries_are_counted_and_end_as_a_dead_letter() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let queue = queue(&opened, 2, Duration::from_millis(30), HOUR);
    upload(&opened, "a.jpg");
    for attempt in 0..3 {
        let mut taken = None;
        eventually("the retry is due", || match queue.lease().unwrap() {
            Next::Lease(lease) => {
                taken = Some(lease);
                true
            }
            Next::Wait(time) => {
                assert!(attempt > 0 && time <= Duration::from_millis(30));
                false
            }
            other => panic!("{other:?}"),
        });
        let settled = end(&queue, &taken.unwrap(), retry());
        let expected = match attempt {
            0 | 1 => Disposition::RetryAfter(Duration::from_millis(30)),
            _ => Disposition::DeadLetter(Reason::Internal),
        };
        assert_eq!(settled, expected);
    }
    assert!(matches!(queue.lease().unwrap(), Next::Empty));
    let dead_letters = opened.ledger.view().unwrap().queue().dead_letters(|_| true).unwrap();
    assert_eq!(dead_letters.len(), 1);
    let dead_letter = &dead_letters[0];
    assert_eq!((dead_letter.event.failed, dead_letter.reason.as_str()), (3, "internal"));
    assert_eq!(dead_letter.message, "the store was away");
    let result = opened.ledger.view().unwrap().queue().result(&at(IN, "a.jpg")).unwrap().unwrap();
    assert_eq!((result.outcome.as_str(), result.attempts), ("failed", 3));
}

#[test]
fn a_permanent_failure_is_a_dead_letter_at_once() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let queue = queue(&opened, 2, Duration::ZERO, HOUR);
    upload(&opened, "a.jpg");
    let verdict = failed(Reason::Malformed, "cut off");
    assert_eq!(end(&queue, &lease(&queue), verdict), Disposition::DeadLetter(Reason::Malformed));
    assert_eq!(queue.depth().unwrap(), 0);
    assert_eq!(opened.ledger.view().unwrap().queue().dead_letter_count().unwrap(), 1);
}

#[test]
fn an_expired_event_becomes_a_dead_letter_with_its_last_error() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    upload(&opened, "a.jpg");
    std::thread::sleep(Duration::from_millis(20));
    let impatient = queue(&opened, 2, Duration::ZERO, Duration::from_millis(1));
    // Old only because no server ran: it is tried once all the same.
    end(&impatient, &lease(&impatient), retry());
    assert!(matches!(impatient.lease().unwrap(), Next::DeadLetter(..)));
    let dead_letters = opened.ledger.view().unwrap().queue().dead_letters(|_| true).unwrap();
    assert_eq!(dead_letters[0].reason, "event_age");
    assert!(dead_letters[0].message.contains("the store was away"));
}

#[test]
fn a_crash_redelivers_and_a_crashing_object_becomes_a_dead_letter() {
    let data = tempfile::tempdir().unwrap();
    let mut opened = open(data.path());
    upload(&opened, "bomb.jpg");
    upload(&opened, "good.jpg");
    for run in 0..5 {
        let queue = queue(&opened, 2, Duration::ZERO, HOUR);
        let mut others = Vec::new();
        let mut taken = lease(&queue);
        while taken.event.key != "bomb.jpg" {
            others.push(taken.event.key.clone());
            end(&queue, &taken, done());
            drop(taken);
            taken = lease(&queue);
        }
        let bomb = taken;
        // A suspect lets others go first and runs alone, so that another crash is its own.
        let before: &[&str] = match run {
            0 => &[],
            1 => &["good.jpg", "later.jpg"],
            _ => &["later.jpg"],
        };
        assert_eq!(others, before, "in run {run}");
        upload(&opened, "later.jpg");
        if run > 0 {
            assert!(matches!(queue.lease().unwrap(), Next::Empty));
        }
        // The program ends: nothing is said of the attempt. (The note that it began is durable before
        // the ledger closes.)
        drop((bomb, queue));
        drop(opened);
        opened = open(data.path());
    }
    let queue = queue(&opened, 2, Duration::ZERO, HOUR);
    assert!(matches!(queue.lease().unwrap(), Next::DeadLetter(..)));
    assert_eq!(lease(&queue).event.key, "later.jpg");
    let dead_letters = opened.ledger.view().unwrap().queue().dead_letters(|_| true).unwrap();
    assert_eq!(
        (dead_letters[0].reason.as_str(), dead_letters[0].event.key.as_str()),
        ("crashed", "bomb.jpg")
    );
}

#[test]
fn a_suspect_is_not_put_off_for_ever() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    upload(&opened, "suspect.jpg");
    let first = queue(&opened, 2, Duration::ZERO, HOUR);
    drop(lease(&first));
    drop((first, opened));
    let opened = open(data.path());
    let queue = queue(&opened, 2, Duration::ZERO, HOUR);
    let mut passed = 0;
    loop {
        upload(&opened, &format!("fresh-{passed}.jpg"));
        let taken = lease(&queue);
        if taken.event.key == "suspect.jpg" {
            break;
        }
        end(&queue, &taken, done());
        passed += 1;
    }
    assert_eq!(passed, 64);
}

#[test]
fn retries_and_fresh_events_take_turns() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let queue = queue(&opened, 2, Duration::from_secs(1), HOUR);
    for number in 0..10 {
        upload(&opened, &format!("failing-{number}.jpg"));
    }
    for _ in 0..10 {
        // Times are in milliseconds: no two retries are to fall due in the same one.
        std::thread::sleep(Duration::from_millis(2));
        end(&queue, &lease(&queue), retry());
    }
    std::thread::sleep(Duration::from_millis(1100));
    // Ten retries are due while others go on coming: neither kind waits for the other.
    let mut order = Vec::new();
    for number in 0..20 {
        upload(&opened, &format!("fresh-{number}.jpg"));
        let taken = lease(&queue);
        order.push(taken.event.key.clone());
        let verdict = if taken.event.key.starts_with("failing") { retry() } else { done() };
        end(&queue, &taken, verdict);
    }
    let expected: Vec<String> =
        (0..10).flat_map(|number| [format!("failing-{number}.jpg"), format!("fresh-{number}.jpg")]).collect();
    assert_eq!(order, expected);
}

#[test]
fn retries_of_what_timed_out_leave_a_worker_to_others() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let queue = queue(&opened, 2, Duration::from_secs(1), HOUR);
    queue.set_workers(2);
    let timed_out = failed(Reason::Stopped, "the time-out");
    for key in ["failing-0.jpg", "failing-1.jpg"] {
        upload(&opened, key);
        let settled = end(&queue, &lease(&queue), timed_out.clone());
        assert_eq!(settled, Disposition::RetryAfter(Duration::from_secs(1)));
    }
    std::thread::sleep(Duration::from_millis(1100));
    let retry = lease(&queue);
    assert_eq!(retry.event.timed_out, 1);
    assert!(matches!(queue.lease().unwrap(), Next::Empty));
    upload(&opened, "fresh.jpg");
    assert_eq!(lease(&queue).event.key, "fresh.jpg");
    // Waiting for memory until the time-out is not the image's fault.
    let waited = lease(&queue);
    assert_eq!(waited.event.key, "fresh.jpg");
    waited.worked(Duration::ZERO);
    end(&queue, &waited, timed_out.clone());
    drop(waited);
    let fresh = queue.event_of(&at(IN, "fresh.jpg")).unwrap().unwrap();
    assert_eq!((fresh.failed, fresh.timed_out), (1, 0));
    // Once may be the machine's load; twice is the image.
    assert_eq!(end(&queue, &retry, timed_out), Disposition::DeadLetter(Reason::Stopped));
}

#[test]
fn a_shutdown_counts_as_no_attempt() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let queue = queue(&opened, 0, Duration::ZERO, HOUR);
    upload(&opened, "a.jpg");
    for _ in 0..5 {
        assert_eq!(end(&queue, &lease(&queue), released()), Disposition::Defer(Duration::ZERO));
    }
    let event = lease(&queue).event.clone();
    assert_eq!((event.started, event.failed), (0, 0));
}

#[test]
fn deletes_are_queued_only_where_they_are_mirrored() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    upload(&opened, "a.jpg");
    opened.store.objects.delete(&at(IN, "a.jpg"), None, cause()).unwrap();
    assert_eq!(opened.ledger.view().unwrap().queue().event_count().unwrap(), 1);
    let mirrored = tempfile::tempdir().unwrap();
    let opened = common::open_with(mirrored.path(), "[[trigger]]\nmirror_deletes = true");
    upload(&opened, "a.jpg");
    opened.store.objects.delete(&at(IN, "a.jpg"), None, cause()).unwrap();
    assert_eq!(opened.ledger.view().unwrap().queue().event_count().unwrap(), 2);
}

#[test]
fn the_oldest_event_is_the_one_queued_first_whatever_was_redriven() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let queue = queue(&opened, 0, Duration::ZERO, HOUR);
    upload(&opened, "given-up.jpg");
    end(&queue, &lease(&queue), retry());
    upload(&opened, "waiting.jpg");
    let waited = Duration::from_millis(50);
    std::thread::sleep(waited);
    assert_eq!(queue.redrive(&Default::default()).unwrap(), 1);
    assert_eq!(queue.depth().unwrap(), 2);
    assert!(queue.oldest().unwrap().unwrap() >= waited, "the one redriven just now hides the other");
}

/// Whatever becomes of events, memory holds nothing of them once nothing is under way.
#[test]
fn nothing_is_remembered_of_events_that_are_over() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let queue = queue(&opened, 1, Duration::ZERO, HOUR);
    let dead = failed(Reason::Malformed, "torn");
    let away = failed(Reason::Unavailable, "full");
    // What waits for the store may become due meanwhile, and is then a dead letter like the rest.
    let dead_lettered = std::cell::Cell::new(0);
    let next = || loop {
        match queue.lease().unwrap() {
            Next::DeadLetter(letter, _) => {
                assert_eq!(letter.reason, "event_age");
                dead_lettered.set(dead_lettered.get() + 1);
            }
            next => return next,
        }
    };
    for (number, verdict) in [released(), retry(), away, dead, done()].iter().cycle().take(40).enumerate() {
        upload(&opened, &format!("{number}.jpg"));
        let Next::Lease(taken) = next() else { panic!("{number}.jpg is not to be had") };
        assert_eq!(queue.remembered(), 1);
        // As old as the clock: what is put back is a dead letter at its next turn.
        let id = taken.event.id;
        let aged = opened.ledger.submit(Vec::new(), move |changes| {
            let event = changes.queue().event(id)?.unwrap();
            changes.queue().put_event(&EventRecord { queued_ms: 0, ..event })
        });
        aged.wait().unwrap();
        end(&queue, &taken, verdict.clone());
        drop(taken);
        assert!(!matches!(next(), Next::Lease(_)));
        assert_eq!(queue.remembered(), 0, "{verdict:?}");
    }
    assert!(dead_lettered.get() >= 16, "what was released or to be tried again: {dead_lettered:?}");
    assert_eq!(opened.ledger.view().unwrap().queue().dead_letter_count().unwrap(), 8 + dead_lettered.get());
    assert_eq!(queue.depth().unwrap(), 24 - dead_lettered.get(), "what waits for the store");
}

/// Which group's turn it is, by the first folder of the key, until nothing is ready.
fn order(queue: &std::sync::Arc<Queue>) -> Vec<String> {
    let mut order = Vec::new();
    while let Next::Lease(lease) = queue.lease().unwrap() {
        order.push(lease.event.key.clone());
        end(queue, &lease, done());
    }
    order
}

#[test]
fn groups_take_turns_however_many_events_each_has() {
    let data = tempfile::tempdir().unwrap();
    let opened = open_with(data.path(), "[[trigger]]\nprefix = \"raw/\"");
    let queue = queue(&opened, 2, Duration::ZERO, HOUR);
    for index in 0..6 {
        upload(&opened, &format!("raw/bulk/{index}.jpg"));
    }
    upload(&opened, "raw/one/0.jpg");
    upload(&opened, "raw/two/0.jpg");
    upload(&opened, "raw/two/1.jpg");
    let expected = ["bulk/0", "one/0", "two/0", "bulk/1", "two/1", "bulk/2", "bulk/3", "bulk/4", "bulk/5"];
    assert_eq!(order(&queue), expected.map(|key| format!("raw/{key}.jpg")));
}

#[test]
fn a_group_that_comes_later_waits_for_one_event_of_each_other() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let queue = queue(&opened, 2, Duration::ZERO, HOUR);
    for index in 0..50 {
        upload(&opened, &format!("bulk/{index:02}.jpg"));
    }
    for _ in 0..20 {
        end(&queue, &lease(&queue), done());
    }
    upload(&opened, "late/a.jpg");
    let position = order(&queue).iter().position(|key| key == "late/a.jpg").unwrap();
    assert!(position <= 1, "behind {position}");
}

#[test]
fn turns_survive_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    for index in 0..50 {
        upload(&opened, &format!("bulk/{index:02}.jpg"));
    }
    let first = queue(&opened, 2, Duration::ZERO, HOUR);
    for _ in 0..20 {
        end(&first, &lease(&first), done());
    }
    drop((first, opened));
    let opened = open(data.path());
    let queue = queue(&opened, 2, Duration::ZERO, HOUR);
    upload(&opened, "late/a.jpg");
    let position = order(&queue).iter().position(|key| key == "late/a.jpg").unwrap();
    assert!(position <= 2, "behind {position}");
}

#[test]
fn many_retries_of_one_group_hold_up_no_other() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let queue = queue(&opened, 2, Duration::ZERO, HOUR);
    for index in 0..50 {
        upload(&opened, &format!("bulk/{index}.jpg"));
        end(&queue, &lease(&queue), retry());
    }
    upload(&opened, "late/a.jpg");
    end(&queue, &lease(&queue), retry());
    upload(&opened, "late/b.jpg");
    let order = order(&queue);
    let position = |key: &str| order.iter().position(|at| at == key).unwrap();
    assert!(position("late/a.jpg") <= 8 && position("late/b.jpg") <= 8, "{order:?}");
}

#[test]
fn maintenance_waits_for_everything_else_and_has_no_age() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let queue = queue(&opened, 2, Duration::ZERO, Duration::from_millis(1));
    let backfill = |key: &str| {
        let cause = Cause::new("ObjectCreated:Backfill", "backfill");
        assert!(opened.store.backfill.enqueue(&at(IN, key), cause).unwrap());
    };
    for key in ["old/1.jpg", "old/2.jpg", "old/3.jpg"] {
        upload(&opened, key);
    }
    assert_eq!(order(&queue).len(), 3);
    for key in ["old/1.jpg", "old/2.jpg", "old/3.jpg"] {
        backfill(key);
    }
    // A failed attempt, so that its age would count.
    assert_eq!(end(&queue, &lease(&queue), retry()), Disposition::RetryAfter(Duration::ZERO));
    std::thread::sleep(Duration::from_millis(20));
    upload(&opened, "fresh.jpg");
    let order = order(&queue);
    assert_eq!(order[0], "fresh.jpg");
    assert_eq!(order.len(), 4, "none is dropped for its age: {order:?}");
}

#[test]
fn an_upload_that_maintenance_asks_for_again_is_still_an_upload() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let queue = queue(&opened, 2, Duration::ZERO, HOUR);
    upload(&opened, "a/1.jpg");
    upload(&opened, "a/2.jpg");
    let cause = || Cause::new("ObjectCreated:Backfill", "backfill");
    assert!(opened.store.backfill.enqueue(&at(IN, "a/1.jpg"), cause()).unwrap());
    let first = lease(&queue);
    assert_eq!((first.event.key.as_str(), first.event.cause()), ("a/1.jpg", "ObjectCreated:Put"));
    drop(first);
    assert_eq!(order(&queue), ["a/1.jpg", "a/2.jpg"]);
    // The other way round, the upload is one at once.
    assert!(opened.store.backfill.enqueue(&at(IN, "a/1.jpg"), cause()).unwrap());
    assert!(opened.store.backfill.enqueue(&at(IN, "a/2.jpg"), cause()).unwrap());
    upload(&opened, "a/2.jpg");
    assert_eq!(order(&queue), ["a/2.jpg", "a/1.jpg"]);
}

/// A flow whose attempts take long leaves a worker to others.
#[test]
fn the_last_worker_is_reserved() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let queue = queue(&opened, 2, Duration::ZERO, HOUR);
    queue.set_workers(2);
    for key in ["slow/1.jpg", "slow/2.jpg", "slow/3.jpg"] {
        upload(&opened, key);
    }
    let slow = lease(&queue);
    std::thread::sleep(Duration::from_millis(2100));
    assert!(matches!(queue.lease().unwrap(), Next::Empty), "one has been at work for too long");
    upload(&opened, "other/1.jpg");
    let other = lease(&queue);
    assert_eq!(other.event.key, "other/1.jpg");
    end(&queue, &other, done());
    drop(other);
    end(&queue, &slow, done());
    drop(slow);
    // One that took long is half of a typical one; two that did are slow.
    let slow = lease(&queue);
    std::thread::sleep(Duration::from_millis(4000));
    end(&queue, &slow, done());
    drop(slow);
    let _slow = lease(&queue);
    upload(&opened, "slow/4.jpg");
    assert!(matches!(queue.lease().unwrap(), Next::Empty));
    upload(&opened, "other/2.jpg");
    assert_eq!(lease(&queue).event.key, "other/2.jpg");
}

/// Puts `count` images of one folder whose first attempts ran into the time-out, so that they count as slow; their retries
/// are ready.
fn timed_out(opened: &Opened, queue: &std::sync::Arc<Queue>, count: usize) {
    for number in 0..count {
        upload(opened, &format!("slow/{number:03}.jpg"));
        let lease = lease(queue);
        assert_eq!(lease.event.timed_out, 0);
        end(queue, &lease, failed(Reason::Stopped, "the time-out"));
    }
    let mut ids = Vec::new();
    let take = |_, id| {
        ids.push(id);
        true
    };
    opened.ledger.view().unwrap().queue().walk_events(Place::Delayed, i64::MIN, take).unwrap();
    assert_eq!(ids.len(), count);
    let pending = opened.ledger.submit(Vec::new(), move |changes| {
        for id in ids {
            let event = changes.queue().event(id)?.unwrap();
            changes.queue().put_event(&EventRecord { due_ms: 1, ..event })?;
        }
        Ok::<_, LedgerError>(())
    });
    pending.wait().unwrap();
}

#[test]
fn slow_events_get_all_workers_but_one_however_many_others_wait() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let queue = queue(&opened, 2, HOUR, HOUR);
    queue.set_workers(2);
    timed_out(&opened, &queue, 2);
    (0..20).for_each(|number| upload(&opened, &format!("other/{number:02}.jpg")));
    // One worker is always at work on others.
    let mut busy = lease(&queue);
    let mut order = Vec::new();
    for _ in 0..6 {
        let next = lease(&queue);
        order.push(next.event.key.clone());
        end(&queue, &busy, done());
        busy = next;
    }
    assert!(order.iter().any(|key| key.starts_with("slow/")), "{order:?}");
}

#[test]
fn very_many_slow_events_that_are_passed_over_hide_no_other() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let queue = queue(&opened, 2, HOUR, HOUR);
    queue.set_workers(2);
    // More than are passed over in a row.
    timed_out(&opened, &queue, 300);
    let slow = lease(&queue);
    assert_eq!(slow.event.timed_out, 1);
    // Others are served until the turn being served lies behind all of those.
    for number in 0..310 {
        upload(&opened, &format!("other/{number}.jpg"));
        let other = lease(&queue);
        assert!(other.event.key.starts_with("other/"));
        end(&queue, &other, done());
    }
    upload(&opened, "victim/a.jpg");
    assert_eq!(lease(&queue).event.key, "victim/a.jpg");
}

#[test]
fn new_folders_that_go_on_coming_do_not_starve_one_that_waits() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let queue = queue(&opened, 2, Duration::ZERO, HOUR);
    for number in 0..5 {
        upload(&opened, &format!("bulk/{number}.jpg"));
    }
    let mut bulk = 0;
    for number in 0..20 {
        upload(&opened, &format!("new-{number:02}/a.jpg"));
        let lease = lease(&queue);
        bulk += usize::from(lease.event.key.starts_with("bulk/"));
        end(&queue, &lease, done());
    }
    assert!(bulk >= 3, "{bulk} of 5 in 20 turns");
}

#[test]
fn a_prefix_without_a_slash_divides_groups_as_one_with_it() {
    let data = tempfile::tempdir().unwrap();
    let opened = open_with(data.path(), "[[trigger]]\nprefix = \"raw\"");
    let queue = queue(&opened, 2, Duration::ZERO, HOUR);
    for key in ["raw/bulk/0.jpg", "raw/bulk/1.jpg", "raw/bulk/2.jpg", "raw/one/0.jpg"] {
        upload(&opened, key);
    }
    assert_eq!(order(&queue)[1], "raw/one/0.jpg");
}
