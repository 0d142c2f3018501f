//! An object on its way in: bytes go to a temporary file while their ETag and checksum are computed.

use std::path::PathBuf;

use crc_fast::{CrcAlgorithm, Digest};
use md5::{Digest as _, Md5};
use tintype_pipeline::{clock::now_ms, hex, store::Location};

use super::{
    DiskStore, StoreFault,
    object_file::{self, Story},
};
use crate::{
    disk::{DiskFile, SharedDisk},
    ledger::{Checksums, ObjectRecord, Publish, StoredHeaders},
};

/// S3's bound on user metadata, names and values together.
const METADATA_BYTES: usize = 2048;
/// More than any client sends, and less than the head of a file has room for.
const HEADER_BYTES: usize = 8192;

/// A temporary file being filled. Dropped before it is finished, it leaves nothing behind.
#[derive(Debug)]
pub struct Incoming {
    disk: SharedDisk,
    file: Box<dyn DiskFile>,
    path: PathBuf,
    story: Story,
    md5: Md5,
    crc64: Digest,
    /// Not yet written, so that small chunks do not become small writes.
    buffer: Vec<u8>,
    written: u64,
    finished: bool,
}

/// Bytes gathered before they are written: what each upload under way may hold.
const BUFFER_BYTES: usize = 64 << 10;

impl DiskStore {
    /// Begins an object (or, with `part`, a part of an upload).
    ///
    /// # Errors
    /// Headers or metadata are too long, or the disk does not take another file.
    pub(super) fn incoming(
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
        let mut story = Story { bucket: at.bucket.clone(), key: at.key.to_string(), part, record };
        story.record.body_offset = object_file::room_for(&story);
        // The name is unique in this run; what earlier runs left is cleaned up after the start.
        let path = self.folder.incoming().join(format!("{:016x}", self.take_order()));
        let file = self.disk.create(&path)?;
        Ok(Incoming {
            disk: self.disk.clone(),
            file,
            path,
            story,
            md5: Md5::new(),
            crc64: Digest::new(CrcAlgorithm::Crc64Nvme),
            buffer: Vec::new(),
            written: 0,
            finished: false,
        })
    }

    /// Writes the head, syncs the file, and answers the object's row and how to publish the file.
    pub(super) fn finish(&self, mut incoming: Incoming) -> Result<Finished, StoreFault> {
        incoming.flush()?;
        let record = &mut incoming.story.record;
        record.order = self.take_order();
        self.keep_near(record.order)?;
        record.modified_ms = now_ms();
        if record.etag.is_empty() {
            record.etag = hex::encode(&incoming.md5.clone().finalize());
        }
        record.crc64 = incoming.crc64.finalize();
        record.size = incoming.written;
        let record = record.clone();
        let head = object_file::encode(&incoming.story).map_err(StoreFault::Invalid)?;
        incoming.file.write_all_at(&head, 0)?;
        incoming.file.sync()?;
        let folder = self.folder.object_folder(record.order);
        self.make_object_folder(&folder)?;
        let publish = Publish { from: incoming.path.clone(), to: self.folder.object(record.order), folder };
        incoming.finished = true;
        Ok(Finished { record, publish })
    }

    /// Makes a folder for objects, durably, the first time it is needed.
    fn make_object_folder(&self, folder: &std::path::Path) -> Result<(), StoreFault> {
        let mut known = self.newest_folder.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *known != folder {
            self.disk.create_folder(folder)?;
            self.disk.sync_folder(&self.folder.objects())?;
            folder.clone_into(&mut known);
        }
        Ok(())
    }
}

/// Checks what is kept beside an object's bytes against S3's bounds.
pub(super) fn check_headers(headers: &StoredHeaders) -> Result<(), StoreFault> {
    let metadata: usize = headers.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if metadata > METADATA_BYTES {
        return Err(StoreFault::MetadataTooLarge(metadata));
    }
    let named = [
        &headers.content_type,
        &headers.cache_control,
        &headers.content_disposition,
        &headers.content_encoding,
        &headers.content_language,
        &headers.expires,
    ];
    if named.iter().filter_map(|header| header.as_deref()).map(str::len).sum::<usize>() > HEADER_BYTES {
        return Err(StoreFault::Invalid(format!("the stored headers have more than {HEADER_BYTES} bytes")));
    }
    Ok(())
}

/// A finished, synced file that nothing mentions yet.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) record: ObjectRecord,
    pub(super) publish: Publish,
}

impl Incoming {
    /// Adds bytes.
    ///
    /// # Errors
    /// The disk does not take them.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreFault> {
        self.md5.update(bytes);
        self.crc64.update(bytes);
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() >= BUFFER_BYTES {
            return self.put_down(bytes);
        }
        if self.buffer.capacity() - self.buffer.len() < bytes.len() {
            // Never more than the bound, as growing by doubling could be.
            let doubled = (self.buffer.capacity() * 2).clamp(self.buffer.len() + bytes.len(), BUFFER_BYTES);
            self.buffer.reserve_exact(doubled - self.buffer.len());
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Bytes so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// MD5 of the bytes so far.
    #[must_use]
    pub fn md5(&self) -> [u8; 16] {
        self.md5.clone().finalize().into()
    }

    /// The ETag of the bytes so far.
    pub(super) fn etag(&self) -> String {
        hex::encode(&self.md5())
    }

    /// Sets what a multipart upload's object has in place of an MD5 of its bytes.
    pub(super) fn set_multipart(&mut self, etag: String, parts: u32) {
        self.story.record.etag = etag;
        self.story.record.parts = Some(parts);
    }

    /// Sets the checksums stored with the object.
    pub fn set_checksums(&mut self, checksums: Checksums) {
        self.story.record.checksums = checksums;
    }

    fn flush(&mut self) -> Result<(), StoreFault> {
        let buffer = std::mem::take(&mut self.buffer);
        if !buffer.is_empty() {
            self.put_down(&buffer)?;
        }
        self.buffer = buffer;
        self.buffer.clear();
        Ok(())
    }

    fn put_down(&mut self, bytes: &[u8]) -> Result<(), StoreFault> {
        self.file.write_all_at(bytes, self.story.record.body_offset + self.written)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.finished {
            let _ = self.disk.remove(&self.path);
        }
    }
}
