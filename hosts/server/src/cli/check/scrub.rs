//! `tintype check --scrub`.

use std::collections::BTreeMap;

use indicatif::ProgressBar;

use super::{Findings, tell};
use crate::{
    disk::RealDisk,
    storage::repair::{self, Finding, FindingKind},
    storage::{DataFolder, Storage},
};

/// Files whose heads do not say any more whose they were, by their order: they wait for what the ledger knows of them.
pub(super) type Nameless = BTreeMap<u64, Finding>;
/// So many wait; what is beyond is told without its object's name.
const MOST_NAMELESS: usize = 10_000;

/// Looks for the file of every object, and tells whose the nameless are.
pub(super) fn files(store: &Storage, mut nameless: Nameless, findings: &mut Findings) {
    let mut missing = 0_u64;
    let looked = store.each_file(|at, order, is_there| {
        let found = match (nameless.remove(&order), is_there) {
            (Some(found), _) => found,
            (None, false) => {
                Finding { kind: FindingKind::Lost, bucket: None, key: None, file: None, why: String::new() }
            }
            (None, true) => return,
        };
        missing += u64::from(!is_there);
        tell(&Finding { bucket: Some(at.bucket), key: Some(at.key.to_string()), ..found });
    });
    nameless.values().for_each(tell);
    findings.add(
        "files",
        match looked.map(|()| missing) {
            Ok(0) => Ok("every object has its file".into()),
            Ok(missing) => Err(format!(
                "{missing} object(s) without a file, listed above: put the files back from a backup, or upload the \
                 objects again; \"tintype check --repair\" forgets them"
            )),
            Err(fault) => Err(fault.to_string()),
        },
    );
}

/// Verifies every file. Where `waits`, those whose heads are corrupt are not reported yet but returned.
pub(super) fn run(folder: &DataFolder, waits: bool, findings: &mut Findings) -> anyhow::Result<Nameless> {
    let mut nameless = Nameless::new();
    // Hidden where no terminal is.
    let progress = ProgressBar::new(0);
    let scrubbed = repair::scrub(
        &RealDisk,
        folder,
        |files| progress.set_length(files),
        || progress.inc(1),
        |order, finding| {
            if waits && finding.kind == FindingKind::CorruptHead && nameless.len() < MOST_NAMELESS {
                nameless.insert(order, finding);
            } else {
                progress.suspend(|| tell(&finding));
            }
        },
    )?;
    progress.finish_and_clear();
    let repair::Scrubbed { files, bytes, corrupt } = scrubbed;
    let seen = format!("{files} object(s), {}", super::output::bytes(bytes));
    findings.add(
        "scrub",
        match corrupt {
            0 => Ok(format!("{seen}: every checksum is right")),
            _ => Err(format!(
                "{seen}: {corrupt} corrupt, listed above. Upload sources again, or put their files back from a backup; \
                 \"tintype check --repair --scrub\" moves corrupt files to quarantine and has corrupt thumbnails rendered again"
            )),
        },
    );
    Ok(nameless)
}
