//! What becomes of one object file, from what it says of itself and what the ledgers know.

use super::What;

/// What the old ledger is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// None, or not readable through: files alone tell.
    Files,
    /// Everything it says holds.
    Whole,
    /// Everything it says holds, up to this order: there are files newer than it.
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
    /// Whether the old ledger, however damaged, says that it was to be removed.
    pub(super) was_removed: bool,
    /// The version the new ledger holds by now.
    pub(super) placed: Option<u64>,
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is its object's current version, in place of the one placed before, if any.
    Place,
    /// It is not used.
    Aside(What),
}

/// Decides. Files come in the order of their numbers, oldest first.
pub(super) fn fate(trust: Trust, known: Known) -> Fate {
    if known.was_removed {
        return Fate::Aside(What::Removed);
    }
    if known.placed.is_some_and(|placed| placed > known.order) {
        return Fate::Aside(What::Older);
    }
    if known.current.is_some_and(|current| current > known.order) {
        return Fate::Aside(What::Older);
    }
    if trust.covers(known.order) {
        return match known.current {
            Some(current) if current == known.order => Fate::Place,
            _ => Fate::Aside(What::Unknown),
        };
    }
    Fate::Place
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(order: u64, current: Option<u64>) -> Known {
        Known { order, current, was_removed: false, placed: None }
    }

    #[test]
    fn a_whole_ledger_has_the_last_word() {
        assert_eq!(fate(Trust::Whole, known(7, Some(7))), Fate::Place);
        assert_eq!(fate(Trust::Whole, known(7, Some(9))), Fate::Aside(What::Older));
        assert_eq!(fate(Trust::Whole, known(9, Some(7))), Fate::Aside(What::Unknown), "never acknowledged");
        assert_eq!(fate(Trust::Whole, known(7, None)), Fate::Aside(What::Unknown), "deleted");
    }

    #[test]
    fn without_a_ledger_the_newest_file_wins() {
        assert_eq!(fate(Trust::Files, known(7, None)), Fate::Place);
        let newer = Known { placed: Some(7), ..known(9, None) };
        assert_eq!(fate(Trust::Files, newer), Fate::Place);
        let older = Known { placed: Some(9), ..known(7, None) };
        assert_eq!(fate(Trust::Files, older), Fate::Aside(What::Older));
        let removed = Known { was_removed: true, ..known(7, None) };
        assert_eq!(fate(Trust::Files, removed), Fate::Aside(What::Removed));
    }

    #[test]
    fn an_old_ledger_speaks_for_its_time_only() {
        let trust = Trust::UpTo(100);
        assert_eq!(fate(trust, known(7, None)), Fate::Aside(What::Unknown));
        assert_eq!(fate(trust, known(7, Some(7))), Fate::Place);
        assert_eq!(fate(trust, known(101, Some(7))), Fate::Place);
        assert_eq!(fate(trust, known(101, None)), Fate::Place);
        assert_eq!(fate(trust, known(101, Some(102))), Fate::Aside(What::Older));
    }
}
