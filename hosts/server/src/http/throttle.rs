//! Token buckets, as API Gateway throttles: so many requests a second on average, so many at once above;
//! for the account, and for single routes.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::Method;
use tintype_api::settings::ApiSettings;

/// The rates of single routes.
#[derive(Debug)]
pub(super) struct Routes(Vec<(String, String, Arc<TokenBucket>)>);

impl Routes {
    /// Those of the settings. A route that had the same rate before continues with the tokens that were left.
    pub(super) fn new(api: &ApiSettings, before: Option<&Self>) -> Self {
        let routes = api.routes.iter().map(|route| {
            let path = format!("{}{}", api.path(), route.path);
            let before = before.and_then(|before| before.of(&route.method, &path));
            let bucket = TokenBucket::continued(route.rate, route.burst, before);
            (route.method.clone(), path, bucket)
        });
        Self(routes.collect())
    }

    fn of(&self, method: &str, path: &str) -> Option<&Arc<TokenBucket>> {
        self.0.iter().find(|(known, at, _)| known == method && at == path).map(|(_, _, bucket)| bucket)
    }

    /// Takes a token of the route with this method at this path of the table.
    pub(super) fn take(&self, method: &Method, at: &str) -> Result<(), Duration> {
        let asked = method.as_str();
        // HEAD is GET without the bytes.
        let bucket = self.of(asked, at).or_else(|| (asked == "HEAD").then(|| self.of("GET", at)).flatten());
        bucket.map_or(Ok(()), |bucket| bucket.take())
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

    /// The earlier bucket with its tokens, if it has this rate and burst; otherwise a new one.
    pub(super) fn continued(rate: u32, burst: u32, before: Option<&Arc<Self>>) -> Arc<Self> {
        let new = Self::new(rate, burst);
        match before {
            Some(before) if (before.rate, before.burst) == (new.rate, new.burst) => before.clone(),
            _ => Arc::new(new),
        }
    }

    /// Takes one token, or returns how long until there is one.
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

    #[test]
    fn new_settings_fill_no_bucket_that_stays_as_it_is() {
        let before = Arc::new(TokenBucket::new(1, 1));
        assert!(before.take().is_ok());
        assert!(TokenBucket::continued(1, 1, Some(&before)).take().is_err());
        assert!(TokenBucket::continued(1, 2, Some(&before)).take().is_ok());
        assert!(TokenBucket::continued(1, 1, None).take().is_ok());
    }
}
