//! What last became of each source. Results of objects that are gone are dropped in time, so that the ledger does not
//! grow with every key there ever was.

use tintype_pipeline::store::Location;

use super::Queue;
use crate::ledger::{EventRecord, LedgerError, Outdated, ResultRecord};

/// Results looked through at a time: uploads beside it hardly notice.
const AT_ONCE: usize = 5000;

/// How far results were looked through: each step takes the next few, and begins again after the last.
#[derive(Debug, Default)]
pub struct ResultsCursor(Vec<u8>);

impl Queue {
    /// What last became of a source.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn result(&self, at: &Location) -> Result<Option<ResultRecord>, LedgerError> {
        self.ledger.view()?.queue().result(at)
    }

    /// The event of an object that waits or is under way, if there is one.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn event_of(&self, at: &Location) -> Result<Option<EventRecord>, LedgerError> {
        self.ledger.view()?.queue().newest_waiting_event(at)
    }

    /// Looks through the next results, and removes those of objects that are gone which ended before
    /// `ended_before_ms`; returns how many these were.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub fn forget_results(
        &self,
        cursor: &mut ResultsCursor,
        ended_before_ms: i64,
    ) -> Result<u64, LedgerError> {
        let Outdated { rows, next } =
            self.ledger.view()?.queue().outdated_results(&cursor.0, AT_ONCE, ended_before_ms)?;
        cursor.0 = next.unwrap_or_default();
        if rows.is_empty() {
            return Ok(0);
        }
        let pending = self
            .ledger
            .submit(Vec::new(), move |changes| changes.queue().remove_results(&rows, ended_before_ms));
        pending.wait()
    }
}
