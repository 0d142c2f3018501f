//! Files that appear under their name whole or not at all.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::auth::token;

/// A file under a temporary name in the folder of its target, which has it once it is published; removed if it is dropped
/// before.
#[derive(Debug)]
pub(super) struct AtomicFile {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
}

impl AtomicFile {
    /// Creates the file. Nobody guesses its temporary name, no other run has it, and nothing is replaced by it.
    pub(super) fn create(target: &Path) -> io::Result<Self> {
        let temporary = target.with_file_name(format!(".tintype-{}.part", token()?));
        Ok(Self { file: File::create_new(&temporary)?, temporary, target: target.to_owned() })
    }

    /// Makes what was written durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Gives the file its name, replacing what has it.
    pub(super) fn publish(self) -> io::Result<()> {
        fs::rename(&self.temporary, &self.target)
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        // Once it is published there is none of this name.
        let _ = fs::remove_file(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn the_target_is_as_it_was_until_the_file_is_published() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a");
        fs::write(&target, "before").unwrap();
        let (mut first, mut second) =
            (AtomicFile::create(&target).unwrap(), AtomicFile::create(&target).unwrap());
        first.write_all(b"first").unwrap();
        second.write_all(b"second").unwrap();
        assert_eq!(names(folder.path()).len(), 3);
        assert_eq!(fs::read(&target).unwrap(), b"before");
        first.publish().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"first");
        drop(second);
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn one_that_cannot_be_published_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a");
        fs::create_dir(&target).unwrap();
        AtomicFile::create(&target).unwrap().publish().unwrap_err();
        assert_eq!(names(folder.path()), ["a"]);
    }
}
