//! The data folder: where things are in it, whose it is, and which format it has.

use std::{
    fs::{self, File, TryLockError},
    io::Write as _,
    path::{Path, PathBuf},
};

/// Raised when an older program could not read what this one writes.
const FORMAT: u32 = 1;
const FORMAT_NAME: &str = "tintype-data ";
/// The file that holds the folder's identity.
const IDENTITY: &str = "identity";

/// Objects a folder holds, as a power of two: consecutive puts share a folder, and so its sync.
const FOLDER_BITS: u32 = 12;

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It cannot be made or written.
    #[error(
        "data folder {folder}: {error}; choose a folder this user may write with --data or the setting \"data\""
    )]
    Unwritable {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
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

/// An open data folder, held exclusively until dropped.
#[derive(Debug)]
pub struct DataFolder {
    root: PathBuf,
    identity: u64,
    _lock: File,
}

impl DataFolder {
    /// Opens or makes the folder and takes it for this process.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn open(root: &Path) -> Result<Self, FolderError> {
        let unwritable = |error| FolderError::Unwritable { folder: root.to_owned(), error };
        make_durably(root).map_err(unwritable)?;
        let format = root.join("format");
        match fs::read_to_string(&format) {
            Ok(text) => {
                let found =
                    text.strip_prefix(FORMAT_NAME).and_then(|number| number.trim().parse::<u32>().ok());
                match found {
                    Some(found) if found > FORMAT => {
                        return Err(FolderError::Newer { folder: root.to_owned(), found });
                    }
                    Some(_) => {}
                    None => return Err(FolderError::Foreign(root.to_owned())),
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // What a first start that was cut short may have left.
                let ours = ["lock", "credentials", "credentials.new", "format.new", "objects", "incoming"];
                let foreign = fs::read_dir(root)
                    .map_err(unwritable)?
                    .filter_map(Result::ok)
                    .any(|entry| !ours.iter().any(|name| entry.file_name() == *name));
                if foreign {
                    return Err(FolderError::Foreign(root.to_owned()));
                }
            }
            Err(error) => return Err(unwritable(error)),
        }
        let lock = File::create(root.join("lock")).map_err(unwritable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FolderError::InUse(root.to_owned())),
            Err(TryLockError::Error(error)) => return Err(unwritable(error)),
        }
        if !format.exists() {
            write_durably(root, "format", &format!("{FORMAT_NAME}{FORMAT}\n")).map_err(unwritable)?;
        }
        let identity = identity(root).map_err(unwritable)?;
        Ok(Self { root: root.to_owned(), identity, _lock: lock })
    }

    /// Tells this folder from every other; its ledger names it, too.
    #[must_use]
    pub const fn identity(&self) -> u64 {
        self.identity
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

    pub(super) fn incoming(&self) -> PathBuf {
        self.root.join("incoming")
    }

    pub(super) fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }

    pub(super) fn object_folder(&self, order: u64) -> PathBuf {
        self.objects().join(format!("{:08x}", order >> FOLDER_BITS))
    }

    pub(super) fn object(&self, order: u64) -> PathBuf {
        self.object_folder(order).join(format!("{order:016x}"))
    }
}

/// The folder's identity, made if there is none.
fn identity(root: &Path) -> std::io::Result<u64> {
    match fs::read_to_string(root.join(IDENTITY)) {
        Ok(text) => u64::from_str_radix(text.trim(), 16).map_err(|_| {
            std::io::Error::other(format!(
                "its file \"{IDENTITY}\" does not hold 16 hexadecimal digits; put back what it held"
            ))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let identity = getrandom::u64().map_err(std::io::Error::other)?;
            write_durably(root, IDENTITY, &format!("{identity:016x}\n"))?;
            Ok(identity)
        }
        Err(error) => Err(error),
    }
}

/// Writes a file so that after a power cut it is there as a whole, or not at all.
fn write_durably(root: &Path, name: &str, text: &str) -> std::io::Result<()> {
    let new = root.join(format!("{name}.new"));
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, root.join(name))?;
    File::open(root)?.sync_all()
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
    File::open(above)?.sync_all()
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
    fn somebody_elses_folder_is_left_alone() {
        let temporary = tempfile::tempdir().unwrap();
        fs::write(temporary.path().join("thesis.tex"), "x").unwrap();
        assert!(matches!(DataFolder::open(temporary.path()), Err(FolderError::Foreign(_))));
        let file = temporary.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(matches!(DataFolder::open(&file.join("under")), Err(FolderError::Unwritable { .. })));
    }
}
