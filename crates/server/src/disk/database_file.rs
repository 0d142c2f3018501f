//! redb on the file layer.

use std::{io, path::Path};

use super::{Disk, DiskFile};

/// A database file on a [`Disk`].
#[derive(Debug)]
pub struct DatabaseFile {
    file: Box<dyn DiskFile>,
}

impl DatabaseFile {
    /// Opens the file, making it if there is none.
    ///
    /// # Errors
    /// The disk does not give it.
    pub fn open(disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        let file = disk.open_or_create(path)?;
        if let Some(folder) = path.parent() {
            disk.sync_folder(folder)?;
        }
        Ok(Self { file })
    }
}

impl redb::StorageBackend for DatabaseFile {
    fn len(&self) -> Result<u64, io::Error> {
        self.file.length()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.file.set_length(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.file.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.file.write_all_at(data, offset)
    }
}
