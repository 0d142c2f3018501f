//! The file layer: the file operations of objects and ledger behind a trait, so that tests can inject faults.
//!
//! Offsets are explicit (no cursor), so one open file serves any number of readers.

mod database_file;
mod real_disk;
mod regular_file;
mod volume;

pub use database_file::{DatabaseFile, FaultState};
pub use real_disk::{RealDisk, make_private, sync_folder};
pub use regular_file::{Links, check_no_link, is_wrong_type, open_regular, read_text};
pub use volume::check_same_volume;

use std::{fmt::Debug, io, path::Path, sync::Arc};

/// The error number of a failed medium, on Linux and macOS.
pub const EIO: i32 = 5;

/// Whether an error means that the stored data is corrupt, as opposed to temporarily unreadable.
#[must_use]
pub fn is_corruption(error: &io::Error) -> bool {
    error.raw_os_error() == Some(EIO) || is_wrong_type(error)
}

/// A shared disk.
pub type SharedDisk = Arc<dyn Disk>;

/// Bytes on the volume that holds a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes available to this process.
    pub free: u64,
    /// The size of the volume; 0 where it has none of its own.
    pub total: u64,
}

/// Identifies a file among all that exist at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    /// The device it is on.
    pub device: u64,
    /// Its inode there.
    pub inode: u64,
}

/// The operations on a file system that the server uses.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Creates a file for reading and writing; it must not exist.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file for reading.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file for reading and writing, creating it if there is none.
    fn open_or_create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Renames a file, replacing an existing one. Durable after [`Disk::sync_folder`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
    /// Creates a folder and its missing parents; it may exist.
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
    /// Reads at `offset`, possibly less than `buffer`; returns the bytes read, 0 at the file's end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes at `offset`, possibly less than `bytes`; returns the bytes written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// The file's identity, whatever its name is now.
    fn id(&self) -> io::Result<FileId>;
    /// Truncates or extends (with zeros) to a length.
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

    /// Writes all of `bytes` at `offset`; after an error some of them may have been written.
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
