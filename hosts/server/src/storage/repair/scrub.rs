//! Every object's bytes against the checksum they were written with.

use std::path::PathBuf;

use super::{Finding, RepairError, What, scan};
use crate::{
    disk::Disk,
    storage::{DataFolder, verify},
};

/// What was verified.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Scrubbed {
    /// Files looked at.
    pub files: u64,
    /// Their objects' bytes.
    pub bytes: u64,
    /// Files that are not what was written.
    pub damaged: u64,
}

/// Verifies every object file by what its head says. Files may come and go meanwhile: a server may run.
/// `begin` is told how many there are, `progress` is called for each, `tell` for each that is damaged, with its order.
///
/// # Errors
/// A folder or file cannot be read.
pub fn scrub(
    disk: &dyn Disk,
    folder: &DataFolder,
    begin: impl FnOnce(u64),
    mut progress: impl FnMut(),
    mut tell: impl FnMut(u64, Finding),
) -> Result<Scrubbed, RepairError> {
    begin(scan::count(disk, folder)?);
    let mut scrubbed = Scrubbed::default();
    scan::scan(disk, folder, |scanned| {
        progress();
        let Some((order, opened)) = scanned.object else { return Ok(()) };
        scrubbed.files += 1;
        let finding = match opened {
            Err(why) => Some(finding(What::DamagedHead, None, scanned.path, why)),
            Ok((story, file)) => {
                scrubbed.bytes += story.record.size;
                let problem = verify(file.as_ref(), &story.record)
                    .map_err(|error| RepairError::File { path: scanned.path.clone(), error })?;
                let place = Some((story.bucket, story.key));
                problem.map(|why| finding(What::DamagedBytes, place, scanned.path, why))
            }
        };
        if let Some(finding) = finding {
            scrubbed.damaged += 1;
            tell(order, finding);
        }
        Ok(())
    })?;
    Ok(scrubbed)
}

fn finding(what: What, place: Option<(String, String)>, file: PathBuf, why: String) -> Finding {
    let (bucket, key) = place.unzip();
    Finding { what, bucket, key, file: Some(file), why }
}
