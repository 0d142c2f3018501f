//! What goes wrong at which operation, by chance and by seed; and which syncs the disk only claims to do.

use std::{collections::BTreeSet, io, path::Path, time::Duration};

use crate::random::Random;

/// What is synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Synced {
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

impl Synced {
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
    /// The operation fails, having done nothing; a sync, having done some.
    Fails(io::Error),
    /// Fewer bytes are read or written than asked for.
    Short,
}

/// Troubles of a disk. The default has none.
#[derive(Debug, Default)]
pub struct Faults {
    random: Option<Random>,
    /// How often any operation fails with an I/O error, in thousandths.
    failing: usize,
    /// Every read fails with an I/O error.
    unreadable: bool,
    /// After so many syncs of this kind, one fails.
    failing_sync: Option<(Synced, usize)>,
    /// How often reads and writes are short, in thousandths.
    short: usize,
    /// How often the disk is full for a while, in thousandths of operations that need room.
    filling: usize,
    /// Operations until there is room again.
    full_for: usize,
    /// Operations that need room until the disk is full for good.
    full_after: Option<usize>,
    /// The longest a sync takes.
    slowest_sync: Duration,
    /// Syncs that are answered and not done.
    pub lies: BTreeSet<Synced>,
    /// How many faults there were.
    pub happened: usize,
}

impl Faults {
    /// A mix by seed.
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

    /// A disk that lies about one kind of sync.
    pub fn lying(about: Synced) -> Self {
        Self { lies: BTreeSet::from([about]), ..Self::default() }
    }

    /// A disk that can be read no more.
    pub fn unreadable() -> Self {
        Self { unreadable: true, ..Self::default() }
    }

    /// After `good` syncs of a kind one fails.
    pub fn failing_sync(of: Synced, good: usize) -> Self {
        Self { failing_sync: Some((of, good)), ..Self::default() }
    }

    /// After so many operations that need room there is none left.
    pub fn full_after(operations: usize) -> Self {
        Self { full_after: Some(operations), ..Self::default() }
    }

    pub(super) fn at(&mut self, operation: Operation) -> Option<Fault> {
        let needs_room = matches!(operation, Operation::Create | Operation::Write | Operation::Extend);
        if needs_room && let Some(left) = &mut self.full_after {
            if *left == 0 {
                self.happened += 1;
                return Some(full());
            }
            *left -= 1;
        }
        if needs_room && self.full_for > 0 {
            self.full_for -= 1;
            self.happened += 1;
            return Some(full());
        }
        if self.unreadable && operation == Operation::Read {
            self.happened += 1;
            return Some(Fault::Fails(io::Error::other("input/output error")));
        }
        let random = self.random.as_mut()?;
        let fault = if random.permille(self.failing) {
            Fault::Fails(io::Error::other("input/output error"))
        } else if matches!(operation, Operation::Read | Operation::Write) && random.permille(self.short) {
            Fault::Short
        } else if needs_room && random.permille(self.filling) {
            self.full_for = random.below(30);
            full()
        } else {
            return None;
        };
        self.happened += 1;
        Some(fault)
    }

    pub(super) fn at_sync(&mut self, of: Synced) -> Option<Fault> {
        match &mut self.failing_sync {
            Some((kind, 0)) if *kind == of => {
                self.failing_sync = None;
                self.happened += 1;
                Some(Fault::Fails(io::Error::other("input/output error")))
            }
            Some((kind, good)) if *kind == of => {
                *good -= 1;
                None
            }
            _ => self.at(Operation::Sync),
        }
    }

    pub(super) fn random(&mut self) -> &mut Random {
        self.random.get_or_insert_with(|| Random::new(0))
    }

    pub(super) fn slowness(&mut self) -> Duration {
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
