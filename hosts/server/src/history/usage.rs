//! What each API key has used of its day. Counted in memory and written every two seconds where it changed,
//! so quotas outlive the program; a crash forgives what was used after the latest writing.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use redb::{ReadableTable as _, TableDefinition, WriteTransaction};

use super::{KeepError, Keeper};

/// By the key's name: the day's number since 1970, and the requests of that day.
const USED: TableDefinition<'_, &str, (u64, u64)> = TableDefinition::new("used 1");

/// A key's requests of one day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Used {
    day: u64,
    requests: u64,
}

#[derive(Debug, Default)]
struct State {
    by_name: HashMap<String, Used>,
    is_read: bool,
    has_changed: bool,
}

/// The requests of the day, by the name of their key.
#[derive(Debug, Default)]
pub struct Usage(Mutex<State>);

impl Usage {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what was written before; what was counted meanwhile is added. Only until it was read once.
    /// Blocks, but nobody who counts.
    pub(super) fn read(&self, keeper: &Keeper) -> Result<(), KeepError> {
        if self.state().is_read {
            return Ok(());
        }
        let kept = keeper.used()?;
        let mut state = self.state();
        if !state.is_read {
            kept.into_iter().for_each(|(name, used)| state.add(name, used));
            state.is_read = true;
        }
        Ok(())
    }

    /// Counts a request on `day`, unless there were `most` already; answers whether it was counted.
    pub fn take(&self, name: &str, day: u64, most: u64) -> bool {
        let mut state = self.state();
        let used = state.of_day(name, day);
        if used.requests >= most {
            return false;
        }
        used.requests += 1;
        state.has_changed = true;
        true
    }

    /// Takes back a request that was counted on `day`.
    pub fn give_back(&self, name: &str, day: u64) {
        let mut state = self.state();
        if let Some(used) = state.by_name.get_mut(name).filter(|used| used.day == day) {
            used.requests = used.requests.saturating_sub(1);
            state.has_changed = true;
        }
    }

    /// What is to be written, if anything changed since this was last asked for.
    pub(super) fn changed(&self) -> Option<Vec<(String, Used)>> {
        let mut state = self.state();
        // Before it was read, less would be written over more.
        (state.is_read && std::mem::take(&mut state.has_changed))
            .then(|| state.by_name.iter().map(|(name, used)| (name.clone(), *used)).collect())
    }

    /// What was to be written could not be.
    pub(super) fn not_written(&self) {
        self.state().has_changed = true;
    }
}

impl State {
    fn of_day(&mut self, name: &str, day: u64) -> &mut Used {
        let used = self.by_name.entry(name.to_owned()).or_default();
        // Never back: a request may come here a moment after one of the next day.
        if used.day < day {
            *used = Used { day, requests: 0 };
        }
        used
    }

    fn add(&mut self, name: String, kept: Used) {
        let used = self.by_name.entry(name).or_default();
        match kept.day.cmp(&used.day) {
            std::cmp::Ordering::Greater => *used = kept,
            std::cmp::Ordering::Equal => used.requests += kept.requests,
            std::cmp::Ordering::Less => {}
        }
    }
}

pub(super) fn make_table(transaction: &WriteTransaction) -> Result<(), KeepError> {
    transaction.open_table(USED).map(drop).map_err(KeepError::of)
}

impl Keeper {
    fn used(&self) -> Result<Vec<(String, Used)>, KeepError> {
        self.read(|transaction| {
            let table = transaction.open_table(USED).map_err(KeepError::of)?;
            let rows = table.iter().map_err(KeepError::of)?.map(|row| {
                let (name, used) = row.map_err(KeepError::of)?;
                let (day, requests) = used.value();
                Ok((name.value().to_owned(), Used { day, requests }))
            });
            rows.collect()
        })
    }

    /// Writes what each key has used; keys not named keep what they had.
    pub(super) fn keep_used(&self, used: &[(String, Used)]) -> Result<(), KeepError> {
        self.write(|transaction| {
            let mut table = transaction.open_table(USED).map_err(KeepError::of)?;
            for (name, Used { day, requests }) in used {
                table.insert(name.as_str(), (*day, *requests)).map_err(KeepError::of)?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;
    use std::sync::Arc;

    #[test]
    fn what_was_used_is_of_its_day() {
        let usage = Usage::default();
        assert!(usage.take("shop", 7, 2) && usage.take("shop", 7, 2));
        assert!(!usage.take("shop", 7, 2));
        assert!(usage.take("other", 7, 2));
        usage.give_back("shop", 7);
        assert!(usage.take("shop", 7, 2));
        assert!(usage.take("shop", 8, 1) && !usage.take("shop", 8, 1));
        // What was counted before midnight and is given back after it changes nothing of the new day.
        usage.give_back("shop", 7);
        assert!(!usage.take("shop", 8, 1));
    }

    #[test]
    fn nothing_is_written_before_it_was_read() {
        let usage = Usage::default();
        assert!(usage.take("shop", 7, 2));
        assert_eq!(usage.changed(), None, "less would replace more");
    }

    #[test]
    fn it_outlives_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = || Keeper::new(Arc::new(RealDisk), folder.path().join("measurements.redb"));
        let usage = Usage::default();
        usage.read(&keeper()).unwrap();
        assert_eq!(usage.changed(), None);
        assert!(usage.take("shop", 7, 2));
        keeper().keep_used(&usage.changed().unwrap()).unwrap();
        assert_eq!(usage.changed(), None);

        let usage = Usage::default();
        // A request that came before it was read is not forgotten.
        assert!(usage.take("shop", 7, 2));
        let kept = keeper();
        usage.read(&kept).unwrap();
        usage.read(&kept).unwrap();
        assert!(!usage.take("shop", 7, 2) && usage.take("shop", 7, 3));
        assert!(usage.take("shop", 8, 1));
    }
}
