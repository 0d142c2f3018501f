//! Usage plans of API keys, as API Gateway has them: how often a key may call, and how much a day.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{http::StatusCode, response::Response};
use tintype_api::settings::ApiKey;

use super::{access::Caller, throttle::TokenBucket};
use crate::history::Usage;

/// Seconds of a day.
const DAY: u64 = 86_400;

/// The plans by the name of the key.
#[derive(Debug)]
pub(super) struct UsagePlans {
    by_name: HashMap<Arc<str>, Plan>,
}

#[derive(Debug)]
struct Plan {
    rate: Option<Arc<TokenBucket>>,
    daily: Option<u64>,
}

/// The bound that a request exceeds, and how long until it does not.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Exceeded {
    Rate(Duration),
    Quota(Duration),
}

/// A request that was counted.
#[derive(Debug)]
pub(super) struct Counted<'a> {
    name: &'a Arc<str>,
    plan: Option<&'a Plan>,
    usage: &'a Usage,
    /// When, since 1970.
    at: Duration,
}

impl Counted<'_> {
    /// Names the caller in the answer. A request that was throttled later uses up no quota.
    pub(super) fn settle(&self, response: &mut Response) {
        if let Some(plan) = self.plan
            && response.status() == StatusCode::TOO_MANY_REQUESTS
        {
            plan.give_back(self.name, self.usage, self.at);
        }
        response.extensions_mut().insert(Caller(self.name.clone()));
    }
}

impl UsagePlans {
    /// The plans of the settings. A key that had the same rate before continues with the tokens that were left.
    pub(super) fn new(keys: &[ApiKey], before: Option<&Self>) -> Self {
        let plans = keys.iter().map(|key| {
            let before = before.and_then(|before| before.by_name.get(&*key.name)?.rate.as_ref());
            let rate = key.rate.map(|(rate, burst)| TokenBucket::continued(rate, burst, before));
            (key.name.as_str().into(), Plan { rate, daily: key.daily })
        });
        Self { by_name: plans.collect() }
    }

    /// Counts a request of the key of this name.
    pub(super) fn take<'a>(&'a self, name: &'a Arc<str>, usage: &'a Usage) -> Result<Counted<'a>, Exceeded> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.take_at(name, usage, now)
    }

    fn take_at<'a>(
        &'a self,
        name: &'a Arc<str>,
        usage: &'a Usage,
        at: Duration,
    ) -> Result<Counted<'a>, Exceeded> {
        let plan = self.by_name.get(name);
        plan.map_or(Ok(()), |plan| plan.take(name, usage, at))?;
        Ok(Counted { name, plan, usage, at })
    }
}

impl Plan {
    fn take(&self, name: &str, usage: &Usage, now: Duration) -> Result<(), Exceeded> {
        let day = now.as_secs() / DAY;
        if self.daily.is_some_and(|limit| !usage.take(name, day, limit)) {
            return Err(Exceeded::Quota(Duration::from_secs(DAY - now.as_secs() % DAY)));
        }
        let taken = self.rate.as_ref().map_or(Ok(()), |rate| rate.take());
        taken.map_err(|wait| {
            self.give_back(name, usage, now);
            Exceeded::Rate(wait)
        })
    }

    fn give_back(&self, name: &str, usage: &Usage, now: Duration) {
        if self.daily.is_some() {
            usage.give_back(name, now.as_secs() / DAY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plans(rate: Option<(u32, u32)>, daily: u64, before: Option<&UsagePlans>) -> UsagePlans {
        let key = ApiKey { name: "shop".into(), key: "secret".into(), rate, daily: Some(daily) };
        UsagePlans::new(&[key], before)
    }

    const NOON: Duration = Duration::from_secs(20_000 * DAY + DAY / 2);

    #[test]
    fn quotas_are_of_the_day_and_outlive_new_settings() {
        let (name, usage) = ("shop".into(), Usage::default());
        let (first, changed) = (plans(None, 2, None), plans(None, 3, None));
        for _ in 0..2 {
            assert!(first.take_at(&name, &usage, NOON).is_ok());
        }
        let wait = Duration::from_secs(DAY / 2);
        assert_eq!(first.take_at(&name, &usage, NOON).unwrap_err(), Exceeded::Quota(wait));
        assert!(changed.take_at(&name, &usage, NOON).is_ok());
        assert_eq!(changed.take_at(&name, &usage, NOON).unwrap_err(), Exceeded::Quota(wait));
        assert!(changed.take_at(&name, &usage, NOON + wait).is_ok());
    }

    #[test]
    fn a_refused_request_uses_up_no_quota() {
        let (name, usage) = ("shop".into(), Usage::default());
        let first = plans(Some((1, 1)), 2, None);
        assert!(first.take_at(&name, &usage, NOON).is_ok());
        // Nor do new settings refill its rate.
        let second = plans(Some((1, 1)), 2, Some(&first));
        for _ in 0..3 {
            let refused = second.take_at(&name, &usage, NOON).unwrap_err();
            assert!(matches!(refused, Exceeded::Rate(_)), "{refused:?}");
        }
    }
}
