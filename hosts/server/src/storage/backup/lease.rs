//! The lease of a backup: while it is held, files that the ledger no longer references stay.

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::storage::StoreFault;

/// A lease that is not renewed for so long has ended.
const DURATION: Duration = Duration::from_secs(60);

/// The ledger as of the begin of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its file.
    pub path: PathBuf,
    /// How many objects it has.
    pub objects: u64,
    /// The number of its last commit.
    pub commit: u64,
}

#[derive(Debug)]
struct Held {
    id: u64,
    until: Instant,
    /// `None`: it is being copied.
    snapshot: Option<Result<Snapshot, StoreFault>>,
}

/// At most one backup holds it.
#[derive(Debug, Default)]
pub(in crate::storage) struct Lease(Mutex<Option<Held>>);

impl Lease {
    fn locked(&self) -> MutexGuard<'_, Option<Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether files that are due must stay. Ask after the change that they are due by is committed, or is seen to be:
    /// a backup that begins later does not know them.
    pub(in crate::storage) fn is_held(&self) -> bool {
        self.locked().as_ref().is_some_and(|held| held.until > Instant::now())
    }

    pub(super) fn is_held_by(&self, id: u64) -> bool {
        self.locked().as_ref().is_some_and(|held| held.id == id && held.until > Instant::now())
    }

    /// Takes it; `false` if another has it. One that has expired has to be ended first, since files were held for it.
    pub(super) fn take(&self, id: u64) -> bool {
        let mut slot = self.locked();
        if slot.is_some() {
            return false;
        }
        *slot = Some(Held { id, until: Instant::now() + DURATION, snapshot: None });
        true
    }

    /// Holds it for longer; `None` if it has ended.
    pub(super) fn renew(&self, id: u64) -> Option<Result<Option<Snapshot>, StoreFault>> {
        let mut slot = self.locked();
        let now = Instant::now();
        let held = slot.as_mut().filter(|held| held.id == id && held.until > now)?;
        held.until = now + DURATION;
        Some(held.snapshot.clone().transpose())
    }

    /// The ledger was copied, or not; `false` if nobody waits for it.
    pub(super) fn finish(&self, id: u64, snapshot: Result<Snapshot, StoreFault>) -> bool {
        let mut slot = self.locked();
        let Some(held) = slot.as_mut().filter(|held| held.id == id) else { return false };
        held.snapshot = Some(snapshot);
        true
    }

    /// Gives it back; `false` if it had ended.
    pub(super) fn end(&self, id: u64) -> bool {
        let mut slot = self.locked();
        let now = Instant::now();
        let was_held = slot.as_ref().is_some_and(|held| held.id == id && held.until > now);
        if was_held {
            *slot = None;
        }
        was_held
    }

    /// Ends one that has expired.
    pub(super) fn end_expired(&self) -> Option<u64> {
        let mut slot = self.locked();
        let now = Instant::now();
        slot.take_if(|held| held.until <= now).map(|held| held.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expire(lease: &Lease) {
        lease.locked().as_mut().unwrap().until = Instant::now();
    }

    #[test]
    fn one_backup_at_a_time_holds_the_files() {
        let lease = Lease::default();
        assert!(!lease.is_held());
        assert!(lease.take(1));
        assert!(lease.is_held() && lease.is_held_by(1) && !lease.is_held_by(2));
        assert!(!lease.take(2));
        assert!(lease.renew(2).is_none());
        assert!(!lease.end(2) && lease.is_held());
        assert!(lease.end(1) && !lease.is_held());
        assert!(!lease.end(1), "it has ended");
    }

    #[test]
    fn what_is_not_renewed_ends_and_is_collected_once() {
        let lease = Lease::default();
        assert!(lease.take(1));
        assert_eq!(lease.end_expired(), None);
        expire(&lease);
        assert!(!lease.is_held());
        assert!(lease.renew(1).is_none(), "files may be gone");
        assert!(!lease.end(1), "the backup is not whole");
        assert!(!lease.take(2), "files that were held are to be removed first");
        assert_eq!((lease.end_expired(), lease.end_expired()), (Some(1), None));
        assert!(lease.take(2));
    }

    #[test]
    fn the_copy_of_the_ledger_is_known_once_it_is_there() {
        let lease = Lease::default();
        assert!(lease.take(1));
        assert_eq!(lease.renew(1).unwrap().unwrap(), None);
        let snapshot = Snapshot { path: "x".into(), objects: 1, commit: 2 };
        assert!(lease.finish(1, Ok(snapshot.clone())));
        assert_eq!(lease.renew(1).unwrap().unwrap(), Some(snapshot.clone()));
        assert!(lease.end(1));
        assert!(!lease.finish(1, Ok(snapshot)), "nobody waits");
    }
}
