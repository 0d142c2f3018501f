//! The open database, reopened after an I/O error: redb refuses all work after one, and a disk that was
//! full for a moment must not need a restart.

use std::{
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{CACHE_BYTES, LedgerError, salvage, transaction};
use crate::disk::{DatabaseFile, SharedDisk};

/// Readers are waited for this long before a reopening is put off.
const LONGEST_VIEW: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Handle {
    disk: SharedDisk,
    path: PathBuf,
    database: RwLock<Option<Arc<redb::Database>>>,
    /// Commits that may have changed something, counted once readers see them and before anybody is told.
    changes: AtomicU64,
}

impl Handle {
    pub(super) fn open(disk: SharedDisk, path: PathBuf) -> Result<Self, LedgerError> {
        let handle = Self { disk, path, database: RwLock::new(None), changes: AtomicU64::new(0) };
        handle.database()?;
        Ok(handle)
    }

    pub(super) fn disk(&self) -> &SharedDisk {
        &self.disk
    }

    pub(super) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// The database for one transaction; hold it no longer. If an earlier reopening failed, as while a
    /// disk is full, it is tried again.
    pub(super) fn database(&self) -> Result<Arc<redb::Database>, LedgerError> {
        if let Some(database) = self.database.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
            return Ok(database.clone());
        }
        let mut slot = self.database.write().unwrap_or_else(PoisonError::into_inner);
        match slot.as_ref() {
            Some(database) => Ok(database.clone()),
            None => Ok(slot.insert(self.open_file()?).clone()),
        }
    }

    /// Closes the database, once every reader is done with it, and opens it again.
    pub(super) fn reopen(&self) -> Result<(), LedgerError> {
        let mut slot = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = slot.take() {
            // Views are short; two handles on one file must never be open at once.
            let deadline = Instant::now() + LONGEST_VIEW;
            while Arc::strong_count(&old) > 1 {
                if Instant::now() > deadline {
                    *slot = Some(old);
                    return Err(LedgerError::Database("it is still being read after a disk error".into()));
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        *slot = Some(self.open_file()?);
        Ok(())
    }

    fn open_file(&self) -> Result<Arc<redb::Database>, LedgerError> {
        let backend = DatabaseFile::open(self.disk.as_ref(), &self.path)?;
        salvage::guarded(|| {
            let database = redb::Builder::new()
                .set_cache_size(CACHE_BYTES)
                .create_with_backend(backend)
                .map_err(LedgerError::opening)?;
            transaction::make_tables(&database)?;
            Ok(Arc::new(database))
        })
    }
}
