//! The recorder: a thread that writes results every two seconds and measurements every ten. What cannot be
//! written waits in memory, within bounds, and is then dropped and counted.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tintype_function::metrics::Row;

use super::{Entry, Instruments, KeepError, Keeper, series};

/// Results written at least this often, measurements by [`series::FINE_S`].
const RESULTS_EVERY: Duration = Duration::from_secs(2);
/// Results that wait to be written.
const WAITING: usize = 20_000;

#[derive(Debug, Default)]
struct State {
    /// Not written yet, oldest first, each with its number.
    waiting: VecDeque<(u64, Arc<Entry>)>,
    next_number: u64,
    /// Measured but not written yet.
    unwritten: Row,
    stopping: bool,
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

pub(super) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl Recorder {
    pub(super) fn start(instruments: &Arc<Instruments>, keeper: Arc<Keeper>) -> std::io::Result<Self> {
        // Numbers keep results of one millisecond apart, also across restarts.
        let first = u64::try_from(now_ms()).unwrap_or(0) << 20;
        let state = State { next_number: first, ..State::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), wake: Condvar::new() });
        let (weak, in_thread, kept) = (Arc::downgrade(instruments), shared.clone(), keeper.clone());
        let thread = std::thread::Builder::new()
            .name("recorder".into())
            .spawn(move || run(&weak, &in_thread, &kept))?;
        Ok(Self { keeper, shared, thread: Mutex::new(Some(thread)) })
    }

    /// Takes a result; answers how many were dropped to have room for it.
    pub(super) fn push(&self, entry: Arc<Entry>) -> u64 {
        let mut state = self.shared.state();
        let number = state.next_number;
        state.next_number += 1;
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

    /// Measured and not written yet, the interval under way apart.
    pub(super) fn unwritten(&self) -> Row {
        self.shared.state().unwritten.clone()
    }

    /// Results from the latest backwards that `wanted` takes, at most `most`.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn latest(&self, most: usize, wanted: impl Fn(&Entry) -> bool) -> Result<Vec<Entry>, KeepError> {
        let mut found = self.waiting(most, &wanted);
        found.extend(self.keeper.latest(most - found.len(), wanted)?);
        Ok(found)
    }

    /// All there is of one object, latest first, at most `most` results.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn of_object(&self, bucket: &str, key: &str, most: usize) -> Result<Vec<Entry>, KeepError> {
        let mut found = self.waiting(most, |entry| entry.key == key && entry.bucket == bucket);
        found.extend(self.keeper.of_object(bucket, key, most - found.len())?);
        Ok(found)
    }

    fn waiting(&self, most: usize, wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let state = self.shared.state();
        let waiting = state.waiting.iter().rev().map(|(_, entry)| entry.as_ref());
        waiting.filter(|entry| wanted(entry)).take(most).cloned().collect()
    }
}

fn run(instruments: &Weak<Instruments>, shared: &Shared, keeper: &Keeper) {
    let fine = Duration::from_secs(series::FINE_S.unsigned_abs());
    let mut due = Instant::now() + until_next(fine);
    let mut failing = false;
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
            if let Some(instruments) = instruments.upgrade() {
                // The gauges are looked at outside the lock: they ask the ledger.
                let row = instruments.take();
                shared.state().unwritten.merge(&row);
            }
        }
        let used = instruments.upgrade().map_or(Ok(()), |instruments| write_used(&instruments, keeper));
        match write(shared, keeper, now).and(used) {
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

/// Writes what API keys have used, if that changed; on failure it is written later.
fn write_used(instruments: &Instruments, keeper: &Keeper) -> Result<(), KeepError> {
    let Some(used) = instruments.usage.changed() else { return Ok(()) };
    keeper.keep_used(&used).inspect_err(|_| instruments.usage.not_written())
}

/// Writes what is waiting; on failure it goes on waiting.
fn write(shared: &Shared, keeper: &Keeper, now_ms: i64) -> Result<(), KeepError> {
    let (row, entries) = {
        let state = shared.state();
        let entries: Vec<(u64, Arc<Entry>)> = state.waiting.iter().cloned().collect();
        (state.unwritten.clone(), entries)
    };
    let measured = row.iter().next().is_some();
    if !measured && entries.is_empty() {
        return Ok(());
    }
    keeper.keep(now_ms, &row, &entries)?;
    let mut state = shared.state();
    if measured {
        state.unwritten = Row::default();
    }
    if let Some((last, _)) = entries.last() {
        state.waiting.retain(|(number, _)| number > last);
    }
    Ok(())
}
