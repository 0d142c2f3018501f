//! Every object file, oldest first, with its head.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use super::RepairError;
use crate::{
    disk::{Disk, DiskFile, is_corruption, is_wrong_type},
    storage::{
        DataFolder,
        health::PROBE,
        integrity::{is_folder_of_objects, number},
        object_file::{self, Header, Unreadable},
    },
};

/// One entry below the folder of object files.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) path: PathBuf,
    /// The order in its name and what is there; `None` for what is no object file by its name.
    pub(super) object: Option<(u64, Opened)>,
}

/// The head of an object file, and the file to read on; or what is wrong with it.
pub(super) type Opened = Result<(Header, Box<dyn DiskFile>), String>;

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
        if below == PROBE || is_folder && !(below.len() == 8 && number(&below).is_some()) {
            // A health check's file; or such as lost+found, which is not to be moved.
            continue;
        }
        if !is_folder {
            visit(Scanned { path, object: None })?;
            continue;
        }
        for name in sorted(disk, &path)? {
            let path = path.join(&name);
            let order = number(&name).filter(|order| folder.object(*order) == path);
            let Some(order) = order else {
                visit(Scanned { path, object: None })?;
                continue;
            };
            match open(disk, &path) {
                Ok(opened) => visit(Scanned { path, object: Some((order, opened)) })?,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(RepairError::File { path, error }),
            }
        }
    }
    Ok(())
}

/// Opens an object file. What the disk cannot read any more is corrupt; what it cannot read now is an error.
fn open(disk: &dyn Disk, path: &Path) -> io::Result<Opened> {
    let file = match disk.open(path) {
        Err(error) if is_wrong_type(&error) => return Ok(Err(error.to_string())),
        opened => opened?,
    };
    match object_file::read(file.as_ref()) {
        Ok(header) => Ok(Ok((header, file))),
        Err(Unreadable::Corrupt(why)) => Ok(Err(why)),
        Err(Unreadable::Disk(error)) if is_corruption(&error) => {
            Ok(Err(format!("its head cannot be read: {error}")))
        }
        Err(Unreadable::Disk(error)) => Err(error),
    }
}

/// How many object files there are, by their names.
///
/// # Errors
/// A folder cannot be read.
pub(super) fn count(disk: &dyn Disk, folder: &DataFolder) -> Result<u64, RepairError> {
    let mut count = 0;
    for below in sorted(disk, &folder.objects())? {
        let path = folder.objects().join(&below);
        if is_folder_of_objects(&below) && path.is_dir() {
            count += disk.list(&path).map_err(RepairError::at(&path))?.len() as u64;
        }
    }
    Ok(count)
}

/// Names of one width are in the order of their numbers.
fn sorted(disk: &dyn Disk, folder: &Path) -> Result<Vec<String>, RepairError> {
    let mut names = match disk.list(folder) {
        // Nothing was ever stored.
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(RepairError::at(folder))?,
    };
    names.sort_unstable();
    Ok(names)
}
