//! Objects on this machine's disk: bytes in files under names the store makes, everything else in the
//! ledger. A put is acknowledged after: temporary file, sync, rename, sync of the folder, one durable
//! ledger transaction that holds the object and its event. Half-finished work is never visible.
//!
//! All methods block on the disk: call them on threads that may.

mod arrival;
mod backfill;
mod buckets;
mod cleanup;
mod error;
mod folder;
mod health;
mod incoming;
mod intact;
mod leftovers;
mod listing;
mod mending;
mod multipart;
mod notifications;
pub(crate) mod object_file;
mod objects;
mod port;
mod publication;
mod reading;
pub mod repair;
mod results;

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tintype_pipeline::{Location, trigger::Trigger};

pub use arrival::ArrivingStore;
pub use backfill::{Backfilled, Cursor, Orphan};
pub(crate) use cleanup::REACH;
pub use error::StoreFault;
pub use folder::{DataFolder, FolderError};
pub(crate) use health::PROBE;
pub use health::{HealthFault, free_floor};
pub use incoming::Incoming;
pub use intact::{IntactError, check_before_opening, check_opened, has_object_files};
pub(crate) use intact::{commits_told, is_folder_of_objects, is_older, newest_beyond, number};
pub use listing::{Page, PageRequest};
pub(crate) use mending::VERIFIED;
pub use multipart::{CompletedPart, Completion, JoinedChecksum, NewUpload, UploadUnderWay, UploadsAsked};
pub use notifications::Notifications;
pub(crate) use object_file::Story;
pub use objects::{Cause, CopyOptions};
pub use port::{DiskPort, Settlement};
pub(crate) use reading::verify;
pub use reading::{OpenObject, WholeCheck};
pub use results::ResultsCursor;

use crate::{
    disk::SharedDisk,
    ledger::{Changes, EventRecord, Ledger, LedgerError, listed_key},
};

/// Orders left unused at every start, so that no file of an unfinished put of the run before can have the
/// name of a new one.
pub(crate) const ORDER_GAP: u64 = 1 << 16;

/// Files removed from disk before their trash rows are.
const UNLINKED_TOGETHER: usize = 64;

/// The store; share it behind an `Arc`.
pub struct DiskStore {
    disk: SharedDisk,
    folder: Arc<DataFolder>,
    ledger: Arc<Ledger>,
    notifications: Notifications,
    next_order: AtomicU64,
    /// An order that the ledger durably knows to be used.
    known_order: AtomicU64,
    /// The first order of this run.
    first_order: u64,
    leftovers: Arc<leftovers::Leftovers>,
    /// The folder known to exist.
    newest_folder: Mutex<std::path::PathBuf>,
    /// Files gone from disk whose trash rows the next change removes.
    unlinked: Mutex<Vec<u64>>,
    on_event: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl std::fmt::Debug for DiskStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiskStore").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl DiskStore {
    /// Opens the store over a data folder and its ledger.
    ///
    /// # Errors
    /// The ledger cannot be read, or the triggers contradict the notifications stored in it.
    pub fn open(
        disk: SharedDisk,
        folder: Arc<DataFolder>,
        ledger: Arc<Ledger>,
        fixed: Vec<Trigger>,
        function_name: &str,
    ) -> Result<Self, StoreFault> {
        let (last, unclean, buckets) = {
            let view = ledger.view()?;
            (view.last_order()?, view.unclean()?, view.buckets()?)
        };
        let notifications = Notifications::new(fixed, function_name, &buckets)?;
        for made in [folder.objects(), folder.incoming()] {
            disk.create_folder(&made)?;
        }
        disk.sync_folder(folder.root())?;
        let first_order = last + ORDER_GAP;
        // A run that ends before its first commit has used orders, too; and until an earlier run's leftovers
        // are cleaned up, it stays known where they lie.
        let unclean = cleanup::reach(last).min(unclean.unwrap_or(u64::MAX));
        let begun = ledger.submit(Vec::new(), move |changes| {
            changes.use_order(first_order)?;
            changes.set_unclean(Some(unclean))
        });
        begun.wait()?;
        Ok(Self {
            disk,
            folder,
            ledger,
            notifications,
            next_order: AtomicU64::new(first_order),
            known_order: AtomicU64::new(first_order),
            first_order,
            leftovers: Arc::default(),
            newest_folder: Mutex::default(),
            unlinked: Mutex::default(),
            on_event: OnceLock::new(),
        })
    }

    /// Has `wake` called after every commit that queued an event. Only the first call counts.
    pub fn on_event(&self, wake: impl Fn() + Send + Sync + 'static) {
        let _ = self.on_event.set(Box::new(wake));
    }

    /// The ledger below.
    #[must_use]
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// The triggers in force.
    #[must_use]
    pub fn triggers(&self) -> Arc<Vec<Trigger>> {
        self.notifications.triggers()
    }

    fn take_order(&self) -> u64 {
        self.next_order.fetch_add(1, Ordering::Relaxed)
    }

    /// Has the ledger know of an order near this one before it names a file. Orders are used up by what leaves no trace
    /// there, too, such as refused uploads; a file further ahead than [`ORDER_GAP`] would look as if the ledger were of an
    /// older backup.
    fn keep_near(&self, order: u64) -> Result<(), StoreFault> {
        if order <= self.known_order.load(Ordering::Relaxed) + ORDER_GAP / 2 {
            return Ok(());
        }
        let noted = self.ledger.submit(Vec::new(), move |changes| changes.use_order(order));
        noted.wait()?;
        self.known_order.fetch_max(order, Ordering::Relaxed);
        Ok(())
    }

    /// Wakes whoever works on events.
    pub fn event_queued(&self) {
        if let Some(wake) = self.on_event.get() {
            wake();
        }
    }

    /// Trash rows that the next change may remove. A file is gone for good only once its folder is synced:
    /// that is done here, for many at a time.
    fn take_unlinked(&self) -> Vec<u64> {
        let mut unlinked = self.unlinked.lock().unwrap_or_else(PoisonError::into_inner);
        if unlinked.len() < UNLINKED_TOGETHER {
            return Vec::new();
        }
        let gone = std::mem::take(&mut *unlinked);
        drop(unlinked);
        let folders: BTreeSet<_> = gone.iter().map(|order| self.folder.object_folder(*order)).collect();
        let sync = |folder: &std::path::PathBuf| match self.disk.sync_folder(folder) {
            // Emptied, and removed itself since.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.disk.sync_folder(&self.folder.objects())
            }
            other => other,
        };
        match folders.iter().try_for_each(sync) {
            Ok(()) => gone,
            // Their rows stay until the cleaning after the next start.
            Err(error) => {
                tracing::warn!(%error, "that files are gone could not be made durable");
                Vec::new()
            }
        }
    }

    /// Removes files nothing mentions any more. What cannot be removed now is tried again at the next
    /// start, as its trash row stays.
    fn unlink(&self, orders: &[u64]) {
        for order in orders {
            match self.disk.remove(&self.folder.object(*order)) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(order, %error, "a file that is no longer needed could not be removed");
                    continue;
                }
            }
            self.unlinked.lock().unwrap_or_else(PoisonError::into_inner).push(*order);
        }
    }
}

/// Queues an event if a trigger wants it; answers whether it did.
fn queue_event(
    changes: &Changes<'_>,
    triggers: &[Trigger],
    event: &EventRecord,
) -> Result<bool, LedgerError> {
    let wanted = triggers
        .iter()
        .any(|trigger| trigger.wants(event.kind()) && trigger.matches(&event.bucket, &event.key));
    if wanted {
        let key = listed_key(&event.key)?;
        changes.queue_event(&Location { bucket: event.bucket.clone(), key }, event)?;
    }
    Ok(wanted)
}
