//! What last became of sources that are gone, until it is old enough to be forgotten.

use std::ops::Bound;

use redb::ReadableTable as _;
use serde::Deserialize;
use tintype_pipeline::store::Location;

use super::{
    LedgerError,
    records::ResultRecord,
    transaction::{OBJECTS, QueueChanges, QueueView, RESULTS, decode, encode, get, object_key},
};

/// Of a result's row.
#[derive(Deserialize)]
struct Ended {
    ended_ms: i64,
}

/// Results that nothing needs any more, and how far was looked.
#[derive(Debug, Default)]
pub struct Outdated {
    /// The rows' keys.
    pub rows: Vec<Vec<u8>>,
    /// The last row looked at; `None`: there are no more.
    pub next: Option<Vec<u8>>,
}

fn is_before(row: &[u8], ended_before_ms: i64) -> bool {
    // One that cannot be read is of no use.
    decode::<Ended>(row).map_or(true, |row| row.ended_ms < ended_before_ms)
}

impl QueueView<'_> {
    /// What last became of a source.
    pub fn result(&self, at: &Location) -> Result<Option<ResultRecord>, LedgerError> {
        get(&self.0.table(RESULTS)?, object_key(at).as_slice())
    }

    /// Looks through at most `most` results after a row, for those of objects that are gone which ended
    /// before `ended_before_ms`.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn outdated_results(
        &self,
        after: &[u8],
        most: usize,
        ended_before_ms: i64,
    ) -> Result<Outdated, LedgerError> {
        let (results, objects) = (self.0.table(RESULTS)?, self.0.table(OBJECTS)?);
        let mut outdated = Outdated::default();
        let from = (Bound::Excluded(after), Bound::<&[u8]>::Unbounded);
        for row in results.range::<&[u8]>(from).map_err(LedgerError::database)?.take(most) {
            let (key, row) = row.map_err(LedgerError::database)?;
            let key = key.value();
            if is_before(row.value(), ended_before_ms)
                && objects.get(key).map_err(LedgerError::database)?.is_none()
            {
                outdated.rows.push(key.to_vec());
            }
            outdated.next = Some(key.to_vec());
        }
        Ok(outdated)
    }
}

impl QueueChanges<'_, '_> {
    /// What last became of a source.
    pub fn result(&self, at: &Location) -> Result<Option<ResultRecord>, LedgerError> {
        get(&self.0.table(RESULTS)?, object_key(at).as_slice())
    }

    /// Writes what became of a source.
    pub fn put_result(&self, at: &Location, result: &ResultRecord) -> Result<(), LedgerError> {
        self.0
            .table(RESULTS)?
            .insert(object_key(at).as_slice(), encode(result)?.as_slice())
            .map_err(LedgerError::database)?;
        Ok(())
    }

    /// Removes those of these results that still nothing needs; answers how many.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn remove_results(&self, rows: &[Vec<u8>], ended_before_ms: i64) -> Result<u64, LedgerError> {
        let (mut results, objects) = (self.0.table(RESULTS)?, self.0.table(OBJECTS)?);
        let mut removed = 0;
        for key in rows {
            let key = key.as_slice();
            let is_old = results.get(key).map_err(LedgerError::database)?;
            let is_old = is_old.is_some_and(|row| is_before(row.value(), ended_before_ms));
            if is_old && objects.get(key).map_err(LedgerError::database)?.is_none() {
                results.remove(key).map_err(LedgerError::database)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}
