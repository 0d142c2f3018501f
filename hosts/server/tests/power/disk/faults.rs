//! Injected faults: failing, short and slow operations by seed, a full disk, and syncs that are not done.

use std::{collections::BTreeSet, io, path::Path, time::Duration};

use crate::random::Random;

/// The target of a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SyncTarget {
    /// The bytes of an object's file.
    ObjectFile,
    /// The names of object files.
    ObjectFolder,
    /// The names of the folders of object files.
    Objects,
    /// The ledger's bytes.
    Ledger,
    /// The names in the data folder.
    DataFolder,
}

impl SyncTarget {
    pub(super) fn of(path: &Path, root: &Path) -> Self {
        let below = path.strip_prefix(root).unwrap_or(path);
        let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
        match parts.iter().map(AsRef::as_ref).collect::<Vec<_>>().as_slice() {
            [] => Self::DataFolder,
            ["objects"] => Self::Objects,
            ["objects", _] => Self::ObjectFolder,
            ["ledger.redb"] => Self::Ledger,
            _ => Self::ObjectFile,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Create,
    Open,
    Read,
    Write,
    Extend,
    Sync,
    Rename,
    Remove,
    List,
}

#[derive(Debug)]
pub(super) enum Fault {
    /// The operation fails and has no effect; a sync may have made some data durable.
    Fails(io::Error),
    /// Fewer bytes are read or written than requested.
    Short,
}

/// The faults of a disk. The default has none.
#[derive(Debug, Default)]
pub struct Faults {
    random: Option<Random>,
    /// The rate of operations that fail with an I/O error, in thousandths.
    failing: usize,
    /// Every read fails with an I/O error.
    unreadable: bool,
    /// After this number of syncs of a target, one fails.
    failing_sync: Option<(SyncTarget, usize)>,
    /// The rate of short reads and writes, in thousandths.
    short: usize,
    /// The rate of operations that find the disk full, in thousandths of those that need space.
    filling: usize,
    /// Operations until there is space again.
    full_for: usize,
    /// Operations that need space until the disk is full permanently.
    full_after: Option<usize>,
    /// The longest duration of a sync.
    slowest_sync: Duration,
    /// Syncs that succeed without being done.
    pub lies: BTreeSet<SyncTarget>,
    /// The number of faults so far.
    pub count: usize,
}

impl Faults {
    /// A random mix by seed.
    pub fn mixed(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let rates = [0, 0, 2, 10, 40];
        let mut rate = || *random.pick(&rates);
        let (mut failing, short, filling) = (rate(), rate() * 5, rate());
        if failing + short + filling == 0 {
            failing = 5;
        }
        let slowest_sync = Duration::from_micros(*random.pick(&[0, 0, 0, 300, 2000]));
        Self { random: Some(random), failing, short, filling, slowest_sync, ..Self::default() }
    }

    /// A disk that pretends to sync one target.
    pub fn lying(target: SyncTarget) -> Self {
        Self { lies: BTreeSet::from([target]), ..Self::default() }
    }

    /// A disk that cannot be read.
    pub fn unreadable() -> Self {
        Self { unreadable: true, ..Self::default() }
    }

    /// After `successes` syncs of a target one fails.
    pub fn failing_sync(target: SyncTarget, successes: usize) -> Self {
        Self { failing_sync: Some((target, successes)), ..Self::default() }
    }

    /// The disk is full after this number of operations that need space.
    pub fn full_after(operations: usize) -> Self {
        Self { full_after: Some(operations), ..Self::default() }
    }

    pub(super) fn at(&mut self, operation: Operation) -> Option<Fault> {
        let needs_space = matches!(operation, Operation::Create | Operation::Write | Operation::Extend);
        if needs_space && let Some(left) = &mut self.full_after {
            if *left == 0 {
                self.count += 1;
                return Some(full());
            }
            *left -= 1;
        }
        if needs_space && self.full_for > 0 {
            self.full_for -= 1;
            self.count += 1;
            return Some(full());
        }
        if self.unreadable && operation == Operation::Read {
            self.count += 1;
            return Some(Fault::Fails(io::Error::other("input/output error")));
        }
        let random = self.random.as_mut()?;
        let fault = if random.permille(self.failing) {
            Fault::Fails(io::Error::other("input/output error"))
        } else if matches!(operation, Operation::Read | Operation::Write) && random.permille(self.short) {
            Fault::Short
        } else if needs_space && random.permille(self.filling) {
            self.full_for = random.below(30);
            full()
        } else {
            return None;
        };
        self.count += 1;
        Some(fault)
    }

    pub(super) fn at_sync(&mut self, target: SyncTarget) -> Option<Fault> {
        match &mut self.failing_sync {
            Some((failing, 0)) if *failing == target => {
                self.failing_sync = None;
                self.count += 1;
                Some(Fault::Fails(io::Error::other("input/output error")))
            }
            Some((failing, successes)) if *failing == target => {
                *successes -= 1;
                None
            }
            _ => self.at(Operation::Sync),
        }
    }

    pub(super) fn random(&mut self) -> &mut Random {
        self.random.get_or_insert_with(|| Random::new(0))
    }

    pub(super) fn sync_delay(&mut self) -> Duration {
        let slowest = usize::try_from(self.slowest_sync.as_micros()).unwrap();
        match &mut self.random {
            Some(random) if slowest > 0 => Duration::from_micros(random.below(slowest) as u64),
            _ => Duration::ZERO,
        }
    }
}

fn full() -> Fault {
    Fault::Fails(io::Error::new(io::ErrorKind::StorageFull, "no space left on device"))
}
