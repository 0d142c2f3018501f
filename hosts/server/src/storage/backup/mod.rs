//! Backups of a data folder while a server runs on it.
//!
//! ```text
//! server:  lease ─▶ view of the ledger ─▶ copy of it in "incoming" ─────────────────────────▶ end of the lease
//! command:                                  └▶ files that it references ─▶ target ─▶ copy of the ledger ─▶ target
//! ```
//!
//! Object files are never changed, so one view of the ledger and the files it references are the whole store as of one
//! moment. While the lease is held no file is removed that the view may reference; the rows of those that are due stay
//! in the trash, and they go once it ends. The lease has to be renewed: a command that dies holds up nothing for long.

mod copy;
mod lease;
mod order_set;

use std::{path::PathBuf, sync::Arc};

pub use copy::{BackupError, Copied, FolderCopy, Progress, Purpose};
pub(super) use lease::Lease;
pub use lease::Snapshot;

use super::{StoreFault, files::Files, health::free_floor, publication::Publisher};
use crate::ledger::View;

/// The backups of a data folder.
#[derive(Debug)]
pub struct Backups {
    publisher: Arc<Publisher>,
}

impl Backups {
    pub(super) const fn new(publisher: Arc<Publisher>) -> Self {
        Self { publisher }
    }

    /// Begins a backup of everything that is committed now, and has the ledger copied in the background; returns the
    /// number by which the backup is known, or `None` if another is under way. Until [`Self::end`] no file that it needs is
    /// removed.
    ///
    /// # Errors
    /// There is no room for the copy, or the ledger cannot be read.
    pub fn begin(&self) -> Result<Option<u64>, StoreFault> {
        let Files { disk, folder, orders, .. } = self.publisher.files.as_ref();
        let length = disk.open(&folder.ledger())?.length()?;
        let space = disk.space(folder.root())?;
        if space.free < free_floor(space.total).saturating_add(length) {
            return Err(StoreFault::Full(format!(
                "a backup needs {length} bytes for a copy of the ledger, and {} are free",
                space.free
            )));
        }
        let id = orders.take();
        // Before the view: what is removed from here on may be in it.
        if !self.publisher.lease.take(id) {
            return Ok(None);
        }
        let begun = self.publisher.ledger.view().map_err(StoreFault::from).and_then(|view| {
            let publisher = self.publisher.clone();
            std::thread::Builder::new()
                .name("backup".into())
                .spawn(move || copy_ledger(publisher, view, id))?;
            Ok(Some(id))
        });
        if begun.is_err() {
            let _ = self.end(id);
        }
        begun
    }

    /// Holds a backup's files for another minute: the copy of the ledger once it is there, or why it could not be copied.
    /// `None`: it is not under way any more.
    #[must_use]
    pub fn renew(&self, id: u64) -> Option<Result<Option<Snapshot>, StoreFault>> {
        self.publisher.lease.renew(id)
    }

    /// Ends a backup: its copy of the ledger and the files that were held for it are removed. Returns whether it was under
    /// way until now, so that it is whole.
    #[must_use]
    pub fn end(&self, id: u64) -> bool {
        let was_held = self.publisher.lease.end(id);
        if was_held {
            self.clean_up(id);
        }
        was_held
    }

    /// Ends a backup that was not renewed in time.
    pub fn end_expired(&self) {
        if let Some(id) = self.publisher.lease.end_expired() {
            tracing::warn!(id, "a backup was not renewed in time; it is ended");
            self.clean_up(id);
        }
    }

    fn clean_up(&self, id: u64) {
        let _ = self.publisher.files.disk.remove(&snapshot_path(&self.publisher.files, id));
        match self.publisher.ledger.view().and_then(|view| view.trash()) {
            Ok(orders) => self.publisher.unlink(&orders),
            // They are in the trash still: the cleanup after the next start removes them.
            Err(error) => tracing::warn!(%error, "files that a backup has held are not removed yet"),
        }
    }
}

/// Named as unfinished files are, so that one that is left goes with them after the next start.
fn snapshot_path(files: &Files, id: u64) -> PathBuf {
    files.folder.incoming().join(format!("{id:016x}"))
}

fn copy_ledger(publisher: Arc<Publisher>, view: View, id: u64) {
    let (disk, lease) = (publisher.files.disk.clone(), publisher.lease.clone());
    let path = snapshot_path(&publisher.files, id);
    let copied = view.copy_to(&disk, &path, &|| lease.is_held_by(id)).and_then(|()| {
        Ok(Snapshot { path: path.clone(), objects: view.object_count()?, commit: view.last_commit()? })
    });
    if let Err(error) = &copied {
        tracing::error!(%error, "the ledger could not be copied for a backup");
    }
    // Whoever hears that the copy is there may close the store at once.
    drop((view, publisher));
    if !lease.finish(id, copied.map_err(StoreFault::from)) {
        // Nobody waits for it any more.
        let _ = disk.remove(&path);
    }
}
