//! Requests counted by endpoint, route and status.

use std::{
    collections::BTreeMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// The most combinations of route and status; others are counted under the route `other`.
const MOST: usize = 512;

/// The endpoint that received a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// The HTTP API.
    Api,
    /// The S3 endpoint.
    S3,
}

impl Endpoint {
    /// Its name in labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::S3 => "s3",
        }
    }
}

/// The counts.
#[derive(Debug, Default)]
pub struct Requests(RwLock<Counts>);

/// By endpoint, route and status; nested, so that a lookup copies no route.
#[derive(Debug, Default)]
struct Counts {
    by_endpoint: BTreeMap<Endpoint, BTreeMap<String, BTreeMap<u16, AtomicU64>>>,
    /// The number of counts.
    len: usize,
}

impl Counts {
    fn of(&self, endpoint: Endpoint, route: &str, status: u16) -> Option<&AtomicU64> {
        self.by_endpoint.get(&endpoint)?.get(route)?.get(&status)
    }
}

impl Requests {
    pub(crate) fn count(&self, endpoint: Endpoint, route: &str, status: u16) {
        if let Some(count) = self.0.read().unwrap_or_else(PoisonError::into_inner).of(endpoint, route, status)
        {
            count.fetch_add(1, Relaxed);
            return;
        }
        let mut counts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let is_full = counts.len >= MOST && counts.of(endpoint, route, status).is_none();
        let (route, status) = if is_full { ("other", status / 100 * 100) } else { (route, status) };
        let is_new = counts.of(endpoint, route, status).is_none();
        counts.len += usize::from(is_new);
        let routes = counts.by_endpoint.entry(endpoint).or_default();
        routes.entry(route.to_owned()).or_default().entry(status).or_default().fetch_add(1, Relaxed);
    }

    /// Every count, in order.
    #[must_use]
    pub fn all(&self) -> Vec<(Endpoint, String, u16, u64)> {
        let counts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let routes = counts
            .by_endpoint
            .iter()
            .flat_map(|(endpoint, routes)| routes.iter().map(move |of| (endpoint, of)));
        routes
            .flat_map(|(endpoint, (route, by_status))| {
                by_status
                    .iter()
                    .map(move |(status, count)| (*endpoint, route.clone(), *status, count.load(Relaxed)))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_routes_is_bounded() {
        let requests = Requests::default();
        for n in 0..10_000_u32 {
            requests.count(Endpoint::Api, &n.to_string(), 400 + (n % 10) as u16);
        }
        let all = requests.all();
        assert!(all.len() <= MOST + 10);
        assert_eq!(all.iter().map(|row| row.3).sum::<u64>(), 10_000);
    }
}
