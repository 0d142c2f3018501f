//! The operating system's file system.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use super::{
    Disk, DiskFile, FileId, Space,
    regular_file::{Links, check_no_link, open_regular},
    volume,
};

/// The operating system's file system: opens regular files only, follows no link, and refuses linked folders.
#[derive(Debug, Default, Clone, Copy)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        open(path, OpenOptions::new().read(true).write(true).create_new(true))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        open(path, OpenOptions::new().read(true))
    }

    fn open_or_create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        open(path, OpenOptions::new().read(true).write(true).create(true).truncate(false))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        volume::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        check_no_link(path)?;
        fs::create_dir_all(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        sync_folder(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        check_no_link(path)?;
        fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let volume = rustix::fs::statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(volume.f_frsize);
        // Without the blocks reserved for root.
        Ok(Space { free: bytes(volume.f_bavail), total: bytes(volume.f_blocks) })
    }
}

fn open(path: &Path, options: &mut OpenOptions) -> io::Result<Box<dyn DiskFile>> {
    path.parent().map_or(Ok(()), check_no_link)?;
    Ok(Box::new(open_regular(path, options, Links::Refuse)?))
}

/// Lets nobody but its owner read a file that holds secrets; what cannot be changed is logged.
pub fn make_private(path: &Path) {
    let changed = match fs::metadata(path) {
        Ok(found) if found.permissions().mode() & 0o077 != 0 => {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        }
        // Simulated disks have no such file.
        Ok(_) | Err(_) => Ok(()),
    };
    if let Err(error) = changed {
        tracing::warn!(path = %path.display(), %error, "other users of this machine can read the file; run chmod 600 on it");
    }
}

/// Makes the names in a folder durable; never waits on a FIFO in its place.
///
/// # Errors
/// It is not a folder, or the disk fails.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let flags = rustix::fs::OFlags::DIRECTORY.bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(path)?.sync_all()
}

impl DiskFile for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn id(&self) -> io::Result<FileId> {
        let metadata = self.metadata()?;
        Ok(FileId { device: metadata.dev(), inode: metadata.ino() })
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
