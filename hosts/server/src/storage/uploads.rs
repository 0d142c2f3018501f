//! Multipart uploads. Parts are files of their own; completing copies them into the object's one file.

use std::{collections::BinaryHeap, sync::Arc};

use md5::{Digest as _, Md5};
use tintype_pipeline::{
    clock::now_ms,
    hex,
    store::{Condition, Location},
};
use tintype_policy::CannedAcl;

use super::{
    Cause, Incoming, Objects, StoreFault,
    buckets::existing,
    incoming::check_headers,
    objects::{check_condition, place},
    publication::{Publication, Publisher},
};
use crate::{
    disk::is_wrong_type,
    ledger::{
        Checksums, Ledger, ObjectDetails, ObjectPart, ObjectRecord, PartRecord, StoredHeaders, UploadRecord,
    },
};

/// S3's bound on every part but the last.
const SMALLEST_PART: u64 = 5 << 20;

/// What a new upload starts with.
#[derive(Debug)]
pub struct NewUpload {
    /// Headers for the object.
    pub headers: StoredHeaders,
    /// Name of the checksum algorithm asked for.
    pub checksum_algorithm: Option<String>,
    /// Whether the object's checksum covers the whole object.
    pub full_object_checksum: bool,
    /// The object's canned ACL.
    pub acl: CannedAcl,
    /// The object's tags, name and value.
    pub tags: Vec<(String, String)>,
}

/// Computes an object's checksums while its parts are joined.
pub trait JoinedChecksum: Send {
    /// The next bytes of the object.
    fn update(&mut self, bytes: &[u8]);
    /// All bytes have passed.
    ///
    /// # Errors
    /// The checksums are not the client's.
    fn finish(self: Box<Self>, parts: &[PartRecord]) -> Result<Checksums, StoreFault>;
}

/// A part named at completion.
#[derive(Debug, Clone)]
pub struct CompletedPart {
    /// Its number.
    pub number: u16,
    /// Its ETag, without quotes.
    pub etag: String,
    /// Its checksums, where the client repeats them.
    pub checksums: Vec<(&'static str, String)>,
}

/// How an upload is to be completed.
#[derive(Debug)]
pub struct Completion {
    /// The parts, in ascending order.
    pub parts: Vec<CompletedPart>,
    /// The object's size, if the client sent it.
    pub size: Option<u64>,
    /// What must hold at the destination.
    pub condition: Condition,
}

/// Which uploads under way to list.
#[derive(Debug, Default)]
pub struct UploadsRequest {
    /// Of keys that begin so.
    pub prefix: String,
    /// Of keys after this one.
    pub after_key: String,
    /// And of that key those with ids after this one, if it is given.
    pub after_id: String,
}

impl UploadsRequest {
    fn matches(&self, key: &str, id: &str) -> bool {
        let is_after = match self.after_id.as_str() {
            "" => key > self.after_key.as_str(),
            after => (key, id) > (self.after_key.as_str(), after),
        };
        is_after && key.starts_with(&self.prefix)
    }
}

/// An upload under way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UploadUnderWay {
    /// The key it is for.
    pub key: String,
    /// Its id.
    pub id: String,
    /// Milliseconds since 1970 when it began.
    pub initiated_ms: i64,
}

/// Uploads aborted in one transaction.
const ABORTED_AT_ONCE: usize = 100;

/// The multipart uploads.
#[derive(Debug)]
pub struct Uploads {
    objects: Arc<Objects>,
}

impl Uploads {
    pub(super) const fn new(objects: Arc<Objects>) -> Self {
        Self { objects }
    }

    fn publisher(&self) -> &Publisher {
        &self.objects.publisher
    }

    fn ledger(&self) -> &Ledger {
        &self.publisher().ledger
    }

    /// Begins an upload; returns its id.
    ///
    /// # Errors
    /// The bucket does not exist, or the disk fails.
    pub fn create(&self, at: &Location, new: NewUpload) -> Result<String, StoreFault> {
        check_headers(&new.headers)?;
        let order = self.publisher().files.orders.take();
        let id = format!("{order:016x}{:08x}", now_ms() as u32);
        let record = UploadRecord {
            bucket: at.bucket.clone(),
            key: at.key.to_string(),
            initiated_ms: now_ms(),
            headers: new.headers,
            checksum_algorithm: new.checksum_algorithm,
            full_object_checksum: new.full_object_checksum,
            acl: new.acl.into(),
            tags: new.tags,
        };
        let upload = id.clone();
        let pending = self.ledger().submit(Vec::new(), move |changes| {
            if changes.bucket(&record.bucket)?.is_none() {
                return Err(StoreFault::NoSuchBucket(record.bucket));
            }
            changes.use_order(order)?;
            Ok(changes.put_upload(&upload, &record)?)
        });
        pending.wait()?;
        Ok(id)
    }

    /// An upload of that bucket and key.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, at: &Location, id: &str) -> Result<UploadRecord, StoreFault> {
        let record = self.ledger().view()?.upload(id)?;
        record
            .filter(|record| record.bucket == at.bucket && record.key == at.key.as_str())
            .ok_or_else(|| StoreFault::NoSuchUpload(id.into()))
    }

    /// The first `most` of a bucket's uploads under way, by key, then id; holds no more of them.
    ///
    /// # Errors
    /// The bucket does not exist.
    pub fn list(
        &self,
        bucket: &str,
        request: &UploadsRequest,
        most: usize,
    ) -> Result<Vec<UploadUnderWay>, StoreFault> {
        let view = self.ledger().view()?;
        existing(&view, bucket)?;
        let mut first = BinaryHeap::new();
        view.walk_uploads(|id, upload| {
            if upload.bucket == bucket && request.matches(&upload.key, id) {
                let initiated_ms = upload.initiated_ms;
                first.push(UploadUnderWay { key: upload.key, id: id.to_owned(), initiated_ms });
                if first.len() > most {
                    first.pop();
                }
            }
            true
        })?;
        Ok(first.into_sorted_vec())
    }

    /// Aborts the uploads that began before a time; returns how many there were.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub fn abort_before(&self, began_ms: i64) -> Result<usize, StoreFault> {
        let mut stale = Vec::new();
        self.ledger().view()?.walk_uploads(|id, upload| {
            // One begun while the clock stood ahead is no reason to keep those behind it.
            if upload.initiated_ms < began_ms {
                tracing::info!(
                    bucket = upload.bucket,
                    key = upload.key,
                    id,
                    "an abandoned upload is aborted"
                );
                stale.push(id.to_owned());
            }
            stale.len() < ABORTED_AT_ONCE
        })?;
        let count = stale.len();
        if count > 0 {
            let pending = self.ledger().submit(Vec::new(), move |changes| {
                let mut files = Vec::new();
                for id in stale {
                    files.extend(changes.remove_upload(&id)?);
                }
                Ok::<_, StoreFault>(files)
            });
            self.publisher().unlink(&pending.wait()?);
        }
        Ok(count)
    }

    /// An upload's parts, by number.
    ///
    /// # Errors
    /// There is no such upload.
    pub fn parts(&self, at: &Location, id: &str) -> Result<Vec<(u16, PartRecord)>, StoreFault> {
        self.get(at, id)?;
        Ok(self.ledger().view()?.parts(id)?)
    }

    /// Begins a part.
    ///
    /// # Errors
    /// There is no such upload, or the disk does not take another file.
    pub fn begin_part(&self, at: &Location, id: &str, number: u16) -> Result<Incoming, StoreFault> {
        self.get(at, id)?;
        self.publisher().files.create(at, StoredHeaders::default(), Some((id.to_owned(), number)))
    }

    /// Makes a begun part durable.
    ///
    /// # Errors
    /// The upload is gone, or the disk fails.
    pub fn commit_part(&self, id: &str, number: u16, incoming: Incoming) -> Result<PartRecord, StoreFault> {
        let (publication, object) = Publication::of(self.publisher().files.seal(incoming)?);
        let part = PartRecord {
            order: object.order,
            size: object.size,
            etag: object.etag,
            modified_ms: object.modified_ms,
            crc64: object.crc64,
            body_offset: object.body_offset,
            checksums: object.checksums,
        };
        let (upload, row) = (id.to_owned(), part.clone());
        let old = self.publisher().publish(publication, move |changes| {
            if changes.upload(&upload)?.is_none() {
                return Err(StoreFault::NoSuchUpload(upload));
            }
            let old = changes.put_part(&upload, number, &row)?;
            old.iter().try_for_each(|old| changes.put_trash(old.order))?;
            Ok(old.map(|old| old.order))
        })?;
        self.publisher().unlink(old.as_slice());
        Ok(part)
    }

    /// The object that these parts were joined to, if it still is the current version: completing an
    /// upload again returns the same.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn completed(
        &self,
        at: &Location,
        parts: &[CompletedPart],
    ) -> Result<Option<ObjectRecord>, StoreFault> {
        let mut md5_of_md5s = Md5::new();
        parts.iter().for_each(|part| md5_of_md5s.update(unhex(&part.etag)));
        let etag = format!("{}-{}", hex::encode(&md5_of_md5s.finalize()), parts.len());
        Ok(self.objects.head(at)?.filter(|object| object.parts.is_some() && object.etag == etag))
    }

    /// Joins the parts into the object.
    ///
    /// # Errors
    /// A part is missing, out of order or too small, the condition does not hold, or the disk fails.
    pub fn complete(
        &self,
        at: &Location,
        id: &str,
        completion: &Completion,
        cause: Cause,
        mut checksum: Box<dyn JoinedChecksum>,
    ) -> Result<ObjectRecord, StoreFault> {
        let upload = self.get(at, id)?;
        let parts = choose(&self.ledger().view()?.parts(id)?, &completion.parts)?;
        let size: u64 = parts.iter().map(|part| part.size).sum();
        if completion.size.is_some_and(|sent| sent != size) {
            return Err(StoreFault::Invalid(format!(
                "the parts have {size} bytes, not as many as x-amz-mp-object-size says"
            )));
        }
        let mut incoming = self.publisher().files.create(at, upload.headers.clone(), None)?;
        let mut md5_of_md5s = Md5::new();
        for part in &parts {
            self.read_part(at, part, |chunk| {
                checksum.update(chunk);
                incoming.write(chunk)
            })?;
            md5_of_md5s.update(unhex(&part.etag));
        }
        let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        incoming.set_multipart(format!("{}-{count}", hex::encode(&md5_of_md5s.finalize())), count);
        incoming.set_checksums(checksum.finish(&parts)?);
        let (publication, record) = Publication::of(self.publisher().files.seal(incoming)?);
        let (place_at, upload_id, events) = (at.clone(), id.to_owned(), self.objects.events());
        let condition = completion.condition.clone();
        let details = ObjectDetails {
            acl: upload.acl.canned(),
            tags: upload.tags,
            parts: completion
                .parts
                .iter()
                .zip(parts)
                .map(|(named, part)| layout(named.number, part))
                .collect(),
        };
        let (parts, placed) = self.publisher().publish(publication, move |changes| {
            if changes.upload(&upload_id)?.is_none() {
                return Err(StoreFault::NoSuchUpload(upload_id));
            }
            check_condition(changes, &place_at, &condition)?;
            let parts = changes.remove_upload(&upload_id)?;
            let placed = place(changes, &events, &place_at, record, &cause)?;
            placed.put_details(changes, &place_at, details)?;
            Ok((parts, placed))
        })?;
        self.publisher().unlink(&parts);
        Ok(self.objects.placed(placed))
    }

    fn read_part(
        &self,
        at: &Location,
        part: &PartRecord,
        mut take: impl FnMut(&[u8]) -> Result<(), StoreFault>,
    ) -> Result<(), StoreFault> {
        let opened = self.publisher().files.open(part.order);
        let file = opened.map_err(|error| match is_wrong_type(&error) {
            true => StoreFault::Corrupt(at.clone(), format!("the file of a part: {error}")),
            false => error.into(),
        })?;
        let mut check = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
        let mut buffer = vec![0; 256 << 10];
        let mut offset = 0;
        while offset < part.size {
            let chunk = (part.size - offset).min(buffer.len() as u64) as usize;
            file.read_exact_at(&mut buffer[..chunk], part.body_offset + offset)?;
            check.update(&buffer[..chunk]);
            take(&buffer[..chunk])?;
            offset += chunk as u64;
        }
        if check.finalize() == part.crc64 {
            Ok(())
        } else {
            Err(StoreFault::Corrupt(at.clone(), "the checksum of a part is wrong".into()))
        }
    }

    /// Aborts an upload.
    ///
    /// # Errors
    /// There is no such upload, or the disk fails.
    pub fn abort(&self, at: &Location, id: &str) -> Result<(), StoreFault> {
        self.get(at, id)?;
        let upload = id.to_owned();
        let removed = self.publisher().submit(Vec::new(), move |changes| Ok(changes.remove_upload(&upload)?));
        self.publisher().unlink(&removed.wait()?);
        Ok(())
    }
}

/// What stays known of a part once it is joined.
fn layout(number: u16, part: PartRecord) -> ObjectPart {
    ObjectPart { number, size: part.size, checksums: part.checksums.values }
}

fn choose(there: &[(u16, PartRecord)], chosen: &[CompletedPart]) -> Result<Vec<PartRecord>, StoreFault> {
    if chosen.is_empty() {
        return Err(StoreFault::Invalid("a multipart upload needs at least one part".into()));
    }
    let mut parts = Vec::with_capacity(chosen.len());
    for (index, part) in chosen.iter().enumerate() {
        if index > 0 && chosen[index - 1].number >= part.number {
            return Err(StoreFault::InvalidPartOrder);
        }
        // In the order of their numbers.
        let row = there.binary_search_by_key(&part.number, |(number, _)| *number).ok();
        let row = row.map(|index| &there[index].1).filter(|row| row.etag == part.etag);
        let row = row.ok_or(StoreFault::InvalidPart(part.number))?;
        let differs = |(name, value): &(&str, String)| {
            row.checksums.values.get(*name).is_some_and(|there| there != value)
        };
        if part.checksums.iter().any(differs) {
            return Err(StoreFault::InvalidPart(part.number));
        }
        if index + 1 < chosen.len() && row.size < SMALLEST_PART {
            return Err(StoreFault::PartTooSmall { number: part.number, size: row.size });
        }
        parts.push(row.clone());
    }
    Ok(parts)
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).filter_map(|at| u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()).collect()
}
