//! The step from files that are written and synced to files that the ledger mentions: both or neither.

use std::{
    io::ErrorKind,
    sync::{PoisonError, atomic::Ordering},
};

use super::{DiskStore, REACH, StoreFault, incoming::Finished};
use crate::ledger::{Changes, ObjectRecord, Publish};

/// Finished files that are to be mentioned by one transaction.
#[derive(Debug, Default)]
pub(super) struct Publication(Vec<(u64, Publish)>);

impl Publication {
    /// Adds a file; answers its row.
    pub(super) fn add(&mut self, finished: Finished) -> ObjectRecord {
        self.0.push((finished.record.order, finished.publish));
        finished.record
    }

    /// Of one file; answers its row, too.
    pub(super) fn of(finished: Finished) -> (Self, ObjectRecord) {
        let mut publication = Self::default();
        let record = publication.add(finished);
        (publication, record)
    }
}

impl DiskStore {
    /// Publishes files together with a change of the ledger that mentions them. If it is refused, they are gone.
    pub(super) fn publish<T: Send + 'static>(
        &self,
        files: Publication,
        change: impl FnOnce(&Changes<'_>) -> Result<T, StoreFault> + Send + 'static,
    ) -> Result<T, StoreFault> {
        // Some took so long, after they had their place in the order, that others have passed them by further than the
        // cleaning after the next start would look back.
        let oldest = files.0.iter().map(|(order, _)| *order).min();
        let passed =
            oldest.filter(|order| self.next_order.load(Ordering::Relaxed).saturating_sub(*order) > REACH / 2);
        let published = passed.map_or(Ok(()), |order| self.keep_in_reach(order).wait()).and_then(|()| {
            let publishes = files.0.iter().map(|(_, publish)| publish.clone()).collect();
            let gone = self.take_unlinked();
            let pending = self.ledger.submit(publishes, move |changes| {
                changes.remove_trash(&gone)?;
                change(changes)
            });
            pending.wait()
        });
        if let Err(fault) = &published {
            // Its folder may be gone: the next put makes sure of it.
            self.newest_folder.lock().unwrap_or_else(PoisonError::into_inner).clear();
            self.discard(files, matches!(fault, StoreFault::InDoubt(_)));
        }
        if let Some(order) = passed {
            self.is_settled(order);
        }
        published
    }

    /// Removes files that are not to be published. Where it is not known whether they were they stay: the cleaning
    /// after the next start looks which of them the ledger mentions.
    pub(super) fn discard(&self, files: Publication, in_doubt: bool) {
        for (order, Publish { from, to, .. }) in files.0 {
            let mut left = in_doubt;
            for file in [&to, &from].into_iter().filter(|_| !in_doubt) {
                if let Err(error) = self.disk.remove(file)
                    && error.kind() != ErrorKind::NotFound
                {
                    left = true;
                    tracing::warn!(file = %file.display(), %error, "the file of a refused put could not be removed");
                }
            }
            if left {
                self.remember_leftover(order);
            }
        }
    }
}
