//! The open database, reopened after an I/O error: redb refuses all work after one, and a disk that was
//! full for a moment must not need a restart.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{CACHE_BYTES, LedgerError, commit_counter::CommitCounter, salvage, transaction};
use crate::disk::{DatabaseFile, FaultState, FileId, SharedDisk};

/// Readers are waited for this long before a reopening is put off.
const LONGEST_VIEW: Duration = Duration::from_secs(5);

type Slot = Option<Arc<redb::Database>>;

#[derive(Debug)]
pub(super) struct Handle {
    disk: SharedDisk,
    path: PathBuf,
    /// The file that was opened first.
    file: OnceLock<FileId>,
    database: RwLock<Slot>,
    faults: Arc<FaultState>,
    /// Commits that may have changed something, counted once readers see them and before their waiters return.
    changes: AtomicU64,
    commit_counter: CommitCounter,
}

impl Handle {
    pub(super) fn open(disk: SharedDisk, path: PathBuf) -> Result<Self, LedgerError> {
        let handle = Self {
            disk,
            path,
            file: OnceLock::new(),
            database: RwLock::new(None),
            faults: Arc::default(),
            changes: AtomicU64::new(0),
            commit_counter: CommitCounter::default(),
        };
        // Only here: a file that is gone later is not to be replaced by an empty one.
        match handle.disk.open(&handle.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => handle.make_file()?,
            opened => drop(opened?),
        }
        handle.database()?;
        Ok(handle)
    }

    pub(super) fn disk(&self) -> &SharedDisk {
        &self.disk
    }

    pub(super) const fn commit_counter(&self) -> &CommitCounter {
        &self.commit_counter
    }

    pub(super) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// The database for one transaction; hold it no longer. It is reopened if anything failed since the last time,
    /// even a read, or if an earlier reopening failed, as on a full disk.
    pub(super) fn database(&self) -> Result<Arc<redb::Database>, LedgerError> {
        if let Some(database) = self.usable(&self.database.read().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(database);
        }
        let mut slot = self.database.write().unwrap_or_else(PoisonError::into_inner);
        match self.usable(&slot) {
            Some(database) => Ok(database),
            None => self.reopen_locked(&mut slot),
        }
    }

    fn usable(&self, slot: &Slot) -> Option<Arc<redb::Database>> {
        slot.clone().filter(|_| !self.faults.has_failed())
    }

    /// Closes the database, once every reader is done with it, and opens it again.
    pub(super) fn reopen(&self) -> Result<(), LedgerError> {
        self.reopen_locked(&mut self.database.write().unwrap_or_else(PoisonError::into_inner)).map(drop)
    }

    fn reopen_locked(&self, slot: &mut Slot) -> Result<Arc<redb::Database>, LedgerError> {
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
        Ok(slot.insert(self.open_file()?).clone())
    }

    /// Whether the path still names the file that was opened first: what is written to one that was moved or replaced is
    /// gone when the program ends.
    pub(super) fn check_in_place(&self) -> Result<(), LedgerError> {
        let found = match self.disk.open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(LedgerError::Displaced),
            opened => opened?.id()?,
        };
        if *self.file.get_or_init(|| found) == found { Ok(()) } else { Err(LedgerError::Displaced) }
    }

    fn open_file(&self) -> Result<Arc<redb::Database>, LedgerError> {
        self.check_in_place()?;
        salvage::guarded(|| {
            let database = self.open_at(&self.path)?;
            transaction::make_tables(&database)?;
            Ok(Arc::new(database))
        })
    }

    /// Creates a new database under another name first: a half-written one would never open.
    fn make_file(&self) -> Result<(), LedgerError> {
        let new = self.path.with_extension("new");
        match self.disk.remove(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        drop(self.open_at(&new)?);
        self.disk.rename(&new, &self.path)?;
        Ok(())
    }

    fn open_at(&self, path: &Path) -> Result<redb::Database, LedgerError> {
        let backend = DatabaseFile::open(&self.disk, path, &self.faults)?;
        redb::Builder::new()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(backend)
            .map_err(LedgerError::opening)
    }
}
