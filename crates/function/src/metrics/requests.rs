//! Requests counted by door, route and status.

use std::{
    collections::BTreeMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::Metric;

/// Different routes and statuses kept; what is beyond is counted under the route `other`.
const MOST: usize = 512;

/// Where a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Door {
    /// The HTTP API.
    Api,
    /// The S3 endpoint.
    S3,
}

impl Door {
    /// Its name in labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::S3 => "s3",
        }
    }

    /// All requests, those answered 4xx, those answered 5xx, and how long they took.
    pub(super) const fn metrics(self) -> (Metric, Metric, Metric, Metric) {
        match self {
            Self::Api => {
                (Metric::ApiRequests, Metric::Api4xxErrors, Metric::Api5xxErrors, Metric::ApiLatency)
            }
            Self::S3 => (Metric::S3Requests, Metric::S34xxErrors, Metric::S35xxErrors, Metric::S3Latency),
        }
    }
}

/// The counts.
#[derive(Debug, Default)]
pub struct Requests(RwLock<BTreeMap<(Door, String, u16), AtomicU64>>);

impl Requests {
    pub(super) fn count(&self, door: Door, route: &str, status: u16) {
        let mut key = (door, route.to_owned(), status);
        {
            let counts = self.0.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = counts.get(&key) {
                count.fetch_add(1, Relaxed);
                return;
            }
        }
        let mut counts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MOST {
            "other".clone_into(&mut key.1);
            key.2 = status / 100 * 100;
        }
        counts.entry(key).or_default().fetch_add(1, Relaxed);
    }

    /// Every count, in order.
    #[must_use]
    pub fn all(&self) -> Vec<(Door, String, u16, u64)> {
        let counts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let all = counts.iter();
        all.map(|((door, route, status), count)| (*door, route.clone(), *status, count.load(Relaxed)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_however_many_routes_there_are() {
        let requests = Requests::default();
        for n in 0..10_000_u32 {
            requests.count(Door::Api, &n.to_string(), 400 + (n % 10) as u16);
        }
        let all = requests.all();
        assert!(all.len() <= MOST + 10);
        assert_eq!(all.iter().map(|row| row.3).sum::<u64>(), 10_000);
    }
}
