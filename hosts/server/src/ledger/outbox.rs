//! Bucket events that wait to be sent to the targets of the settings, in the order of their commits.

use redb::{ReadableTableMetadata as _, TableDefinition};

use super::{
    LedgerError,
    records::OutboxRecord,
    transaction::{Changes, View, decode, encode},
};

/// By the name of the target's section, and number.
pub(super) const OUTBOX: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("outbox");

/// A row's number and record.
pub type OutboxRow = (u64, OutboxRecord);

impl View {
    /// Rows of a section with numbers above `after`, in order, at most `most`.
    ///
    /// # Errors
    /// As for all methods here: the ledger cannot be read.
    pub fn outbox_rows(&self, section: &str, after: u64, most: usize) -> Result<Vec<OutboxRow>, LedgerError> {
        let table = self.table(OUTBOX)?;
        let rows = table.range((section, after.saturating_add(1))..=(section, u64::MAX));
        let rows = rows.map_err(LedgerError::database)?.take(most);
        rows.map(|row| {
            let (key, record) = row.map_err(LedgerError::database)?;
            Ok((key.value().1, decode(record.value())?))
        })
        .collect()
    }

    /// The numbers of a section's oldest rows, at most `most`.
    pub fn oldest_outbox_rows(&self, section: &str, most: usize) -> Result<Vec<u64>, LedgerError> {
        let table = self.table(OUTBOX)?;
        let rows = table.range((section, 0)..=(section, u64::MAX)).map_err(LedgerError::database)?.take(most);
        rows.map(|row| Ok(row.map_err(LedgerError::database)?.0.value().1)).collect()
    }

    /// How many rows a section has. Walks them.
    pub fn outbox_count_of(&self, section: &str) -> Result<u64, LedgerError> {
        let table = self.table(OUTBOX)?;
        let rows = table.range((section, 0)..=(section, u64::MAX)).map_err(LedgerError::database)?;
        let mut count = 0;
        for row in rows {
            row.map_err(LedgerError::database)?;
            count += 1;
        }
        Ok(count)
    }

    /// How many rows there are.
    pub fn outbox_count(&self) -> Result<u64, LedgerError> {
        self.table(OUTBOX)?.len().map_err(LedgerError::database)
    }

    /// The sections that have rows.
    pub fn outbox_sections(&self) -> Result<Vec<String>, LedgerError> {
        let table = self.table(OUTBOX)?;
        let mut sections = Vec::new();
        let mut from = String::new();
        loop {
            let mut rows = table.range((from.as_str(), 0)..).map_err(LedgerError::database)?;
            let Some(row) = rows.next().transpose().map_err(LedgerError::database)? else {
                return Ok(sections);
            };
            let section = row.0.value().0.to_owned();
            // The first text that sorts after it.
            from = format!("{section}\0");
            sections.push(section);
        }
    }
}

impl Changes<'_> {
    /// Writes a row.
    ///
    /// # Errors
    /// As for all methods here: the ledger cannot be read or written.
    pub fn put_outbox_row(
        &self,
        section: &str,
        number: u64,
        record: &OutboxRecord,
    ) -> Result<(), LedgerError> {
        let record = encode(record)?;
        self.table(OUTBOX)?.insert((section, number), record.as_slice()).map_err(LedgerError::database)?;
        Ok(())
    }

    /// Removes rows.
    pub fn remove_outbox_rows(&self, section: &str, numbers: &[u64]) -> Result<(), LedgerError> {
        let mut table = self.table(OUTBOX)?;
        for number in numbers {
            table.remove((section, *number)).map_err(LedgerError::database)?;
        }
        Ok(())
    }
}
