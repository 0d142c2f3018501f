//! How many commits there have been, told beside the ledger: one that has fewer is a copy of an earlier moment.
//!
//! Written after each commit and not synced then: what is there was durable in the ledger before, so after a power cut it
//! tells too little and never too much. The number stands there with its complement: whatever else is there tells nothing.

use std::{io, sync::OnceLock};

use crate::disk::DiskFile;

/// Where the number of the last commit is told.
#[derive(Debug, Default)]
pub(super) struct Witness(OnceLock<Box<dyn DiskFile>>);

impl Witness {
    /// Has every further commit told to `file`; only the first call counts.
    pub(super) fn begin(&self, file: Box<dyn DiskFile>, commits: u64) -> io::Result<()> {
        write(file.as_ref(), commits)?;
        // In place of what was told of another ledger, which must not come back.
        file.sync()?;
        let _ = self.0.set(file);
        Ok(())
    }

    /// Tells of a commit that is durable. What cannot be told is left out: the next one is.
    pub(super) fn tell(&self, commits: u64) {
        if let Some(file) = self.0.get() {
            let _ = write(file.as_ref(), commits);
        }
    }
}

fn write(file: &dyn DiskFile, commits: u64) -> io::Result<()> {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&commits.to_le_bytes());
    bytes[8..].copy_from_slice(&(!commits).to_le_bytes());
    file.write_all_at(&bytes, 0)
}

/// What was told last; 0 if nothing was.
pub(crate) fn told(file: &dyn DiskFile) -> io::Result<u64> {
    let number = |offset| {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, offset).map(|()| u64::from_le_bytes(bytes))
    };
    match number(0).and_then(|commits| Ok((commits, number(8)?))) {
        Ok((commits, complement)) if complement == !commits => Ok(commits),
        Ok(_) => Ok(0),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        Err(error) => Err(error),
    }
}
