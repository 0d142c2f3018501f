//! Every object's bytes against the checksum they were written with.

use std::path::PathBuf;

use super::{Finding, FindingKind, RepairError, scan};
use crate::{
    disk::Disk,
    storage::{DataFolder, reading::verify},
};

/// What was verified.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Scrubbed {
    /// Files looked at.
    pub files: u64,
    /// Their objects' bytes.
    pub bytes: u64,
    /// Files that are not what was written.
    pub corrupt: u64,
}

/// Verifies every object file by its head. Files may come and go meanwhile: a server may run.
/// `begin` is called with their number, `progress` for each, `report` for each that is corrupt, with its order.
///
/// # Errors
/// A folder or file cannot be read.
pub fn scrub(
    disk: &dyn Disk,
    folder: &DataFolder,
    begin: impl FnOnce(u64),
    mut progress: impl FnMut(),
    mut report: impl FnMut(u64, Finding),
) -> Result<Scrubbed, RepairError> {
    begin(scan::count(disk, folder)?);
    let mut scrubbed = Scrubbed::default();
    scan::scan(disk, folder, |scanned| {
        progress();
        let Some((order, opened)) = scanned.object else { return Ok(()) };
        scrubbed.files += 1;
        let finding = match opened {
            Err(why) => Some(finding(FindingKind::CorruptHead, None, scanned.path, why)),
            Ok((header, file)) => {
                scrubbed.bytes += header.record.size;
                let problem = verify(file.as_ref(), &header.record)
                    .map_err(|error| RepairError::File { path: scanned.path.clone(), error })?;
                let place = Some((header.bucket, header.key));
                problem.map(|why| finding(FindingKind::CorruptBytes, place, scanned.path, why))
            }
        };
        if let Some(finding) = finding {
            scrubbed.corrupt += 1;
            report(order, finding);
        }
        Ok(())
    })?;
    Ok(scrubbed)
}

fn finding(kind: FindingKind, place: Option<(String, String)>, file: PathBuf, why: String) -> Finding {
    let (bucket, key) = place.unzip();
    Finding { kind, bucket, key, file: Some(file), why }
}
