//! Reading objects: always one whole version, checked against what was written.

use crc_fast::{CrcAlgorithm, Digest};
use tintype_pipeline::store::Location;

use super::{
    Objects, StoreFault,
    object_file::{self, Unreadable},
};
use crate::{
    disk::{DiskFile, is_corruption, is_wrong_type},
    ledger::ObjectRecord,
};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// An object open for reading. Its file stays readable when the object is overwritten or deleted.
#[derive(Debug)]
pub struct OpenObject {
    /// Its row.
    pub record: ObjectRecord,
    at: Location,
    file: Box<dyn DiskFile>,
}

impl Objects {
    /// An object's row; `None` if there is none.
    ///
    /// # Errors
    /// The bucket does not exist or the ledger cannot be read.
    pub fn head(&self, at: &Location) -> Result<Option<ObjectRecord>, StoreFault> {
        let view = self.publisher.ledger.view()?;
        match view.object(at)? {
            None if view.bucket(&at.bucket)?.is_none() => Err(StoreFault::NoSuchBucket(at.bucket.clone())),
            found => Ok(found),
        }
    }

    /// Opens an object; `None` if there is none.
    ///
    /// # Errors
    /// The bucket does not exist, or the file is corrupt or cannot be read.
    pub fn open(&self, at: &Location) -> Result<Option<OpenObject>, StoreFault> {
        let mut last_missing = None;
        loop {
            let Some(record) = self.head(at)? else { return Ok(None) };
            let file = match self.publisher.files.open(record.order) {
                Ok(file) => file,
                // Overwritten or deleted between row and file: look again. A row that stays while its
                // file is missing is corrupt.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    if last_missing == Some(record.order) {
                        return Err(StoreFault::Corrupt(at.clone(), "its file is missing".into()));
                    }
                    last_missing = Some(record.order);
                    continue;
                }
                Err(error) if is_wrong_type(&error) => {
                    return Err(StoreFault::Corrupt(at.clone(), error.to_string()));
                }
                Err(error) => return Err(error.into()),
            };
            let corrupt = |words: String| StoreFault::Corrupt(at.clone(), words);
            let header = object_file::read(file.as_ref()).map_err(|why| match why {
                Unreadable::Disk(error) => error.into(),
                Unreadable::Corrupt(words) => corrupt(words),
            })?;
            if header.record != record {
                return Err(corrupt("its file belongs to another version".into()));
            }
            return Ok(Some(OpenObject { record, at: at.clone(), file }));
        }
    }
}

impl OpenObject {
    /// Reads up to `length` bytes from `offset`, at most [`CHUNK_BYTES`] of them.
    ///
    /// # Errors
    /// The file is shorter than it was, or cannot be read.
    pub fn read_chunk(&self, offset: u64, length: u64) -> Result<Vec<u8>, StoreFault> {
        let mut buffer = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(CHUNK_BYTES)];
        self.fill(&mut buffer, offset)?;
        Ok(buffer)
    }

    fn fill(&self, buffer: &mut [u8], offset: u64) -> Result<(), StoreFault> {
        self.file.read_exact_at(buffer, self.record.body_offset + offset).map_err(|error| {
            match error.kind() {
                std::io::ErrorKind::UnexpectedEof => {
                    StoreFault::Corrupt(self.at.clone(), "its file is shorter than it was".into())
                }
                _ => error.into(),
            }
        })
    }

    /// Reads the whole object in chunks and checks it against its checksum.
    ///
    /// # Errors
    /// The file is corrupt or cannot be read, or `take` failed.
    pub fn read_all(&self, mut take: impl FnMut(&[u8]) -> Result<(), StoreFault>) -> Result<(), StoreFault> {
        let mut check = self.whole_check();
        let mut buffer = vec![0; usize::try_from(self.record.size).unwrap_or(usize::MAX).min(CHUNK_BYTES)];
        let mut offset = 0;
        while offset < self.record.size {
            let length = (self.record.size - offset).min(CHUNK_BYTES as u64) as usize;
            let chunk = &mut buffer[..length];
            self.fill(chunk, offset)?;
            check.update(chunk);
            take(chunk)?;
            offset += length as u64;
        }
        check.finish()
    }

    /// All bytes of the object, checked.
    ///
    /// # Errors
    /// The file is corrupt or cannot be read.
    pub fn bytes(&self) -> Result<Vec<u8>, StoreFault> {
        let mut bytes = vec![0; usize::try_from(self.record.size).unwrap_or(usize::MAX)];
        self.fill(&mut bytes, 0)?;
        let mut check = self.whole_check();
        check.update(&bytes);
        check.finish()?;
        Ok(bytes)
    }

    /// A check of all bytes against the checksum they were written with.
    #[must_use]
    pub fn whole_check(&self) -> WholeCheck {
        WholeCheck {
            digest: Digest::new(CrcAlgorithm::Crc64Nvme),
            expected: self.record.crc64,
            at: self.at.clone(),
        }
    }
}

/// What is wrong with an object's bytes, if anything.
///
/// # Errors
/// The disk does not give them now.
pub(crate) fn verify(file: &dyn DiskFile, record: &ObjectRecord) -> std::io::Result<Option<String>> {
    match checksum_of(file, record.body_offset, record.size) {
        Ok(crc64) if crc64 == record.crc64 => Ok(None),
        Ok(_) => Ok(Some("the checksum of its bytes is wrong".into())),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Ok(Some("the file is shorter than it was".into()))
        }
        Err(error) if is_corruption(&error) => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}

/// CRC-64/NVME of `size` bytes of a file from `offset` on.
fn checksum_of(file: &dyn DiskFile, offset: u64, size: u64) -> std::io::Result<u64> {
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    let mut buffer = vec![0; usize::try_from(size).unwrap_or(usize::MAX).min(CHUNK_BYTES)];
    let mut done = 0;
    while done < size {
        let chunk = (size - done).min(CHUNK_BYTES as u64) as usize;
        file.read_exact_at(&mut buffer[..chunk], offset + done)?;
        digest.update(&buffer[..chunk]);
        done += chunk as u64;
    }
    Ok(digest.finalize())
}

/// Checks an object's bytes as they pass.
#[derive(Debug)]
pub struct WholeCheck {
    digest: Digest,
    expected: u64,
    at: Location,
}

impl WholeCheck {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
    }

    /// Compares, once all bytes have passed.
    ///
    /// # Errors
    /// [`StoreFault::Corrupt`] if they are not what was written.
    pub fn finish(self) -> Result<(), StoreFault> {
        if self.digest.finalize() == self.expected {
            return Ok(());
        }
        tracing::error!(object = %self.at, "stored bytes are corrupt: their checksum is wrong");
        Err(StoreFault::Corrupt(self.at, "the checksum of its bytes is wrong".into()))
    }
}
