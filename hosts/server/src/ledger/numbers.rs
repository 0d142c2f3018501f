//! Numbers in the ledger that outlive the program.

use redb::{ReadableTable, TableDefinition};

use super::{
    LedgerError,
    transaction::{Changes, View},
};

pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// The number that the ledger shares with its data folder.
const IDENTITY: &str = "identity";
const LAST_ORDER: &str = "last_order";
/// From which order on orphaned files of earlier runs may lie; there only until they are cleaned up.
const UNCLEAN: &str = "unclean";
/// There while sources without a thumbnail are still to be queued after a repair.
const BACKFILL: &str = "backfill";
/// How many commits there have been: shows after a failure whether the last one is there.
const COMMITS: &str = "commits";
/// The highest number of a row of the outbox.
const LAST_NOTIFICATION: &str = "last_notification";

fn number(meta: &impl ReadableTable<&'static str, u64>, name: &str) -> Result<Option<u64>, LedgerError> {
    Ok(meta.get(name).map_err(LedgerError::database)?.map(|value| value.value()))
}

impl View {
    /// The highest commit order there has been.
    ///
    /// # Errors
    /// As for all methods here: the ledger cannot be read.
    pub fn last_order(&self) -> Result<u64, LedgerError> {
        Ok(self.number(LAST_ORDER)?.unwrap_or(0))
    }

    /// The number that the ledger shares with its data folder.
    pub fn identity(&self) -> Result<Option<u64>, LedgerError> {
        self.number(IDENTITY)
    }

    fn number(&self, name: &str) -> Result<Option<u64>, LedgerError> {
        number(&self.table(META)?, name)
    }

    /// From which order on orphaned files of earlier runs may lie, unless they were cleaned up.
    pub fn unclean(&self) -> Result<Option<u64>, LedgerError> {
        self.number(UNCLEAN)
    }

    /// Whether sources without a thumbnail are still to be queued after a repair.
    pub fn owes_backfill(&self) -> Result<bool, LedgerError> {
        Ok(self.number(BACKFILL)?.is_some())
    }

    /// The number of the last commit.
    pub fn last_commit(&self) -> Result<u64, LedgerError> {
        Ok(self.number(COMMITS)?.unwrap_or(0))
    }
}

impl Changes<'_> {
    /// Remembers that an order was used, so that it is never given again.
    pub fn use_order(&self, order: u64) -> Result<(), LedgerError> {
        let mut meta = self.table(META)?;
        if order > number(&meta, LAST_ORDER)?.unwrap_or(0) {
            meta.insert(LAST_ORDER, order).map_err(LedgerError::database)?;
        }
        Ok(())
    }

    /// The number of the next row of the outbox, for a change of this order. Numbers rise from commit to commit, which orders
    /// do not quite; and beyond all orders, so that they still rise after a repair.
    pub fn next_notification(&self, order: u64) -> Result<u64, LedgerError> {
        let mut meta = self.table(META)?;
        let last = number(&meta, LAST_NOTIFICATION)?.unwrap_or(0);
        let next = order.max(last.saturating_add(1));
        meta.insert(LAST_NOTIFICATION, next).map_err(LedgerError::database)?;
        Ok(next)
    }

    /// From which order on orphaned files may lie, unless they were cleaned up.
    pub fn unclean(&self) -> Result<Option<u64>, LedgerError> {
        number(&self.table(META)?, UNCLEAN)
    }

    /// Sets the number that the ledger shares with its data folder.
    pub fn set_identity(&self, identity: u64) -> Result<(), LedgerError> {
        self.table(META)?.insert(IDENTITY, identity).map_err(LedgerError::database)?;
        Ok(())
    }

    /// Remembers from which order on orphaned files may lie; `None` once they are cleaned up.
    pub fn set_unclean(&self, order: Option<u64>) -> Result<(), LedgerError> {
        let mut meta = self.table(META)?;
        match order {
            Some(order) => drop(meta.insert(UNCLEAN, order).map_err(LedgerError::database)?),
            None => drop(meta.remove(UNCLEAN).map_err(LedgerError::database)?),
        }
        Ok(())
    }

    /// Remembers that sources without a thumbnail are still to be queued, or that they are.
    pub fn set_owes_backfill(&self, owes: bool) -> Result<(), LedgerError> {
        let mut meta = self.table(META)?;
        match owes {
            true => drop(meta.insert(BACKFILL, 1).map_err(LedgerError::database)?),
            false => drop(meta.remove(BACKFILL).map_err(LedgerError::database)?),
        }
        Ok(())
    }

    /// Sets the number of commits before this one.
    pub fn set_commits(&self, commits: u64) -> Result<(), LedgerError> {
        self.table(META)?.insert(COMMITS, commits).map_err(LedgerError::database)?;
        Ok(())
    }

    /// Gives this commit its number.
    pub(super) fn number_commit(&self) -> Result<u64, LedgerError> {
        let mut meta = self.table(META)?;
        let number = number(&meta, COMMITS)?.unwrap_or(0) + 1;
        meta.insert(COMMITS, number).map_err(LedgerError::database)?;
        Ok(number)
    }
}
