//! The recorder: a thread that writes results every two seconds and measurements every ten. What cannot be
//! written waits in memory, within bounds, and is then dropped and counted.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tintype_telemetry::metrics::{Metric, Row};

use tintype_pipeline::clock::now_ms;

use super::{Entry, History, Interval, KeepError, Keeper, Search, series};
use crate::steady_clock::SteadyClock;

/// Results written at least this often, measurements by [`series::FINE_S`].
const RESULTS_EVERY: Duration = Duration::from_secs(2);
/// Results that wait to be written.
const WAITING: usize = 20_000;
/// Intervals that wait to be written as they are: an hour's. Older ones are put together by the minute, as they
/// are kept in the end.
const FINE_WAITING: usize = 360;
/// Intervals that wait in all: the hour, and half a day by the minute; some kilobytes each.
const INTERVALS_WAITING: usize = FINE_WAITING + 720;

#[derive(Debug, Default)]
struct State {
    /// Not written yet, oldest first, each with its number.
    waiting: VecDeque<(u64, Arc<Entry>)>,
    next_number: u64,
    /// Measured but not written yet, oldest first.
    unwritten: VecDeque<Interval>,
    stopping: bool,
}

impl State {
    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Has an interval wait; answers how many were dropped to have room for it.
    fn wait(&mut self, now_ms: i64, row: Row) -> usize {
        let interval = Interval::that_ends(now_ms, self.number(), row);
        self.unwritten.push_back(interval);
        let minute = |interval: &Interval| interval.begin_s.div_euclid(series::COARSE_S);
        if let Some(place) = self.unwritten.len().checked_sub(FINE_WAITING + 1)
            && place > 0
            && let (Some(before), Some(old)) = (self.unwritten.get(place - 1), self.unwritten.get(place))
            && minute(before) == minute(old)
        {
            let mut both = Row::clone(&before.row);
            both.merge(&old.row);
            let both = Interval { number: old.number, begin_s: before.begin_s, row: Arc::new(both) };
            self.unwritten[place - 1] = both;
            self.unwritten.remove(place);
        }
        let dropped = self.unwritten.len().saturating_sub(INTERVALS_WAITING);
        self.unwritten.drain(..dropped);
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

/// The recorder.
#[derive(Debug)]
pub struct Recorder {
    keeper: Arc<Keeper>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Recorder {
    pub(super) fn start(history: &Arc<History>, keeper: Arc<Keeper>) -> std::io::Result<Self> {
        // Numbers keep results of one millisecond apart, also across restarts.
        let first = u64::try_from(now_ms()).unwrap_or(0) << 20;
        let state = State { next_number: first, ..State::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), wake: Condvar::new() });
        let (weak, in_thread, kept) = (Arc::downgrade(history), shared.clone(), keeper.clone());
        let thread = std::thread::Builder::new()
            .name("recorder".into())
            .spawn(move || run(&weak, &in_thread, &kept))?;
        Ok(Self { keeper, shared, thread: Mutex::new(Some(thread)) })
    }

    /// Takes a result; answers how many were dropped to have room for it.
    pub(super) fn push(&self, entry: Arc<Entry>) -> u64 {
        let mut state = self.shared.state();
        let number = state.number();
        state.waiting.push_back((number, entry));
        let dropped = state.waiting.len().saturating_sub(WAITING);
        state.waiting.drain(..dropped);
        dropped as u64
    }

    /// Writes what is left and ends the thread.
    pub(super) fn stop(&self) {
        self.shared.state().stopping = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()
            && thread.join().is_err()
        {
            tracing::error!("the recorder ended in a panic");
        }
    }

    /// Rows of intervals, on disk.
    pub(super) const fn keeper(&self) -> &Arc<Keeper> {
        &self.keeper
    }

    /// Measured and not written yet, and with it what `peek` answers of the interval under way: at one
    /// moment, so that nothing is in both or in neither.
    pub(super) fn unwritten(&self, peek: impl FnOnce() -> Row) -> (Vec<Interval>, Row) {
        let state = self.shared.state();
        (state.unwritten.iter().cloned().collect(), peek())
    }

    /// The latest results that `wanted` takes, latest first, at most `most`. Reaches back over some
    /// thousands of all results; [`Recorder::search`] over all.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn latest(&self, most: usize, wanted: impl Fn(&Entry) -> bool) -> Result<Vec<Entry>, KeepError> {
        let (mut found, below) = self.waiting(most, &wanted);
        found.extend(self.keeper.latest(most - found.len(), below, wanted)?);
        Ok(found)
    }

    /// Results of the whole history, latest first, at most `most`.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn search(&self, most: usize, search: &Search<'_>) -> Result<Vec<Entry>, KeepError> {
        let (mut found, below) = self.waiting(most, |entry| search.takes(entry));
        found.extend(self.keeper.search(most - found.len(), below, search)?);
        Ok(found)
    }

    /// Of what waits to be written; and from which number on all results do.
    fn waiting(&self, most: usize, wanted: impl Fn(&Entry) -> bool) -> (Vec<Entry>, u64) {
        let state = self.shared.state();
        let waiting = state.waiting.iter().rev().map(|(_, entry)| entry.as_ref());
        let found = waiting.filter(|entry| wanted(entry)).take(most).cloned().collect();
        (found, state.waiting.front().map_or(u64::MAX, |(number, _)| *number))
    }
}

fn run(history: &Weak<History>, shared: &Shared, keeper: &Keeper) {
    let fine = Duration::from_secs(series::FINE_S.unsigned_abs());
    let mut due = Instant::now() + until_next(fine);
    let mut failing = false;
    let kept = "no measurement and nothing of the history is forgotten for its age";
    let clock = SteadyClock::new(kept, now_ms());
    loop {
        let stopping = {
            let state = shared.state();
            let state = if state.stopping {
                state
            } else {
                let sleep = RESULTS_EVERY.min(due.saturating_duration_since(Instant::now()));
                shared.wake.wait_timeout(state, sleep).unwrap_or_else(PoisonError::into_inner).0
            };
            state.stopping
        };
        let now = now_ms();
        if stopping || Instant::now() >= due {
            due = Instant::now() + until_next(fine);
            if let Some(history) = history.upgrade() {
                // Outside the lock: it asks the ledger.
                history.sample();
                let mut state = shared.state();
                let dropped = state.wait(now, history.take());
                drop(state);
                history.metrics.add(Metric::HistoryDropped, dropped as u64);
            }
        }
        let used = history.upgrade().map_or(Ok(()), |history| write_used(&history, keeper));
        match write(shared, keeper, &clock).and(used) {
            Ok(()) if failing => {
                failing = false;
                tracing::info!("measurements are kept again");
            }
            Ok(()) => {}
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, "measurements and results are not kept for now; thumbnails are made all the same");
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

/// Writes what API keys have used, if that changed; on failure it is written later. What they had used before
/// is read first.
fn write_used(history: &History, keeper: &Keeper) -> Result<(), KeepError> {
    history.usage.read(keeper)?;
    let Some(used) = history.usage.changed() else { return Ok(()) };
    keeper.keep_used(&used).inspect_err(|_| history.usage.not_written())
}

/// Writes what is waiting; on failure it goes on waiting.
fn write(shared: &Shared, keeper: &Keeper, clock: &SteadyClock) -> Result<(), KeepError> {
    // By a clock that has jumped nothing is forgotten: all of it may look too old.
    let now_ms = now_ms();
    let now_ms = if clock.is_steady(now_ms) { now_ms } else { 0 };
    let (intervals, entries) = {
        let state = shared.state();
        let entries: Vec<(u64, Arc<Entry>)> = state.waiting.iter().cloned().collect();
        (state.unwritten.iter().cloned().collect::<Vec<_>>(), entries)
    };
    if intervals.is_empty() && entries.is_empty() {
        return Ok(());
    }
    keeper.keep(now_ms, &intervals, &entries)?;
    let mut state = shared.state();
    state.unwritten.drain(..intervals.len());
    if let Some((last, _)) = entries.last() {
        state.waiting.retain(|(number, _)| number > last);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tintype_telemetry::metrics::Statistics;

    use super::*;

    #[test]
    fn what_waits_for_the_disk_keeps_its_time_and_is_bounded() {
        let mut state = State::default();
        let begin_ms = 1_790_000_000_000;
        let steps = 10_000;
        let mut dropped = 0;
        for step in 1..=steps {
            let mut row = Row::default();
            row.insert(Metric::Invocations, Statistics::one(1));
            dropped += state.wait(begin_ms + step * 10_000, row);
        }
        let count = |interval: &Interval| interval.row.of(Metric::Invocations).sum;
        assert_eq!(state.unwritten.len(), INTERVALS_WAITING);
        let kept: u64 = state.unwritten.iter().map(count).sum();
        // Of the first minute that is left some may be gone.
        assert!(
            kept + dropped as u64 * 6 >= steps as u64 && kept > 720 * 6,
            "{kept} kept, {dropped} dropped"
        );
        for (interval, step) in state.unwritten.iter().rev().zip(0..) {
            let begin_s = begin_ms / 1000 + (steps - 1 - step) * 10;
            if (step as usize) < FINE_WAITING {
                assert_eq!((interval.begin_s, count(interval)), (begin_s, 1));
            } else {
                assert!(count(interval) <= 6, "a minute at most");
            }
        }
    }
}
