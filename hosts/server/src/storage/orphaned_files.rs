//! Files of this run that the ledger may not reference: the cleanup after a later start looks back as far as to the
//! oldest of them.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::StoreFault;
use crate::ledger::{Ledger, Pending};

#[derive(Debug)]
pub(super) struct OrphanedFiles {
    ledger: Arc<Ledger>,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// The lowest order of one that is left for good.
    lowest: Option<u64>,
    /// Those that are about to be published and that others have passed by.
    watched: BTreeSet<u64>,
    /// Whether nothing of earlier runs is left.
    is_clean: bool,
}

impl Known {
    fn unclean(&self) -> Option<u64> {
        self.lowest.into_iter().chain(self.watched.first().copied()).min()
    }
}

fn locked(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OrphanedFiles {
    pub(super) fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger, known: Arc::default() }
    }

    /// A file stays, or may. Nobody waits for the ledger: if it is not written down, the file may stay for good.
    pub(super) fn add(&self, order: u64) {
        {
            let mut known = locked(&self.known);
            known.lowest = Some(known.lowest.map_or(order, |lowest| lowest.min(order)));
        }
        let _ = self.look_back_to(order);
    }

    /// Has the cleanup after the next start look as far back as to a file that is not published yet, until
    /// [`Self::unwatch`].
    pub(super) fn watch(&self, order: u64) -> Pending<(), StoreFault> {
        locked(&self.known).watched.insert(order);
        self.look_back_to(order)
    }

    /// A watched file was published or is gone. Nobody waits for the ledger: the cleanup would only look further back
    /// than it had to.
    pub(super) fn unwatch(&self, order: u64) {
        locked(&self.known).watched.remove(&order);
        let known = self.known.clone();
        let _ = self.ledger.submit(Vec::new(), move |changes| {
            let unclean = {
                let known = locked(&known);
                known.is_clean.then(|| known.unclean())
            };
            unclean.map_or(Ok(()), |unclean| changes.set_unclean(unclean))
        });
    }

    /// Nothing of earlier runs is left; what this run has left so far is for the cleanup after the next start.
    pub(super) fn cleaned(&self) -> Pending<(), StoreFault> {
        let known = self.known.clone();
        self.ledger.submit(Vec::new(), move |changes| {
            let unclean = {
                let mut known = locked(&known);
                known.is_clean = true;
                known.unclean()
            };
            Ok(changes.set_unclean(unclean)?)
        })
    }

    fn look_back_to(&self, order: u64) -> Pending<(), StoreFault> {
        self.ledger.submit(Vec::new(), move |changes| {
            Ok(changes.set_unclean(Some(changes.unclean()?.unwrap_or(u64::MAX).min(order)))?)
        })
    }
}
