//! Dead letters: many of them at once, and their bounds.

mod common;

use std::time::Duration;

use common::{IN, at, open, put, queue};
use tintype_pipeline::clock::now_ms;

use tintype::settings::DeadLetters;
use tintype::{
    ledger::LedgerError,
    queue::{DeadLetter, DeadLetterFilter, EventRecord, reason},
};

fn letter(id: u64, dead_ms: i64) -> DeadLetter {
    let event = EventRecord {
        id,
        removed: false,
        name: "ObjectCreated:Put".into(),
        bucket: IN.into(),
        key: format!("{}/{id}.jpg", id % 2),
        etag: "etag".into(),
        size: 1,
        queued_ms: dead_ms,
        due_ms: dead_ms,
        request_id: "request".into(),
        started: 3,
        failed: 3,
        deferred: 1,
        last_error: Some("the last error".into()),
        redriven: false,
        tried_in: 0,
        turn: None,
        group: String::new(),
        timed_out: 0,
    };
    DeadLetter { event, reason: "internal".into(), message: "the whole reason".into(), dead_ms }
}

fn write(opened: &common::Opened, letters: Vec<DeadLetter>) {
    let pending = opened.ledger.submit(Vec::new(), move |changes| {
        letters.iter().try_for_each(|letter| changes.queue().put_dead_letter(letter))?;
        Ok::<_, LedgerError>(())
    });
    pending.wait().unwrap();
}

#[test]
fn very_many_are_redriven_in_bounded_transactions_while_uploads_go_on() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let queue = queue(&opened, 2, Duration::from_secs(1), Duration::from_secs(3600));
    let now = now_ms();
    write(&opened, (1..=4001).map(|id| letter(id, now)).collect());

    let before = opened.ledger.changes();
    let even = DeadLetterFilter { prefix: Some("0/".into()), ..DeadLetterFilter::default() };
    assert_eq!(queue.redrive(&even).unwrap(), 2000);
    let commits = opened.ledger.changes() - before;
    assert!((4..=8).contains(&commits), "{commits} transactions for 2,000 letters");
    assert_eq!(queue.depth().unwrap(), 2000);
    assert_eq!(queue.redrive(&even).unwrap(), 0);
    let view = opened.ledger.view().unwrap();
    assert_eq!(view.queue().dead_letter_count().unwrap(), 2001);
    let event = view.queue().event(2).unwrap().unwrap();
    assert_eq!((event.started, event.failed, event.deferred, event.last_error), (0, 0, 0, None));
    drop(view);

    // Uploads beside it are acknowledged before the last letter is queued.
    std::thread::scope(|scope| {
        let redriven = scope.spawn(|| queue.redrive(&DeadLetterFilter::default()).unwrap());
        for number in 0..5 {
            put(&opened.store, &at(IN, &format!("beside/{number}.jpg")), b"x").unwrap();
        }
        assert_eq!(redriven.join().unwrap(), 2001);
    });
    assert_eq!(queue.depth().unwrap(), 4006);
    assert_eq!(queue.purge(&DeadLetterFilter::default()).unwrap(), 0);
}

#[test]
fn bounds_warn_before_they_drop_and_drop_the_oldest() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let queue = queue(&opened, 2, Duration::from_secs(1), Duration::from_secs(3600));
    let hour = Duration::from_secs(3600);
    let bounds = DeadLetters { max_age: 10 * hour, max_count: 1000 };
    let hours_ago = |hours: i64| now_ms() - hours * 3_600_000;
    let ids = || queue.dead_letters(&DeadLetterFilter::default()).unwrap().len();

    write(&opened, (1..=799).map(|id| letter(id, hours_ago(1))).collect());
    assert_eq!(queue.trim(&bounds, true).unwrap(), 0);
    assert_eq!(queue.dead_letter_warning(), None);

    write(&opened, vec![letter(800, hours_ago(1))]);
    assert_eq!(queue.trim(&bounds, true).unwrap(), 0);
    let warning = queue.dead_letter_warning().unwrap();
    assert!(warning.contains("800 dead letters") && warning.contains("max_count"), "{warning}");

    // Given up long ago, though its event is the newest.
    write(&opened, vec![letter(5000, hours_ago(9))]);
    assert_eq!(queue.trim(&bounds, true).unwrap(), 0);
    assert!(queue.dead_letter_warning().unwrap().contains("max_age"));
    // A run's first look drops nothing for its age: it may have been down for long.
    let restarted = self::queue(&opened, 2, Duration::from_secs(1), Duration::from_secs(3600));
    let young = DeadLetters { max_age: hour / 2, max_count: 1000 };
    assert_eq!(restarted.trim(&young, true).unwrap(), 0);
    assert!(restarted.dead_letter_warning().unwrap().contains("max_age"));
    write(&opened, vec![letter(5000, hours_ago(11))]);
    // Nor does one whose clock has jumped.
    assert_eq!(queue.trim(&bounds, false).unwrap(), 0);
    assert_eq!(queue.trim(&bounds, true).unwrap(), 1);
    assert!(queue.dead_letter_warning().unwrap().contains("1 dead letter(s) were dropped"));
    assert_eq!(ids(), 800);

    write(&opened, (2001..=2700).map(|id| letter(id, hours_ago(0))).collect());
    assert_eq!(queue.trim(&bounds, true).unwrap(), 500);
    assert_eq!(ids(), 1000);
    let view = opened.ledger.view().unwrap();
    assert!(
        view.queue().dead_letter(2700).unwrap().is_some() && view.queue().dead_letter(500).unwrap().is_none()
    );
    drop(view);

    assert_eq!(queue.purge(&DeadLetterFilter::default()).unwrap(), 1000);
    assert_eq!(queue.trim(&bounds, true).unwrap(), 0);
    assert_eq!(queue.dead_letter_warning(), None);
    // A burst, or a lower bound: the look that first sees it warns, however many there are.
    write(&opened, (3001..=4500).map(|id| letter(id, hours_ago(0))).collect());
    assert_eq!(queue.trim(&bounds, true).unwrap(), 0);
    assert!(queue.dead_letter_warning().unwrap().contains("1500 dead letters"));
    assert_eq!(queue.trim(&bounds, true).unwrap(), 500);
    assert_eq!(queue.purge(&DeadLetterFilter::default()).unwrap(), 1000);
    assert_eq!(queue.trim(&bounds, true).unwrap(), 0);
    write(&opened, (5001..=7500).map(|id| letter(id, hours_ago(0))).collect());
    assert_eq!(queue.trim(&bounds, true).unwrap(), 0);
    assert_eq!(queue.trim(&bounds, true).unwrap(), 1500);
    assert_eq!(queue.purge(&DeadLetterFilter::default()).unwrap(), 1000);
    // A warning of the one bound is none of the other.
    write(&opened, (7501..=8400).map(|id| letter(id, hours_ago(0))).collect());
    assert_eq!(queue.trim(&bounds, true).unwrap(), 0);
    write(&opened, vec![letter(8500, hours_ago(11))]);
    assert_eq!(queue.trim(&bounds, true).unwrap(), 0);
    assert!(queue.dead_letter_warning().unwrap().contains("max_age"));
    assert_eq!(queue.trim(&bounds, true).unwrap(), 1);
    // But never more than ten times as many, in a program that does not live to its second look.
    assert_eq!(queue.purge(&DeadLetterFilter::default()).unwrap(), 900);
    let restarted = self::queue(&opened, 2, Duration::from_secs(1), Duration::from_secs(3600));
    write(&opened, (20_001..=30_500).map(|id| letter(id, hours_ago(0))).collect());
    assert_eq!(restarted.trim(&bounds, true).unwrap(), 500);
    assert_eq!(queue.purge(&DeadLetterFilter::default()).unwrap(), 10_000);
    // Given up by a clock that was ahead: all the same all of them.
    write(&opened, vec![letter(9000, hours_ago(-1))]);
    assert_eq!(queue.purge(&DeadLetterFilter::default()).unwrap(), 1);
    assert_eq!(queue.trim(&bounds, true).unwrap(), 0);
    assert_eq!(queue.dead_letter_warning(), None);
}

#[test]
fn very_many_are_returned_page_by_page() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let queue = queue(&opened, 2, Duration::from_secs(1), Duration::from_secs(3600));
    let now = now_ms();
    write(&opened, (1..=6001).map(|id| letter(id, now)).collect());
    let pages = |filter: &DeadLetterFilter| {
        let (mut pages, mut before) = (Vec::new(), u64::MAX);
        loop {
            let page = queue.dead_letters_below(before, filter, |_| true).unwrap();
            pages.push(page.dead_letters.iter().map(|letter| letter.event.id).collect::<Vec<_>>());
            match page.next {
                Some(next) => before = next,
                None => return pages,
            }
        }
    };
    let all = pages(&DeadLetterFilter::default());
    assert!(all.iter().all(|page| page.len() <= 500));
    assert_eq!(all.concat(), (1..=6001).rev().collect::<Vec<u64>>());
    let even = pages(&DeadLetterFilter { prefix: Some("0/".into()), ..DeadLetterFilter::default() });
    assert_eq!(even.concat(), (1..=3000).rev().map(|half| half * 2).collect::<Vec<u64>>());
    // One answer looks at so many and no more, whether or not it finds anything.
    let none = pages(&DeadLetterFilter { text: Some("nowhere".into()), ..DeadLetterFilter::default() });
    assert_eq!(none, [[0; 0], [0; 0]]);

    let ids = DeadLetterFilter { ids: Some(vec![7, 8, 9000]), ..DeadLetterFilter::default() };
    assert_eq!(queue.dead_letters(&ids).unwrap().len(), 2);
    let summary =
        queue.summary(&DeadLetterFilter { prefix: Some("1/".into()), ..ids.clone() }, 200, |_| true).unwrap();
    assert_eq!((summary.by_reason["internal"], summary.passed), (6001, 1));
    let newest = queue.summary(&DeadLetterFilter::default(), 3, |_| true).unwrap().newest;
    assert_eq!(newest.iter().map(|letter| letter.event.id).collect::<Vec<_>>(), [6001, 6000, 5999]);
    assert_eq!(queue.purge(&ids).unwrap(), 2);
    assert_eq!(queue.purge(&ids).unwrap(), 0);
}

#[test]
fn reasons_are_taken_as_people_write_them_or_refused_with_the_nearest() {
    assert_eq!(reason("too large"), Ok("too_large"));
    assert_eq!(reason("Key-Too-Long"), Ok("key_too_long"));
    assert_eq!(reason("crashed"), Ok("crashed"));
    let words = reason("malfromed").unwrap_err();
    assert!(words.contains("did you mean \"malformed\"?") && words.contains("event_age"), "{words}");
}
