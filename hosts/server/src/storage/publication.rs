//! The step from files that are written and synced to files that the ledger references: both or neither.

use std::{
    collections::BTreeSet,
    io::ErrorKind,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    StoreFault, backup::Lease, cleanup::SCAN_WINDOW, files::Files, incoming::Finished,
    orphaned_files::OrphanedFiles,
};
use crate::ledger::{Changes, Ledger, ObjectRecord, Pending, Publish};

/// Files removed from disk before their trash rows are.
const UNLINKED_TOGETHER: usize = 64;

/// Finished files that one transaction is to reference.
#[derive(Debug, Default)]
pub(super) struct Publication(Vec<(u64, Publish)>);

impl Publication {
    /// Adds a file; returns its row.
    pub(super) fn add(&mut self, finished: Finished) -> ObjectRecord {
        self.0.push((finished.record.order, finished.publish));
        finished.record
    }

    /// Of one file; returns its row, too.
    pub(super) fn of(finished: Finished) -> (Self, ObjectRecord) {
        let mut publication = Self::default();
        let record = publication.add(finished);
        (publication, record)
    }
}

/// Publishes files with the transaction that references them, and removes files that none does any more.
#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) ledger: Arc<Ledger>,
    pub(super) files: Arc<Files>,
    pub(super) orphaned: Arc<OrphanedFiles>,
    /// While a backup holds it, files stay that the ledger does not reference any more.
    pub(super) lease: Arc<Lease>,
    /// Files gone from disk whose trash rows the next change removes.
    unlinked: Mutex<Vec<u64>>,
}

impl Publisher {
    pub(super) fn new(ledger: Arc<Ledger>, files: Arc<Files>) -> Self {
        let orphaned = Arc::new(OrphanedFiles::new(ledger.clone()));
        Self { ledger, files, orphaned, lease: Arc::default(), unlinked: Mutex::default() }
    }

    /// Publishes files together with a change of the ledger that references them. If it is refused, they are gone.
    pub(super) fn publish<T: Send + 'static>(
        &self,
        files: Publication,
        change: impl FnOnce(&Changes<'_>) -> Result<T, StoreFault> + Send + 'static,
    ) -> Result<T, StoreFault> {
        // Some took so long, after they had their place in the order, that others have passed them by further than the
        // cleanup after the next start would look back.
        let oldest = files.0.iter().map(|(order, _)| *order).min();
        let passed = oldest.filter(|order| self.files.orders.distance(*order) > SCAN_WINDOW / 2);
        let published = passed.map_or(Ok(()), |order| self.orphaned.watch(order).wait()).and_then(|()| {
            let publishes = files.0.iter().map(|(_, publish)| publish.clone()).collect();
            self.submit(publishes, change).wait()
        });
        if let Err(fault) = &published {
            self.files.forget_folder();
            self.discard(files, matches!(fault, StoreFault::InDoubt(_)));
        }
        if let Some(order) = passed {
            self.orphaned.unwatch(order);
        }
        published
    }

    /// Submits a change of the ledger, after the files of `publishes` have their final names; with it go the trash rows
    /// of files that are gone.
    pub(super) fn submit<T: Send + 'static>(
        &self,
        publishes: Vec<Publish>,
        change: impl FnOnce(&Changes<'_>) -> Result<T, StoreFault> + Send + 'static,
    ) -> Pending<T, StoreFault> {
        let gone = self.take_unlinked();
        self.ledger.submit(publishes, move |changes| {
            changes.remove_trash(&gone)?;
            change(changes)
        })
    }

    /// Removes files that are not to be published. Where it is not known whether they were they stay: the cleanup
    /// after the next start looks which of them the ledger references.
    pub(super) fn discard(&self, files: Publication, in_doubt: bool) {
        for (order, Publish { from, to, .. }) in files.0 {
            let mut is_left = in_doubt;
            for file in [&to, &from].into_iter().filter(|_| !in_doubt) {
                if let Err(error) = self.files.disk.remove(file)
                    && error.kind() != ErrorKind::NotFound
                {
                    is_left = true;
                    tracing::warn!(file = %file.display(), %error, "the file of a refused put could not be removed");
                }
            }
            if is_left {
                self.orphaned.add(order);
            }
        }
    }

    /// Removes files that the ledger does not reference any more. What cannot be removed now is tried again at the next
    /// start, as its trash row stays; what a backup may still need, at its end.
    pub(super) fn unlink(&self, orders: &[u64]) {
        // Their change is committed: a backup that begins from here on does not need them.
        if self.lease.is_held() {
            return;
        }
        for order in orders {
            match self.files.disk.remove(&self.files.folder.object(*order)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(order, %error, "a file that is no longer needed could not be removed");
                    continue;
                }
            }
            self.unlinked.lock().unwrap_or_else(PoisonError::into_inner).push(*order);
        }
    }

    /// Trash rows that the next change may remove. A file is gone for good only once its folder is synced:
    /// that is done here, for many at a time.
    fn take_unlinked(&self) -> Vec<u64> {
        let mut unlinked = self.unlinked.lock().unwrap_or_else(PoisonError::into_inner);
        if unlinked.len() < UNLINKED_TOGETHER {
            return Vec::new();
        }
        let gone = std::mem::take(&mut *unlinked);
        drop(unlinked);
        let Files { disk, folder, .. } = self.files.as_ref();
        let folders: BTreeSet<_> = gone.iter().map(|order| folder.object_folder(*order)).collect();
        let sync = |path: &PathBuf| match disk.sync_folder(path) {
            // Emptied, and removed itself since.
            Err(error) if error.kind() == ErrorKind::NotFound => disk.sync_folder(&folder.objects()),
            other => other,
        };
        match folders.iter().try_for_each(sync) {
            Ok(()) => gone,
            // Their rows stay until the cleanup after the next start.
            Err(error) => {
                tracing::warn!(%error, "the removal of files could not be made durable");
                Vec::new()
            }
        }
    }
}
