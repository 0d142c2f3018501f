//! Alt text in the ledger: images that wait to be described, what was written of each, and what a day took.

use std::time::Instant;

use redb::{ReadableTable as _, ReadableTableMetadata as _, TableDefinition};
use tintype_alt_text::Day;
use tintype_pipeline::store::Location;

use super::{
    LedgerError,
    records::{AltTextRecord, EventRecord},
    transaction::{Changes, View, decode, encode, object_key},
};

/// Images that wait to be described, by when each is due, and the event's id.
pub(super) const ALT_TEXT_EVENTS: TableDefinition<'_, (i64, u64), &[u8]> =
    TableDefinition::new("alt_text_events");
/// By source, keyed as objects are: what is searched in, a zero byte, the record. A search decodes only what it finds.
pub(super) const ALT_TEXTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("alt_texts");
/// What each day took, in days since 1970.
pub(super) const ALT_TEXT_USAGE: TableDefinition<'_, i64, &[u8]> = TableDefinition::new("alt_text_usage");

/// Days whose use is stored.
const STORED_DAYS: i64 = 400;

/// Parts of a row of [`ALT_TEXTS`].
fn parts(row: &[u8]) -> Result<(&str, &[u8]), LedgerError> {
    let wrong = || LedgerError::Record("a row of alt text".into());
    let end = row.iter().position(|byte| *byte == 0).ok_or_else(wrong)?;
    Ok((std::str::from_utf8(&row[..end]).map_err(|_| wrong())?, &row[end + 1..]))
}

impl View {
    /// The events that are due, at most `most`, and when the first of the others is.
    ///
    /// # Errors
    /// As for all methods here: the ledger cannot be read.
    pub fn alt_text_events(
        &self,
        now_ms: i64,
        most: usize,
    ) -> Result<(Vec<EventRecord>, Option<i64>), LedgerError> {
        let table = self.table(ALT_TEXT_EVENTS)?;
        let mut due = Vec::new();
        for row in table.iter().map_err(LedgerError::database)? {
            let (key, record) = row.map_err(LedgerError::database)?;
            let (due_ms, id) = key.value();
            if due_ms > now_ms {
                return Ok((due, Some(due_ms)));
            }
            if due.len() == most {
                return Ok((due, Some(now_ms)));
            }
            match decode(record.value()) {
                Ok(event) => due.push(event),
                // One row that cannot be read must not hold up the others.
                Err(error) => tracing::error!(id, %error, "an event of alt text cannot be read"),
            }
        }
        Ok((due, None))
    }

    /// How many events there are.
    pub fn alt_text_event_count(&self) -> Result<u64, LedgerError> {
        self.table(ALT_TEXT_EVENTS)?.len().map_err(LedgerError::database)
    }

    /// The events of an object. Walks all.
    pub fn alt_text_events_of(&self, at: &Location) -> Result<Vec<EventRecord>, LedgerError> {
        let table = self.table(ALT_TEXT_EVENTS)?;
        let mut found = Vec::new();
        for row in table.iter().map_err(LedgerError::database)? {
            let event: EventRecord = decode(row.map_err(LedgerError::database)?.1.value())?;
            if event.bucket == at.bucket && event.key == at.key.as_str() {
                found.push(event);
            }
        }
        Ok(found)
    }

    /// What was written of a source.
    pub fn alt_text(&self, source: &Location) -> Result<Option<AltTextRecord>, LedgerError> {
        let row = self.table(ALT_TEXTS)?;
        let row = row.get(object_key(source).as_slice()).map_err(LedgerError::database)?;
        row.map(|row| decode(parts(row.value())?.1)).transpose()
    }

    /// What was written of each source of a bucket whose text `passes`, by key, until `visit` answers `false` or the time
    /// is over; returns whether it was not over.
    pub fn search_alt_texts(
        &self,
        bucket: &str,
        passes: impl Fn(&str) -> bool,
        until: Instant,
        mut visit: impl FnMut(&str, AltTextRecord) -> Result<bool, LedgerError>,
    ) -> Result<bool, LedgerError> {
        let table = self.table(ALT_TEXTS)?;
        let (start, end) = ([bucket.as_bytes(), &[0]].concat(), [bucket.as_bytes(), &[1]].concat());
        for row in table.range(start.as_slice()..end.as_slice()).map_err(LedgerError::database)? {
            if Instant::now() >= until {
                return Ok(false);
            }
            let (key, row) = row.map_err(LedgerError::database)?;
            let (text, record) = parts(row.value())?;
            if !passes(text) {
                continue;
            }
            let key = std::str::from_utf8(&key.value()[start.len()..])
                .map_err(|error| LedgerError::Record(error.to_string()))?;
            if !visit(key, decode(record)?)? {
                break;
            }
        }
        Ok(true)
    }

    /// Rows of sources from a key on, at most `most`: the key as it is stored, and the record.
    pub fn alt_texts_from(
        &self,
        from: &[u8],
        most: usize,
    ) -> Result<Vec<(Vec<u8>, AltTextRecord)>, LedgerError> {
        let table = self.table(ALT_TEXTS)?;
        let rows = table.range(from..).map_err(LedgerError::database)?.take(most);
        rows.map(|row| {
            let (key, row) = row.map_err(LedgerError::database)?;
            Ok((key.value().to_vec(), decode(parts(row.value())?.1)?))
        })
        .collect()
    }

    /// What the last days took, oldest first, at most `most`.
    pub fn alt_text_usage(&self, most: usize) -> Result<Vec<(i64, Day)>, LedgerError> {
        let table = self.table(ALT_TEXT_USAGE)?;
        let rows = table.iter().map_err(LedgerError::database)?.rev().take(most);
        let days = rows.map(|row| {
            let (day, used) = row.map_err(LedgerError::database)?;
            Ok((day.value(), decode(used.value())?))
        });
        let mut days: Vec<_> = days.collect::<Result<_, LedgerError>>()?;
        days.reverse();
        Ok(days)
    }

    /// What one day took.
    pub fn alt_text_usage_of(&self, day: i64) -> Result<Day, LedgerError> {
        let table = self.table(ALT_TEXT_USAGE)?;
        let row = table.get(day).map_err(LedgerError::database)?;
        row.map_or(Ok(Day::default()), |row| decode(row.value()))
    }
}

impl Changes<'_> {
    /// Writes an event.
    ///
    /// # Errors
    /// As for all methods here: the ledger cannot be read or written.
    pub fn put_alt_text_event(&self, event: &EventRecord) -> Result<(), LedgerError> {
        self.table(ALT_TEXT_EVENTS)?
            .insert((event.due_ms, event.id), encode(event)?.as_slice())
            .map_err(LedgerError::database)?;
        self.use_order(event.id)
    }

    /// Removes an event; returns whether it was there.
    pub fn remove_alt_text_event(&self, event: &EventRecord) -> Result<bool, LedgerError> {
        let mut table = self.table(ALT_TEXT_EVENTS)?;
        let removed = table.remove((event.due_ms, event.id)).map_err(LedgerError::database)?;
        Ok(removed.is_some())
    }

    /// What was written of a source.
    pub fn alt_text(&self, source: &Location) -> Result<Option<AltTextRecord>, LedgerError> {
        let table = self.table(ALT_TEXTS)?;
        let row = table.get(object_key(source).as_slice()).map_err(LedgerError::database)?;
        row.map_or(Ok(None), |row| Ok(Some(decode(parts(row.value())?.1)?)))
    }

    /// Writes what is searched of a source.
    pub fn put_alt_text(&self, source: &Location, record: &AltTextRecord) -> Result<(), LedgerError> {
        let mut text = source.key.to_string();
        for one in record.alt.values() {
            text.push('\n');
            text.push_str(one);
        }
        let mut row = text.to_lowercase().replace('\0', " ").into_bytes();
        row.push(0);
        row.extend(encode(record)?);
        self.table(ALT_TEXTS)?
            .insert(object_key(source).as_slice(), row.as_slice())
            .map_err(LedgerError::database)?;
        Ok(())
    }

    /// Removes what is searched of a source.
    pub fn remove_alt_text(&self, source: &Location) -> Result<(), LedgerError> {
        self.remove_alt_text_row(&object_key(source))
    }

    /// The same by the key as it is stored.
    pub fn remove_alt_text_row(&self, key: &[u8]) -> Result<(), LedgerError> {
        self.table(ALT_TEXTS)?.remove(key).map_err(LedgerError::database)?;
        Ok(())
    }

    /// Adds what an attempt took to its day, and removes days of long ago.
    pub fn add_alt_text_usage(&self, day: i64, used: Day) -> Result<(), LedgerError> {
        let mut table = self.table(ALT_TEXT_USAGE)?;
        let before = table.get(day).map_err(LedgerError::database)?;
        let before: Day = before.map_or(Ok(Day::default()), |row| decode(row.value()))?;
        table.insert(day, encode(&before.and(used))?.as_slice()).map_err(LedgerError::database)?;
        let first = table.first().map_err(LedgerError::database)?.map(|(first, _)| first.value());
        if let Some(first) = first.filter(|first| *first < day - STORED_DAYS) {
            table.remove(first).map_err(LedgerError::database)?;
        }
        Ok(())
    }
}
