//! Events that may come by the thousand, logged once a minute with their number.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Between two lines.
const INTERVAL: Duration = Duration::from_secs(60);

/// Counts events of one kind until their number is logged.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    count: u64,
    logged: Option<Instant>,
}

impl Tally {
    /// Counts one.
    pub(super) fn add(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count += 1;
    }

    /// The number since the last line, if it is time for another.
    pub(super) fn due(&self) -> Option<u64> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = counts.logged.is_none_or(|logged| logged.elapsed() >= INTERVAL);
        if counts.count == 0 || !is_due {
            return None;
        }
        counts.logged = Some(Instant::now());
        Some(std::mem::take(&mut counts.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_a_minute_has_the_number_since_the_last() {
        let tally = Tally::default();
        assert_eq!(tally.due(), None);
        tally.add();
        assert_eq!(tally.due(), Some(1));
        for _ in 0..500 {
            tally.add();
            assert_eq!(tally.due(), None);
        }
        tokio::time::advance(INTERVAL).await;
        assert_eq!(tally.due(), Some(500));
        tokio::time::advance(INTERVAL).await;
        assert_eq!(tally.due(), None);
    }
}
