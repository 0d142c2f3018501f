//! The files of objects and parts: created under a temporary name, sealed with a head, opened by their order.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tintype_pipeline::{clock::now_ms, store::Location};

use super::{
    DataFolder, Incoming, StoreFault,
    incoming::{Finished, check_headers},
    object_file::{self, Header},
    orders::Orders,
};
use crate::{
    disk::{DiskFile, SharedDisk},
    ledger::{Checksums, ObjectRecord, Publish, StoredHeaders},
};

#[derive(Debug)]
pub(super) struct Files {
    pub(super) disk: SharedDisk,
    pub(super) folder: Arc<DataFolder>,
    pub(super) orders: Orders,
    /// The folder of object files known to exist.
    newest_folder: Mutex<PathBuf>,
}

impl Files {
    pub(super) fn new(disk: SharedDisk, folder: Arc<DataFolder>, orders: Orders) -> Self {
        Self { disk, folder, orders, newest_folder: Mutex::default() }
    }

    /// Opens the file of an object or part.
    pub(super) fn open(&self, order: u64) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(&self.folder.object(order))
    }

    /// Begins an object (or, with `part`, a part of an upload).
    ///
    /// # Errors
    /// Headers or metadata are too long, or the disk does not take another file.
    pub(super) fn create(
        &self,
        at: &Location,
        headers: StoredHeaders,
        part: Option<(String, u16)>,
    ) -> Result<Incoming, StoreFault> {
        check_headers(&headers)?;
        let record = ObjectRecord {
            order: 0,
            size: 0,
            etag: String::new(),
            modified_ms: 0,
            crc64: 0,
            body_offset: 0,
            parts: None,
            headers,
            checksums: Checksums::default(),
        };
        let mut header = Header { bucket: at.bucket.clone(), key: at.key.to_string(), part, record };
        header.record.body_offset = object_file::room_for(&header);
        // The name is unique in this run; what earlier runs left is cleaned up after the start.
        let path = self.folder.incoming().join(format!("{:016x}", self.orders.take()));
        Ok(Incoming::new(self.disk.clone(), self.disk.create(&path)?, path, header))
    }

    /// Writes the head and syncs the file; returns the object's row and how to publish the file.
    pub(super) fn seal(&self, mut incoming: Incoming) -> Result<Finished, StoreFault> {
        incoming.flush()?;
        let etag = incoming.etag();
        let record = &mut incoming.header.record;
        record.order = self.orders.take();
        self.orders.note_used(record.order)?;
        record.modified_ms = now_ms();
        if record.etag.is_empty() {
            record.etag = etag;
        }
        let record = incoming.complete();
        let head = object_file::encode(&incoming.header).map_err(StoreFault::Invalid)?;
        incoming.write_head(&head)?;
        let folder = self.folder.object_folder(record.order);
        self.make_object_folder(&folder)?;
        let publish =
            Publish { from: incoming.path().to_owned(), to: self.folder.object(record.order), folder };
        incoming.keep();
        Ok(Finished { record, publish })
    }

    /// Makes a folder for objects, durably, the first time it is needed.
    fn make_object_folder(&self, folder: &Path) -> Result<(), StoreFault> {
        let mut known = self.newest_folder.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != folder {
            self.disk.create_folder(folder)?;
            self.disk.sync_folder(&self.folder.objects())?;
            folder.clone_into(&mut known);
        }
        Ok(())
    }

    /// The folder may be gone: the next put makes sure of it.
    pub(super) fn forget_folder(&self) {
        self.newest_folder.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
