//! Store, queue and dispatcher together: an upload becomes thumbnails.

mod common;

use std::{sync::Arc, time::Duration};

use common::{IN, OUT, Opened, at, eventually, open, open_with, put, queue, read, runtime};
use tintype::{
    disk::RealDisk,
    dispatch::Dispatcher,
    history::{Database, History, Search},
    queue::Queue,
};
use tintype_api::{Deadline, Refused};
use tintype_faulty_disk::{Faults, FaultyDisk};
use tintype_pipeline::{
    Outcome,
    event::{Kind, Record},
};
use tintype_telemetry::metrics::Metric;

const HOUR: Duration = Duration::from_secs(3600);

fn jpeg(width: u16, height: u16, shade: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let pixels = vec![shade; usize::from(width) * usize::from(height)];
    jpeg_encoder::Encoder::new(&mut out, 80)
        .encode(&pixels, width, height, jpeg_encoder::ColorType::Luma)
        .unwrap();
    out
}

struct Running {
    opened: Opened,
    queue: Arc<Queue>,
    dispatcher: Dispatcher,
    history: Arc<History>,
}

fn start(data: &std::path::Path, toml: &str) -> Running {
    let opened = open_with(data, toml);
    let queue = queue(&opened, 2, Duration::from_millis(20), HOUR);
    let history = Arc::new(History::default());
    let _runtime = runtime().enter();
    let dispatcher =
        Dispatcher::start(&opened.settings, opened.store.clone(), queue.clone(), history.clone()).unwrap();
    Running { opened, queue, dispatcher, history }
}

/// The only worker waits for the disk, which holds what is read, at an attempt at `a.jpg`.
fn start_with_a_held_worker(data: &std::path::Path) -> Running {
    let running = start(data, "[function]\nconcurrency = 1");
    running.opened.faults.hang_reads(Some("/objects/"));
    put(&running.opened.store, &at(IN, "a.jpg"), &jpeg(64, 48, 90)).unwrap();
    eventually("the only worker is busy", || running.history.value(Metric::ConcurrentExecutions) == Some(1));
    running
}

impl Running {
    fn settled(&self) {
        eventually("the queue is empty", || self.queue.depth().unwrap() == 0);
    }

    /// Nothing is worked on any more.
    fn settled_or_released(&self) {
        eventually("nothing is under way", || self.history.value(Metric::ConcurrentExecutions) == Some(0));
    }

    fn metric(&self, line: &str) -> bool {
        self.history.prometheus("F").contains(line)
    }
}

#[test]
fn every_rendition_is_rendered_and_the_event_settled_with_them() {
    let data = tempfile::tempdir().unwrap();
    let running = start(
        data.path(),
        "[[trigger]]\n[[trigger.rendition]]\nkey = \"s/{key}\"\nsize = \"16\"\n\
         [[trigger.rendition]]\nkey = \"l/{key}\"\nsize = \"64\"\nformat = \"webp\"\n",
    );
    put(&running.opened.store, &at(IN, "a b+c.jpg"), &jpeg(200, 100, 90)).unwrap();
    running.settled();
    let view = running.opened.ledger.view().unwrap();
    let result = view.queue().result(&at(IN, "a b+c.jpg")).unwrap().unwrap();
    assert_eq!((result.outcome.as_str(), result.attempts, result.renditions.len()), ("made", 1, 2));
    for (key, size) in [("s/a b+c.jpg", (16, 8)), ("l/a b+c.jpg.webp", (64, 32))] {
        let bytes = read(&running.opened.store, &at(OUT, key)).unwrap();
        assert_eq!(tintype_engine::probe(&bytes).unwrap().upright(), size, "{key}");
    }
    // Counted just after the commit that empties the queue.
    for line in [
        "AsyncEventsReceived{function_name=\"F\"} 1",
        "Invocations{function_name=\"F\"} 1",
        "tintype_outcomes_total{outcome=\"made\"} 1",
    ] {
        eventually(line, || running.metric(line));
    }
    runtime().block_on(running.dispatcher.drain(HOUR));
}

/// A thumbnail on a broken sector: it is rendered again, and others can be listed.
#[test]
fn an_unreadable_thumbnail_is_rendered_again() {
    let data = tempfile::tempdir().unwrap();
    let running = start(data.path(), "");
    let (store, thumbnail) = (&running.opened.store, at(OUT, "thumb_b.jpg"));
    for key in ["a.jpg", "b.jpg", "c.jpg"] {
        put(store, &at(IN, key), &jpeg(200, 100, 90)).unwrap();
    }
    running.settled();
    let order = || store.objects.head(&thumbnail).unwrap().unwrap().order;
    let broken = order();
    running.opened.faults.fail_reads(Some(&format!("{broken:016x}")));
    let rehearsed = store.backfill.page("", None, true, common::cause()).unwrap();
    assert_eq!((rehearsed.stale, rehearsed.current), (vec![at(IN, "b.jpg")], 2));
    assert!(store.backfill.repair_thumbnail(&thumbnail).unwrap());
    running.settled();
    assert_ne!(order(), broken);
    assert!(!store.backfill.repair_thumbnail(&thumbnail).unwrap(), "it is whole");
    let backfilled = store.backfill.page("", None, false, common::cause()).unwrap();
    assert_eq!((backfilled.stale, backfilled.current), (vec![], 3));

    // Another version's comes over it as well.
    let broken = order();
    running.opened.faults.fail_reads(Some(&format!("{broken:016x}")));
    let etag = put(store, &at(IN, "b.jpg"), &jpeg(100, 100, 90)).unwrap();
    running.settled();
    let made = store.objects.head(&thumbnail).unwrap().unwrap();
    assert_eq!((made.order != broken, &made.headers.metadata["tintype-source-etag"]), (true, &etag));
    runtime().block_on(running.dispatcher.drain(HOUR));
}

/// No render is promised that would not happen, and the file stays.
#[test]
fn a_corrupt_thumbnail_of_a_dead_lettered_source_stays() {
    let data = tempfile::tempdir().unwrap();
    let running = start(data.path(), "");
    let (store, thumbnail) = (&running.opened.store, at(OUT, "thumb_a.jpg"));
    put(store, &at(IN, "a.jpg"), &jpeg(200, 100, 90)).unwrap();
    running.settled();
    let order_of = |at: &tintype_pipeline::Location| store.objects.head(at).unwrap().unwrap().order;
    let order = order_of(&thumbnail);
    let spoil = |order: u64| {
        let path = data.path().join(format!("objects/{:08x}/{order:016x}", order >> 12));
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    spoil(order);
    spoil(order_of(&at(IN, "a.jpg")));
    assert!(store.backfill.repair_thumbnail(&thumbnail).unwrap());
    eventually("its source is a dead letter", || {
        running.opened.ledger.view().unwrap().queue().dead_letter_count().unwrap() == 1
    });
    assert!(!store.backfill.repair_thumbnail(&thumbnail).unwrap());
    assert_eq!(order_of(&thumbnail), order);
    assert_eq!(running.queue.depth().unwrap(), 0);
    runtime().block_on(running.dispatcher.drain(HOUR));
}

/// A name so long that the thumbnail's metadata hold only a digest of it.
#[test]
fn a_corrupt_thumbnail_of_a_long_key_is_rendered_again_by_a_backfill() {
    let data = tempfile::tempdir().unwrap();
    let running = start(data.path(), "");
    let key = format!("{}.jpg", "ü".repeat(400));
    let (store, thumbnail) = (&running.opened.store, at(OUT, &format!("thumb_{key}")));
    put(store, &at(IN, &key), &jpeg(200, 100, 90)).unwrap();
    running.settled();
    let order = || store.objects.head(&thumbnail).unwrap().unwrap().order;
    let broken = order();
    std::fs::remove_file(data.path().join(format!("objects/{:08x}/{broken:016x}", broken >> 12))).unwrap();
    assert_eq!(store.backfill.page("", None, false, common::cause()).unwrap().stale.len(), 1);
    running.settled();
    assert_ne!(order(), broken);
    assert_eq!(store.backfill.page("", None, false, common::cause()).unwrap().current, 1);
    runtime().block_on(running.dispatcher.drain(HOUR));
}

#[test]
fn the_last_of_many_versions_has_the_thumbnail() {
    let data = tempfile::tempdir().unwrap();
    let running = start(data.path(), "[function]\nconcurrency = 4");
    let place = at(IN, "hot.jpg");
    let mut last = String::new();
    for version in 1..=30_u16 {
        last = put(&running.opened.store, &place, &jpeg(30 + version, 40, 90)).unwrap();
    }
    running.settled();
    let thumbnail = running.opened.store.objects.head(&at(OUT, "thumb_hot.jpg")).unwrap().unwrap();
    assert_eq!(thumbnail.headers.metadata["tintype-source-etag"], last);
    runtime().block_on(running.dispatcher.drain(HOUR));
}

#[test]
fn a_failed_render_is_a_dead_letter_and_delays_no_other() {
    let data = tempfile::tempdir().unwrap();
    let running = start(data.path(), "[function]\nconcurrency = 1");
    let whole = jpeg(300, 300, 90);
    put(&running.opened.store, &at(IN, "cut.jpg"), &whole[..whole.len() / 2]).unwrap();
    put(&running.opened.store, &at(IN, "empty.jpg"), b"").unwrap();
    put(&running.opened.store, &at(IN, "good.jpg"), &whole).unwrap();
    running.settled();
    assert!(read(&running.opened.store, &at(OUT, "thumb_good.jpg")).is_some());
    let letters = running.opened.ledger.view().unwrap().queue().dead_letters(|_| true).unwrap();
    let reasons: Vec<_> =
        letters.iter().map(|letter| (letter.event.key.as_str(), letter.reason.as_str())).collect();
    assert_eq!(reasons, [("cut.jpg", "malformed"), ("empty.jpg", "unsupported")]);
    eventually("drops are counted", || running.metric("AsyncEventsDropped{function_name=\"F\"} 2"));
    runtime().block_on(running.dispatcher.drain(HOUR));
}

#[test]
fn events_of_a_bucket_without_a_trigger_are_dead_letters() {
    let data = tempfile::tempdir().unwrap();
    let before = open(data.path());
    put(&before.store, &at(IN, "a.jpg"), &jpeg(100, 100, 2)).unwrap();
    drop(before);
    let running = start(data.path(), "[[trigger]]\nbucket = \"renamed\"");
    running.settled();
    let dead_letters = running.opened.ledger.view().unwrap().queue().dead_letters(|_| true).unwrap();
    let reasons: Vec<_> = dead_letters
        .iter()
        .map(|dead_letter| (dead_letter.event.key.as_str(), dead_letter.reason.as_str()))
        .collect();
    assert_eq!(reasons, [("a.jpg", "no_trigger")]);
    assert!(dead_letters[0].message.contains(IN), "{}", dead_letters[0].message);
    eventually("drops are counted", || running.metric("AsyncEventsDropped{function_name=\"F\"} 1"));
    runtime().block_on(running.dispatcher.drain(HOUR));
}

/// SIGTERM has an end, whatever does not: the attempt counts as not made, and nothing is lost.
#[test]
fn what_does_not_stop_is_left_behind_and_due_again() {
    let data = tempfile::tempdir().unwrap();
    let running = start(data.path(), "[function]\nconcurrency = 2");
    let opened = &running.opened;
    opened.faults.hang_reads(Some("/objects/"));
    put(&opened.store, &at(IN, "held.jpg"), &jpeg(100, 100, 2)).unwrap();
    let id = opened.store.objects.head(&at(IN, "held.jpg")).unwrap().unwrap().order;
    let started = || opened.ledger.view().unwrap().queue().event(id).unwrap().unwrap().started;
    eventually("the attempt began", || started() == 1);
    runtime().block_on(running.dispatcher.drain(Duration::from_millis(50)));
    assert_eq!((started(), running.queue.depth().unwrap()), (0, 1));
    // When it ends after all, it says no more than that.
    opened.faults.hang_reads(None);
    running.settled_or_released();
    let history = Arc::new(History::default());
    let _runtime = runtime().enter();
    let dispatcher =
        Dispatcher::start(&opened.settings, opened.store.clone(), running.queue.clone(), history).unwrap();
    running.settled();
    assert!(read(&opened.store, &at(OUT, "thumb_held.jpg")).is_some());
    runtime().block_on(dispatcher.drain(HOUR));
}

#[test]
fn a_full_disk_delays_thumbnails_but_loses_none() {
    let data = tempfile::tempdir().unwrap();
    let running = start(data.path(), "");
    runtime().block_on(running.dispatcher.drain(HOUR));
    put(&running.opened.store, &at(IN, "during.jpg"), &jpeg(100, 100, 2)).unwrap();
    running.opened.faults.set_full(true);
    let opened = &running.opened;
    let history = Arc::new(History::default());
    let (store, queue) = (opened.store.clone(), running.queue.clone());
    let _runtime = runtime().enter();
    let dispatcher = Dispatcher::start(&opened.settings, store, queue, history.clone()).unwrap();
    eventually("an attempt failed", || history.prometheus("F").contains("reason=\"unavailable\"} 1"));
    opened.faults.set_full(false);
    running.settled();
    assert!(read(&opened.store, &at(OUT, "thumb_during.jpg")).is_some());
    runtime().block_on(dispatcher.drain(HOUR));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_wait_their_turn_and_too_many_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let running =
        tokio::task::spawn_blocking(move || (start(data.path(), "[function]\nconcurrency = 1"), data))
            .await
            .unwrap();
    let (running, _data) = running;
    let record = || Record::new(Kind::Created, "ObjectCreated:Put", at(IN, "nowhere.jpg"));
    let answers = futures::future::join_all(
        (0..200).map(|_| running.dispatcher.invoke(record(), Deadline::after(HOUR))),
    )
    .await;
    let (answered, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert!(!answered.is_empty() && !refused.is_empty());
    for answer in answered {
        assert!(matches!(answer.unwrap().outcome, Outcome::Failed(_)));
    }
    assert!(refused.iter().all(|answer| answer.as_ref().err() == Some(&Refused::Throttled)));
    assert!(running.metric(&format!("Throttles{{function_name=\"F\"}} {}", refused.len())));
    running.dispatcher.drain(HOUR).await;
    tokio::task::spawn_blocking(move || drop(running)).await.unwrap();
}

/// One worker, and always another request: every second call is an event's.
#[test]
fn requests_and_events_take_turns() {
    let data = tempfile::tempdir().unwrap();
    let running = start_with_a_held_worker(data.path());
    for number in 0..10 {
        put(&running.opened.store, &at(IN, &format!("{number}.jpg")), &jpeg(64, 48, 90)).unwrap();
    }
    let record = || Record::new(Kind::Created, "ObjectCreated:Put", at(IN, "nowhere.jpg"));
    let depths = runtime().block_on(async {
        let waiting = (0..10).map(|_| async {
            running.dispatcher.invoke(record(), Deadline::after(HOUR)).await.unwrap();
            running.queue.depth().unwrap()
        });
        let waiting = futures::future::join_all(waiting);
        let release = async { running.opened.faults.hang_reads(None) };
        futures::future::join(waiting, release).await.0
    });
    // An event is handled for each request; the first was before them, and another may be by the time of the look.
    for (answered, depth) in depths.iter().enumerate() {
        let handled = 11 - *depth as usize;
        assert!(
            (answered..answered + 4).contains(&handled),
            "after {answered} requests {handled} events are handled"
        );
    }
    running.settled();
    runtime().block_on(running.dispatcher.drain(HOUR));
}

/// The only worker hangs on the disk.
#[test]
fn a_request_without_a_worker_is_refused_at_shutdown() {
    let data = tempfile::tempdir().unwrap();
    let running = start_with_a_held_worker(data.path());
    let record = Record::new(Kind::Created, "ObjectCreated:Put", at(IN, "nowhere.jpg"));
    let (waiting, ending) = (
        running.dispatcher.invoke(record, Deadline::after(HOUR)),
        running.dispatcher.drain(Duration::from_millis(50)),
    );
    let (refused, ()) = runtime().block_on(futures::future::join(waiting, ending));
    assert_eq!(refused.unwrap_err(), Refused::ShuttingDown);
    running.opened.faults.hang_reads(None);
    running.settled_or_released();
}

#[test]
fn a_shutdown_leaves_what_is_waiting_for_the_next_start() {
    let data = tempfile::tempdir().unwrap();
    let running = start(data.path(), "");
    runtime().block_on(running.dispatcher.drain(Duration::ZERO));
    put(&running.opened.store, &at(IN, "late.jpg"), &jpeg(50, 50, 7)).unwrap();
    assert_eq!(running.queue.depth().unwrap(), 1);
    drop(running);
    let running = start(data.path(), "");
    running.settled();
    assert!(read(&running.opened.store, &at(OUT, "thumb_late.jpg")).is_some());
    runtime().block_on(running.dispatcher.drain(HOUR));
}

#[test]
fn a_request_ends_at_its_deadline() {
    let data = tempfile::tempdir().unwrap();
    let running = start(data.path(), "");
    put(&running.opened.store, &at(IN, "a.jpg"), &jpeg(64, 48, 90)).unwrap();
    let spec = running.opened.settings.triggers[0].renditions[0].spec.clone();
    let ask = |timeout| {
        let deadline = Deadline::after(timeout);
        runtime().block_on(running.dispatcher.render_object(at(IN, "a.jpg"), spec.clone(), deadline))
    };
    assert_eq!(ask(Duration::ZERO).unwrap_err(), Refused::TimedOut);
    assert!(ask(HOUR).unwrap().is_ok());
    runtime().block_on(running.dispatcher.drain(Duration::from_secs(5)));
}

#[test]
fn an_abandoned_request_is_not_begun() {
    let data = tempfile::tempdir().unwrap();
    let running = start_with_a_held_worker(data.path());
    let spec = running.opened.settings.triggers[0].renditions[0].spec.clone();
    let ask = || {
        let deadline = Deadline::after(HOUR);
        running.dispatcher.render_object(at(IN, "a.jpg"), spec.clone(), deadline)
    };
    runtime().block_on(async {
        let asked = std::pin::pin!(ask());
        assert!(futures::poll!(asked).is_pending());
    });
    running.opened.faults.hang_reads(None);
    // One that comes later is served, so the other has had its turn.
    assert!(runtime().block_on(ask()).unwrap().is_ok());
    assert_eq!(running.history.value(Metric::Invocations), Some(2));
    runtime().block_on(running.dispatcher.drain(HOUR));
}

#[test]
fn a_full_disk_for_measurements_stops_no_thumbnail() {
    let data = tempfile::tempdir().unwrap();
    let running = start(data.path(), "");
    let faults = Arc::new(Faults::default());
    faults.set_full(true);
    let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk), faults.clone()));
    let file = data.path().join("measurements.redb");
    running.history.record_to(Database::new(disk, file)).unwrap();
    put(&running.opened.store, &at(IN, "a.jpg"), &jpeg(200, 100, 90)).unwrap();
    running.settled();
    assert!(read(&running.opened.store, &at(OUT, "thumb_a.jpg")).is_some());
    eventually("it has been counted", || running.history.value(Metric::Made) == Some(1));
    // With space again, its result is stored.
    faults.set_full(false);
    let recorder = running.history.recorder().unwrap();
    eventually("what became of it is kept", || {
        recorder.search(10, &Search::default()).is_ok_and(|kept| kept.len() == 1 && kept[0].key == "a.jpg")
    });
    running.history.close();
}
