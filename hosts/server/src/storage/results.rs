//! What became of objects that are gone is forgotten in time, so that the ledger does not grow with every key
//! there ever was.

use super::{DiskStore, StoreFault};
use crate::ledger::Outdated;

/// Results looked through at a time: uploads beside it hardly notice.
const AT_ONCE: usize = 5000;

/// How far results were looked through: each step takes the next few, and begins anew after the last.
#[derive(Debug, Default)]
pub struct ResultsCursor(Vec<u8>);

impl DiskStore {
    /// Looks through the next results, and forgets those of objects that are gone which ended before
    /// `ended_before_ms`; answers how many these were.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub fn forget_results(
        &self,
        cursor: &mut ResultsCursor,
        ended_before_ms: i64,
    ) -> Result<u64, StoreFault> {
        let Outdated { rows, next } =
            self.ledger.view()?.outdated_results(&cursor.0, AT_ONCE, ended_before_ms)?;
        cursor.0 = next.unwrap_or_default();
        if rows.is_empty() {
            return Ok(0);
        }
        let pending = self.ledger.submit(Vec::new(), move |changes| {
            Ok::<_, StoreFault>(changes.remove_results(&rows, ended_before_ms)?)
        });
        pending.wait()
    }
}
