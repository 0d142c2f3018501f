//! Measurements and results: kept through restarts, bounded, and never in the way of thumbnails.

mod common;

use std::{path::Path, sync::Arc, time::Duration};

use common::eventually;
use redb::ReadableDatabase as _;
use tintype::{
    disk::RealDisk,
    history::{Entry, History, Interval, Keeper, Next, Period, QueryError, Search, query, query::Statistic},
};
use tintype_faulty_disk::{Faults, FaultyDisk};
use tintype_pipeline::{Location, ObjectKey, Report, clock::now_ms};
use tintype_telemetry::metrics::{Metric, Metrics, MetricsSnapshot};

fn kept(file: &Path) -> (Arc<History>, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk), faults.clone()));
    let history = Arc::new(History::default());
    history.keep(Keeper::new(disk, file.to_owned())).unwrap();
    (history, faults)
}

fn entry(key: &str, ended_ms: i64) -> Entry {
    let at = Location { bucket: "in".into(), key: ObjectKey::new(key).unwrap() };
    Entry { next: Next::DeadLetter, ..Entry::of(&Report::bad_event("cut".into()), &at, ended_ms) }
}

fn of(key: &str) -> Search<'_> {
    Search { object: Some(("in", key)), failed: false }
}

fn last_hour() -> Period {
    let now_s = now_ms() / 1000;
    Period::new(now_s - 3000, now_s + 1, 60).unwrap()
}

fn sum(history: &History, metric: Metric) -> f64 {
    let points = history.query(metric, Statistic::Sum, last_hour()).unwrap();
    points.iter().map(|point| point.value).sum()
}

#[test]
fn what_was_measured_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("measurements.redb");
    let (first, _) = kept(&file);
    for _ in 0..5 {
        drop(first.invocation());
        first.ended(Duration::from_millis(12), false);
    }
    first.result(entry("a.jpg", now_ms()));
    assert_eq!(sum(&first, Metric::Invocations) as u64, 5, "the interval under way is answered, too");
    first.close();
    drop(first);

    let (second, _) = kept(&file);
    drop(second.invocation());
    assert_eq!(sum(&second, Metric::Invocations) as u64, 6);
    let p99 = second.query(Metric::Duration, Statistic::Percentile(99.0), last_hour()).unwrap();
    assert!((p99[0].value - 12.0).abs() < 0.001, "{p99:?}");
    let history = second.recorder().unwrap().search(10, &of("a.jpg")).unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!((history[0].why.as_str(), history[0].next), ("cut", Next::DeadLetter));
    second.close();
}

#[test]
fn questions_that_make_no_sense_are_told_why() {
    let now_s = now_ms() / 1000;
    let words = |result: Result<Period, QueryError>| result.unwrap_err().to_string();
    assert!(words(Period::new(now_s + 10, now_s + 20, 60)).contains("future"));
    assert!(words(Period::new(now_s - 10, now_s - 20, 60)).contains("after start"));
    assert!(words(Period::new(now_s - 5000, now_s, 7)).contains("multiple of 10 s"));
    assert!(words(Period::new(now_s - 86_400, now_s, 10)).contains("multiple of 60 s"));
    assert!(words(Period::new(now_s - 20 * 86_400, now_s, 3600)).contains("15 days"));
    assert!(words(Period::new(now_s - 14 * 86_400, now_s, 60)).contains("1440"));
    assert!(query::metric("Duratoin").unwrap_err().to_string().contains("Duration"));
    let counter = History::default().query(Metric::Errors, Statistic::Percentile(50.0), last_hour());
    assert!(counter.unwrap_err().to_string().contains("no percentiles"));
}

#[test]
fn a_full_disk_stops_history_and_only_for_as_long() {
    let folder = tempfile::tempdir().unwrap();
    let (history, faults) = kept(&folder.path().join("measurements.redb"));
    faults.set_full(true);
    for n in 0..50 {
        history.result(entry(&format!("{n}.jpg"), now_ms()));
    }
    // Longer than the recorder waits between two tries.
    std::thread::sleep(Duration::from_secs(3));
    faults.set_full(false);
    history.result(entry("after.jpg", now_ms()));
    history.close();
    let recorder = history.recorder().unwrap();
    eventually("results of the time without space are kept", || {
        recorder.latest(100, |_| true).is_ok_and(|all| all.len() == 51)
    });
    assert_eq!(history.value(Metric::HistoryDropped), Some(0));
}

#[test]
fn results_beyond_the_latest_are_packed_and_found() {
    let folder = tempfile::tempdir().unwrap();
    let (history, _) = kept(&folder.path().join("measurements.redb"));
    let begin = now_ms() - 1_000_000;
    // Enough for a block, in portions that the recorder's memory holds.
    for n in 0..12_000 {
        history.result(entry(&format!("photos/{}.jpg", n % 6000), begin + n));
    }
    history.close();
    drop(history);
    let (again, _) = kept(&folder.path().join("measurements.redb"));
    again.result(entry("new.jpg", now_ms()));
    let recorder = again.recorder().unwrap();
    assert_eq!(recorder.latest(1, |_| true).unwrap()[0].key, "new.jpg");
    let history = recorder.search(10, &of("photos/3.jpg")).unwrap();
    let ended: Vec<i64> = history.iter().map(|entry| entry.ended_ms - begin).collect();
    assert_eq!(ended, [6003, 3], "latest first, also from blocks");
    assert!(recorder.search(10, &of("photos/none.jpg")).unwrap().is_empty());
    again.close();
}

/// redb refuses what its cache does not hold after any I/O error; reads alone must get over it, for there may be
/// nothing to write for long.
#[test]
fn history_that_could_not_be_read_once_can_be_read_later() {
    let folder = tempfile::tempdir().unwrap();
    let (history, _) = kept(&folder.path().join("measurements.redb"));
    let begin = now_ms() - 1_000_000;
    for n in 0..6000 {
        history.result(entry(&format!("photos/{n}.jpg"), begin + n));
    }
    history.close();
    drop(history);
    let (again, faults) = kept(&folder.path().join("measurements.redb"));
    // Nothing is written from here on.
    again.close();
    let find = || again.recorder().unwrap().search(10, &of("photos/3.jpg"));
    faults.fail_reads(Some("measurements"));
    assert!(find().is_err(), "all of it is in the cache");
    faults.fail_reads(None);
    assert_eq!(find().unwrap().len(), 1);
}

#[test]
fn failures_are_found_however_far_back_they_lie() {
    let folder = tempfile::tempdir().unwrap();
    let (history, _) = kept(&folder.path().join("measurements.redb"));
    let begin = now_ms() - 1_000_000;
    history.result(entry("broken.jpg", begin));
    // Two blocks of what went well, and one that is not packed yet.
    for n in 1..16_000 {
        let made = Entry { outcome: "made".into(), next: Next::Done, ..entry("fine.jpg", begin + n) };
        history.result(made);
    }
    history.close();
    let recorder = history.recorder().unwrap();
    let failed = recorder.search(10, &Search { object: None, failed: true }).unwrap();
    assert_eq!(failed.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["broken.jpg"]);
    let of_fine = Search { object: Some(("in", "fine.jpg")), failed: true };
    assert!(recorder.search(10, &of_fine).unwrap().is_empty());
    assert_eq!(recorder.search(10_000, &Search::default()).unwrap().len(), 10_000, "blocks are read, too");
}

/// Three days of a busy server, an interval an hour and a half.
fn days_of_intervals(now_ms: i64) -> Vec<Interval> {
    let (metrics, mut taken) = (Metrics::default(), MetricsSnapshot::default());
    let intervals = (0..48).map(|n| {
        for call in 0..=n {
            drop(metrics.invocation());
            metrics.ended(Duration::from_millis(call), false);
        }
        let ago = (48 - n as i64) * 5400 * 1000;
        Interval::that_ends(now_ms - ago, n, metrics.take(&mut taken))
    });
    intervals.collect()
}

fn by_the_hour(history: &History, statistic: Statistic) -> Vec<f64> {
    let now_s = now_ms() / 1000;
    let metric = if statistic == Statistic::Sum { Metric::Invocations } else { Metric::Duration };
    // Ends within the range of one's data and not at an hour: then minutes are read.
    let all = |end_s| {
        let period = Period::new(now_s - 4 * 86_400, end_s, 3600).unwrap();
        let points = history.query(metric, statistic, period).unwrap();
        points.into_iter().map(|point| point.value).filter(|value| *value > 0.0).collect::<Vec<_>>()
    };
    let (sums, minutes) = (all(now_s + 1), all(now_s - 61));
    assert_eq!(sums, minutes, "sums are what minutes say");
    sums
}

#[test]
fn long_ranges_are_answered_from_sums_and_without_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("measurements.redb");
    let keeper = Keeper::new(Arc::new(RealDisk), file.clone());
    keeper.keep(now_ms(), &days_of_intervals(now_ms()), &[]).unwrap();
    drop(keeper);
    let hours = || {
        let database = redb::Database::open(&file).unwrap();
        let table = redb::TableDefinition::<i64, &[u8]>::new("hours 2");
        let rows = database
            .begin_read()
            .unwrap()
            .open_table(table)
            .map(|table| redb::ReadableTableMetadata::len(&table).unwrap());
        rows.unwrap_or(0)
    };
    let rows = hours();
    assert!((47..=48).contains(&rows), "{rows} hours in which something was measured");

    let (first, _) = kept(&file);
    let with = [Statistic::Sum, Statistic::Percentile(95.0)].map(|asked| by_the_hour(&first, asked));
    first.close();
    drop(first);

    // As an older program left it.
    let database = redb::Database::open(&file).unwrap();
    let changes = database.begin_write().unwrap();
    for name in ["ten minutes 2", "hours 2"] {
        changes.delete_table(redb::TableDefinition::<i64, &[u8]>::new(name)).unwrap();
    }
    changes.delete_table(redb::TableDefinition::<&str, i64>::new("series state 1")).unwrap();
    changes.commit().unwrap();
    drop(database);
    assert_eq!(hours(), 0);

    let (second, _) = kept(&file);
    let without = [Statistic::Sum, Statistic::Percentile(95.0)].map(|asked| by_the_hour(&second, asked));
    assert_eq!(with, without, "minutes answer until there are sums");
    // What is measured next has them made.
    drop(second.invocation());
    second.close();
    drop(second);
    assert!(hours() >= rows);
}

#[tokio::test]
async fn a_follower_that_falls_behind_is_ended() {
    let history = History::default();
    let mut slow = history.feed().follow().unwrap();
    let mut quick = history.feed().follow().unwrap();
    for n in 0..300 {
        history.result(entry("a.jpg", n));
        if n < 10 {
            assert_eq!(quick.next().await.unwrap().ended_ms, n);
        }
    }
    assert!(slow.next().await.is_none(), "it is ended instead of being buffered for");
    let many: Vec<_> = (0..100).filter_map(|_| history.feed().follow()).collect();
    assert!(many.len() < 100, "there is a bound on followers");
    drop(many);
    assert!(history.feed().follow().is_some());
    history.close();
    assert!(history.feed().follow().is_none());
}
