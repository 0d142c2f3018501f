//! `tintype check --scrub`.

use indicatif::ProgressBar;

use super::{Findings, tell};
use crate::{
    disk::RealDisk,
    repair::{self, Finding, What},
    store::{DataFolder, DiskStore},
};

/// Looks for the file of every object.
pub(super) fn missing(store: &DiskStore, findings: &mut Findings) {
    let missing = store.missing_files(|at| {
        tell(&Finding {
            what: What::Lost,
            bucket: Some(at.bucket.clone()),
            key: Some(at.key.to_string()),
            file: None,
            why: String::new(),
        });
    });
    findings.add(
        "files",
        match missing {
            Ok(0) => Ok("every object has its file".into()),
            Ok(missing) => Err(format!(
                "{missing} object(s) without a file, listed above: put the files back from a backup, or upload the \
                 objects again; \"tintype check --repair\" forgets them"
            )),
            Err(fault) => Err(fault.to_string()),
        },
    );
}

/// Verifies every file.
pub(super) fn run(folder: &DataFolder, findings: &mut Findings) -> anyhow::Result<()> {
    // Hidden where no terminal is.
    let progress = ProgressBar::new(0);
    let scrubbed = repair::scrub(
        &RealDisk,
        folder,
        |files| progress.set_length(files),
        || progress.inc(1),
        |finding| progress.suspend(|| tell(finding)),
    )?;
    progress.finish_and_clear();
    let repair::Scrubbed { files, bytes, damaged } = scrubbed;
    let seen = format!("{files} object(s), {}", super::output::bytes(bytes));
    findings.add(
        "scrub",
        match damaged {
            0 => Ok(format!("{seen}: every checksum is right")),
            _ => Err(format!(
                "{seen}: {damaged} damaged, listed above. Upload sources again, or put their files back from a backup; \
                 \"tintype check --repair --scrub\" moves damaged files to quarantine and has damaged thumbnails made anew"
            )),
        },
    );
    Ok(())
}
