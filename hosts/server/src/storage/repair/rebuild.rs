//! The ledger rebuilt from the object files and what can be read of the old ledger.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use tintype_pipeline::store::Location;

use super::{
    Finding, FindingKind, RepairError,
    decision::{Decision, Known, Trust, decide},
    findings::Findings,
    scan::{self, Scanned},
};
use crate::{
    disk::{Disk, Links, SharedDisk, open_regular},
    ledger::{BucketRecord, Copied, Ledger, LedgerError, ObjectRecord, OldLedger, listed_key},
    storage::{
        DataFolder,
        cleanup::SCAN_WINDOW,
        integrity::{counted_commits, is_older, newest_beyond},
        object_file::Header,
        orders::ORDER_GAP,
        reading::verify,
    },
};

/// Rows written in one transaction.
const CHUNK: usize = 1000;

/// What a repair did.
#[derive(Debug)]
pub struct Repaired {
    /// What was wrong with the old ledger; `None`: nothing.
    pub problem: Option<String>,
    /// Where the old ledger is, if it was replaced.
    pub old_ledger_path: Option<PathBuf>,
    /// Where unused files and the list of findings are; `None`: there were none.
    pub quarantine: Option<PathBuf>,
    /// Objects the ledger now holds.
    pub objects: u64,
    /// What came over from the old ledger beside objects.
    pub copied: Copied,
    /// Files and rows that are not used, and objects in doubt.
    pub findings: u64,
    /// Of these, objects in doubt.
    pub in_doubt: u64,
    /// Of these, objects that no file holds.
    pub lost: u64,
}

/// How to repair.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// Buckets that must exist.
    pub buckets: &'a [String],
    /// Whether every object's bytes are verified, too.
    pub verify: bool,
    /// The time in the names of what is set aside, such as `20261124T141500Z`.
    pub stamp: &'a str,
}

/// Rebuilds the ledger of a folder that is held, unless it is in order already. `begin` is called with
/// the number of files, `progress` for each, `report` for each finding.
///
/// # Errors
/// Something cannot be read or written. Then the old ledger is where it was, or, at the very end, beside the
/// new one under the name with the time; running it again goes on.
pub fn rebuild(
    disk: &SharedDisk,
    folder: &Arc<DataFolder>,
    options: &Options<'_>,
    begin: impl FnOnce(u64),
    mut progress: impl FnMut(),
    report: &mut dyn FnMut(&Finding),
) -> Result<Repaired, RepairError> {
    let (old, problem) = old_ledger(disk.as_ref(), folder)?;
    let trust = trust(disk.as_ref(), folder, old.as_ref(), problem.is_none())?;
    begin(scan::count(disk.as_ref(), folder)?);

    let new_path = folder.root().join("ledger.redb.new");
    remove_if_there(&new_path)?;
    let quarantine = folder.quarantine().join(options.stamp);
    fs::create_dir_all(&quarantine).map_err(RepairError::at(&quarantine))?;
    // So that it survives a power cut with what is moved there.
    for made_in in [folder.quarantine(), folder.root().to_owned()] {
        disk.sync_folder(&made_in).map_err(RepairError::at(&made_in))?;
    }
    let list = quarantine.join("findings.jsonl");
    let mut new = fs::OpenOptions::new();
    let new = new.write(true).create(true).truncate(true);
    let file = open_regular(&list, new, Links::Refuse).map_err(RepairError::at(&list))?;
    let synced = file.try_clone().map_err(RepairError::at(&list))?;

    let mut work = Work {
        disk: disk.as_ref(),
        folder,
        old: old.as_ref(),
        trust,
        verify: options.verify,
        quarantine: &quarantine,
        ledger: Ledger::open(disk.clone(), &new_path, CHUNK, folder.clone())?,
        rows: Vec::new(),
        aside: Vec::new(),
        findings: Findings::new(Box::new(file), report),
        newest: newest_beyond(disk.as_ref(), folder, 0)?.unwrap_or_default(),
        in_doubt: 0,
        lost: 0,
    };
    let copied = match &old {
        Some(old) => old.copy_into(&work.ledger)?,
        None => Copied::default(),
    };
    scan::scan(disk.as_ref(), folder, |scanned| {
        progress();
        work.take(scanned)
    })?;
    work.flush()?;
    if let Some(old) = &old {
        old.copy_details_into(&work.ledger)?;
    }
    work.find_lost()?;
    work.finish_ledger(options.buckets)?;
    let objects = work.count_objects()?;

    let Work { ledger, aside, findings, in_doubt, lost, .. } = work;
    drop(ledger);
    let count = findings.count;
    findings.finish().map_err(RepairError::at(&list))?;
    let in_order = problem.is_none() && trust == Trust::Whole && count == 0;
    let mut old_ledger_path = None;
    if in_order {
        remove_if_there(&new_path)?;
    } else {
        synced.sync_all().map_err(RepairError::at(&list))?;
        move_aside(disk.as_ref(), &quarantine, &aside)?;
        old_ledger_path = replace_ledger(disk.as_ref(), folder, &new_path, options.stamp)?;
    }
    let keep_list = count > 0;
    if !keep_list {
        remove_if_there(&list)?;
        // Only this run's own, empty folder; another run's stays.
        let _ = fs::remove_dir(&quarantine);
        let _ = fs::remove_dir(folder.quarantine());
    }
    let quarantine = keep_list.then_some(quarantine);
    Ok(Repaired { problem, old_ledger_path, quarantine, objects, copied, findings: count, in_doubt, lost })
}

/// The old ledger, if anything of it reads and it is this folder's, and what is wrong with it.
fn old_ledger(
    disk: &dyn Disk,
    folder: &DataFolder,
) -> Result<(Option<OldLedger>, Option<String>), RepairError> {
    let path = folder.ledger();
    if !path.try_exists().map_err(RepairError::at(&path))? {
        return Ok((None, Some("it is missing".into())));
    }
    let old = match OldLedger::open(disk, &path) {
        Ok(old) => old,
        Err(LedgerError::Corrupt(why)) => return Ok((None, Some(why))),
        Err(LedgerError::Foreign(kind)) => return Ok((None, Some(format!("it is {kind}")))),
        Err(error) => return Err(error.into()),
    };
    if let (Some(ours), Some(its)) = (folder.identity()?, old.identity())
        && ours != its
    {
        return Ok((None, Some("it belongs to another data folder".into())));
    }
    let problem = old.problem().map(str::to_owned);
    Ok((Some(old), problem))
}

fn trust(
    disk: &dyn Disk,
    folder: &DataFolder,
    old: Option<&OldLedger>,
    whole: bool,
) -> Result<Trust, RepairError> {
    let Some(old) = old.filter(|_| whole) else { return Ok(Trust::Files) };
    let last = old.last_order();
    let older = is_older(disk, folder, last, old.last_commit())?;
    // Puts that were under way when it was copied may have been acknowledged since.
    let covered = last.saturating_sub(SCAN_WINDOW).min(old.unclean().unwrap_or(u64::MAX).saturating_sub(1));
    Ok(if older.is_some() { Trust::UpTo(covered) } else { Trust::Whole })
}

/// A repair under way.
struct Work<'a> {
    disk: &'a dyn Disk,
    folder: &'a DataFolder,
    old: Option<&'a OldLedger>,
    trust: Trust,
    verify: bool,
    quarantine: &'a Path,
    ledger: Ledger,
    /// Objects to be written with the next transaction.
    rows: Vec<(Location, ObjectRecord)>,
    /// Files that are not used.
    aside: Vec<PathBuf>,
    findings: Findings<'a>,
    /// The highest order there is.
    newest: u64,
    in_doubt: u64,
    lost: u64,
}

impl Work<'_> {
    fn take(&mut self, scanned: Scanned) -> Result<(), RepairError> {
        let Scanned { path, object } = scanned;
        let Some((order, opened)) = object else {
            return self.set_aside(FindingKind::Stray, None, path, String::new());
        };
        let (header, file) = match opened {
            Ok(opened) => opened,
            Err(why) => return self.set_aside(FindingKind::CorruptHead, None, path, why),
        };
        let Header { bucket, key, part, record } = header;
        let place = Some((bucket.clone(), key.clone()));
        if record.order != order {
            return self.set_aside(
                FindingKind::Misplaced,
                place,
                path,
                format!("its head has {:016x}", record.order),
            );
        }
        let key = match listed_key(&key) {
            Ok(key) => key,
            Err(error) => return self.set_aside(FindingKind::CorruptHead, place, path, error.to_string()),
        };
        if let Some((upload, number)) = part {
            let known = self.trust != Trust::Files
                && self.old.map(|old| old.has_part(&upload, number, order)).transpose()?.unwrap_or(false);
            return match known {
                true => Ok(()),
                false => self.set_aside(FindingKind::UnfinishedUpload, place, path, format!("part {number}")),
            };
        }
        let at = Location { bucket, key };
        let known = Known {
            order,
            current: match (self.trust, self.old) {
                (Trust::Files, _) | (_, None) => None,
                (_, Some(old)) => old.object(&at)?.map(|object| object.order),
            },
            was_removed: self.old.is_some_and(|old| old.was_removed(order)),
            placed: self.placed(&at)?,
        };
        match decide(self.trust, known) {
            Decision::SetAside(kind) => self.set_aside(kind, place, path, String::new()),
            Decision::Place => {
                let problem = match self.verify {
                    true => verify(file.as_ref(), &record).map_err(RepairError::at(&path))?,
                    false => None,
                };
                if let Some(why) = problem {
                    return self.set_aside(FindingKind::CorruptBytes, place, path, why);
                }
                if let Some(placed) = known.placed {
                    self.set_aside(
                        FindingKind::Older,
                        place.clone(),
                        self.folder.object(placed),
                        String::new(),
                    )?;
                }
                let is_known = known.current == Some(order);
                if !is_known && !self.trust.covers(order) && self.newest.saturating_sub(order) < SCAN_WINDOW {
                    self.in_doubt += 1;
                    self.find(FindingKind::InDoubt, place, Some(path), String::new())?;
                }
                self.rows.push((at, record));
                if self.rows.len() == CHUNK { self.flush() } else { Ok(()) }
            }
        }
    }

    /// The version of an object that was placed already.
    fn placed(&self, at: &Location) -> Result<Option<u64>, RepairError> {
        let waiting = self.rows.iter().rev().find(|(there, _)| there == at).map(|(_, record)| record.order);
        match waiting {
            Some(order) => Ok(Some(order)),
            None => Ok(self.ledger.view()?.object(at)?.map(|record| record.order)),
        }
    }

    /// Notes a file that is not used; it is moved at the end.
    fn set_aside(
        &mut self,
        kind: FindingKind,
        place: Option<(String, String)>,
        path: PathBuf,
        why: String,
    ) -> Result<(), RepairError> {
        let file = name_aside(&path).map(|name| self.quarantine.join(name));
        self.aside.push(path);
        self.find(kind, place, file, why)
    }

    fn find(
        &mut self,
        kind: FindingKind,
        place: Option<(String, String)>,
        file: Option<PathBuf>,
        why: String,
    ) -> Result<(), RepairError> {
        let (bucket, key) = place.unzip();
        let finding = Finding { kind, bucket, key, file, why };
        self.findings.add(&finding).map_err(RepairError::at(self.quarantine))
    }

    fn flush(&mut self) -> Result<(), RepairError> {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return Ok(());
        }
        let pending = self.ledger.submit(Vec::new(), move |changes| {
            for (at, record) in rows {
                if changes.bucket(&at.bucket)?.is_none() {
                    changes.put_bucket(&at.bucket, &BucketRecord::new(record.modified_ms, None))?;
                }
                changes.put_object(&at, &record)?;
            }
            Ok::<_, LedgerError>(())
        });
        Ok(pending.wait()?)
    }

    /// Objects of the old ledger that no file holds.
    fn find_lost(&mut self) -> Result<(), RepairError> {
        let Some(old) = self.old.filter(|_| self.trust != Trust::Files) else { return Ok(()) };
        let view = self.ledger.view()?;
        let mut lost = Vec::new();
        old.walk_objects(|at, _| {
            if view.object(&at)?.is_none() {
                lost.push((at.bucket, at.key.to_string()));
            }
            Ok(())
        })?;
        drop(view);
        self.lost = lost.len() as u64;
        lost.into_iter().try_for_each(|place| self.find(FindingKind::Lost, Some(place), None, String::new()))
    }

    /// What is neither objects nor the old ledger's: buckets of the settings, numbers, the identity.
    fn finish_ledger(&self, buckets: &[String]) -> Result<(), RepairError> {
        let identity = self.folder.identity()?.or_else(|| self.old.and_then(OldLedger::identity));
        let last = self.newest.max(self.old.map_or(0, OldLedger::last_order));
        // The new one goes on where the old one was, so that the old one is known for older from the first commit on.
        let commits = counted_commits(self.disk, self.folder).max(self.old.map_or(0, OldLedger::last_commit));
        let (buckets, now) = (buckets.to_vec(), tintype_pipeline::clock::now_ms());
        let pending = self.ledger.submit(Vec::new(), move |changes| {
            for name in buckets {
                if changes.bucket(&name)?.is_none() {
                    changes.put_bucket(&name, &BucketRecord::new(now, None))?;
                }
            }
            if let Some(identity) = identity {
                changes.set_identity(identity)?;
            }
            // Until every source without a thumbnail is queued, which comes next, unless something comes between.
            changes.set_owes_backfill(true)?;
            changes.set_commits(commits)?;
            // Nothing is left to be cleaned up: files that are put back must not be taken for orphans.
            changes.use_order(last + ORDER_GAP)
        });
        Ok(pending.wait()?)
    }

    fn count_objects(&self) -> Result<u64, RepairError> {
        Ok(self.ledger.view()?.object_count()?)
    }
}

fn remove_if_there(path: &Path) -> Result<(), RepairError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(RepairError::File { path: path.to_owned(), error })
        }
        _ => Ok(()),
    }
}

/// A file's name in quarantine: two folders may have files of one name.
fn name_aside(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy();
    let folder = path.parent().and_then(Path::file_name)?.to_string_lossy();
    Some(format!("{folder}-{name}"))
}

fn move_aside(disk: &dyn Disk, quarantine: &Path, files: &[PathBuf]) -> Result<(), RepairError> {
    for path in files {
        let Some(name) = name_aside(path) else { continue };
        disk.rename(path, &quarantine.join(name)).map_err(RepairError::at(path))?;
    }
    disk.sync_folder(quarantine).map_err(RepairError::at(quarantine))?;
    let mut folders: Vec<&Path> = files.iter().filter_map(|path| path.parent()).collect();
    folders.sort_unstable();
    folders.dedup();
    folders.into_iter().try_for_each(|folder| disk.sync_folder(folder).map_err(RepairError::at(folder)))
}

/// Puts the new ledger in the old one's place; returns where the old one is.
fn replace_ledger(
    disk: &dyn Disk,
    folder: &DataFolder,
    new: &Path,
    stamp: &str,
) -> Result<Option<PathBuf>, RepairError> {
    let (ledger, old_path) =
        (folder.ledger(), folder.root().join(format!("ledger.redb.before-repair-{stamp}")));
    let old = ledger.try_exists().map_err(RepairError::at(&ledger))?;
    // A second name for the old one, so that there is a ledger at every moment; where a file system has none,
    // it is renamed.
    if old && fs::hard_link(&ledger, &old_path).is_err() {
        disk.rename(&ledger, &old_path).map_err(RepairError::at(&ledger))?;
    }
    disk.rename(new, &ledger).map_err(RepairError::at(new))?;
    disk.sync_folder(folder.root()).map_err(RepairError::at(folder.root()))?;
    Ok(old.then_some(old_path))
}
