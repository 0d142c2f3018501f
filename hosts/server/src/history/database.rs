//! The database of measurements: a file beside the ledger, reopened after any fault, so that a full disk stops the
//! history and nothing else.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use redb::{ReadTransaction, ReadableDatabase as _, WriteTransaction};

use super::{Entry, Interval, results, series, usage};
use crate::disk::{DatabaseFile, FaultState, SharedDisk};

/// Bytes of redb's page cache. Writes append to a few tables and reads are rare, so a larger cache gains nothing.
const CACHE_BYTES: usize = 1 << 20;

/// Why measurements or results could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the database of measurements cannot be used: {0}")]
pub struct DatabaseError(String);

impl DatabaseError {
    pub(super) fn redb(error: impl Into<redb::Error>) -> Self {
        Self(error.into().to_string())
    }

    pub(super) fn corrupt(what: &str) -> Self {
        Self(format!("{what} is corrupt"))
    }
}

/// Stores rows of measurements, results, and the usage of API keys.
#[derive(Debug)]
pub struct Database {
    disk: SharedDisk,
    path: PathBuf,
    database: RwLock<Option<redb::Database>>,
    faults: Arc<FaultState>,
}

impl Database {
    /// The database at `path`. It is opened on first use, so that a fault in it does not prevent a start.
    #[must_use]
    pub fn new(disk: SharedDisk, path: PathBuf) -> Self {
        Self { disk, path, database: RwLock::new(None), faults: Arc::default() }
    }

    fn open(&self) -> Result<(), DatabaseError> {
        let usable = |slot: &Option<redb::Database>| slot.is_some() && !self.faults.has_failed();
        if usable(&self.database.read().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        let mut slot = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if !usable(&slot) {
            // The file must not be open twice.
            *slot = None;
            let file = DatabaseFile::open(&self.disk, &self.path, &self.faults)
                .map_err(|error| DatabaseError(error.to_string()))?;
            let database = redb::Builder::new()
                .set_cache_size(CACHE_BYTES)
                .create_with_backend(file)
                .map_err(DatabaseError::redb)?;
            let transaction = database.begin_write().map_err(DatabaseError::redb)?;
            series::create_tables(&transaction)?;
            results::create_tables(&transaction)?;
            usage::create_table(&transaction)?;
            transaction.commit().map_err(DatabaseError::redb)?;
            *slot = Some(database);
        }
        Ok(())
    }

    /// Runs a read transaction. Blocks on the disk, but not on writers.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, DatabaseError>,
    ) -> Result<T, DatabaseError> {
        self.open()?;
        let slot = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = slot.as_ref().ok_or_else(|| DatabaseError("it is being reopened".into()))?;
        work(&database.begin_read().map_err(DatabaseError::redb)?)
    }

    /// Appends intervals and results, and deletes what is past its retention at `now_ms` (nothing where that is 0).
    /// Each result has a number, unique among those that ended in one millisecond.
    ///
    /// # Errors
    /// The database cannot be written; nothing was changed.
    pub fn append(
        &self,
        now_ms: i64,
        intervals: &[Interval],
        results: &[(u64, Arc<Entry>)],
    ) -> Result<(), DatabaseError> {
        self.write(|transaction| {
            if !intervals.is_empty() {
                series::add(transaction, now_ms / 1000, intervals)?;
            }
            results::add(transaction, now_ms, results.iter().map(|(number, entry)| (*number, entry.as_ref())))
        })
    }

    /// Runs a durable write transaction; after a fault the next call reopens the database.
    pub(super) fn write(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<(), DatabaseError>,
    ) -> Result<(), DatabaseError> {
        self.open()?;
        let written = {
            let slot = self.database.read().unwrap_or_else(PoisonError::into_inner);
            let database = slot.as_ref().ok_or_else(|| DatabaseError("it is being reopened".into()))?;
            (|| {
                let mut transaction = database.begin_write().map_err(DatabaseError::redb)?;
                // Opening after a crash then does not read the whole file.
                transaction.set_quick_repair(true);
                work(&transaction)?;
                transaction.commit().map_err(DatabaseError::redb)
            })()
        };
        if written.is_err() {
            self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        }
        written
    }
}
