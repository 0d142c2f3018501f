//! Integrity checks: whether a data folder and its ledger belong together, before anything is started over them; and
//! whether every object has its file.

use std::{io::ErrorKind, path::Path, sync::Arc};

use tintype_pipeline::store::Location;

use super::{
    DataFolder, FolderError, PageRequest, Storage, StoreFault, folder::FOLDER_BITS, orders::ORDER_GAP,
};
use crate::{
    disk::{Disk, SharedDisk, is_wrong_type},
    ledger::{Ledger, LedgerError, listed_key, recorded_commits},
};

/// Objects looked at in one view of the ledger.
const PAGE: usize = 500;

/// Files that a run may leave above its last commit: more than connections and workers have under way at once.
const MOST_UNFINISHED: usize = 4096;

/// Opens the ledger of a data folder, if the two belong together; at most `max_batch` changes share one commit.
///
/// # Errors
/// They do not, or the ledger cannot be opened.
pub fn open_ledger(
    disk: &SharedDisk,
    folder: &Arc<DataFolder>,
    max_batch: usize,
) -> Result<Arc<Ledger>, IntegrityError> {
    check_before_opening(disk.as_ref(), folder)?;
    let ledger = Ledger::open(disk.clone(), &folder.ledger(), max_batch, folder.clone())?;
    check_opened(disk.as_ref(), folder, &ledger)?;
    Ok(Arc::new(ledger))
}

/// Refuses a folder that holds object files but no ledger: a new ledger would hide all of them.
///
/// # Errors
/// [`FolderError::LedgerMissing`], or the folder cannot be read.
fn check_before_opening(disk: &dyn Disk, folder: &DataFolder) -> Result<(), FolderError> {
    if ledger_length(disk, folder)? == 0 && has_object_files(disk, folder)? {
        return Err(FolderError::LedgerMissing(folder.root().to_owned()));
    }
    Ok(())
}

/// Refuses a ledger of another folder, one that has been further already, and one whose object files are all gone; and has
/// folder and ledger know each other if they do not yet.
///
/// # Errors
/// [`FolderError::LedgerElsewhere`], [`FolderError::LedgerOld`], [`FolderError::FilesMissing`], or the disk fails.
fn check_opened(disk: &dyn Disk, folder: &DataFolder, ledger: &Ledger) -> Result<(), IntegrityError> {
    match (folder.identity()?, ledger.identity()?) {
        (Some(ours), Some(its)) if ours != its => {
            return Err(FolderError::LedgerElsewhere(folder.root().to_owned()).into());
        }
        (Some(_), Some(_)) => {}
        (None, Some(its)) => folder.set_identity(its)?,
        (Some(ours), None) => {
            // A ledger that was just created. Over object files it is not the one that describes them.
            if has_object_files(disk, folder)? {
                return Err(FolderError::LedgerElsewhere(folder.root().to_owned()).into());
            }
            count_commits(disk, folder, ledger);
            ledger.set_identity(ours).map_err(StoreFault::from)?;
        }
        (None, None) => {
            let identity = random()?;
            count_commits(disk, folder, ledger);
            ledger.set_identity(identity).map_err(StoreFault::from)?;
            folder.set_identity(identity)?;
        }
    }
    let (last, commits, objects) = {
        let view = ledger.view()?;
        (view.last_order()?, view.last_commit()?, view.object_count()?)
    };
    if let Some(why) = is_older(disk, folder, last, commits)? {
        return Err(FolderError::LedgerOld { folder: folder.root().to_owned(), why }.into());
    }
    if objects > 0 && !has_object_files(disk, folder)? {
        return Err(FolderError::FilesMissing(folder.root().to_owned()).into());
    }
    count_commits(disk, folder, ledger);
    Ok(())
}

/// Begins the commit counter beside the ledger, in place of another ledger's. Where it cannot be written, as on a full
/// disk, only the check for older copies suffers.
fn count_commits(disk: &dyn Disk, folder: &DataFolder, ledger: &Ledger) {
    let begun = disk.open_or_create(&folder.commits()).map_err(LedgerError::from);
    if let Err(error) = begun.and_then(|file| ledger.count_commits_in(file)) {
        let path = folder.commits();
        tracing::warn!(path = %path.display(), %error, "an older copy of the ledger, put back later, may not be recognised");
    }
}

/// The commit counter beside the ledger; 0 if there is none, or it cannot be read.
pub(super) fn counted_commits(disk: &dyn Disk, folder: &DataFolder) -> u64 {
    match disk.open(&folder.commits()).and_then(|file| recorded_commits(file.as_ref())) {
        Ok(commits) => commits,
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        Err(error) => {
            let path = folder.commits();
            tracing::warn!(path = %path.display(), %error, "this file cannot show whether the ledger is an older copy");
            0
        }
    }
}

impl Storage {
    /// Visits every object with the order of its file and whether that is there.
    ///
    /// # Errors
    /// Ledger or disk cannot be read.
    pub fn each_file(&self, mut visit: impl FnMut(Location, u64, bool)) -> Result<(), StoreFault> {
        for (bucket, _) in self.buckets.list()? {
            let mut after = Some(String::new());
            while let Some(from) = after.take() {
                let request = PageRequest { after: from, max: PAGE, ..Default::default() };
                let page = self.listing.page(&bucket, &request)?;
                for (key, record) in page.objects {
                    let is_there = match self.files.open(record.order) {
                        Err(error) if error.kind() == ErrorKind::NotFound || is_wrong_type(&error) => false,
                        opened => opened.map(|_| true)?,
                    };
                    let at = Location { bucket: bucket.clone(), key: listed_key(&key)? };
                    visit(at, record.order, is_there);
                }
                after = page.next;
            }
        }
        Ok(())
    }
}

/// Why they do not belong together, or could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum IntegrityError {
    /// They do not, or the folder cannot be read.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The ledger cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

impl From<LedgerError> for IntegrityError {
    fn from(error: LedgerError) -> Self {
        Self::Store(error.into())
    }
}

/// Whether a ledger whose last order and last commit are these is a copy of an earlier moment: there have been more commits,
/// or, where that was not written down, files are beyond all that its run can have given, or more lie above it than puts can
/// have been under way at once. Returns the reason.
pub(crate) fn is_older(
    disk: &dyn Disk,
    folder: &DataFolder,
    last: u64,
    commits: u64,
) -> Result<Option<String>, FolderError> {
    let counted = counted_commits(disk, folder);
    if counted > commits {
        return Ok(Some(format!("its ledger is at commit {commits}, and there have been {counted}")));
    }
    let by_files = |newest| {
        format!("object files go up to number {newest}, far beyond the last one the ledger knows ({last})")
    };
    if let Some(newest) = newest_beyond(disk, folder, beyond_its_run(last))? {
        return Ok(Some(by_files(newest)));
    }
    let (mut count, mut newest) = (0, last);
    for name in folders_beyond(disk, folder, last)? {
        for order in orders_beyond(disk, folder, &name, last)? {
            count += 1;
            newest = newest.max(order);
        }
    }
    Ok((count > MOST_UNFINISHED).then(|| by_files(newest)))
}

/// The last order that a run can have given whose ledger knows of `last`: the next one begins above it, and writes that
/// down before its first file.
const fn beyond_its_run(last: u64) -> u64 {
    last.saturating_add(ORDER_GAP - 1)
}

/// The highest order of an object file that is above `bound`: a run leaves files of unfinished puts close to
/// the last order only.
pub(crate) fn newest_beyond(
    disk: &dyn Disk,
    folder: &DataFolder,
    bound: u64,
) -> Result<Option<u64>, FolderError> {
    for name in folders_beyond(disk, folder, bound)? {
        let newest = orders_beyond(disk, folder, &name, bound)?.into_iter().max();
        if newest.is_some() {
            return Ok(newest);
        }
    }
    Ok(None)
}

/// Folders of object files that may hold orders above `bound`, the newest first.
fn folders_beyond(disk: &dyn Disk, folder: &DataFolder, bound: u64) -> Result<Vec<String>, FolderError> {
    let mut folders = folders_of_objects(disk, folder)?;
    folders.retain(|name| number(name).is_some_and(|number| number >= bound >> FOLDER_BITS));
    folders.sort_unstable_by(|a, b| b.cmp(a));
    Ok(folders)
}

/// The orders above `bound` of the files in one of them.
fn orders_beyond(
    disk: &dyn Disk,
    folder: &DataFolder,
    name: &str,
    bound: u64,
) -> Result<Vec<u64>, FolderError> {
    let unreadable = |error| FolderError::Unwritable { folder: folder.objects(), error };
    let files = disk.list(&folder.objects().join(name)).map_err(unreadable)?;
    let here = |order: &u64| *order > bound && number(name) == Some(order >> FOLDER_BITS);
    Ok(files.iter().filter_map(|file| number(file)).filter(here).collect())
}

/// The number in the name of an object file or of a folder of them.
pub(crate) fn number(name: &str) -> Option<u64> {
    u64::from_str_radix(name, 16).ok()
}

fn ledger_length(disk: &dyn Disk, folder: &DataFolder) -> Result<u64, FolderError> {
    match disk.open(&folder.ledger()).and_then(|file| file.length()) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        // Something is there; what is wrong with it is for whoever opens it.
        Err(error) if is_wrong_type(&error) => Ok(1),
        length => length.map_err(|error| FolderError::Unwritable { folder: folder.root().to_owned(), error }),
    }
}

/// Whether there is any object file.
///
/// # Errors
/// The folder cannot be read.
pub fn has_object_files(disk: &dyn Disk, folder: &DataFolder) -> Result<bool, FolderError> {
    let unreadable = |path: &Path, error| FolderError::Unwritable { folder: path.to_owned(), error };
    for name in folders_of_objects(disk, folder)? {
        let below = folder.objects().join(&name);
        let names = match disk.list(&below) {
            // A stray file among the folders is no object, nor is a dangling link.
            Err(error) if matches!(error.kind(), ErrorKind::NotADirectory | ErrorKind::NotFound) => continue,
            listed => listed.map_err(|error| unreadable(&below, error))?,
        };
        if !names.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The names of the folders that object files lie in; none before the first start. Anything else is
/// ignored.
fn folders_of_objects(disk: &dyn Disk, folder: &DataFolder) -> Result<Vec<String>, FolderError> {
    let mut names = match disk.list(&folder.objects()) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(|error| FolderError::Unwritable { folder: folder.objects(), error })?,
    };
    names.retain(|name| is_folder_of_objects(name));
    Ok(names)
}

/// Whether a folder with this name holds object files.
pub(crate) fn is_folder_of_objects(name: &str) -> bool {
    name.len() >= 8 && number(name).is_some()
}

fn random() -> Result<u64, StoreFault> {
    getrandom::u64().map_err(|error| StoreFault::Unavailable(format!("no random numbers: {error}")))
}
