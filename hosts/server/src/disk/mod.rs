//! The file layer: the few file operations that objects and the ledger stand on, behind a trait, so that
//! a test can make any of them fail, forget or take long.
//!
//! Positions are explicit (no cursor), so one open file serves any number of readers.

mod database_file;
mod real;
mod regular_file;
mod volume;

pub use database_file::{DatabaseFile, Troubles};
pub use real::{RealDisk, sync_folder};
pub use regular_file::{Links, check_no_link, is_wrong_type, open_regular, read_text};
pub use volume::check_same_volume;

use std::{fmt::Debug, io, path::Path, sync::Arc};

/// Linux's and macOS's number for an error of the medium: what the disk does not give any more.
pub const EIO: i32 = 5;

/// Whether an error says that what is stored is corrupt, rather than that it cannot be had now.
#[must_use]
pub fn is_corruption(error: &io::Error) -> bool {
    error.raw_os_error() == Some(EIO) || is_wrong_type(error)
}

/// A disk shared by everything that stores.
pub type SharedDisk = Arc<dyn Disk>;

/// Bytes on the volume that holds a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What this process may still take.
    pub free: u64,
    /// The size of the volume; 0 where it has none of its own.
    pub total: u64,
}

/// What tells a file from every other that exists at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    /// The device it is on.
    pub device: u64,
    /// Its inode there.
    pub inode: u64,
}

/// A file system, as far as it is needed.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Makes a new file for reading and writing; it must not exist.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file for reading.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file for reading and writing, making it if there is none.
    fn open_or_create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Gives a file another name, replacing what has it. Durable after [`Disk::sync_folder`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder, which must be empty.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes a folder and what is missing above it; that it exists is no error.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// The names in a folder.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Free and total bytes of the volume that holds a folder.
    fn space(&self, path: &Path) -> io::Result<Space>;
}

/// An open file.
pub trait DiskFile: Debug + Send + Sync + 'static {
    /// Reads at `offset` what the system gives at once; answers how many bytes, 0 at the file's end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes at `offset` what the system takes at once; answers how many bytes.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Which file it is, whatever its name is by now.
    fn id(&self) -> io::Result<FileId>;
    /// Cuts or extends (with zeros) to a length.
    fn set_length(&self, length: u64) -> io::Result<()>;
    /// Makes contents and length durable.
    fn sync(&self) -> io::Result<()>;
    /// Fills `buffer` from `offset`; an error if the file ends before.
    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read_at(buffer, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    buffer = &mut buffer[count..];
                    offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes all of `bytes` at `offset`; if it fails, some of them may have been written.
    fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_at(bytes, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    bytes = &bytes[count..];
                    offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
