//! The decision about one object file, from its head and what the ledgers know.

use super::FindingKind;

/// How far the old ledger is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Not at all: missing or corrupt; only files count.
    Files,
    /// Wholly.
    Whole,
    /// Up to this order: there are files newer than it.
    UpTo(u64),
}

impl Trust {
    /// Whether the ledger would have to know a file of this order if it was ever acknowledged.
    pub(super) const fn covers(self, order: u64) -> bool {
        match self {
            Self::Files => false,
            Self::Whole => true,
            Self::UpTo(last) => order <= last,
        }
    }
}

/// What is known of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// Its order.
    pub(super) order: u64,
    /// The old ledger's current version of its object, where that ledger is to be trusted.
    pub(super) current: Option<u64>,
    /// Whether the old ledger, however corrupt, lists it as to be removed.
    pub(super) was_removed: bool,
    /// The version the new ledger holds by now.
    pub(super) placed: Option<u64>,
}

/// The decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is its object's current version, in place of the one placed before, if any.
    Place,
    /// It is not used.
    SetAside(FindingKind),
}

/// Decides. Files come in the order of their numbers, oldest first.
pub(super) fn decide(trust: Trust, known: Known) -> Decision {
    if known.was_removed {
        return Decision::SetAside(FindingKind::Removed);
    }
    if known.placed.is_some_and(|placed| placed > known.order) {
        return Decision::SetAside(FindingKind::Older);
    }
    if known.current.is_some_and(|current| current > known.order) {
        return Decision::SetAside(FindingKind::Older);
    }
    if trust.covers(known.order) {
        return match known.current {
            Some(current) if current == known.order => Decision::Place,
            _ => Decision::SetAside(FindingKind::Unknown),
        };
    }
    Decision::Place
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(order: u64, current: Option<u64>) -> Known {
        Known { order, current, was_removed: false, placed: None }
    }

    #[test]
    fn a_whole_ledger_has_the_last_word() {
        assert_eq!(decide(Trust::Whole, known(7, Some(7))), Decision::Place);
        assert_eq!(decide(Trust::Whole, known(7, Some(9))), Decision::SetAside(FindingKind::Older));
        assert_eq!(
            decide(Trust::Whole, known(9, Some(7))),
            Decision::SetAside(FindingKind::Unknown),
            "never acknowledged"
        );
        assert_eq!(decide(Trust::Whole, known(7, None)), Decision::SetAside(FindingKind::Unknown), "deleted");
    }

    #[test]
    fn without_a_ledger_the_newest_file_wins() {
        assert_eq!(decide(Trust::Files, known(7, None)), Decision::Place);
        let newer = Known { placed: Some(7), ..known(9, None) };
        assert_eq!(decide(Trust::Files, newer), Decision::Place);
        let older = Known { placed: Some(9), ..known(7, None) };
        assert_eq!(decide(Trust::Files, older), Decision::SetAside(FindingKind::Older));
        let removed = Known { was_removed: true, ..known(7, None) };
        assert_eq!(decide(Trust::Files, removed), Decision::SetAside(FindingKind::Removed));
    }

    #[test]
    fn an_old_ledger_speaks_for_its_time_only() {
        let trust = Trust::UpTo(100);
        assert_eq!(decide(trust, known(7, None)), Decision::SetAside(FindingKind::Unknown));
        assert_eq!(decide(trust, known(7, Some(7))), Decision::Place);
        assert_eq!(decide(trust, known(101, Some(7))), Decision::Place);
        assert_eq!(decide(trust, known(101, None)), Decision::Place);
        assert_eq!(decide(trust, known(101, Some(102))), Decision::SetAside(FindingKind::Older));
    }
}
