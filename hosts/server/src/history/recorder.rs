//! The recorder: a thread that writes results every two seconds and measurements every ten. What cannot be
//! written is buffered in memory within bounds; beyond them the oldest is dropped and counted.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tintype_telemetry::metrics::{Metric, Row};

use tintype_pipeline::clock::now_ms;

use super::{Database, DatabaseError, Entry, History, Interval, Search, series};
use crate::steady_clock::SteadyClock;

/// Results are written this often; measurements every [`series::FINE_S`].
const WRITE_INTERVAL: Duration = Duration::from_secs(2);
/// Buffered results.
const MAX_RESULTS: usize = 20_000;
/// Buffered intervals of 10 s: an hour's. Older ones are merged by the minute, the resolution they end up with on disk.
const MAX_FINE_INTERVALS: usize = 360;
/// Buffered intervals in all: the hour, and half a day by the minute; some kilobytes each.
const MAX_INTERVALS: usize = MAX_FINE_INTERVALS + 720;

#[derive(Debug, Default)]
struct State {
    /// Results not written yet, oldest first, each with its number.
    results: VecDeque<(u64, Arc<Entry>)>,
    next_number: u64,
    /// Intervals not written yet, oldest first.
    intervals: VecDeque<Interval>,
    stopping: bool,
}

impl State {
    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Buffers an interval; returns how many were dropped for it.
    fn buffer_interval(&mut self, now_ms: i64, row: Row) -> usize {
        let interval = Interval::ending_at(now_ms, self.number(), row);
        self.intervals.push_back(interval);
        let minute = |interval: &Interval| interval.begin_s.div_euclid(series::COARSE_S);
        if let Some(index) = self.intervals.len().checked_sub(MAX_FINE_INTERVALS + 1)
            && index > 0
            && let (Some(before), Some(old)) = (self.intervals.get(index - 1), self.intervals.get(index))
            && minute(before) == minute(old)
        {
            let mut merged = Row::clone(&before.row);
            merged.merge(&old.row);
            let merged = Interval { number: old.number, begin_s: before.begin_s, row: Arc::new(merged) };
            self.intervals[index - 1] = merged;
            self.intervals.remove(index);
        }
        let dropped = self.intervals.len().saturating_sub(MAX_INTERVALS);
        self.intervals.drain(..dropped);
        dropped
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes results and measurements to the database, and reads both buffered and stored results.
#[derive(Debug)]
pub struct Recorder {
    database: Arc<Database>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Recorder {
    pub(super) fn start(history: &Arc<History>, database: Arc<Database>) -> std::io::Result<Self> {
        // Numbers distinguish results of one millisecond, also across restarts.
        let first = u64::try_from(now_ms()).unwrap_or(0) << 20;
        let state = State { next_number: first, ..State::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), wake: Condvar::new() });
        let thread = std::thread::Builder::new().name("recorder".into()).spawn({
            let (history, shared, database) = (Arc::downgrade(history), shared.clone(), database.clone());
            move || run(&history, &shared, &database)
        })?;
        Ok(Self { database, shared, thread: Mutex::new(Some(thread)) })
    }

    /// Buffers a result; returns how many were dropped for it.
    pub(super) fn push(&self, entry: Arc<Entry>) -> u64 {
        let mut state = self.shared.state();
        let number = state.number();
        state.results.push_back((number, entry));
        let dropped = state.results.len().saturating_sub(MAX_RESULTS);
        state.results.drain(..dropped);
        dropped as u64
    }

    /// Writes what is buffered and ends the thread.
    pub(super) fn stop(&self) {
        self.shared.state().stopping = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()
            && thread.join().is_err()
        {
            tracing::error!("the recorder ended in a panic");
        }
    }

    pub(super) const fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// The intervals not written yet, and what `peek` returns for the current one. Both under one lock, so that no
    /// measurement is in both or in neither.
    pub(super) fn unwritten(&self, peek: impl FnOnce() -> Row) -> (Vec<Interval>, Row) {
        let state = self.shared.state();
        (state.intervals.iter().cloned().collect(), peek())
    }

    /// Up to `limit` results that `matches` accepts, latest first, among the latest thousands;
    /// [`Recorder::search`] covers all.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn latest(
        &self,
        limit: usize,
        matches: impl Fn(&Entry) -> bool,
    ) -> Result<Vec<Entry>, DatabaseError> {
        let (mut found, below) = self.buffered(limit, &matches);
        found.extend(self.database.latest(limit - found.len(), below, matches)?);
        Ok(found)
    }

    /// The same further back, through some 190,000 results: for conditions that [`Search`] does not have.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn latest_and_packed(
        &self,
        limit: usize,
        matches: impl Fn(&Entry) -> bool,
    ) -> Result<Vec<Entry>, DatabaseError> {
        let (mut found, below) = self.buffered(limit, &matches);
        found.extend(self.database.latest_and_packed(limit - found.len(), below, matches)?);
        Ok(found)
    }

    /// Up to `limit` results of the whole history, latest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn search(&self, limit: usize, search: &Search<'_>) -> Result<Vec<Entry>, DatabaseError> {
        let (mut found, below) = self.buffered(limit, |entry| search.matches(entry));
        found.extend(self.database.search(limit - found.len(), below, search)?);
        Ok(found)
    }

    /// The matching results among those buffered, and the lowest number that is buffered.
    fn buffered(&self, limit: usize, matches: impl Fn(&Entry) -> bool) -> (Vec<Entry>, u64) {
        let (buffered, below) = {
            let state = self.shared.state();
            let buffered: Vec<Arc<Entry>> =
                state.results.iter().rev().map(|(_, entry)| entry.clone()).collect();
            (buffered, state.results.front().map_or(u64::MAX, |(number, _)| *number))
        };
        // Not under the lock, for which attempts wait: whether one may be shown may have to be read.
        let results = buffered.iter().map(|entry| &**entry);
        let found = results.filter(|entry: &&Entry| matches(entry)).take(limit).cloned().collect();
        (found, below)
    }
}

fn run(history: &Weak<History>, shared: &Shared, database: &Database) {
    let fine = Duration::from_secs(series::FINE_S.unsigned_abs());
    let mut due = Instant::now() + until_next(fine);
    let mut failing = false;
    let effect = "no measurement and no result is deleted for its age";
    let clock = SteadyClock::new(effect, now_ms());
    loop {
        let stopping = {
            let state = shared.state();
            let state = if state.stopping {
                state
            } else {
                let sleep = WRITE_INTERVAL.min(due.saturating_duration_since(Instant::now()));
                shared.wake.wait_timeout(state, sleep).unwrap_or_else(PoisonError::into_inner).0
            };
            state.stopping
        };
        let now = now_ms();
        if stopping || Instant::now() >= due {
            due = Instant::now() + until_next(fine);
            if let Some(history) = history.upgrade() {
                // Outside the lock: it reads the ledger.
                history.sample();
                let mut state = shared.state();
                let dropped = state.buffer_interval(now, history.take());
                drop(state);
                history.metrics.add(Metric::HistoryDropped, dropped as u64);
            }
        }
        let usage = history.upgrade().map_or(Ok(()), |history| write_usage(&history, database));
        match write(shared, database, &clock).and(usage) {
            Ok(()) if failing => {
                failing = false;
                tracing::info!("measurements are stored again");
            }
            Ok(()) => {}
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, "measurements and results cannot be stored; thumbnails are not affected");
                }
                failing = true;
            }
        }
        if stopping {
            return;
        }
    }
}

/// Until the clock shows a multiple of `step`.
fn until_next(step: Duration) -> Duration {
    let step = i64::try_from(step.as_millis()).unwrap_or(i64::MAX);
    Duration::from_millis((step - now_ms().rem_euclid(step)).unsigned_abs())
}

/// Writes the usage of API keys if it changed, after the stored usage was read; on failure it is retried.
fn write_usage(history: &History, database: &Database) -> Result<(), DatabaseError> {
    history.usage.read(database)?;
    let Some(usage) = history.usage.changed() else { return Ok(()) };
    database.write_usage(&usage).inspect_err(|_| history.usage.not_written())
}

/// Writes what is buffered; on failure it stays buffered.
fn write(shared: &Shared, database: &Database, clock: &SteadyClock) -> Result<(), DatabaseError> {
    // After a jump of the clock everything may look too old, so nothing is deleted.
    let now_ms = now_ms();
    let now_ms = if clock.is_steady(now_ms) { now_ms } else { 0 };
    let (intervals, results) = {
        let state = shared.state();
        let results: Vec<(u64, Arc<Entry>)> = state.results.iter().cloned().collect();
        (state.intervals.iter().cloned().collect::<Vec<_>>(), results)
    };
    if intervals.is_empty() && results.is_empty() {
        return Ok(());
    }
    database.append(now_ms, &intervals, &results)?;
    let mut state = shared.state();
    state.intervals.drain(..intervals.len());
    if let Some((last, _)) = results.last() {
        state.results.retain(|(number, _)| number > last);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tintype_telemetry::metrics::Statistics;

    use super::*;

    #[test]
    fn buffered_intervals_are_bounded_and_retain_their_times() {
        let mut state = State::default();
        let begin_ms = 1_790_000_000_000;
        let steps = 10_000;
        let mut dropped = 0;
        for step in 1..=steps {
            let mut row = Row::default();
            row.insert(Metric::Invocations, Statistics::one(1));
            dropped += state.buffer_interval(begin_ms + step * 10_000, row);
        }
        let count = |interval: &Interval| interval.row.of(Metric::Invocations).sum;
        assert_eq!(state.intervals.len(), MAX_INTERVALS);
        let buffered: u64 = state.intervals.iter().map(count).sum();
        // The oldest minute left may be incomplete.
        assert!(
            buffered + dropped as u64 * 6 >= steps as u64 && buffered > 720 * 6,
            "{buffered} buffered, {dropped} dropped"
        );
        for (interval, step) in state.intervals.iter().rev().zip(0..) {
            let begin_s = begin_ms / 1000 + (steps - 1 - step) * 10;
            if (step as usize) < MAX_FINE_INTERVALS {
                assert_eq!((interval.begin_s, count(interval)), (begin_s, 1));
            } else {
                assert!(count(interval) <= 6, "a minute at most");
            }
        }
    }
}
