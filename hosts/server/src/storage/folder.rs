//! The data folder: where things are in it, whose it is, and which format it has.

use std::{
    fs::{self, File, TryLockError},
    io::Write as _,
    path::{Path, PathBuf},
};

use crate::disk::{
    Links, check_no_link, check_same_volume, is_wrong_type, open_regular, read_text, sync_folder,
};

/// Raised when an older program could not read what this one writes.
const FORMAT: u32 = 1;
const FORMAT_NAME: &str = "tintype-data ";
const FORMAT_FILE: &str = "format";
/// The file of the number that folder and ledger share.
const IDENTITY: &str = "identity";

/// Objects a folder holds, as a power of two: consecutive puts share a folder, and so its sync.
pub(crate) const FOLDER_BITS: u32 = 12;

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It cannot be created or written.
    #[error(
        "data folder {folder}: {error}; choose a folder this user may write with --data or the setting \"data\""
    )]
    Unwritable {
        /// The folder.
        folder: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// One of its files is of another type.
    #[error(
        "data folder {folder}: {name}: {error}; move it away, and put back the file from a backup of this folder if there is one"
    )]
    WrongType {
        /// The folder.
        folder: PathBuf,
        /// The file's name.
        name: &'static str,
        /// What it is.
        error: std::io::Error,
    },
    /// One of its folders is a link, or on another volume.
    #[error("data folder {folder}: {error}")]
    Elsewhere {
        /// The folder.
        folder: PathBuf,
        /// Which, and what to do.
        error: std::io::Error,
    },
    /// Another server has it open.
    #[error(
        "data folder {0} is in use by another tintype server; stop that one first, or choose another with --data"
    )]
    InUse(PathBuf),
    /// Something else lives there.
    #[error("data folder {0} is not empty and not tintype's; choose another with --data")]
    Foreign(PathBuf),
    /// Its ledger is gone, but its object files are there.
    #[error(
        "data folder {0} holds object files but no ledger: nothing is started over them. Put ledger.redb back from a backup of \
         this folder, or run \"tintype check --repair\" with the same settings, which rebuilds it from the object files"
    )]
    LedgerMissing(PathBuf),
    /// Its ledger is older than its files.
    #[error(
        "data folder {folder}: {why}: the ledger seems to be from an older backup. Put the right ledger.redb back, or run \
         \"tintype check --repair\", which brings it up to date from the object files"
    )]
    LedgerOld {
        /// The folder.
        folder: PathBuf,
        /// What shows it.
        why: String,
    },
    /// Its object files are gone, but the ledger that references them is there.
    #[error(
        "data folder {0}: the ledger lists objects, but there is not one object file: nothing is started over it. Put \
         {objects} back, from where it was moved to or from a backup; only if they are gone for good, run \
         \"tintype check --repair\", which lists what is lost and forgets it", objects = .0.join("objects").display()
    )]
    FilesMissing(PathBuf),
    /// The file of its format is gone.
    #[error(
        "data folder {0}: its file \"format\" is missing or corrupt, although a ledger lies beside it; run \
         \"tintype check --repair\", which writes it again and checks the rest"
    )]
    FormatLost(PathBuf),
    /// Its ledger belongs to another folder.
    #[error(
        "data folder {0}: ledger.redb belongs to another data folder and does not describe the objects here. Put the right \
         one back, or run \"tintype check --repair\", which rebuilds it from the object files"
    )]
    LedgerElsewhere(PathBuf),
    /// It is a backup.
    #[error(
        "data folder {0} is a backup: copy it to where a server runs with \"tintype restore {0}\", and --data for that folder"
    )]
    Backup(PathBuf),
    /// A restore into it was interrupted.
    #[error("data folder {0} is not whole: a restore into it was interrupted. Run \"tintype restore\" again")]
    Restoring(PathBuf),
    /// It was written by a newer program.
    #[error(
        "data folder {folder} has format {found}; this program knows formats up to {FORMAT}: use a newer tintype"
    )]
    Newer {
        /// The folder.
        folder: PathBuf,
        /// Its format.
        found: u32,
    },
}

/// A file that says that no server may run on a data folder, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    /// It is a backup.
    Backup,
    /// It is being restored.
    Restoring,
}

impl Marker {
    const fn name(self) -> &'static str {
        match self {
            Self::Backup => "backup.json",
            Self::Restoring => "restoring",
        }
    }
}

/// An open data folder, held exclusively until dropped.
#[derive(Debug)]
pub struct DataFolder {
    root: PathBuf,
    /// Empty: another process has it, and this one only reads.
    _locks: Vec<File>,
}

impl DataFolder {
    /// Makes the folder, if it is not there.
    ///
    /// # Errors
    /// [`FolderError::Unwritable`].
    pub fn make(root: &Path) -> Result<(), FolderError> {
        make_durably(root).map_err(|error| FolderError::Unwritable { folder: root.to_owned(), error })
    }

    /// Opens or makes the folder of a server and takes it for this process.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn open(root: &Path) -> Result<Self, FolderError> {
        let folder = Self::open_any(root)?;
        if folder.has_marker(Marker::Backup)? {
            return Err(FolderError::Backup(root.to_owned()));
        }
        if folder.has_marker(Marker::Restoring)? {
            return Err(FolderError::Restoring(root.to_owned()));
        }
        Ok(folder)
    }

    /// The same for any folder: it may be a backup, or be restored.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn open_any(root: &Path) -> Result<Self, FolderError> {
        Self::make(root)?;
        let root = &resolved(root);
        is_made(root)?;
        Self::take(root)
    }

    /// Opens the folder and locks it for this process, if it is a data folder already; creates nothing.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn open_existing(root: &Path) -> Result<Option<Self>, FolderError> {
        let there = root.try_exists();
        let there = there.map_err(|error| FolderError::Unwritable { folder: root.to_owned(), error })?;
        let root = &resolved(root);
        if !there || !is_made(root)? {
            return Ok(None);
        }
        Self::take(root).map(Some)
    }

    /// The folder of a server that runs, to be looked at only.
    #[must_use]
    pub fn look_at(root: &Path) -> Self {
        Self { root: resolved(root), _locks: Vec::new() }
    }

    fn take(root: &Path) -> Result<Self, FolderError> {
        let unwritable = |error| FolderError::Unwritable { folder: root.to_owned(), error };
        for name in ["objects", "incoming", "quarantine"] {
            let folder = root.join(name);
            check_no_link(&folder)
                .and_then(|()| check_same_volume(root, &folder))
                .map_err(|error| FolderError::Elsewhere { folder: root.to_owned(), error })?;
        }
        let format = root.join(FORMAT_FILE);
        let lock = create(&root.join("lock")).map_err(|error| unusable(root, "lock", error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FolderError::InUse(root.to_owned())),
            Err(TryLockError::Error(error)) => return Err(unwritable(error)),
        }
        // A lock file that looks stale may be removed; the folder itself stays. Where folders have no locks, as on NFS,
        // the file has to do.
        let whole = File::open(root).map_err(unwritable)?;
        if let Err(TryLockError::WouldBlock) = whole.try_lock() {
            return Err(FolderError::InUse(root.to_owned()));
        }
        if !format.exists() {
            Self::write_format(root)?;
        }
        Ok(Self { root: root.to_owned(), _locks: vec![lock, whole] })
    }

    /// Writes the file of the folder's format: this program's.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_format(root: &Path) -> Result<(), FolderError> {
        write_durably(root, FORMAT_FILE, &format!("{FORMAT_NAME}{FORMAT}"))
            .map_err(|error| FolderError::Unwritable { folder: root.to_owned(), error })
    }

    /// The number by which the folder and its ledger know each other; `None` before they have met.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn identity(&self) -> Result<Option<u64>, FolderError> {
        match read_text(&self.root.join(IDENTITY)) {
            Ok(text) => Ok(u64::from_str_radix(text.trim(), 16).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable(&self.root, IDENTITY, error)),
        }
    }

    /// Sets it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn set_identity(&self, identity: u64) -> Result<(), FolderError> {
        write_durably(&self.root, IDENTITY, &format!("{identity:016x}"))
            .map_err(|error| FolderError::Unwritable { folder: self.root.clone(), error })
    }

    /// Whether it has this marker.
    pub(super) fn has_marker(&self, marker: Marker) -> Result<bool, FolderError> {
        let there = self.root.join(marker.name()).try_exists();
        there.map_err(|error| FolderError::Unwritable { folder: self.root.clone(), error })
    }

    pub(super) fn set_marker(&self, marker: Marker, text: &str) -> Result<(), FolderError> {
        write_durably(&self.root, marker.name(), text)
            .map_err(|error| FolderError::Unwritable { folder: self.root.clone(), error })
    }

    pub(super) fn remove_marker(&self, marker: Marker) -> Result<(), FolderError> {
        let removed = fs::remove_file(self.root.join(marker.name())).and_then(|()| sync_folder(&self.root));
        removed.map_err(|error| FolderError::Unwritable { folder: self.root.clone(), error })
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The ledger's file.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        self.root.join("ledger.redb")
    }

    /// The file of measurements and results.
    #[must_use]
    pub fn measurements(&self) -> PathBuf {
        self.root.join("measurements.redb")
    }

    /// The folder of what was rendered for requests: a cache.
    #[must_use]
    pub fn rendered(&self) -> PathBuf {
        self.root.join("rendered")
    }

    /// The commit counter beside the ledger.
    pub(crate) fn commits(&self) -> PathBuf {
        self.root.join("commits")
    }

    /// Where repairs move what they do not use.
    pub(crate) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    pub(crate) fn incoming(&self) -> PathBuf {
        self.root.join("incoming")
    }

    pub(crate) fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }

    pub(crate) fn object_folder(&self, order: u64) -> PathBuf {
        self.objects().join(format!("{:08x}", order >> FOLDER_BITS))
    }

    pub(crate) fn object(&self, order: u64) -> PathBuf {
        self.object_folder(order).join(format!("{order:016x}"))
    }
}

/// Whether a folder is a data folder already (or may become one).
fn is_made(root: &Path) -> Result<bool, FolderError> {
    let unwritable = |error| FolderError::Unwritable { folder: root.to_owned(), error };
    let read = match read_text(&root.join(FORMAT_FILE)) {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Ok(String::new()),
        read => read,
    };
    match read {
        Ok(text) => {
            let found = text.strip_prefix(FORMAT_NAME).and_then(|number| number.trim().parse::<u32>().ok());
            match found {
                Some(found) if found > FORMAT => Err(FolderError::Newer { folder: root.to_owned(), found }),
                Some(_) => Ok(true),
                None if has_ledger(root) => Err(FolderError::FormatLost(root.to_owned())),
                None => Err(FolderError::Foreign(root.to_owned())),
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && has_ledger(root) => {
            Err(FolderError::FormatLost(root.to_owned()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // What a first start that was cut short may have left.
            let ours = [
                "lock",
                "credentials",
                "credentials.new",
                "identity.new",
                "format.new",
                "objects",
                "incoming",
            ];
            let foreign = fs::read_dir(root)
                .map_err(unwritable)?
                .filter_map(Result::ok)
                .any(|entry| !ours.iter().any(|name| entry.file_name() == *name));
            if foreign {
                return Err(FolderError::Foreign(root.to_owned()));
            }
            Ok(false)
        }
        Err(error) => Err(unusable(root, FORMAT_FILE, error)),
    }
}

/// The folder that a link leads to: the user named it. In the data folder itself there are no links.
fn resolved(root: &Path) -> PathBuf {
    match fs::symlink_metadata(root) {
        Ok(there) if there.is_symlink() => root.canonicalize().unwrap_or_else(|_| root.to_owned()),
        _ => root.to_owned(),
    }
}

fn unusable(root: &Path, name: &'static str, error: std::io::Error) -> FolderError {
    let folder = root.to_owned();
    match is_wrong_type(&error) {
        true => FolderError::WrongType { folder, name, error },
        false => FolderError::Unwritable { folder, error },
    }
}

/// Whether a folder has what only a data folder has.
fn has_ledger(root: &Path) -> bool {
    root.join("ledger.redb").is_file() && root.join("objects").is_dir()
}

/// Writes a small file of the folder whole or not at all.
fn write_durably(root: &Path, name: &str, line: &str) -> std::io::Result<()> {
    let new = root.join(format!("{name}.new"));
    let mut file = create(&new)?;
    writeln!(file, "{line}")?;
    file.sync_all()?;
    fs::rename(&new, root.join(name))?;
    sync_folder(root)
}

/// Makes a file, or empties the one that is there.
fn create(path: &Path) -> std::io::Result<File> {
    open_regular(path, File::options().write(true).create(true).truncate(true), Links::Refuse)
}

/// Makes a folder and what is missing above it, each durably in the one above.
fn make_durably(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_durably(above)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_folder(above)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_and_one_format() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().join("data");
        let open = DataFolder::open(&root).unwrap();
        assert!(matches!(DataFolder::open(&root), Err(FolderError::InUse(_))));
        drop(open);
        drop(DataFolder::open(&root).unwrap());
        fs::write(root.join("format"), "tintype-data 99\n").unwrap();
        assert!(matches!(DataFolder::open(&root), Err(FolderError::Newer { found: 99, .. })));
        fs::write(root.join("format"), "something else").unwrap();
        assert!(matches!(DataFolder::open(&root), Err(FolderError::Foreign(_))));
    }

    #[test]
    fn without_the_lock_file_a_second_server_is_still_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let open = DataFolder::open(temporary.path()).unwrap();
        fs::remove_file(temporary.path().join("lock")).unwrap();
        assert!(matches!(DataFolder::open(temporary.path()), Err(FolderError::InUse(_))));
        drop(open);
        drop(DataFolder::open(temporary.path()).unwrap());
    }

    #[test]
    fn a_folder_without_its_format_is_known_by_its_ledger() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path();
        drop(DataFolder::open(root).unwrap());
        fs::write(root.join("ledger.redb"), "x").unwrap();
        fs::create_dir(root.join("objects")).unwrap();
        for lost in [None, Some(&b""[..]), Some(b"junk"), Some(b"tintype-data \xb1\n")] {
            match lost {
                None => fs::remove_file(root.join("format")).unwrap(),
                Some(text) => fs::write(root.join("format"), text).unwrap(),
            }
            assert!(matches!(DataFolder::open(root), Err(FolderError::FormatLost(_))), "{lost:?}");
        }
        DataFolder::write_format(root).unwrap();
        drop(DataFolder::open(root).unwrap());
    }

    #[test]
    fn a_folder_of_other_files_is_left_alone() {
        let temporary = tempfile::tempdir().unwrap();
        fs::write(temporary.path().join("thesis.tex"), "x").unwrap();
        assert!(matches!(DataFolder::open(temporary.path()), Err(FolderError::Foreign(_))));
        let file = temporary.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(matches!(DataFolder::open(&file.join("under")), Err(FolderError::Unwritable { .. })));
    }
}
