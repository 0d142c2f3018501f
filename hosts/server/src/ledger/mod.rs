//! The ledger: buckets, objects, uploads, events, dead letters and results, in one redb database, private to `storage`
//! and `queue`. All changes go through [`Ledger::submit`]: durable when it returns, and sharing a commit with whatever
//! else was waiting.

mod access_keys;
mod alt_texts;
mod commit_counter;
mod committer;
mod dead_letters;
mod events;
mod handle;
mod numbers;
mod object_details;
mod outbox;
mod read_only_file;
mod records;
mod results;
mod salvage;
mod snapshot;
mod transaction;

use std::{any::Any, path::Path, sync::Arc};

pub(crate) use commit_counter::recorded_commits;
pub use committer::{Pending, Publish};
pub use events::Place;
pub use outbox::OutboxRow;
pub use records::{
    ALT_TEXT_EVENT, AccessKeyRecord, AclRecord, AltTextRecord, BucketRecord, Checksums, CorsRecord,
    CredentialRecord, DeadLetter, EventRecord, KeyUsageRecord, NotificationRecord, ObjectDetails,
    ObjectOwnership, ObjectPart, ObjectRecord, OutboxRecord, PartRecord, Priority, PublicAccess,
    PublicAccessBlockRecord, ResultRecord, StoredHeaders, UploadRecord,
};
pub use results::Outdated;
pub use salvage::{Copied, OldLedger};
pub use transaction::{Changes, QueueChanges, QueueView, View, Walk, listed_key};

use crate::disk::{DiskFile, SharedDisk, is_wrong_type, make_private};

/// Bytes of redb's page cache; its default of 1 GiB would be most of the program's memory.
const CACHE_BYTES: usize = 8 << 20;

/// Why the ledger could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// No space is left; nothing was changed.
    #[error("the disk that holds the data folder is full: {0}")]
    Full(String),
    /// The database cannot be used.
    #[error("the ledger cannot be used: {0}")]
    Database(String),
    /// A file did not get its final name; nothing was changed.
    #[error("a file cannot be moved into \"objects\" of the data folder: {0}")]
    Unpublished(String),
    /// The database is corrupt.
    #[error(
        "the ledger is corrupt ({0}): run \"tintype check --repair\", which rebuilds it from the object files, or put \
         ledger.redb back from a backup of this data folder"
    )]
    Corrupt(String),
    /// The file is no ledger.
    #[error(
        "ledger.redb is {0}, not a ledger of tintype: put the right one back from a backup of this data folder, or run \
         \"tintype check --repair\", which rebuilds it from the object files"
    )]
    Foreign(&'static str),
    /// The file is not where it was opened.
    #[error(
        "ledger.redb in the data folder was moved, removed or replaced while the server has it open: put that file back before \
         the server ends; if it is lost, stop the server and run \"tintype check --repair\", which rebuilds it from the object files"
    )]
    Displaced,
    /// A record does not read back.
    #[error("the ledger holds a record that cannot be read: {0}")]
    Record(String),
    /// A commit failed in a way that leaves open whether it is on disk; the next opening shows it.
    #[error("the disk failed during a commit, whose outcome is not known yet: {0}")]
    InDoubt(String),
    /// The program is shutting down.
    #[error("the ledger is closed: the program is shutting down")]
    Closed,
}

impl LedgerError {
    fn publishing(error: std::io::Error) -> Self {
        if is_full(&error) { Self::Full(error.to_string()) } else { Self::Unpublished(error.to_string()) }
    }

    fn database(error: impl Into<redb::Error>) -> Self {
        match error.into() {
            redb::Error::Corrupted(why) => Self::Corrupt(why),
            redb::Error::Io(error) if is_full(&error) => Self::Full(error.to_string()),
            error => Self::Database(error.to_string()),
        }
    }
}

impl LedgerError {
    /// Of an attempt to open: a fault of the file itself is corruption.
    fn opening(error: redb::DatabaseError) -> Self {
        use std::io::ErrorKind::{InvalidData, UnexpectedEof};
        match redb::Error::from(error) {
            redb::Error::Io(error) if error.to_string().contains("magic number") => {
                Self::Foreign("a file of another kind")
            }
            redb::Error::Io(error) if matches!(error.kind(), UnexpectedEof | InvalidData) => {
                Self::Corrupt(format!("its file cannot be read through: {error}"))
            }
            redb::Error::RepairAborted => {
                Self::Corrupt("redb cannot bring it back to its last commit".into())
            }
            redb::Error::UpgradeRequired(version) => {
                Self::Corrupt(format!("its format, {version}, is not one of this program's"))
            }
            error => Self::database(error),
        }
    }
}

impl From<std::io::Error> for LedgerError {
    fn from(error: std::io::Error) -> Self {
        if is_full(&error) {
            Self::Full(error.to_string())
        } else if is_wrong_type(&error) {
            Self::Corrupt(error.to_string())
        } else {
            Self::Database(error.to_string())
        }
    }
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

/// The open ledger.
#[derive(Debug)]
pub struct Ledger {
    /// Dropped first: ends with what was submitted being durable.
    committer: committer::Committer,
    handle: Arc<handle::Handle>,
    /// What must outlive the open database: the lock on its folder.
    _owner: Arc<dyn Any + Send + Sync>,
}

impl Ledger {
    /// Opens the database at `path`, creating it if there is none. At most `max_batch` changes share one
    /// commit. `owner` is dropped when the database is closed.
    ///
    /// # Errors
    /// The database is corrupt, in use, or cannot be written.
    pub fn open(
        disk: SharedDisk,
        path: &Path,
        max_batch: usize,
        owner: Arc<dyn Any + Send + Sync>,
    ) -> Result<Self, LedgerError> {
        let handle = Arc::new(handle::Handle::open(disk, path.to_owned())?);
        // It holds the secrets of access keys.
        make_private(path);
        let committer = committer::Committer::start(handle.clone(), max_batch)?;
        Ok(Self { committer, handle, _owner: owner })
    }

    /// A consistent view of everything committed.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn view(&self) -> Result<View, LedgerError> {
        // What fails at its first read is reopened.
        View::begin(self.handle.database()?).or_else(|_| View::begin(self.handle.database()?))
    }

    /// Whether the file at the ledger's path is the one that is open.
    ///
    /// # Errors
    /// [`LedgerError::Displaced`], or the file cannot be looked at.
    pub fn check_in_place(&self) -> Result<(), LedgerError> {
        self.handle.check_in_place()
    }

    /// A number that rises with every commit, before its waiters return: what was read after this call holds for as long
    /// as the number stays the same.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.handle.changes()
    }

    /// The number by which the ledger and its data folder know each other.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn identity(&self) -> Result<Option<u64>, LedgerError> {
        self.view()?.identity()
    }

    /// Writes the number of every further commit to `file`, beginning with the last one's.
    ///
    /// # Errors
    /// The database cannot be read, or the file not written.
    pub fn count_commits_in(&self, file: Box<dyn DiskFile>) -> Result<(), LedgerError> {
        Ok(self.handle.commit_counter().begin(file, self.view()?.last_commit()?)?)
    }

    /// Sets it, durably.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn set_identity(&self, identity: u64) -> Result<(), LedgerError> {
        self.submit(Vec::new(), move |changes| changes.set_identity(identity)).wait()
    }

    /// Hands `work` to the next commit. It must check everything before it changes anything: an error it
    /// answers leaves what it changed already in the shared transaction. `publish` is done and
    /// made durable before `work` runs.
    pub fn submit<T, E>(
        &self,
        publish: Vec<Publish>,
        work: impl FnOnce(&Changes<'_>) -> Result<T, E> + Send + 'static,
    ) -> Pending<T, E>
    where
        T: Send + 'static,
        E: From<LedgerError> + Send + 'static,
    {
        self.committer.submit(publish, work)
    }
}
