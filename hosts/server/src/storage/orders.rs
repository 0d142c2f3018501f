//! Commit orders: what names object files, orders their versions and identifies their events.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::StoreFault;
use crate::ledger::Ledger;

/// Orders left unused at every start, so that no file of an unfinished put of the run before can have the
/// name of a new one.
pub(super) const ORDER_GAP: u64 = 1 << 16;

#[derive(Debug)]
pub(super) struct Orders {
    ledger: Arc<Ledger>,
    next: AtomicU64,
    /// One that the ledger durably knows to be used.
    known: AtomicU64,
    /// The first of this run.
    first: u64,
}

impl Orders {
    pub(super) fn new(ledger: Arc<Ledger>, first: u64) -> Self {
        Self { ledger, next: AtomicU64::new(first), known: AtomicU64::new(first), first }
    }

    pub(super) fn take(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// How far the next one is ahead of this one.
    pub(super) fn distance(&self, order: u64) -> u64 {
        self.next.load(Ordering::Relaxed).saturating_sub(order)
    }

    /// Whether an order is of an earlier run.
    pub(super) const fn is_earlier(&self, order: u64) -> bool {
        order < self.first
    }

    pub(super) const fn first(&self) -> u64 {
        self.first
    }

    /// Has the ledger know of an order near this one before it names a file. Orders are used up by what leaves no trace
    /// there, too, such as refused uploads; a file further ahead than [`ORDER_GAP`] would look as if the ledger were an
    /// older copy.
    pub(super) fn note_used(&self, order: u64) -> Result<(), StoreFault> {
        if order <= self.known.load(Ordering::Relaxed) + ORDER_GAP / 2 {
            return Ok(());
        }
        let noted = self.ledger.submit(Vec::new(), move |changes| changes.use_order(order));
        noted.wait()?;
        self.known.fetch_max(order, Ordering::Relaxed);
        Ok(())
    }
}
