//! Results of requests by status and time.

use std::{collections::BTreeMap, time::Duration};

use http::StatusCode;

use crate::statistics::{ms, percentile};

/// The result of one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestResult {
    /// When it was due, from the start.
    pub(super) due: Duration,
    /// From then to the complete response.
    pub(super) took: Duration,
    /// 418 stands for a broken connection.
    pub(super) status: StatusCode,
}

/// The results of one phase.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) answers: Vec<RequestResult>,
}

impl Tally {
    pub(super) fn sorted(&self, status: StatusCode) -> Vec<Duration> {
        let mut times: Vec<_> =
            self.answers.iter().filter(|one| one.status == status).map(|one| one.took).collect();
        times.sort();
        times
    }

    pub(super) fn count(&self, status: StatusCode) -> usize {
        self.answers.iter().filter(|one| one.status == status).count()
    }

    pub(super) fn latency(&self, status: StatusCode, share: f64) -> Duration {
        percentile(&self.sorted(status), share)
    }

    /// Those due in one second.
    pub(super) fn second(&self, second: u64) -> Self {
        let answers = self.answers.iter().filter(|one| one.due.as_secs() == second).copied();
        Self { answers: answers.collect() }
    }

    pub(super) fn print(&self, what: &str) {
        println!("{what}: {} requests", self.answers.len());
        let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
        for one in &self.answers {
            *counts.entry(one.status.as_u16()).or_default() += 1;
        }
        for (status, count) in counts {
            let times = self.sorted(StatusCode::from_u16(status).unwrap_or_default());
            let name = if status == 418 { "connection broke".to_owned() } else { status.to_string() };
            println!(
                "  {name}: {count}, median {}, p95 {}",
                ms(percentile(&times, 0.5)),
                ms(percentile(&times, 0.95))
            );
        }
    }
}
