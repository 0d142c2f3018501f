//! `tintype check --scrub`.

use std::collections::BTreeMap;

use indicatif::ProgressBar;

use super::{Findings, print};
use crate::{
    disk::RealDisk,
    storage::repair::{self, Finding, FindingKind},
    storage::{DataFolder, Storage},
};

/// Files whose heads no longer name their objects, by their order: the ledger may.
pub(super) type Nameless = BTreeMap<u64, Finding>;
/// The most of them; others are reported without their object.
const MAX_NAMELESS: usize = 10_000;

/// Looks for the file of every object, and reports the objects of the nameless.
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
        print(&Finding { bucket: Some(at.bucket), key: Some(at.key.to_string()), ..found });
    });
    nameless.values().for_each(print);
    findings.add(
        "files",
        match looked.map(|()| missing) {
            Ok(0) => Ok("every object has its file".into()),
            Ok(missing) => Err(format!(
                "{missing} object(s) without a file, listed above: restore the files from a backup, or upload the \
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
            if waits && finding.kind == FindingKind::CorruptHead && nameless.len() < MAX_NAMELESS {
                nameless.insert(order, finding);
            } else {
                progress.suspend(|| print(&finding));
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
                "{seen}: {corrupt} corrupt, listed above. Upload sources again, or restore their files from a backup; \
                 \"tintype check --repair --scrub\" moves corrupt files to quarantine and has corrupt thumbnails rendered again"
            )),
        },
    );
    Ok(nameless)
}
