//! Measurements and results survive restarts, are bounded, and do not affect thumbnails.

mod common;

use std::{path::Path, sync::Arc, time::Duration};

use common::eventually;
use redb::ReadableDatabase as _;
use tintype::{
    disk::RealDisk,
    history::{
        Database, Entry, History, Interval, Period, QueryError, Search, Settlement, query, query::Statistic,
    },
};
use tintype_faulty_disk::{Faults, FaultyDisk};
use tintype_pipeline::{Location, ObjectKey, Report, clock::now_ms};
use tintype_telemetry::metrics::{Metric, Metrics, MetricsSnapshot};

fn recorded(file: &Path) -> (Arc<History>, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk), faults.clone()));
    let history = Arc::new(History::default());
    history.record_to(Database::new(disk, file.to_owned())).unwrap();
    (history, faults)
}

fn entry(key: &str, ended_ms: i64) -> Entry {
    let at = Location { bucket: "in".into(), key: ObjectKey::new(key).unwrap() };
    Entry { next: Settlement::DeadLetter, ..Entry::new(&Report::bad_event("cut".into()), &at, ended_ms) }
}

fn by_key(key: &str) -> Search<'_> {
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
fn measurements_and_results_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("measurements.redb");
    let (first, _) = recorded(&file);
    for _ in 0..5 {
        drop(first.invocation());
        first.ended(Duration::from_millis(12), false);
    }
    first.result(entry("a.jpg", now_ms()));
    assert_eq!(sum(&first, Metric::Invocations) as u64, 5, "the current interval is included");
    first.close();
    drop(first);

    let (second, _) = recorded(&file);
    drop(second.invocation());
    assert_eq!(sum(&second, Metric::Invocations) as u64, 6);
    let p99 = second.query(Metric::Duration, Statistic::Percentile(99.0), last_hour()).unwrap();
    assert!((p99[0].value - 12.0).abs() < 0.001, "{p99:?}");
    let history = second.recorder().unwrap().search(10, &by_key("a.jpg")).unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!((history[0].why.as_str(), history[0].next), ("cut", Settlement::DeadLetter));
    second.close();
}

#[test]
fn invalid_queries_are_refused_with_the_reason() {
    let now_s = now_ms() / 1000;
    let reason = |result: Result<Period, QueryError>| result.unwrap_err().to_string();
    assert!(reason(Period::new(now_s + 10, now_s + 20, 60)).contains("future"));
    assert!(reason(Period::new(now_s - 10, now_s - 20, 60)).contains("after start"));
    assert!(reason(Period::new(now_s - 5000, now_s, 7)).contains("multiple of 10 s"));
    assert!(reason(Period::new(now_s - 86_400, now_s, 10)).contains("multiple of 60 s"));
    assert!(reason(Period::new(now_s - 20 * 86_400, now_s, 3600)).contains("15 days"));
    assert!(reason(Period::new(now_s - 14 * 86_400, now_s, 60)).contains("1440"));
    assert!(query::metric("Duratoin").unwrap_err().to_string().contains("Duration"));
    let counter = History::default().query(Metric::Errors, Statistic::Percentile(50.0), last_hour());
    assert!(counter.unwrap_err().to_string().contains("no percentiles"));
}

#[test]
fn a_full_disk_stops_the_history_only_while_it_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let (history, faults) = recorded(&folder.path().join("measurements.redb"));
    faults.set_full(true);
    for n in 0..50 {
        history.result(entry(&format!("{n}.jpg"), now_ms()));
    }
    // Longer than the recorder's write interval.
    std::thread::sleep(Duration::from_secs(3));
    faults.set_full(false);
    history.result(entry("after.jpg", now_ms()));
    history.close();
    let recorder = history.recorder().unwrap();
    eventually("results of the time without space are stored", || {
        recorder.latest(100, |_| true).is_ok_and(|all| all.len() == 51)
    });
    assert_eq!(history.value(Metric::HistoryDropped), Some(0));
}

#[test]
fn results_beyond_the_latest_are_packed_and_found() {
    let folder = tempfile::tempdir().unwrap();
    let (history, _) = recorded(&folder.path().join("measurements.redb"));
    let begin = now_ms() - 1_000_000;
    // Enough for a block, and fewer than the recorder buffers.
    for n in 0..12_000 {
        history.result(entry(&format!("photos/{}.jpg", n % 6000), begin + n));
    }
    history.close();
    drop(history);
    let (again, _) = recorded(&folder.path().join("measurements.redb"));
    again.result(entry("new.jpg", now_ms()));
    let recorder = again.recorder().unwrap();
    assert_eq!(recorder.latest(1, |_| true).unwrap()[0].key, "new.jpg");
    let history = recorder.search(10, &by_key("photos/3.jpg")).unwrap();
    let ended: Vec<i64> = history.iter().map(|entry| entry.ended_ms - begin).collect();
    assert_eq!(ended, [6003, 3], "latest first, also from blocks");
    assert!(recorder.search(10, &by_key("photos/none.jpg")).unwrap().is_empty());
    let history = recorder.latest_and_packed(10, |entry| entry.key == "photos/3.jpg").unwrap();
    let ended: Vec<i64> = history.iter().map(|entry| entry.ended_ms - begin).collect();
    assert_eq!(ended, [6003, 3], "by any condition, too");
    assert_eq!(recorder.latest_and_packed(1, |entry| entry.key == "photos/3.jpg").unwrap().len(), 1);
    again.close();
}

/// After any I/O error redb refuses reads that its cache does not hold. Reads must recover on their own, as there may
/// be nothing to write for long.
#[test]
fn reads_recover_after_a_read_error() {
    let folder = tempfile::tempdir().unwrap();
    let (history, _) = recorded(&folder.path().join("measurements.redb"));
    let begin = now_ms() - 1_000_000;
    for n in 0..6000 {
        history.result(entry(&format!("photos/{n}.jpg"), begin + n));
    }
    history.close();
    drop(history);
    let (again, faults) = recorded(&folder.path().join("measurements.redb"));
    // Nothing is written from here on.
    again.close();
    let find = || again.recorder().unwrap().search(10, &by_key("photos/3.jpg"));
    faults.fail_reads(Some("measurements"));
    assert!(find().is_err(), "everything is in the cache");
    faults.fail_reads(None);
    assert_eq!(find().unwrap().len(), 1);
}

#[test]
fn failures_are_found_in_the_oldest_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let (history, _) = recorded(&folder.path().join("measurements.redb"));
    let begin = now_ms() - 1_000_000;
    history.result(entry("broken.jpg", begin));
    // Two blocks of successes, and some that are not packed yet.
    for n in 1..16_000 {
        let success =
            Entry { outcome: "made".into(), next: Settlement::Done, ..entry("fine.jpg", begin + n) };
        history.result(success);
    }
    history.close();
    let recorder = history.recorder().unwrap();
    let failed = recorder.search(10, &Search { object: None, failed: true }).unwrap();
    assert_eq!(failed.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["broken.jpg"]);
    let failures = Search { object: Some(("in", "fine.jpg")), failed: true };
    assert!(recorder.search(10, &failures).unwrap().is_empty());
    assert_eq!(recorder.search(10_000, &Search::default()).unwrap().len(), 10_000, "blocks are read, too");
}

/// Three days of a busy server, an interval every hour and a half.
fn days_of_intervals(now_ms: i64) -> Vec<Interval> {
    let (metrics, mut taken) = (Metrics::default(), MetricsSnapshot::default());
    let intervals = (0..48).map(|n| {
        for call in 0..=n {
            drop(metrics.invocation());
            metrics.ended(Duration::from_millis(call), false);
        }
        let ago = (48 - n as i64) * 5400 * 1000;
        Interval::ending_at(now_ms - ago, n, metrics.take(&mut taken))
    });
    intervals.collect()
}

fn by_hour(history: &History, statistic: Statistic) -> Vec<f64> {
    let now_s = now_ms() / 1000;
    let metric = if statistic == Statistic::Sum { Metric::Invocations } else { Metric::Duration };
    // A range that ends within the data and not at a full hour is read from minutes.
    let all = |end_s| {
        let period = Period::new(now_s - 4 * 86_400, end_s, 3600).unwrap();
        let points = history.query(metric, statistic, period).unwrap();
        points.into_iter().map(|point| point.value).filter(|value| *value > 0.0).collect::<Vec<_>>()
    };
    let (sums, minutes) = (all(now_s + 1), all(now_s - 61));
    assert_eq!(sums, minutes, "the sums equal the minutes");
    sums
}

#[test]
fn long_ranges_are_equal_with_and_without_sums() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("measurements.redb");
    let database = Database::new(Arc::new(RealDisk), file.clone());
    database.append(now_ms(), &days_of_intervals(now_ms()), &[]).unwrap();
    drop(database);
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

    let (first, _) = recorded(&file);
    let with = [Statistic::Sum, Statistic::Percentile(95.0)].map(|statistic| by_hour(&first, statistic));
    first.close();
    drop(first);

    // As an earlier version without sums left it.
    let database = redb::Database::open(&file).unwrap();
    let changes = database.begin_write().unwrap();
    for name in ["ten minutes 2", "hours 2"] {
        changes.delete_table(redb::TableDefinition::<i64, &[u8]>::new(name)).unwrap();
    }
    changes.delete_table(redb::TableDefinition::<&str, i64>::new("series state 1")).unwrap();
    changes.commit().unwrap();
    drop(database);
    assert_eq!(hours(), 0);

    let (second, _) = recorded(&file);
    let without = [Statistic::Sum, Statistic::Percentile(95.0)].map(|statistic| by_hour(&second, statistic));
    assert_eq!(with, without, "minutes are read until there are sums");
    // The next write builds them.
    drop(second.invocation());
    second.close();
    drop(second);
    assert!(hours() >= rows);
}

#[tokio::test]
async fn a_subscription_that_falls_behind_is_ended() {
    let history = History::default();
    let mut slow = history.result_stream().subscribe().unwrap();
    let mut quick = history.result_stream().subscribe().unwrap();
    for n in 0..300 {
        history.result(entry("a.jpg", n));
        if n < 10 {
            assert_eq!(quick.next().await.unwrap().ended_ms, n);
        }
    }
    assert!(slow.next().await.is_none(), "it is ended instead of buffered for");
    let many: Vec<_> = (0..100).filter_map(|_| history.result_stream().subscribe()).collect();
    assert!(many.len() < 100, "the number of subscriptions is bounded");
    drop(many);
    assert!(history.result_stream().subscribe().is_some());
    history.close();
    assert!(history.result_stream().subscribe().is_none());
}
