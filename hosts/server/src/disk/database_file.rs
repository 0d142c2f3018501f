//! redb on the file layer.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{DiskFile, SharedDisk};

/// Bytes copied at a time when a file is rewritten.
const CHUNK_BYTES: usize = 256 << 10;

/// A database file on a [`super::Disk`].
///
/// After a failed sync the page cache may mark unwritten pages as clean, so a later successful sync proves nothing: the
/// file is rewritten as a whole before its next use. A marker file requests that from the next start, too; it needs no
/// sync, since a power cut loses the marker together with the unwritten pages (ADR 0016).
#[derive(Debug)]
pub struct DatabaseFile {
    file: Box<dyn DiskFile>,
    disk: SharedDisk,
    marker: PathBuf,
    faults: Arc<FaultState>,
}

/// The I/O errors of a file; shared by all its openings.
#[derive(Debug, Default)]
pub struct FaultState {
    /// An operation failed since the file was opened.
    failed: AtomicBool,
    /// A sync failed, and the file was not rewritten since.
    suspect: AtomicBool,
}

impl FaultState {
    /// Whether an operation failed since the file was opened. redb then refuses reads that its cache does not hold,
    /// until the file is reopened.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    fn record<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() {
            self.failed.store(true, Ordering::SeqCst);
        }
        result
    }
}

impl DatabaseFile {
    /// Opens the file, creating it if there is none; rewrites it after a failed sync.
    ///
    /// # Errors
    /// It cannot be opened or rewritten.
    pub fn open(disk: &SharedDisk, path: &Path, faults: &Arc<FaultState>) -> io::Result<Self> {
        let file = disk.open_or_create(path)?;
        let marker = path.with_extension("suspect");
        let marked = !matches!(disk.open(&marker), Err(error) if error.kind() == io::ErrorKind::NotFound);
        if marked || faults.suspect.load(Ordering::SeqCst) {
            rewrite(file.as_ref())?;
            faults.suspect.store(false, Ordering::SeqCst);
            // If it stays, the file is rewritten again, which is harmless.
            let _ = disk.remove(&marker);
        }
        if let Some(folder) = path.parent() {
            disk.sync_folder(folder)?;
        }
        faults.failed.store(false, Ordering::SeqCst);
        Ok(Self { file, disk: disk.clone(), marker, faults: faults.clone() })
    }
}

/// Writes the contents in place, so that all pages are dirty and the next sync covers them.
fn rewrite(file: &dyn DiskFile) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut offset = 0;
    loop {
        let count = file.read_at(&mut buffer, offset)?;
        if count == 0 {
            return file.sync();
        }
        file.write_all_at(&buffer[..count], offset)?;
        offset += count as u64;
    }
}

impl redb::StorageBackend for DatabaseFile {
    fn len(&self) -> Result<u64, io::Error> {
        self.faults.record(self.file.length())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.faults.record(self.file.read_exact_at(out, offset))
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.faults.record(self.file.set_length(len))
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.faults.record(self.file.sync()).inspect_err(|_| {
            self.faults.suspect.store(true, Ordering::SeqCst);
            // It fails if the marker exists.
            let _ = self.disk.create(&self.marker);
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.faults.record(self.file.write_all_at(data, offset))
    }
}
