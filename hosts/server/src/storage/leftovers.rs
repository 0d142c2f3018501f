//! Which files of this run the cleaning after a later start is to look for, by their place in the order.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What is known of them.
#[derive(Debug, Default)]
pub(super) struct Leftovers(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The lowest that is left for good.
    lowest: Option<u64>,
    /// Those that are about to be published and that others have passed by.
    passed: BTreeSet<u64>,
    /// Whether nothing of earlier runs is left.
    is_clean: bool,
}

impl Known {
    fn unclean(&self) -> Option<u64> {
        self.lowest.into_iter().chain(self.passed.first().copied()).min()
    }
}

impl Leftovers {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One stays, or may.
    pub(super) fn stays(&self, order: u64) {
        let mut known = self.known();
        known.lowest = Some(known.lowest.map_or(order, |lowest| lowest.min(order)));
    }

    /// One may stay, should the run end before it is published.
    pub(super) fn is_passed(&self, order: u64) {
        self.known().passed.insert(order);
    }

    /// One that was passed by was published after all, or is gone.
    pub(super) fn is_settled(&self, order: u64) {
        self.known().passed.remove(&order);
    }

    /// Nothing of earlier runs is left; answers from where on something of this one is.
    pub(super) fn cleaned(&self) -> Option<u64> {
        let mut known = self.known();
        known.is_clean = true;
        known.unclean()
    }

    /// From where on something is left, if that is all there is.
    pub(super) fn of_this_run_alone(&self) -> Option<Option<u64>> {
        let known = self.known();
        known.is_clean.then(|| known.unclean())
    }
}
