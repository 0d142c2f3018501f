//! Token buckets, as API Gateway throttles: so many requests a second on average, so many at once above;
//! for the account, and for single routes.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tintype_function::settings::Api;

use super::Request;

/// The rates of single routes.
#[derive(Debug)]
pub(super) struct Routes(Vec<(String, String, TokenBucket)>);

impl Routes {
    pub(super) fn new(api: &Api) -> Self {
        let path = |below: &str| format!("/{}/{}{below}", api.stage, api.resource);
        let routes = api.routes.iter().map(|route| {
            let bucket = TokenBucket::new(route.rate, route.burst);
            (route.method.clone(), path(&route.path), bucket)
        });
        Self(routes.collect())
    }

    pub(super) fn take(&self, request: &Request) -> Result<(), Duration> {
        let (asked, at) = (request.method().as_str(), request.uri().path());
        let of = |wanted: &str| self.0.iter().find(|(method, path, _)| method == wanted && path == at);
        // HEAD is GET without the bytes.
        let route = of(asked).or_else(|| (asked == "HEAD").then(|| of("GET")).flatten());
        route.map_or(Ok(()), |(_, _, bucket)| bucket.take())
    }
}

#[derive(Debug)]
pub(super) struct TokenBucket {
    rate: f64,
    burst: f64,
    state: Mutex<(f64, Instant)>,
}

impl TokenBucket {
    pub(super) fn new(rate: u32, burst: u32) -> Self {
        let burst = f64::from(burst);
        Self { rate: f64::from(rate), burst, state: Mutex::new((burst, Instant::now())) }
    }

    /// Takes one token, or answers how long until there is one.
    pub(super) fn take(&self) -> Result<(), Duration> {
        self.take_at(Instant::now())
    }

    fn take_at(&self, now: Instant) -> Result<(), Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (tokens, last) = *state;
        let tokens = (tokens + now.saturating_duration_since(last).as_secs_f64() * self.rate).min(self.burst);
        if tokens < 1.0 {
            *state = (tokens, now);
            return Err(Duration::from_secs_f64((1.0 - tokens) / self.rate));
        }
        *state = (tokens - 1.0, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_then_rate() {
        let bucket = TokenBucket::new(10, 3);
        let start = Instant::now();
        for _ in 0..3 {
            assert!(bucket.take_at(start).is_ok());
        }
        let wait = bucket.take_at(start).unwrap_err();
        assert!(wait > Duration::from_millis(50) && wait <= Duration::from_millis(100));
        assert!(bucket.take_at(start + Duration::from_millis(101)).is_ok());
        assert!(bucket.take_at(start + Duration::from_millis(102)).is_err());
    }
}
