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
pub struct Requests(RwLock<Counts>);

/// By door, route and status; a route is looked up as it is, without a copy of it.
#[derive(Debug, Default)]
struct Counts {
    by_door: BTreeMap<Door, BTreeMap<String, BTreeMap<u16, AtomicU64>>>,
    /// How many there are.
    len: usize,
}

impl Counts {
    fn of(&self, door: Door, route: &str, status: u16) -> Option<&AtomicU64> {
        self.by_door.get(&door)?.get(route)?.get(&status)
    }
}

impl Requests {
    pub(super) fn count(&self, door: Door, route: &str, status: u16) {
        if let Some(count) = self.0.read().unwrap_or_else(PoisonError::into_inner).of(door, route, status) {
            count.fetch_add(1, Relaxed);
            return;
        }
        let mut counts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let is_full = counts.len >= MOST && counts.of(door, route, status).is_none();
        let (route, status) = if is_full { ("other", status / 100 * 100) } else { (route, status) };
        let is_new = counts.of(door, route, status).is_none();
        counts.len += usize::from(is_new);
        let routes = counts.by_door.entry(door).or_default();
        routes.entry(route.to_owned()).or_default().entry(status).or_default().fetch_add(1, Relaxed);
    }

    /// Every count, in order.
    #[must_use]
    pub fn all(&self) -> Vec<(Door, String, u16, u64)> {
        let counts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let routes = counts.by_door.iter().flat_map(|(door, routes)| routes.iter().map(move |of| (door, of)));
        routes
            .flat_map(|(door, (route, by_status))| {
                by_status
                    .iter()
                    .map(move |(status, count)| (*door, route.clone(), *status, count.load(Relaxed)))
            })
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
