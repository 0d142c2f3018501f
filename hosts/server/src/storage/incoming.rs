//! An object on its way in: bytes go to a temporary file while their ETag and checksum are computed.

use std::path::{Path, PathBuf};

use crc_fast::{CrcAlgorithm, Digest};
use md5::{Digest as _, Md5};
use tintype_pipeline::hex;

use super::{StoreFault, object_file::Header};
use crate::{
    disk::{DiskFile, SharedDisk},
    ledger::{Checksums, ObjectDetails, ObjectRecord, Publish, StoredHeaders},
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
    pub(super) header: Header,
    /// What is stored beside the object's row.
    pub(super) details: ObjectDetails,
    /// When the bucket was created that it is for, in milliseconds since 1970.
    pub(super) bucket_created_ms: Option<i64>,
    md5: Md5,
    crc64: Digest,
    /// Not yet written, so that small chunks do not become small writes.
    buffer: Vec<u8>,
    written: u64,
    finished: bool,
}

/// Bytes gathered before they are written: what each upload under way may hold.
const BUFFER_BYTES: usize = 64 << 10;

/// Checks what is stored beside an object's bytes against S3's bounds.
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

/// A finished, synced file that the ledger does not reference yet.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) record: ObjectRecord,
    pub(super) publish: Publish,
}

impl Incoming {
    pub(super) fn new(disk: SharedDisk, file: Box<dyn DiskFile>, path: PathBuf, header: Header) -> Self {
        Self {
            disk,
            file,
            path,
            header,
            details: ObjectDetails::default(),
            bucket_created_ms: None,
            md5: Md5::new(),
            crc64: Digest::new(CrcAlgorithm::Crc64Nvme),
            buffer: Vec::new(),
            written: 0,
            finished: false,
        }
    }

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
            return self.write_through(bytes);
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
        self.header.record.etag = etag;
        self.header.record.parts = Some(parts);
    }

    /// Sets the checksums stored with the object.
    pub fn set_checksums(&mut self, checksums: Checksums) {
        self.header.record.checksums = checksums;
    }

    /// Sets what is stored beside the object's row; it is private and without tags unless this says otherwise.
    pub fn set_details(&mut self, details: ObjectDetails) {
        self.details = details;
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Fills in what is known once all bytes have passed; returns the row.
    pub(super) fn complete(&mut self) -> ObjectRecord {
        self.header.record.crc64 = self.crc64.finalize();
        self.header.record.size = self.written;
        self.header.record.clone()
    }

    /// Writes the head and makes the file durable.
    pub(super) fn write_head(&mut self, head: &[u8]) -> Result<(), StoreFault> {
        self.file.write_all_at(head, 0)?;
        Ok(self.file.sync()?)
    }

    /// From now on the file is its owner's to remove.
    pub(super) fn keep(mut self) {
        self.finished = true;
    }

    pub(super) fn flush(&mut self) -> Result<(), StoreFault> {
        let buffer = std::mem::take(&mut self.buffer);
        if !buffer.is_empty() {
            self.write_through(&buffer)?;
        }
        self.buffer = buffer;
        self.buffer.clear();
        Ok(())
    }

    fn write_through(&mut self, bytes: &[u8]) -> Result<(), StoreFault> {
        self.file.write_all_at(bytes, self.header.record.body_offset + self.written)?;
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
