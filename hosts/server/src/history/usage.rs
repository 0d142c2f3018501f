//! The requests of each API key on the current day. Counted in memory and written every two seconds if changed, so that
//! quotas survive restarts; a crash loses what was counted after the last write.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use redb::{ReadableTable as _, TableDefinition, WriteTransaction};

use super::{Database, DatabaseError};

/// By the key's name: the day since 1970, and the requests of that day.
const USED: TableDefinition<'_, &str, (u64, u64)> = TableDefinition::new("used 1");

/// A key's requests of one day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct DayUsage {
    day: u64,
    requests: u64,
}

#[derive(Debug, Default)]
struct State {
    by_name: HashMap<String, DayUsage>,
    is_read: bool,
    has_changed: bool,
}

/// The requests of the day by the key's name.
#[derive(Debug, Default)]
pub struct Usage(Mutex<State>);

impl Usage {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the stored usage once and adds it to what was counted since the start. Blocks, but no caller of
    /// [`Usage::take`].
    pub(super) fn read(&self, database: &Database) -> Result<(), DatabaseError> {
        if self.state().is_read {
            return Ok(());
        }
        let stored = database.read_usage()?;
        let mut state = self.state();
        if !state.is_read {
            stored.into_iter().for_each(|(name, usage)| state.add(name, usage));
            state.is_read = true;
        }
        Ok(())
    }

    /// Counts a request on `day` unless there were `limit` already; returns whether it was counted.
    pub fn take(&self, name: &str, day: u64, limit: u64) -> bool {
        let mut state = self.state();
        let usage = state.of_day(name, day);
        if usage.requests >= limit {
            return false;
        }
        usage.requests += 1;
        state.has_changed = true;
        true
    }

    /// Uncounts a request that was counted on `day`.
    pub fn give_back(&self, name: &str, day: u64) {
        let mut state = self.state();
        if let Some(usage) = state.by_name.get_mut(name).filter(|usage| usage.day == day) {
            usage.requests = usage.requests.saturating_sub(1);
            state.has_changed = true;
        }
    }

    /// The usage to write, if it changed since the last call.
    pub(super) fn changed(&self) -> Option<Vec<(String, DayUsage)>> {
        let mut state = self.state();
        // Before it was read, a smaller number would replace the stored one.
        (state.is_read && std::mem::take(&mut state.has_changed))
            .then(|| state.by_name.iter().map(|(name, usage)| (name.clone(), *usage)).collect())
    }

    /// Marks the usage as changed after a failed write.
    pub(super) fn not_written(&self) {
        self.state().has_changed = true;
    }
}

impl State {
    fn of_day(&mut self, name: &str, day: u64) -> &mut DayUsage {
        let usage = self.by_name.entry(name.to_owned()).or_default();
        // Only forward: around midnight a request may arrive here after one of the next day.
        if usage.day < day {
            *usage = DayUsage { day, requests: 0 };
        }
        usage
    }

    fn add(&mut self, name: String, stored: DayUsage) {
        let usage = self.by_name.entry(name).or_default();
        match stored.day.cmp(&usage.day) {
            std::cmp::Ordering::Greater => *usage = stored,
            std::cmp::Ordering::Equal => usage.requests += stored.requests,
            std::cmp::Ordering::Less => {}
        }
    }
}

pub(super) fn create_table(transaction: &WriteTransaction) -> Result<(), DatabaseError> {
    transaction.open_table(USED).map(drop).map_err(DatabaseError::redb)
}

impl Database {
    fn read_usage(&self) -> Result<Vec<(String, DayUsage)>, DatabaseError> {
        self.read(|transaction| {
            let table = transaction.open_table(USED).map_err(DatabaseError::redb)?;
            let rows = table.iter().map_err(DatabaseError::redb)?.map(|row| {
                let (name, usage) = row.map_err(DatabaseError::redb)?;
                let (day, requests) = usage.value();
                Ok((name.value().to_owned(), DayUsage { day, requests }))
            });
            rows.collect()
        })
    }

    /// Writes the usage of the named keys; other keys are unchanged.
    pub(super) fn write_usage(&self, usage: &[(String, DayUsage)]) -> Result<(), DatabaseError> {
        self.write(|transaction| {
            let mut table = transaction.open_table(USED).map_err(DatabaseError::redb)?;
            for (name, DayUsage { day, requests }) in usage {
                table.insert(name.as_str(), (*day, *requests)).map_err(DatabaseError::redb)?;
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
    fn requests_are_counted_by_day() {
        let usage = Usage::default();
        assert!(usage.take("shop", 7, 2) && usage.take("shop", 7, 2));
        assert!(!usage.take("shop", 7, 2));
        assert!(usage.take("other", 7, 2));
        usage.give_back("shop", 7);
        assert!(usage.take("shop", 7, 2));
        assert!(usage.take("shop", 8, 1) && !usage.take("shop", 8, 1));
        // A request counted before midnight and given back after it does not change the new day.
        usage.give_back("shop", 7);
        assert!(!usage.take("shop", 8, 1));
    }

    #[test]
    fn nothing_is_written_before_the_stored_usage_was_read() {
        let usage = Usage::default();
        assert!(usage.take("shop", 7, 2));
        assert_eq!(usage.changed(), None, "a smaller number would replace the stored one");
    }

    #[test]
    fn usage_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let database = || Database::new(Arc::new(RealDisk), folder.path().join("measurements.redb"));
        let usage = Usage::default();
        usage.read(&database()).unwrap();
        assert_eq!(usage.changed(), None);
        assert!(usage.take("shop", 7, 2));
        database().write_usage(&usage.changed().unwrap()).unwrap();
        assert_eq!(usage.changed(), None);

        let usage = Usage::default();
        // A request counted before the stored usage was read is not lost.
        assert!(usage.take("shop", 7, 2));
        let stored = database();
        usage.read(&stored).unwrap();
        usage.read(&stored).unwrap();
        assert!(!usage.take("shop", 7, 2) && usage.take("shop", 7, 3));
        assert!(usage.take("shop", 8, 1));
    }
}
