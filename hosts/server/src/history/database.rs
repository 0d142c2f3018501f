//! The database of measurements: a file of its own beside the ledger, opened anew after a fault, so that a
//! full disk stops history and nothing else.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use redb::{ReadTransaction, ReadableDatabase as _, WriteTransaction};

use super::{Entry, Interval, results, series, usage};
use crate::disk::{DatabaseFile, SharedDisk, Troubles};

/// Bytes of redb's page cache. What is written goes to the end of few tables, and what is read is read once in a long
/// while: a larger one would only fill up slowly.
const CACHE_BYTES: usize = 1 << 20;

/// Why measurements could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the database of measurements cannot be used: {0}")]
pub struct KeepError(String);

impl KeepError {
    pub(super) fn of(error: impl Into<redb::Error>) -> Self {
        Self(error.into().to_string())
    }

    pub(super) fn damaged(what: &str) -> Self {
        Self(format!("{what} cannot be read back"))
    }
}

/// Keeps rows and results.
#[derive(Debug)]
pub struct Keeper {
    disk: SharedDisk,
    path: PathBuf,
    database: RwLock<Option<redb::Database>>,
    troubles: Arc<Troubles>,
}

impl Keeper {
    /// The database at `path`, opened when it is first needed: measurements must not keep a server from
    /// starting.
    #[must_use]
    pub fn new(disk: SharedDisk, path: PathBuf) -> Self {
        Self { disk, path, database: RwLock::new(None), troubles: Arc::default() }
    }

    fn opened(&self) -> Result<(), KeepError> {
        let usable = |slot: &Option<redb::Database>| slot.is_some() && !self.troubles.have_come();
        if usable(&self.database.read().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        let mut slot = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if !usable(&slot) {
            // Two of one file must never be open at once.
            *slot = None;
            let file = DatabaseFile::open(&self.disk, &self.path, &self.troubles)
                .map_err(|error| KeepError(error.to_string()))?;
            let database = redb::Builder::new()
                .set_cache_size(CACHE_BYTES)
                .create_with_backend(file)
                .map_err(KeepError::of)?;
            let transaction = database.begin_write().map_err(KeepError::of)?;
            series::make_tables(&transaction)?;
            results::make_tables(&transaction)?;
            usage::make_table(&transaction)?;
            transaction.commit().map_err(KeepError::of)?;
            *slot = Some(database);
        }
        Ok(())
    }

    /// Reads. Blocks; writing goes on meanwhile.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, KeepError>,
    ) -> Result<T, KeepError> {
        self.opened()?;
        let slot = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = slot.as_ref().ok_or_else(|| KeepError("it is being opened anew".into()))?;
        work(&database.begin_read().map_err(KeepError::of)?)
    }

    /// Writes what was measured, and results, each with a number that keeps those of one millisecond apart;
    /// forgets what is too old at `now_ms`: at 0, nothing.
    ///
    /// # Errors
    /// The database cannot be written; then nothing has changed.
    pub fn keep(
        &self,
        now_ms: i64,
        intervals: &[Interval],
        results: &[(u64, Arc<Entry>)],
    ) -> Result<(), KeepError> {
        self.write(|transaction| {
            if !intervals.is_empty() {
                series::add(transaction, now_ms / 1000, intervals)?;
            }
            results::add(transaction, now_ms, results.iter().map(|(number, entry)| (*number, entry.as_ref())))
        })
    }

    /// Writes, durably; after a fault the database is opened anew by the next call.
    pub(super) fn write(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<(), KeepError>,
    ) -> Result<(), KeepError> {
        self.opened()?;
        let written = {
            let slot = self.database.read().unwrap_or_else(PoisonError::into_inner);
            let database = slot.as_ref().ok_or_else(|| KeepError("it is being opened anew".into()))?;
            (|| {
                let mut transaction = database.begin_write().map_err(KeepError::of)?;
                // Opening after a crash must not read the whole file.
                transaction.set_quick_repair(true);
                work(&transaction)?;
                transaction.commit().map_err(KeepError::of)
            })()
        };
        if written.is_err() {
            self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        }
        written
    }
}
