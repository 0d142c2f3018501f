//! Results of fifteen days: the latest as they are, older ones packed many to a block.

mod block;
mod filter;

use redb::{
    ReadTransaction, ReadableTable as _, ReadableTableMetadata as _, TableDefinition, WriteTransaction,
};

use super::{Entry, KeepError, Keeper, series::KEPT_S};

/// Results by when they ended and a number, as JSON.
const RECENT: TableDefinition<'_, (i64, u64), &[u8]> = TableDefinition::new("recent");
/// Blocks by when their first and last result ended, and a number.
const BLOCKS: TableDefinition<'_, (i64, i64, u64), &[u8]> = TableDefinition::new("blocks");
/// Their filters, by the same key.
const FILTERS: TableDefinition<'_, (i64, i64, u64), &[u8]> = TableDefinition::new("filters");
/// How many of their results failed, by the same key; none of blocks that older programs packed.
const FAILURES: TableDefinition<'_, (i64, i64, u64), u32> = TableDefinition::new("failures");

/// Results kept as they are, at least.
const RECENT_KEPT: u64 = 3000;
/// The most results in a block.
const LARGEST_BLOCK: usize = 6000;
/// redb gives a large value a page of its own, of a power of two: a block fills one of 64 KiB.
const BLOCK_BYTES: usize = (64 << 10) - 128;
/// Blocks kept at most: 500 MB, whatever there is to remember.
const MOST_BLOCKS: u64 = 7600;

pub(super) fn make_tables(transaction: &WriteTransaction) -> Result<(), KeepError> {
    transaction.open_table(RECENT).map_err(KeepError::of)?;
    transaction.open_table(BLOCKS).map_err(KeepError::of)?;
    transaction.open_table(FILTERS).map_err(KeepError::of)?;
    transaction.open_table(FAILURES).map_err(KeepError::of)?;
    Ok(())
}

/// Adds results; packs those that are no longer among the latest, and forgets what is too old or too much.
pub(super) fn add<'a>(
    transaction: &WriteTransaction,
    now_ms: i64,
    entries: impl Iterator<Item = (u64, &'a Entry)>,
) -> Result<(), KeepError> {
    let mut recent = transaction.open_table(RECENT).map_err(KeepError::of)?;
    for (number, entry) in entries {
        let json = serde_json::to_vec(entry).map_err(|_| KeepError::damaged("a result"))?;
        recent.insert((entry.ended_ms, number), json.as_slice()).map_err(KeepError::of)?;
    }
    let mut blocks = transaction.open_table(BLOCKS).map_err(KeepError::of)?;
    let mut filters = transaction.open_table(FILTERS).map_err(KeepError::of)?;
    let mut failures = transaction.open_table(FAILURES).map_err(KeepError::of)?;
    while recent.len().map_err(KeepError::of)? >= RECENT_KEPT + LARGEST_BLOCK as u64 {
        let Some(Filled { first, last, packed, hashes, failed }) = fill(&recent)? else { break };
        let key = (first.0, last.0, first.1);
        blocks.insert(key, packed.as_slice()).map_err(KeepError::of)?;
        filters.insert(key, filter::make(&hashes).as_slice()).map_err(KeepError::of)?;
        failures.insert(key, failed).map_err(KeepError::of)?;
        recent.retain_in(..=last, |_, _| false).map_err(KeepError::of)?;
    }
    let oldest_ms = now_ms - KEPT_S * 1000;
    recent.retain_in(..(oldest_ms, 0), |_, _| false).map_err(KeepError::of)?;
    while let Some(key) = {
        let first = blocks.first().map_err(KeepError::of)?;
        let key = first.map(|(key, _)| key.value());
        let too_many = blocks.len().map_err(KeepError::of)? > MOST_BLOCKS;
        key.filter(|key| key.1 < oldest_ms || too_many)
    } {
        blocks.remove(key).map_err(KeepError::of)?;
        filters.remove(key).map_err(KeepError::of)?;
        failures.remove(key).map_err(KeepError::of)?;
    }
    Ok(())
}

/// A block, and what is said beside it.
struct Filled {
    /// Of its first and last result.
    first: (i64, u64),
    last: (i64, u64),
    packed: Vec<u8>,
    hashes: Vec<u64>,
    failed: u32,
}

/// As many of the oldest results as fill a block.
fn fill(recent: &redb::Table<'_, (i64, u64), &'static [u8]>) -> Result<Option<Filled>, KeepError> {
    let mut count = LARGEST_BLOCK;
    loop {
        let filled = pack(recent, count)?;
        let Some(bytes) = filled.as_ref().map(|filled| filled.packed.len()) else { return Ok(None) };
        if bytes <= BLOCK_BYTES || count == 1 {
            return Ok(filled);
        }
        count = (count * BLOCK_BYTES / bytes * 99 / 100).max(1);
    }
}

/// The `count` oldest results in a block. They are read one by one: as they are, thousands take many megabytes.
fn pack(
    recent: &redb::Table<'_, (i64, u64), &'static [u8]>,
    count: usize,
) -> Result<Option<Filled>, KeepError> {
    let (mut packer, mut hashes, mut failed, mut ends) = (block::Packer::new(), Vec::new(), 0, None);
    for row in recent.iter().map_err(KeepError::of)?.take(count) {
        let (key, json) = row.map_err(KeepError::of)?;
        let entry = read(json.value())?;
        packer.add(&entry);
        hashes.push(filter::hash(&entry.bucket, &entry.key));
        failed += u32::from(entry.has_failed());
        ends = Some((ends.map_or(key.value(), |(first, _)| first), key.value()));
    }
    let filled = ends.map(|(first, last)| Filled { first, last, packed: packer.finish(), hashes, failed });
    Ok(filled)
}

fn read(json: &[u8]) -> Result<Entry, KeepError> {
    serde_json::from_slice(json).map_err(|_| KeepError::damaged("a result"))
}

/// Which results of the whole history are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Search<'a> {
    /// Of this bucket and key.
    pub object: Option<(&'a str, &'a str)>,
    /// Failed ones only.
    pub failed: bool,
}

impl Search<'_> {
    /// Whether a result is wanted.
    #[must_use]
    pub fn takes(&self, entry: &Entry) -> bool {
        (!self.failed || entry.has_failed())
            && self.object.is_none_or(|(bucket, key)| entry.key == key && entry.bucket == bucket)
    }
}

impl Keeper {
    /// Results from the latest backwards that `wanted` takes, at most `most` of them, of those that are not
    /// packed; with numbers below `below`.
    pub(super) fn latest(
        &self,
        most: usize,
        below: u64,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Result<Vec<Entry>, KeepError> {
        self.read(|transaction| recent(transaction, most, below, wanted))
    }

    /// The same from the whole history.
    pub(super) fn search(
        &self,
        most: usize,
        below: u64,
        search: &Search<'_>,
    ) -> Result<Vec<Entry>, KeepError> {
        self.read(|transaction| {
            let mut found = recent(transaction, most, below, |entry| search.takes(entry))?;
            packed(transaction, search, most, &mut found)?;
            Ok(found)
        })
    }
}

fn recent(
    transaction: &ReadTransaction,
    most: usize,
    below: u64,
    wanted: impl Fn(&Entry) -> bool,
) -> Result<Vec<Entry>, KeepError> {
    let mut found = Vec::new();
    let recent = transaction.open_table(RECENT).map_err(KeepError::of)?;
    for row in recent.iter().map_err(KeepError::of)?.rev() {
        if found.len() >= most {
            break;
        }
        let (key, json) = row.map_err(KeepError::of)?;
        if key.value().1 >= below {
            continue;
        }
        let entry = read(json.value())?;
        if wanted(&entry) {
            found.push(entry);
        }
    }
    Ok(found)
}

/// Goes on in the blocks, passing over those that hold nothing of it.
fn packed(
    transaction: &ReadTransaction,
    search: &Search<'_>,
    most: usize,
    found: &mut Vec<Entry>,
) -> Result<(), KeepError> {
    let hash = search.object.map(|(bucket, key)| filter::hash(bucket, key));
    let filters = transaction.open_table(FILTERS).map_err(KeepError::of)?;
    let failures = transaction.open_table(FAILURES).map_err(KeepError::of)?;
    let blocks = transaction.open_table(BLOCKS).map_err(KeepError::of)?;
    for row in filters.iter().map_err(KeepError::of)?.rev() {
        if found.len() >= most {
            break;
        }
        let (place, bits) = row.map_err(KeepError::of)?;
        if hash.is_some_and(|hash| !filter::may_hold(bits.value(), hash)) {
            continue;
        }
        let failed = failures.get(place.value()).map_err(KeepError::of)?;
        if search.failed && failed.is_some_and(|count| count.value() == 0) {
            continue;
        }
        let Some(block) = blocks.get(place.value()).map_err(KeepError::of)? else { continue };
        // A block of another layout, or a damaged one, hides nothing but itself.
        let entries = block::unpack(block.value()).unwrap_or_default();
        let wanted = entries.into_iter().rev().filter(|entry| search.takes(entry));
        found.extend(wanted.take(most - found.len()));
    }
    Ok(())
}
