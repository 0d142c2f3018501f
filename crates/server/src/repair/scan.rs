//! Every object file, oldest first, with what its head says.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use super::RepairError;
use crate::{
    disk::{Disk, DiskFile, EIO},
    store::{
        DataFolder, number,
        object_file::{self, Story, Unreadable},
    },
};

/// One entry below the folder of object files.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) path: PathBuf,
    /// The order its name says, if it has the name of an object file.
    pub(super) order: Option<u64>,
    /// What its head says, or what is wrong with it; `None` for what is no object file by its name.
    pub(super) story: Option<Result<Story, String>>,
    /// The file, if it could be opened.
    pub(super) file: Option<Box<dyn DiskFile>>,
}

/// Calls `visit` for every entry. A file that is gone by the time it is opened is left out.
///
/// # Errors
/// A folder or file cannot be read, or `visit` failed.
pub(super) fn scan(
    disk: &dyn Disk,
    folder: &DataFolder,
    mut visit: impl FnMut(Scanned) -> Result<(), RepairError>,
) -> Result<(), RepairError> {
    for below in sorted(disk, &folder.objects())? {
        let path = folder.objects().join(&below);
        let is_folder = path.is_dir();
        if is_folder && !(below.len() == 8 && number(&below).is_some()) {
            // Such as lost+found: nobody's, and not to be moved.
            continue;
        }
        if !is_folder {
            visit(Scanned { path, order: None, story: None, file: None })?;
            continue;
        }
        for name in sorted(disk, &path)? {
            let file = path.join(&name);
            let order = number(&name).filter(|order| folder.object(*order) == file);
            let Some(order) = order else {
                visit(Scanned { path: file, order: None, story: None, file: None })?;
                continue;
            };
            match disk.open(&file) {
                Ok(open) => {
                    let story = match object_file::read(open.as_ref()) {
                        Ok(story) => Ok(story),
                        Err(Unreadable::Damaged(words)) => Err(words),
                        // What the disk will not give any more is damaged; what it does not give now is not.
                        Err(Unreadable::Disk(error)) if error.raw_os_error() == Some(EIO) => {
                            Err(format!("its head cannot be read: {error}"))
                        }
                        Err(Unreadable::Disk(error)) if error.kind() == ErrorKind::IsADirectory => {
                            Err("it is a folder".into())
                        }
                        Err(Unreadable::Disk(error)) => return Err(RepairError::File { path: file, error }),
                    };
                    visit(Scanned { path: file, order: Some(order), story: Some(story), file: Some(open) })?;
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(RepairError::File { path: file, error }),
            }
        }
    }
    Ok(())
}

/// How many object files there are, by their names.
///
/// # Errors
/// A folder cannot be read.
pub(super) fn count(disk: &dyn Disk, folder: &DataFolder) -> Result<u64, RepairError> {
    let mut count = 0;
    for below in sorted(disk, &folder.objects())? {
        let path = folder.objects().join(below);
        if path.is_dir() {
            count += disk.list(&path).map_err(RepairError::at(&path))?.len() as u64;
        }
    }
    Ok(count)
}

/// Names of one width are in the order of their numbers.
fn sorted(disk: &dyn Disk, folder: &Path) -> Result<Vec<String>, RepairError> {
    let mut names = match disk.list(folder) {
        // Nothing was ever stored.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(RepairError::at(folder))?,
    };
    names.sort_unstable();
    Ok(names)
}
