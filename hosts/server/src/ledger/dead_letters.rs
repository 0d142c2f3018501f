//! Dead letters in the ledger.

use redb::{AccessGuard, ReadableTable as _, ReadableTableMetadata as _, StorageError};

use super::{
    LedgerError,
    records::DeadLetter,
    transaction::{DEAD_LETTERS, QueueChanges, QueueView, decode, encode},
};

impl QueueView<'_> {
    /// The dead letters that `wanted` selects, oldest first.
    ///
    /// # Errors
    /// The ledger cannot be used.
    pub fn dead_letters(&self, wanted: impl Fn(&DeadLetter) -> bool) -> Result<Vec<DeadLetter>, LedgerError> {
        let table = self.0.table(DEAD_LETTERS)?;
        let rows = table.iter().map_err(LedgerError::database)?;
        rows.map(|row| decode(row.map_err(LedgerError::database)?.1.value()))
            .filter(|letter| letter.as_ref().map_or(true, &wanted))
            .collect()
    }

    /// Dead letters by their ids, from `from` on, until `visit` answers `false`.
    ///
    /// # Errors
    /// The ledger cannot be used, or `visit` failed.
    pub fn walk_dead_letters(
        &self,
        from: u64,
        visit: impl FnMut(DeadLetter) -> bool,
    ) -> Result<(), LedgerError> {
        walk(self.0.table(DEAD_LETTERS)?.range(from..).map_err(LedgerError::database)?, visit)
    }

    /// Dead letters by their ids, downwards from the last below `before`, until `visit` answers `false`.
    ///
    /// # Errors
    /// The ledger cannot be used.
    pub fn walk_dead_letters_down(
        &self,
        before: u64,
        visit: impl FnMut(DeadLetter) -> bool,
    ) -> Result<(), LedgerError> {
        walk(self.0.table(DEAD_LETTERS)?.range(..before).map_err(LedgerError::database)?.rev(), visit)
    }

    /// A dead letter.
    ///
    /// # Errors
    /// The ledger cannot be used.
    pub fn dead_letter(&self, id: u64) -> Result<Option<DeadLetter>, LedgerError> {
        let row = self.0.table(DEAD_LETTERS)?.get(id).map_err(LedgerError::database)?;
        row.map(|row| decode(row.value())).transpose()
    }

    /// How many dead letters there are.
    ///
    /// # Errors
    /// The ledger cannot be used.
    pub fn dead_letter_count(&self) -> Result<u64, LedgerError> {
        self.0.table(DEAD_LETTERS)?.len().map_err(LedgerError::database)
    }
}

/// Visits rows until `visit` returns `false`.
fn walk<'a>(
    rows: impl Iterator<Item = Result<(AccessGuard<'a, u64>, AccessGuard<'a, &'static [u8]>), StorageError>>,
    mut visit: impl FnMut(DeadLetter) -> bool,
) -> Result<(), LedgerError> {
    for row in rows {
        if !visit(decode(row.map_err(LedgerError::database)?.1.value())?) {
            break;
        }
    }
    Ok(())
}

impl QueueChanges<'_, '_> {
    /// Writes a dead letter.
    ///
    /// # Errors
    /// The ledger cannot be used.
    pub fn put_dead_letter(&self, letter: &DeadLetter) -> Result<(), LedgerError> {
        self.0
            .table(DEAD_LETTERS)?
            .insert(letter.event.id, encode(letter)?.as_slice())
            .map_err(LedgerError::database)?;
        Ok(())
    }

    /// Whether there is a dead letter of this id.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn has_dead_letter(&self, id: u64) -> Result<bool, LedgerError> {
        Ok(self.0.table(DEAD_LETTERS)?.get(id).map_err(LedgerError::database)?.is_some())
    }

    /// Removes a dead letter; answers whether it was there.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn remove_dead_letter(&self, id: u64) -> Result<bool, LedgerError> {
        Ok(self.0.table(DEAD_LETTERS)?.remove(id).map_err(LedgerError::database)?.is_some())
    }
}
