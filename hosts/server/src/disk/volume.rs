//! The data folder must be one volume: files are published by renaming them, which does not work across volumes.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

/// The name of no file, so that renaming it has no effect.
const NO_FILE: &str = "no-such-file";

/// Refuses a folder below `root` that is on another volume or a mount point. It need not exist.
///
/// # Errors
/// It is one, or cannot be examined.
pub fn check_same_volume(root: &Path, folder: &Path) -> io::Result<()> {
    let device = match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        metadata => metadata?.dev(),
    };
    // A bind mount of the same file system has the same device; the kernel refuses the rename before it looks for the
    // file.
    let is_mount = || {
        let renamed = fs::rename(root.join(NO_FILE), folder.join(NO_FILE));
        renamed.is_err_and(|error| error.kind() == ErrorKind::CrossesDevices)
    };
    if device == fs::metadata(root)?.dev() && !is_mount() {
        return Ok(());
    }
    Err(io::Error::new(
        ErrorKind::CrossesDevices,
        format!(
            "the folder {} is on another volume than the data folder or mounted on its own, and files cannot be renamed into or \
             out of it: unmount it, and put its files into the folder below; or move the whole data folder to a volume that \
             holds it, and set \"data\" to it",
            name(folder)
        ),
    ))
}

/// Renames a file.
///
/// # Errors
/// Across volumes, with what to do; otherwise the system's error.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to).map_err(|error| match error.kind() {
        ErrorKind::CrossesDevices => io::Error::new(
            ErrorKind::CrossesDevices,
            format!(
                "the folders {} and {} are on two volumes or mounts, and a file cannot be renamed from one to the other: have \
                 the whole data folder on one volume",
                name(from.parent().unwrap_or(from)),
                name(to.parent().unwrap_or(to))
            ),
        ),
        _ => error,
    })
}

/// A folder's name without its path: these errors reach clients.
fn name(folder: &Path) -> std::path::Display<'_> {
    Path::new(folder.file_name().unwrap_or_default()).display()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_one_volume_and_missing_ones_are_accepted() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("objects");
        check_same_volume(temporary.path(), &folder).unwrap();
        fs::create_dir(&folder).unwrap();
        check_same_volume(temporary.path(), &folder).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }

    #[test]
    fn another_volume_is_refused_with_what_to_do() {
        let temporary = tempfile::tempdir().unwrap();
        let (file, other) = (temporary.path().join("file"), Path::new("/dev/shm"));
        if !other.is_dir() || other.metadata().unwrap().dev() == temporary.path().metadata().unwrap().dev() {
            eprintln!("skipped: /dev/shm is not a volume of its own");
            return;
        }
        let refused = check_same_volume(temporary.path(), other).unwrap_err();
        assert!(refused.to_string().contains("the folder shm is on another volume"), "{refused}");
        fs::write(&file, "x").unwrap();
        let target = tempfile::tempdir_in(other).unwrap();
        let refused = rename(&file, &target.path().join("file")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::CrossesDevices);
        assert!(refused.to_string().contains("on one volume"), "{refused}");
        assert_eq!(fs::read(&file).unwrap(), b"x");
    }
}
