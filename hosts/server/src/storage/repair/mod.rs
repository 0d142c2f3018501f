//! Repair of a data folder whose server does not run: the ledger rebuilt from the object files, and every
//! object's bytes checked.
//!
//! ```text
//! old ledger (read only) -+
//!                         +-> one decision a file -> new ledger, quarantine, findings -> new ledger in place
//! object files (heads)  --+
//! ```
//!
//! Nothing is deleted: files that are not used go to `quarantine/<time>/`, the old ledger stays beside the
//! new one under a name with the time, and every one of these is a finding.

mod decision;
mod findings;
mod rebuild;
mod scan;
mod scrub;

pub use findings::{Finding, FindingKind};
pub use rebuild::{Options, Repaired, rebuild};
pub use scrub::{Scrubbed, scrub};

use crate::{
    ledger::LedgerError,
    storage::{FolderError, StoreFault},
};

/// Why a repair did not finish. The old state is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The new ledger cannot be written, or the old one not be read after all.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// A file or folder cannot be read, moved or written.
    #[error("{path}: {error}")]
    File {
        /// The file or folder.
        path: std::path::PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
}

impl RepairError {
    fn at(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::File { path, error }
    }
}
