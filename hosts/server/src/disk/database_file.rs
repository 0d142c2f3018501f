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

/// Bytes copied at a time when a file is written again.
const CHUNK_BYTES: usize = 256 << 10;

/// A database file on a [`super::Disk`].
///
/// After a sync that failed the system shows what was written, but may hold it for clean and never write it:
/// a later sync that succeeds says nothing about it. So such a file is written again as a whole before it is
/// used again. A marker beside it has the next run do so, should this one end before; the marker needs
/// no sync, since a power cut takes what is only in memory away together with the marker.
#[derive(Debug)]
pub struct DatabaseFile {
    file: Box<dyn DiskFile>,
    disk: SharedDisk,
    marker: PathBuf,
    troubles: Arc<Troubles>,
}

/// What went wrong with a file. It belongs to the file and outlives each opening of it.
#[derive(Debug, Default)]
pub struct Troubles {
    /// Something failed since the file was opened.
    failed: AtomicBool,
    /// A sync has failed, and the file was not written again since.
    suspect: AtomicBool,
}

impl Troubles {
    /// Whether anything failed since the file was opened: redb then refuses whatever its cache does not hold, until it is
    /// opened anew.
    #[must_use]
    pub fn have_come(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() {
            self.failed.store(true, Ordering::SeqCst);
        }
        result
    }
}

impl DatabaseFile {
    /// Opens the file, making it if there is none.
    ///
    /// # Errors
    /// The disk does not give it, or it cannot be written again.
    pub fn open(disk: &SharedDisk, path: &Path, troubles: &Arc<Troubles>) -> io::Result<Self> {
        let file = disk.open_or_create(path)?;
        let marker = path.with_extension("suspect");
        let marked = !matches!(disk.open(&marker), Err(error) if error.kind() == io::ErrorKind::NotFound);
        if marked || troubles.suspect.load(Ordering::SeqCst) {
            write_again(file.as_ref())?;
            troubles.suspect.store(false, Ordering::SeqCst);
            // One that stays only has the file written again once more.
            let _ = disk.remove(&marker);
        }
        if let Some(folder) = path.parent() {
            disk.sync_folder(folder)?;
        }
        troubles.failed.store(false, Ordering::SeqCst);
        Ok(Self { file, disk: disk.clone(), marker, troubles: troubles.clone() })
    }
}

/// Writes what can be read in its place, so that the next sync is about all of it.
fn write_again(file: &dyn DiskFile) -> io::Result<()> {
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
        self.troubles.note(self.file.length())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.troubles.note(self.file.read_exact_at(out, offset))
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.troubles.note(self.file.set_length(len))
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.troubles.note(self.file.sync()).inspect_err(|_| {
            self.troubles.suspect.store(true, Ordering::SeqCst);
            // Beside a file that is suspect already there may be one.
            let _ = self.disk.create(&self.marker);
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.troubles.note(self.file.write_all_at(data, offset))
    }
}
