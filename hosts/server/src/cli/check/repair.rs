//! `tintype check --repair`.

use std::sync::Arc;

use indicatif::ProgressBar;

use super::{Findings, print};
use crate::{
    disk::{RealDisk, SharedDisk},
    server::open_parts,
    settings::Settings,
    storage::DataFolder,
    storage::repair::{self, Options, Repaired},
};

pub(super) fn run(
    settings: &Settings,
    folder: DataFolder,
    verify: bool,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let (disk, folder): (SharedDisk, _) = (Arc::new(RealDisk), Arc::new(folder));
    let used = settings.triggers.iter().flat_map(|trigger| [&trigger.bucket, &trigger.destination]);
    let buckets: Vec<String> = used.cloned().collect();
    let options = Options { buckets: &buckets, verify, stamp: &stamp()? };
    let progress = ProgressBar::new(0);
    let repaired = quietly(|| {
        repair::rebuild(
            &disk,
            &folder,
            &options,
            |files| progress.set_length(files),
            || progress.inc(1),
            &mut |finding| progress.suspend(|| print(finding)),
        )
    })?;
    progress.finish_and_clear();
    summarise(&repaired, findings);

    let folder = Arc::into_inner(folder).ok_or_else(|| anyhow::anyhow!("the data folder is still in use"))?;
    let parts = open_parts(settings, disk, folder)?;
    let queued = parts.store.backfill.run_after_repair()?;
    let words = match queued {
        0 => "every source has its thumbnails or a dead letter".into(),
        _ => format!("{queued} source(s) without a current thumbnail; tintype serve renders them"),
    };
    findings.add("queued", Ok(words));
    Ok(())
}

fn summarise(repaired: &Repaired, findings: &mut Findings) {
    let Repaired { problem, old_ledger_path, quarantine, objects, copied, findings: count, in_doubt, lost } =
        repaired;
    if let Some(problem) = problem {
        findings.add("old ledger", Err(format!("could not be trusted: {problem}")));
        findings.add(
            "not in the files",
            Ok("what waited in the queue and uploads under way are gone; sources without a thumbnail are queued again. \
                Thumbnails of sources that were deleted shortly before may be left: tintype orphans finds them. Look at \
                notifications and CORS rules that were set through S3: as far as the old ledger could be read they are \
                back"
                .into()),
        );
    }
    let held = format!(
        "{objects} object(s), {} bucket(s) with their rules, {} event(s), {} dead letter(s) and {} upload(s) of the old one",
        copied.buckets, copied.events, copied.dead_letters, copied.uploads
    );
    match old_ledger_path {
        Some(old) => {
            findings.add("ledger", Ok(format!("rebuilt: {held}; the old one is {}", old.display())));
        }
        None if problem.is_some() || *count > 0 => findings.add("ledger", Ok(format!("rebuilt: {held}"))),
        None => findings.add("ledger", Ok(format!("in order, left as it is: {objects} object(s)"))),
    }
    if *in_doubt > 0 {
        let words = format!(
            "{in_doubt} object(s) that were written last stay, but without a trustworthy ledger nobody can say whether their \
             uploads were acknowledged, or whether they were deleted just before the end: look through them"
        );
        findings.add("in doubt", Ok(words));
    }
    if let Some(quarantine) = quarantine {
        let aside = count - in_doubt - lost;
        let words = format!(
            "{aside} file(s) moved there, {lost} object(s) forgotten that no sound file holds; all are listed in {}",
            quarantine.join("findings.jsonl").display()
        );
        findings.add("quarantine", if aside + lost > 0 { Err(words) } else { Ok(words) });
    }
}

/// The database's code may panic on a corrupt ledger, which is caught and reported: its own message would only alarm.
fn quietly<T>(work: impl FnOnce() -> T) -> T {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    std::panic::set_hook(hook);
    done.unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        panic!("{}", words.or(panic.downcast_ref::<&str>().copied()).unwrap_or("an internal error"))
    })
}

/// The time in file names.
fn stamp() -> anyhow::Result<String> {
    let shape = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
    Ok(time::OffsetDateTime::now_utc().format(&shape)?)
}
