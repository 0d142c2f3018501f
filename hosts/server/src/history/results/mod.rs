//! Results of fifteen days: the latest as JSON, older ones packed in blocks.

mod block;
mod filter;

use redb::{
    ReadTransaction, ReadableTable as _, ReadableTableMetadata as _, TableDefinition, WriteTransaction,
};

use super::{Database, DatabaseError, Entry, series::RETENTION_S};

/// Results as JSON, by when they ended and a number.
const RECENT: TableDefinition<'_, (i64, u64), &[u8]> = TableDefinition::new("recent");
/// Blocks by when their first and last result ended, and a number.
const BLOCKS: TableDefinition<'_, (i64, i64, u64), &[u8]> = TableDefinition::new("blocks");
/// The blocks' filters, by the same key.
const FILTERS: TableDefinition<'_, (i64, i64, u64), &[u8]> = TableDefinition::new("filters");
/// How many of a block's results failed, by the same key; absent for blocks of earlier versions.
const FAILURES: TableDefinition<'_, (i64, i64, u64), u32> = TableDefinition::new("failures");

/// The least number of results that stay unpacked.
const MIN_RECENT: u64 = 3000;
/// The most results in a block.
const MAX_BLOCK_RESULTS: usize = 6000;
/// redb stores a large value in pages of its own, rounded up to a power of two: a block fills 64 KiB.
const BLOCK_BYTES: usize = (64 << 10) - 128;
/// The most blocks that are unpacked for one answer: up to 192,000 results.
const MAX_UNPACKED_BLOCKS: usize = 32;
/// The most blocks: 500 MB on disk.
const MAX_BLOCKS: u64 = 7600;

pub(super) fn create_tables(transaction: &WriteTransaction) -> Result<(), DatabaseError> {
    transaction.open_table(RECENT).map_err(DatabaseError::redb)?;
    transaction.open_table(BLOCKS).map_err(DatabaseError::redb)?;
    transaction.open_table(FILTERS).map_err(DatabaseError::redb)?;
    transaction.open_table(FAILURES).map_err(DatabaseError::redb)?;
    Ok(())
}

/// Adds results; packs those no longer among the latest, and deletes those past their retention or beyond
/// [`MAX_BLOCKS`].
pub(super) fn add<'a>(
    transaction: &WriteTransaction,
    now_ms: i64,
    entries: impl Iterator<Item = (u64, &'a Entry)>,
) -> Result<(), DatabaseError> {
    let mut recent = transaction.open_table(RECENT).map_err(DatabaseError::redb)?;
    for (number, entry) in entries {
        let json = serde_json::to_vec(entry).map_err(|_| DatabaseError::corrupt("a result"))?;
        recent.insert((entry.ended_ms, number), json.as_slice()).map_err(DatabaseError::redb)?;
    }
    let mut blocks = transaction.open_table(BLOCKS).map_err(DatabaseError::redb)?;
    let mut filters = transaction.open_table(FILTERS).map_err(DatabaseError::redb)?;
    let mut failures = transaction.open_table(FAILURES).map_err(DatabaseError::redb)?;
    while recent.len().map_err(DatabaseError::redb)? >= MIN_RECENT + MAX_BLOCK_RESULTS as u64 {
        let Some(Block { first, last, packed, hashes, failed }) = fill(&recent)? else { break };
        let key = (first.0, last.0, first.1);
        blocks.insert(key, packed.as_slice()).map_err(DatabaseError::redb)?;
        filters.insert(key, filter::build(&hashes).as_slice()).map_err(DatabaseError::redb)?;
        failures.insert(key, failed).map_err(DatabaseError::redb)?;
        recent.retain_in(..=last, |_, _| false).map_err(DatabaseError::redb)?;
    }
    let oldest_ms = now_ms - RETENTION_S * 1000;
    recent.retain_in(..(oldest_ms, 0), |_, _| false).map_err(DatabaseError::redb)?;
    while let Some(key) = {
        let first = blocks.first().map_err(DatabaseError::redb)?;
        let key = first.map(|(key, _)| key.value());
        let too_many = blocks.len().map_err(DatabaseError::redb)? > MAX_BLOCKS;
        key.filter(|key| key.1 < oldest_ms || too_many)
    } {
        blocks.remove(key).map_err(DatabaseError::redb)?;
        filters.remove(key).map_err(DatabaseError::redb)?;
        failures.remove(key).map_err(DatabaseError::redb)?;
    }
    Ok(())
}

/// A block and its metadata.
struct Block {
    /// The keys of its first and last result.
    first: (i64, u64),
    last: (i64, u64),
    packed: Vec<u8>,
    hashes: Vec<u64>,
    failed: u32,
}

/// Packs as many of the oldest results as fill a block.
fn fill(recent: &redb::Table<'_, (i64, u64), &'static [u8]>) -> Result<Option<Block>, DatabaseError> {
    let mut count = MAX_BLOCK_RESULTS;
    loop {
        let block = pack(recent, count)?;
        let Some(bytes) = block.as_ref().map(|block| block.packed.len()) else { return Ok(None) };
        if bytes <= BLOCK_BYTES || count == 1 {
            return Ok(block);
        }
        count = (count * BLOCK_BYTES / bytes * 99 / 100).max(1);
    }
}

/// Packs the `count` oldest results. They are read one by one: thousands unpacked take many megabytes.
fn pack(
    recent: &redb::Table<'_, (i64, u64), &'static [u8]>,
    count: usize,
) -> Result<Option<Block>, DatabaseError> {
    let (mut packer, mut hashes, mut failed, mut ends) = (block::Packer::new(), Vec::new(), 0, None);
    for row in recent.iter().map_err(DatabaseError::redb)?.take(count) {
        let (key, json) = row.map_err(DatabaseError::redb)?;
        let entry = read(json.value())?;
        packer.add(&entry);
        hashes.push(filter::hash(&entry.bucket, &entry.key));
        failed += u32::from(entry.has_failed());
        ends = Some((ends.map_or(key.value(), |(first, _)| first), key.value()));
    }
    let block = ends.map(|(first, last)| Block { first, last, packed: packer.finish(), hashes, failed });
    Ok(block)
}

fn read(json: &[u8]) -> Result<Entry, DatabaseError> {
    serde_json::from_slice(json).map_err(|_| DatabaseError::corrupt("a result"))
}

/// Conditions of a search in the whole history.
#[derive(Debug, Clone, Copy, Default)]
pub struct Search<'a> {
    /// Only results of this bucket and key.
    pub object: Option<(&'a str, &'a str)>,
    /// Only failed ones.
    pub failed: bool,
}

impl Search<'_> {
    /// Whether a result meets the conditions.
    #[must_use]
    pub fn matches(&self, entry: &Entry) -> bool {
        (!self.failed || entry.has_failed())
            && self.object.is_none_or(|(bucket, key)| entry.key == key && entry.bucket == bucket)
    }
}

impl Database {
    /// Up to `limit` unpacked results that `matches` accepts and whose numbers are below `below`, latest first.
    pub(super) fn latest(
        &self,
        limit: usize,
        below: u64,
        matches: impl Fn(&Entry) -> bool,
    ) -> Result<Vec<Entry>, DatabaseError> {
        self.read(|transaction| recent(transaction, limit, below, matches))
    }

    /// The same as far back as [`MAX_UNPACKED_BLOCKS`] blocks reach: each is unpacked, since no filter knows what `matches`.
    pub(super) fn latest_and_packed(
        &self,
        limit: usize,
        below: u64,
        matches: impl Fn(&Entry) -> bool,
    ) -> Result<Vec<Entry>, DatabaseError> {
        self.read(|transaction| {
            let mut found = recent(transaction, limit, below, &matches)?;
            let blocks = transaction.open_table(BLOCKS).map_err(DatabaseError::redb)?;
            for row in blocks.iter().map_err(DatabaseError::redb)?.rev().take(MAX_UNPACKED_BLOCKS) {
                if found.len() >= limit {
                    break;
                }
                let (_, block) = row.map_err(DatabaseError::redb)?;
                // A corrupt block, or one of an unknown layout, is skipped.
                let entries = block::unpack(block.value()).unwrap_or_default();
                let matching = entries.into_iter().rev().filter(|entry| matches(entry));
                found.extend(matching.take(limit - found.len()));
            }
            Ok(found)
        })
    }

    /// The same in the whole history.
    pub(super) fn search(
        &self,
        limit: usize,
        below: u64,
        search: &Search<'_>,
    ) -> Result<Vec<Entry>, DatabaseError> {
        self.read(|transaction| {
            let mut found = recent(transaction, limit, below, |entry| search.matches(entry))?;
            packed(transaction, search, limit, &mut found)?;
            Ok(found)
        })
    }
}

fn recent(
    transaction: &ReadTransaction,
    limit: usize,
    below: u64,
    matches: impl Fn(&Entry) -> bool,
) -> Result<Vec<Entry>, DatabaseError> {
    let mut found = Vec::new();
    let recent = transaction.open_table(RECENT).map_err(DatabaseError::redb)?;
    for row in recent.iter().map_err(DatabaseError::redb)?.rev() {
        if found.len() >= limit {
            break;
        }
        let (key, json) = row.map_err(DatabaseError::redb)?;
        if key.value().1 >= below {
            continue;
        }
        let entry = read(json.value())?;
        if matches(&entry) {
            found.push(entry);
        }
    }
    Ok(found)
}

/// Continues a search in the blocks, skipping those that cannot contain a match.
fn packed(
    transaction: &ReadTransaction,
    search: &Search<'_>,
    limit: usize,
    found: &mut Vec<Entry>,
) -> Result<(), DatabaseError> {
    let hash = search.object.map(|(bucket, key)| filter::hash(bucket, key));
    let filters = transaction.open_table(FILTERS).map_err(DatabaseError::redb)?;
    let failures = transaction.open_table(FAILURES).map_err(DatabaseError::redb)?;
    let blocks = transaction.open_table(BLOCKS).map_err(DatabaseError::redb)?;
    for row in filters.iter().map_err(DatabaseError::redb)?.rev() {
        if found.len() >= limit {
            break;
        }
        let (key, bits) = row.map_err(DatabaseError::redb)?;
        if hash.is_some_and(|hash| !filter::may_contain(bits.value(), hash)) {
            continue;
        }
        let failed = failures.get(key.value()).map_err(DatabaseError::redb)?;
        if search.failed && failed.is_some_and(|count| count.value() == 0) {
            continue;
        }
        let Some(block) = blocks.get(key.value()).map_err(DatabaseError::redb)? else { continue };
        // A corrupt block, or one of an unknown layout, is skipped.
        let entries = block::unpack(block.value()).unwrap_or_default();
        let matching = entries.into_iter().rev().filter(|entry| search.matches(entry));
        found.extend(matching.take(limit - found.len()));
    }
    Ok(())
}
