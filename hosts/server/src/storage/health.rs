//! Whether the data folder can be used: its ledger, its free space, and a file that is really written.

use std::sync::Arc;

use super::files::Files;
use crate::{
    disk::Space,
    ledger::{Ledger, LedgerError},
};

/// Free bytes below which a volume counts as full: room for what was admitted before, for the ledger and for the
/// measurements, until requests go elsewhere or space is freed.
const FREE_FLOOR: u64 = 64 << 20;
/// What a small volume has of it: from 1 GiB on the floor is whole.
const FLOOR_SHARE: u64 = 16;

/// The file that is written, and moved among the objects, to see whether files can be.
pub(crate) const PROBE: &str = "probe";
/// A block, so that the volume has to find one.
const PROBE_BYTES: [u8; 4096] = [0x5A; 4096];

/// Why the data folder cannot be used now, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum HealthFault {
    /// Little or no space is left.
    #[error(
        "the volume of the data folder is full: {} of {} MB are free, {} MB are needed; delete objects or other files, or \
         enlarge the volume", megabytes(.0.free), megabytes(.0.total), megabytes(free_floor(.0.total))
    )]
    Full(Space),
    /// The ledger's file is not where it was opened, or cannot be looked at.
    #[error("{0}")]
    LedgerFile(LedgerError),
    /// The ledger does not answer.
    #[error(
        "{0}; look at the disk of the data folder and at the server's log: the ledger is opened again by itself once it can be"
    )]
    Ledger(LedgerError),
    /// The free space cannot be read.
    #[error(
        "the free space of the data folder's volume cannot be read: {0}; look at the disk, or at the network it is reached by, and what \
         the system's log says of it"
    )]
    Space(std::io::Error),
    /// A file cannot be written.
    #[error(
        "no file can be written in \"incoming\" of the data folder: {0}; look whether the volume is full or mounted read-only, who owns \
         the folder, and what the system's log says of the disk"
    )]
    Unwritable(std::io::Error),
    /// A file cannot be moved to where objects are.
    #[error(
        "no file can be moved from \"incoming\" into \"objects\" of the data folder: {0}; look who owns both folders, what is mounted \
         there, and what the system's log says of the disk"
    )]
    Unmovable(std::io::Error),
}

/// Free bytes that a volume of this size has to have.
#[must_use]
pub const fn free_floor(total: u64) -> u64 {
    let share = total / FLOOR_SHARE;
    if share < FREE_FLOOR { share } else { FREE_FLOOR }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

/// Looks whether the data folder can be used.
#[derive(Debug)]
pub struct Health {
    ledger: Arc<Ledger>,
    files: Arc<Files>,
}

impl Health {
    pub(super) const fn new(ledger: Arc<Ledger>, files: Arc<Files>) -> Self {
        Self { ledger, files }
    }

    /// Free and total bytes of the volume of the data folder.
    ///
    /// # Errors
    /// The system does not report it.
    pub fn space(&self) -> std::io::Result<Space> {
        self.files.disk.space(self.files.folder.root())
    }

    /// Looks at the ledger's file and free space, puts a file of one block as objects are put and removes it, and reads the
    /// ledger. One call at a time: they share the file.
    ///
    /// # Errors
    /// What is wrong first.
    pub fn check(&self) -> Result<(), HealthFault> {
        self.ledger.check_in_place().map_err(HealthFault::LedgerFile)?;
        let space = self.space().map_err(HealthFault::Space)?;
        if space.free < free_floor(space.total) {
            return Err(HealthFault::Full(space));
        }
        let Files { disk, folder, .. } = self.files.as_ref();
        let [incoming, object] = [folder.incoming(), folder.objects()].map(|folder| folder.join(PROBE));
        // Those that a check cut short has left, and whatever else has their name.
        let _ = disk.remove(&incoming);
        let _ = disk.remove(&object);
        let file = disk.create(&incoming).map_err(HealthFault::Unwritable)?;
        let moved = file
            .write_all_at(&PROBE_BYTES, 0)
            .and_then(|()| file.sync())
            .map_err(HealthFault::Unwritable)
            .and_then(|()| disk.rename(&incoming, &object).map_err(HealthFault::Unmovable));
        if moved.is_err() {
            let _ = disk.remove(&incoming);
        }
        moved?;
        disk.remove(&object).map_err(HealthFault::Unmovable)?;
        // Last: after a failed commit its error shows less of the cause.
        self.ledger.view().and_then(|view| view.queue().event_count()).map_err(HealthFault::Ledger)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_leaves_small_volumes_usable() {
        let floors = [0, 64 << 20, 1 << 30, 8 << 40].map(free_floor);
        assert_eq!(floors, [0, 4 << 20, 64 << 20, 64 << 20]);
    }
}
