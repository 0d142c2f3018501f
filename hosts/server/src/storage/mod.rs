//! Objects on this machine's disk: bytes in files named by commit order, everything else in the ledger. A put is
//! acknowledged after: temporary file, sync, rename, sync of the folder, one durable transaction that holds the object
//! and its event. Half-finished work is never visible.
//!
//! | Files | What |
//! |---|---|
//! | `objects`, `reading`, `port`, `arrival` | [`Objects`]: put, copy, delete, read; the port `Store`; an upload with its thumbnails |
//! | `uploads`, `buckets`, `listing`, `notifications` | [`Uploads`], [`Buckets`], [`Listing`], [`Notifications`] |
//! | `outbox` | [`Outbox`]: events to be sent to targets of the settings |
//! | `alt_texts` | [`AltTexts`]: descriptions beside thumbnails, and the search in them |
//! | `access_keys` | [`AccessKeyStore`]: access keys and how they were used |
//! | `backfill`, `thumbnail_repair` | [`Backfill`]: sources without thumbnails, thumbnails without sources, corrupt thumbnails |
//! | `files`, `incoming`, `object_file`, `orders`, `publication`, `orphaned_files` | files and the transaction that references them |
//! | `backup` | [`Backups`]: copies of all that while a server runs |
//! | `folder`, `integrity`, `cleanup`, `health`, `repair` | the data folder: whose it is, what is left, whether it can be used, rebuilding the ledger |
//!
//! All methods block on the disk: call them on threads that may.

mod access_keys;
mod alt_texts;
mod arrival;
mod backfill;
mod backup;
mod buckets;
mod cleanup;
mod error;
mod files;
mod folder;
mod health;
mod incoming;
mod integrity;
mod listing;
mod notifications;
pub(crate) mod object_file;
mod objects;
mod orders;
mod orphaned_files;
mod outbox;
mod port;
mod publication;
mod reading;
pub mod repair;
mod thumbnail_repair;
mod uploads;

use std::sync::Arc;

pub use access_keys::AccessKeyStore;
pub use alt_texts::{AltTexts, Found, Present, StoredAltText, Subject, is_sidecar};
pub use arrival::ArrivingStore;
pub use backfill::{Backfill, Backfilled, Cursor, Orphan};
pub use backup::{BackupError, Backups, Copied, FolderCopy, Progress, Purpose, Snapshot};
pub use buckets::{BucketEntry, Buckets};
pub use cleanup::Cleanup;
pub use error::StoreFault;
pub use folder::{DataFolder, FolderError};
pub use health::{Health, HealthFault, free_floor};
pub use incoming::Incoming;
pub use integrity::{IntegrityError, has_object_files, open_ledger};
pub use listing::{Listing, Page, PageRequest};
pub use notifications::Notifications;
pub use objects::{CopyOptions, Objects};
pub use outbox::{Outbox, OutboxLane, OutboxProgress, OutboxSection};
pub use port::{DecideFunction, DiskPort, FunctionGuard, ObjectAccess};
pub use reading::{OpenObject, WholeCheck};
pub use thumbnail_repair::VERIFIED_BYTES;
use tintype_pipeline::trigger::Trigger;
pub use uploads::{
    CompletedPart, Completion, JoinedChecksum, NewUpload, UploadUnderWay, Uploads, UploadsRequest,
};

use crate::{disk::SharedDisk, ledger::Ledger, queue::Enqueuer};
pub use crate::{
    ledger::{
        AccessKeyRecord, AclRecord, BucketRecord, Checksums, CorsRecord, CredentialRecord, KeyUsageRecord,
        NotificationRecord, ObjectDetails, ObjectOwnership, ObjectPart, ObjectRecord, OutboxRecord,
        OutboxRow, PartRecord, PublicAccess, PublicAccessBlockRecord, StoredHeaders, UploadRecord,
    },
    queue::Cause,
};

use files::Files;
use orders::{ORDER_GAP, Orders};
use publication::Publisher;

/// What the data folder stores, by purpose. Share it behind an `Arc`.
#[derive(Debug)]
pub struct Storage {
    /// Buckets.
    pub buckets: Buckets,
    /// Access keys.
    pub access_keys: AccessKeyStore,
    /// Objects.
    pub objects: Arc<Objects>,
    /// Multipart uploads.
    pub uploads: Uploads,
    /// Lists of objects.
    pub listing: Arc<Listing>,
    /// Triggers in force.
    pub notifications: Arc<Notifications>,
    /// Events to be sent to targets of the settings.
    pub outbox: Arc<Outbox>,
    /// Descriptions of images.
    pub alt_texts: AltTexts,
    /// Missing, orphaned and corrupt thumbnails.
    pub backfill: Backfill,
    /// What earlier runs left on disk.
    pub cleanup: Cleanup,
    /// Backups.
    pub backups: Backups,
    /// Whether the data folder can be used.
    pub health: Health,
    /// What decides what the function may do.
    pub function_guard: FunctionGuard,
    ledger: Arc<Ledger>,
    files: Arc<Files>,
}

impl Storage {
    /// Opens storage over a data folder and its ledger. `triggers` are those of the settings.
    ///
    /// # Errors
    /// The ledger cannot be read, or the triggers contradict the notifications stored in it.
    pub fn open(
        disk: SharedDisk,
        folder: Arc<DataFolder>,
        ledger: Arc<Ledger>,
        enqueuer: Enqueuer,
        triggers: Vec<Trigger>,
        function_name: &str,
    ) -> Result<Self, StoreFault> {
        let notifications = Arc::new(Notifications::new(ledger.clone(), triggers, function_name)?);
        for path in [folder.objects(), folder.incoming()] {
            disk.create_folder(&path)?;
        }
        disk.sync_folder(folder.root())?;
        let orders = begin_run(&ledger)?;
        let files = Arc::new(Files::new(disk, folder, orders));
        let publisher = Arc::new(Publisher::new(ledger.clone(), files.clone()));
        let listing = Arc::new(Listing::new(ledger.clone()));
        let outbox = Arc::new(Outbox::new(ledger.clone()));
        let alt_texts = enqueuer.alt_texts().clone();
        let objects =
            Objects::new(publisher.clone(), notifications.clone(), enqueuer.clone(), outbox.clone());
        let objects = Arc::new(objects);
        Ok(Self {
            buckets: Buckets::new(publisher.clone(), notifications.clone())?,
            access_keys: AccessKeyStore::new(ledger.clone()),
            uploads: Uploads::new(objects.clone()),
            alt_texts: AltTexts::new(objects.clone(), alt_texts),
            backfill: Backfill::new(objects.clone(), listing.clone(), enqueuer),
            cleanup: Cleanup::new(publisher.clone()),
            backups: Backups::new(publisher),
            health: Health::new(ledger.clone(), files.clone()),
            function_guard: FunctionGuard::default(),
            objects,
            listing,
            notifications,
            outbox,
            ledger,
            files,
        })
    }

    /// A number that rises with every change: what was read after this call holds for as long as it stays the same.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.ledger.changes()
    }
}

/// Begins a run: its orders lie above all that earlier runs can have used.
fn begin_run(ledger: &Arc<Ledger>) -> Result<Orders, StoreFault> {
    let (last, unclean) = {
        let view = ledger.view()?;
        (view.last_order()?, view.unclean()?)
    };
    let first = last + ORDER_GAP;
    // A run that ends before its first commit has used orders, too; and until an earlier run's orphaned files
    // are cleaned up, it stays known where they lie.
    let unclean = cleanup::oldest_orphan(last).min(unclean.unwrap_or(u64::MAX));
    let begun = ledger.submit(Vec::new(), move |changes| {
        changes.use_order(first)?;
        changes.set_unclean(Some(unclean))
    });
    begun.wait()?;
    Ok(Orders::new(ledger.clone(), first))
}
