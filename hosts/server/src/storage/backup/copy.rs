//! Copies a store from one data folder to another: into a backup, and out of one.
//!
//! The target is whole at every moment once it was whole: files first, then the ledger in one rename, then files that it
//! does not reference are removed. What is there already is not copied again.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Serialize;
use tintype_pipeline::store::Location;

use super::order_set::OrderSet;
use crate::{
    disk::{Disk, DiskFile, SharedDisk, is_corruption, make_private},
    ledger::{LedgerError, OldLedger, listed_key},
    storage::{
        DataFolder, FolderError, IntegrityError,
        folder::Marker,
        has_object_files,
        integrity::{is_folder_of_objects, number},
        object_file::{self, Header, Unreadable},
        open_ledger,
        reading::verify,
        repair::{Finding, FindingKind},
    },
};

const CHUNK_BYTES: usize = 1 << 20;

/// What a target is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be a backup, on which no server runs.
    Backup,
    /// To be served.
    Restore,
}

/// What a backup holds, for whoever looks at its file `backup.json`.
#[derive(Debug, Serialize)]
struct Manifest {
    /// The version of the program that wrote it.
    version: &'static str,
    /// When it began, in milliseconds since 1970; everything acknowledged before is in it.
    begun_ms: i64,
    /// The number of its last commit.
    commit: u64,
    /// How many objects it has.
    objects: u64,
}

/// What was copied.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Objects.
    pub objects: u64,
    /// Files that the ledger references.
    pub files: u64,
    /// Those of them that were there already.
    pub unchanged: u64,
    /// Bytes of the others.
    pub bytes: u64,
    /// Files that are not what was written. Where the target has a good copy it is kept; the others were copied as they
    /// are, unless the disk does not read them.
    pub corrupt: u64,
    /// Files that are not there.
    pub missing: u64,
    /// Files of an earlier copy that were removed.
    pub removed: u64,
    /// The number of the last commit.
    pub commit: u64,
}

/// Why a copy did not come about. The target is as whole as it was.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The target holds something else.
    #[error("{0}")]
    Target(String),
    /// The source's ledger cannot be trusted.
    #[error("{path}: {error}")]
    Ledger {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        error: LedgerError,
    },
    /// The copy does not open.
    #[error("the copy does not open: {0}")]
    Integrity(#[from] IntegrityError),
    /// A file or folder cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// It was stopped.
    #[error("{0}")]
    Stopped(String),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |error| BackupError::File { path, error }
}

/// A copy to be made.
#[derive(Debug)]
pub struct FolderCopy<'a> {
    /// The disk of both.
    pub disk: SharedDisk,
    /// The folder whose files are copied; it is only read.
    pub from: &'a DataFolder,
    /// The ledger that says which.
    pub ledger: &'a Path,
    /// The folder they are copied to.
    pub to: Arc<DataFolder>,
    /// What for.
    pub purpose: Purpose,
}

/// Called as a copy proceeds.
pub struct Progress<'a> {
    /// With the number of files, once it is known.
    pub begin: &'a mut dyn FnMut(u64),
    /// After each file, and now and then within one; an error stops the copy.
    pub step: &'a mut dyn FnMut(bool) -> Result<(), BackupError>,
    /// Once every file is there, right before the ledger takes its place; an error stops the copy.
    pub confirm: &'a mut dyn FnMut() -> Result<(), BackupError>,
    /// With each file that is corrupt or missing.
    pub report: &'a mut dyn FnMut(&Finding),
}

impl std::fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress").finish_non_exhaustive()
    }
}

impl FolderCopy<'_> {
    /// Refuses a target that holds anything but an earlier copy of the same store, and marks it as one.
    ///
    /// # Errors
    /// It does, or it cannot be written.
    pub fn claim(&self) -> Result<(), BackupError> {
        let root = self.to.root();
        let marker = self.marker();
        if !self.to.has_marker(marker)? {
            let ledger = self.to.ledger();
            let has_data =
                ledger.try_exists().map_err(at(&ledger))? || has_object_files(self.disk.as_ref(), &self.to)?;
            if has_data {
                return Err(BackupError::Target(match self.purpose {
                    Purpose::Backup => {
                        format!(
                            "{} holds a data folder that is no backup; choose another folder",
                            root.display()
                        )
                    }
                    Purpose::Restore => format!(
                        "the data folder {} holds data already: move it away first, or name another with --data",
                        root.display()
                    ),
                }));
            }
        }
        if let (Some(ours), Some(its)) = (self.from.identity()?, self.to.identity()?)
            && ours != its
        {
            return Err(BackupError::Target(format!(
                "{} is of another data folder than {}; choose another folder for each",
                root.display(),
                self.from.root().display()
            )));
        }
        // An earlier manifest holds until this copy has taken its place.
        if !self.to.has_marker(marker)? {
            self.to.set_marker(marker, "{}")?;
        }
        Ok(())
    }

    const fn marker(&self) -> Marker {
        match self.purpose {
            Purpose::Backup => Marker::Backup,
            Purpose::Restore => Marker::Restoring,
        }
    }

    /// Copies everything into a target that was claimed; verifies every file that is copied.
    ///
    /// # Errors
    /// See [`BackupError`]. What is corrupt or missing in the source is none: it is reported and counted.
    pub fn run(&self, progress: Progress<'_>) -> Result<Copied, BackupError> {
        let Progress { begin, step, confirm, report } = progress;
        let (rows, orders, mut copied) = self.referenced()?;
        begin(orders.count());
        let (disk, to) = (self.disk.as_ref(), &self.to);
        for folder in [to.objects(), to.incoming()] {
            disk.create_folder(&folder).map_err(at(&folder))?;
        }
        disk.sync_folder(to.root()).map_err(at(to.root()))?;
        for folder in orders.folders() {
            self.copy_folder(&rows, &folder, &mut copied, step, report)?;
        }
        drop(rows);
        confirm()?;
        self.copy_private("credentials")?;
        self.publish_ledger()?;
        self.remove_others(&orders, &mut copied)?;
        // Both belong together, and it begins the commit counter.
        drop(open_ledger(&self.disk, &self.to, 1)?);
        Ok(copied)
    }

    /// Marks a target that was copied to as a backup that was begun at this time, in milliseconds since 1970.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish_backup(&self, begun_ms: i64, copied: &Copied) -> Result<(), BackupError> {
        let Copied { commit, objects, .. } = *copied;
        let manifest = Manifest { version: env!("CARGO_PKG_VERSION"), begun_ms, commit, objects };
        let text = serde_json::to_string_pretty(&manifest).unwrap_or_default();
        Ok(self.to.set_marker(Marker::Backup, &text)?)
    }

    /// Lets servers run on a target that was copied to.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish_restore(&self) -> Result<(), BackupError> {
        Ok(self.to.remove_marker(Marker::Restoring)?)
    }

    fn wrong(&self, error: LedgerError) -> BackupError {
        BackupError::Ledger { path: self.ledger.to_owned(), error }
    }

    /// The ledger, the files that it references, and what it says of itself.
    fn referenced(&self) -> Result<(OldLedger, OrderSet, Copied), BackupError> {
        let wrong = |error| self.wrong(error);
        let ledger = OldLedger::open(self.disk.as_ref(), self.ledger).map_err(wrong)?;
        if let Some(problem) = ledger.problem() {
            return Err(wrong(LedgerError::Corrupt(problem.to_owned())));
        }
        let mut orders = OrderSet::default();
        ledger.walk_orders(|order| orders.insert(order)).map_err(wrong)?;
        let copied = Copied {
            objects: ledger.object_count(),
            files: orders.count(),
            commit: ledger.last_commit(),
            ..Copied::default()
        };
        Ok((ledger, orders, copied))
    }

    fn copy_folder(
        &self,
        rows: &OldLedger,
        orders: &[u64],
        copied: &mut Copied,
        step: &mut dyn FnMut(bool) -> Result<(), BackupError>,
        report: &mut dyn FnMut(&Finding),
    ) -> Result<(), BackupError> {
        let disk = self.disk.as_ref();
        let Some(first) = orders.first() else { return Ok(()) };
        let folder = self.to.object_folder(*first);
        disk.create_folder(&folder).map_err(at(&folder))?;
        for order in orders {
            if let Some(finding) = self.copy_object(rows, *order, copied, step)? {
                report(&finding);
            }
            step(true)?;
        }
        disk.sync_folder(&folder).map_err(at(&folder))?;
        let objects = self.to.objects();
        disk.sync_folder(&objects).map_err(at(&objects))
    }

    /// Copies a file, unless the target has it. What is wrong with it is returned, and does not take the place of a good
    /// copy.
    fn copy_object(
        &self,
        rows: &OldLedger,
        order: u64,
        copied: &mut Copied,
        step: &mut dyn FnMut(bool) -> Result<(), BackupError>,
    ) -> Result<Option<Finding>, BackupError> {
        let (disk, source, target) = (self.disk.as_ref(), self.from.object(order), self.to.object(order));
        let file = match disk.open(&source) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                copied.missing += 1;
                return Ok(Some(finding(FindingKind::Lost, None, source, String::new())));
            }
            Err(error) if is_corruption(&error) => {
                copied.corrupt += 1;
                return Ok(Some(finding(FindingKind::CorruptHead, None, source, error.to_string())));
            }
            opened => opened.map_err(at(&source))?,
        };
        let head = match object_file::read(file.as_ref()) {
            Ok(head) => Some(head),
            Err(Unreadable::Disk(error)) if !is_corruption(&error) => return Err(at(&source)(error)),
            Err(_) => None,
        };
        if let Some(head) = &head
            && self.is_referenced(rows, order, head)?
            && self.is_there(order, file.as_ref(), head)
        {
            copied.unchanged += 1;
            return Ok(None);
        }
        let temporary = self.to.incoming().join(format!("{order:016x}"));
        let (bytes, problem) = match self.copy_bytes(file.as_ref(), &source, &temporary, step)? {
            Ok(bytes) => (Some(bytes), self.problem(rows, order, &temporary)?),
            Err(error) => {
                let (kind, place) = match head {
                    Some(head) => (FindingKind::CorruptBytes, Some((head.bucket, head.key))),
                    None => (FindingKind::CorruptHead, None),
                };
                (None, Some(finding(kind, place, source.clone(), error.to_string())))
            }
        };
        copied.corrupt += u64::from(problem.is_some());
        match bytes {
            Some(bytes) if problem.is_none() || !self.has_good(rows, order)? => {
                disk.rename(&temporary, &target).map_err(at(&target))?;
                copied.bytes += bytes;
            }
            _ => disk.remove(&temporary).map_err(at(&temporary))?,
        }
        Ok(problem.map(|problem| Finding { file: Some(source), ..problem }))
    }

    /// Whether the target has this file. Orders are given again after a restore, so its head has to be the same, which
    /// holds a checksum of its bytes.
    fn is_there(&self, order: u64, source: &dyn DiskFile, head: &Header) -> bool {
        let Ok(there) = self.disk.open(&self.to.object(order)) else { return false };
        let same_length =
            matches!((source.length(), there.length()), (Ok(source), Ok(there)) if source == there);
        same_length && object_file::read(there.as_ref()).is_ok_and(|its| its == *head)
    }

    /// Whether the target has a file that is what the ledger references under this order.
    fn has_good(&self, rows: &OldLedger, order: u64) -> Result<bool, BackupError> {
        match self.problem(rows, order, &self.to.object(order)) {
            Err(BackupError::File { error, .. }) if error.kind() == ErrorKind::NotFound => Ok(false),
            checked => Ok(checked?.is_none()),
        }
    }

    /// Whether the ledger references a file with this head under this order.
    fn is_referenced(&self, rows: &OldLedger, order: u64, head: &Header) -> Result<bool, BackupError> {
        let Header { bucket, key, part, record } = head;
        let row = match (part, listed_key(key)) {
            (Some((upload, number)), _) => rows
                .part(upload, *number)
                .map(|row| row.map(|row| (row.order, row.size, row.crc64, row.body_offset))),
            (None, Ok(key)) => rows
                .object(&Location { bucket: bucket.clone(), key })
                .map(|row| row.map(|row| (row.order, row.size, row.crc64, row.body_offset))),
            (None, Err(_)) => Ok(None),
        };
        let its = (order, record.size, record.crc64, record.body_offset);
        Ok(record.order == order && row.map_err(|error| self.wrong(error))? == Some(its))
    }

    /// What is wrong with a file that is to be the one of this order.
    fn problem(&self, rows: &OldLedger, order: u64, path: &Path) -> Result<Option<Finding>, BackupError> {
        let found = |kind, place, why| Ok(Some(finding(kind, place, path.to_owned(), why)));
        let file = match self.disk.open(path) {
            Err(error) if is_corruption(&error) => {
                return found(FindingKind::CorruptHead, None, error.to_string());
            }
            opened => opened.map_err(at(path))?,
        };
        let head = match object_file::read(file.as_ref()) {
            Ok(head) => head,
            Err(Unreadable::Corrupt(why)) => return found(FindingKind::CorruptHead, None, why),
            Err(Unreadable::Disk(error)) if is_corruption(&error) => {
                return found(FindingKind::CorruptHead, None, error.to_string());
            }
            Err(Unreadable::Disk(error)) => return Err(at(path)(error)),
        };
        if !self.is_referenced(rows, order, &head)? {
            let place = format!("s3://{}/{}", head.bucket, head.key);
            let why = format!("it holds {place:?}, which is not what the ledger references under its number");
            return found(FindingKind::CorruptBytes, None, why);
        }
        match verify(file.as_ref(), &head.record).map_err(at(path))? {
            Some(why) => found(FindingKind::CorruptBytes, Some((head.bucket, head.key)), why),
            None => Ok(None),
        }
    }

    /// Copies the bytes of a file; returns how many, or why the source's disk does not read them any more.
    fn copy_bytes(
        &self,
        source: &dyn DiskFile,
        path: &Path,
        temporary: &Path,
        step: &mut dyn FnMut(bool) -> Result<(), BackupError>,
    ) -> Result<io::Result<u64>, BackupError> {
        let file = create(self.disk.as_ref(), temporary).map_err(at(temporary))?;
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut offset = 0;
        loop {
            let count = match source.read_at(&mut buffer, offset) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if is_corruption(&error) => return Ok(Err(error)),
                read => read.map_err(at(path))?,
            };
            if count == 0 {
                break;
            }
            file.write_all_at(&buffer[..count], offset).map_err(at(temporary))?;
            offset += count as u64;
            step(false)?;
        }
        file.sync().map_err(at(temporary))?;
        Ok(Ok(offset))
    }

    /// Copies a small file that only its owner may read; without one, removes that of an earlier copy.
    fn copy_private(&self, name: &str) -> Result<(), BackupError> {
        let (disk, root) = (self.disk.as_ref(), self.to.root());
        let (source, target) = (self.from.root().join(name), root.join(name));
        let file = match disk.open(&source) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return match disk.remove(&target) {
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                    removed => removed.and_then(|()| disk.sync_folder(root)).map_err(at(&target)),
                };
            }
            opened => opened.map_err(at(&source))?,
        };
        self.copy_whole(&source, file.as_ref(), &target)
    }

    fn copy_whole(&self, path: &Path, source: &dyn DiskFile, target: &Path) -> Result<(), BackupError> {
        let (disk, temporary) = (self.disk.as_ref(), target.with_extension("new"));
        let file = create(disk, &temporary).map_err(at(&temporary))?;
        // Before it holds anything.
        make_private(&temporary);
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut offset = 0;
        let length = source.length().map_err(at(path))?;
        while offset < length {
            let count = usize::try_from(length - offset).unwrap_or(usize::MAX).min(CHUNK_BYTES);
            source.read_exact_at(&mut buffer[..count], offset).map_err(at(path))?;
            file.write_all_at(&buffer[..count], offset).map_err(at(&temporary))?;
            offset += count as u64;
        }
        file.sync().map_err(at(&temporary))?;
        disk.rename(&temporary, target).map_err(at(target))?;
        disk.sync_folder(self.to.root()).map_err(at(self.to.root()))
    }

    /// Puts the ledger in its place, with what belongs to it.
    fn publish_ledger(&self) -> Result<(), BackupError> {
        let disk = self.disk.as_ref();
        if let Some(identity) = self.from.identity()? {
            self.to.set_identity(identity)?;
        }
        let source = disk.open(self.ledger).map_err(at(self.ledger))?;
        // The counter may be ahead, if the store was restored since to an earlier moment.
        let counter = self.to.commits();
        match disk.remove(&counter) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(at(&counter)(error)),
            _ => {}
        }
        self.copy_whole(self.ledger, source.as_ref(), &self.to.ledger())
    }

    /// Removes what the ledger does not reference: an earlier copy had it, or was interrupted.
    fn remove_others(&self, orders: &OrderSet, copied: &mut Copied) -> Result<(), BackupError> {
        let (disk, objects, incoming) = (self.disk.as_ref(), self.to.objects(), self.to.incoming());
        for name in disk.list(&incoming).map_err(at(&incoming))?.iter().filter(|name| number(name).is_some())
        {
            let file = incoming.join(name);
            disk.remove(&file).map_err(at(&file))?;
        }
        for name in
            disk.list(&objects).map_err(at(&objects))?.iter().filter(|name| is_folder_of_objects(name))
        {
            let folder = objects.join(name);
            for name in disk.list(&folder).map_err(at(&folder))? {
                let file = folder.join(&name);
                let is_other = number(&name)
                    .is_some_and(|order| self.to.object(order) == file && !orders.contains(order));
                if is_other {
                    disk.remove(&file).map_err(at(&file))?;
                    copied.removed += 1;
                }
            }
            // It fails where there are files.
            let _ = disk.remove_folder(&folder);
        }
        Ok(())
    }
}

/// Creates a file in place of one that an interrupted copy has left.
fn create(disk: &dyn Disk, path: &Path) -> io::Result<Box<dyn DiskFile>> {
    match disk.remove(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    disk.create(path)
}

fn finding(kind: FindingKind, place: Option<(String, String)>, file: PathBuf, why: String) -> Finding {
    let (bucket, key) = place.unzip();
    Finding { kind, bucket, key, file: Some(file), why }
}
