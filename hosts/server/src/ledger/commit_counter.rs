//! The number of commits, stored beside the ledger: a ledger that has fewer is a copy of an earlier time.
//!
//! Written after each commit and not synced then: the commit was durable before, so after a power cut the number is too
//! low and never too high. It is stored with its complement; a file without it counts as 0.

use std::{io, sync::OnceLock};

use crate::disk::DiskFile;

/// The file that holds the number of the last commit.
#[derive(Debug, Default)]
pub(super) struct CommitCounter(OnceLock<Box<dyn DiskFile>>);

impl CommitCounter {
    /// Writes every further commit's number to `file`; only the first call counts.
    pub(super) fn begin(&self, file: Box<dyn DiskFile>, commits: u64) -> io::Result<()> {
        write(file.as_ref(), commits)?;
        // In place of another ledger's number, which must not come back.
        file.sync()?;
        let _ = self.0.set(file);
        Ok(())
    }

    /// Records a commit that is durable. What cannot be written is left out: the next one is.
    pub(super) fn record(&self, commits: u64) {
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

/// The number recorded last; 0 if none was.
pub(crate) fn recorded_commits(file: &dyn DiskFile) -> io::Result<u64> {
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
