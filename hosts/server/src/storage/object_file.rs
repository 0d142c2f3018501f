//! The head of every object file: bucket, key and row, so that the ledger can be rebuilt from the files alone.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `TINTYPE\n` |
//! | 8..12 | version of this layout, little-endian |
//! | 12..16 | where the object's bytes begin |
//! | 16..20 | length of the JSON |
//! | 20..24 | CRC-32C of bytes 0..20 and the JSON |
//! | 24.. | JSON: [`Header`] |

use std::{cell::Cell, io};

use crc_fast::{CrcAlgorithm, Digest};
use serde::{Deserialize, Serialize};

use crate::{disk::DiskFile, ledger::ObjectRecord};

const MAGIC: &[u8; 8] = b"TINTYPE\n";
const VERSION: u32 = 1;
const FIXED: usize = 24;
/// The bytes begin at a multiple of this.
const ALIGNMENT: usize = 512;
/// More than the longest key, headers and metadata S3 takes, in JSON.
const LARGEST: u32 = 64 << 10;

/// Where the bytes of an object with the largest head begin.
const FARTHEST: u64 = (FIXED as u64 + LARGEST as u64 + LATER as u64).next_multiple_of(ALIGNMENT as u64);
/// Room for the widest values: every number at its longest, `ETag` with parts, five checksums.
const LATER: usize = 1024;

/// What the head of a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// The bucket.
    pub(crate) bucket: String,
    /// The key.
    pub(crate) key: String,
    /// Set for a part of an upload: the upload and the part's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) part: Option<(String, u16)>,
    /// The object's row.
    pub(crate) record: ObjectRecord,
}

/// Room for a header whose numbers, ETag and checksums are not known yet.
pub(crate) fn room_for(header: &Header) -> u64 {
    let json = serde_json::to_vec(header).map_or(0, |json| json.len());
    ((FIXED + json + LATER).div_ceil(ALIGNMENT) * ALIGNMENT) as u64
}

/// The head, filled with zeros up to where the bytes begin.
pub(crate) fn encode(header: &Header) -> Result<Vec<u8>, String> {
    let json = serde_json::to_vec(header).map_err(|error| error.to_string())?;
    let body_offset = usize::try_from(header.record.body_offset).map_err(|error| error.to_string())?;
    if FIXED + json.len() > body_offset {
        return Err(format!(
            "the head needs {} bytes, but there is room for {body_offset}",
            FIXED + json.len()
        ));
    }
    let mut head = Vec::with_capacity(body_offset);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&VERSION.to_le_bytes());
    head.extend_from_slice(&(body_offset as u32).to_le_bytes());
    head.extend_from_slice(&(json.len() as u32).to_le_bytes());
    let checksum = checksum(&head, &json);
    head.extend_from_slice(&checksum.to_le_bytes());
    head.extend_from_slice(&json);
    head.resize(body_offset, 0);
    Ok(head)
}

fn checksum(fixed: &[u8], json: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(fixed);
    digest.update(json);
    digest.finalize() as u32
}

/// Why the head of a file cannot be read.
pub(crate) enum Unreadable {
    /// The disk cannot read it now, which is no corruption.
    Disk(io::Error),
    /// It is not as it was written.
    Corrupt(String),
}

/// Reads the head of an open file.
pub(crate) fn read(file: &dyn DiskFile) -> Result<Header, Unreadable> {
    let failed = Cell::new(None);
    let read = |buffer: &mut [u8], offset| {
        file.read_exact_at(buffer, offset).map_err(|error| {
            let kind = error.kind();
            failed.set((kind != io::ErrorKind::UnexpectedEof).then_some(error));
            kind.into()
        })
    };
    decode(read).map_err(|words| failed.take().map_or(Unreadable::Corrupt(words), Unreadable::Disk))
}

/// Reads a head through `read`, which fills a buffer from an offset.
pub(crate) fn decode(read: impl Fn(&mut [u8], u64) -> std::io::Result<()>) -> Result<Header, String> {
    let mut fixed = [0; FIXED];
    read(&mut fixed, 0).map_err(|error| format!("its head cannot be read: {error}"))?;
    let number = |at: usize| u32::from_le_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
    if &fixed[..8] != MAGIC {
        return Err("it does not begin as object files do".into());
    }
    if number(8) != VERSION {
        return Err(format!("its layout has version {}; this program knows {VERSION}", number(8)));
    }
    let length = number(16);
    if length > LARGEST {
        return Err(format!("its head claims {length} bytes"));
    }
    let mut json = vec![0; length as usize];
    read(&mut json, FIXED as u64).map_err(|error| format!("its head cannot be read: {error}"))?;
    if checksum(&fixed[..20], &json) != number(20) {
        return Err("the checksum of its head is wrong".into());
    }
    let header: Header =
        serde_json::from_slice(&json).map_err(|error| format!("its head does not parse: {error}"))?;
    let body_offset = header.record.body_offset;
    let is_behind_head = (FIXED as u64 + u64::from(length)..=FARTHEST).contains(&body_offset);
    if body_offset != u64::from(number(12)) || !is_behind_head {
        return Err("its head contradicts itself".into());
    }
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Checksums, StoredHeaders};

    fn header() -> Header {
        let record = ObjectRecord {
            order: 7,
            size: 3,
            etag: "abc".into(),
            modified_ms: 1,
            crc64: 9,
            body_offset: 0,
            parts: None,
            headers: StoredHeaders::default(),
            checksums: Checksums::default(),
        };
        Header { bucket: "in".into(), key: "../ü".into(), part: None, record }
    }

    fn read_from(bytes: &[u8]) -> impl Fn(&mut [u8], u64) -> std::io::Result<()> + '_ {
        |buffer, offset| {
            let from = bytes.get(offset as usize..offset as usize + buffer.len());
            buffer.copy_from_slice(from.ok_or(std::io::ErrorKind::UnexpectedEof)?);
            Ok(())
        }
    }

    #[test]
    fn bytes_begin_behind_the_head_and_near_it() {
        let mut header = header();
        let room = room_for(&header);
        let mut head = |body_offset: u64| {
            header.record.body_offset = body_offset;
            let json = serde_json::to_vec(&header).unwrap();
            let fixed = [
                &MAGIC[..],
                &VERSION.to_le_bytes(),
                &(body_offset as u32).to_le_bytes(),
                &(json.len() as u32).to_le_bytes(),
            ];
            let fixed = fixed.concat();
            let checksum = checksum(&fixed, &json).to_le_bytes();
            [&fixed[..], &checksum, &json].concat()
        };
        let mut is_read = |body_offset| decode(read_from(&head(body_offset))).is_ok();
        assert!(is_read(room) && is_read(FARTHEST));
        for wrong in [0, FIXED as u64, 100, FARTHEST + 1, u32::MAX.into(), 1 << 40] {
            assert!(!is_read(wrong), "{wrong}");
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let mut header = header();
        header.record.body_offset = room_for(&header);
        let head = encode(&header).unwrap();
        assert_eq!(head.len() % ALIGNMENT, 0);
        assert_eq!(decode(read_from(&head)).unwrap(), header);
        let used = FIXED + serde_json::to_vec(&header).unwrap().len();
        for at in 0..used {
            let mut corrupt = head.clone();
            corrupt[at] ^= 1;
            assert!(decode(read_from(&corrupt)).is_err(), "byte {at}");
        }
        for length in 0..used {
            assert!(decode(read_from(&head[..length])).is_err(), "length {length}");
        }
    }
}
