//! An access key: what it is, what it may do, and how it was used.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use tintype_pipeline::{clock::now_ms, trigger::Trigger};
use tintype_policy::{Action, Context, Grant, Policy, Preset, Principal, Request, Resource, evaluate};

use super::access_keys::{ACCOUNT, lock};
use crate::storage::KeyUsageRecord;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// A key has uploaded as many bytes today as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the access key may upload {0} bytes a day (UTC), and these would be more")]
pub struct QuotaExceeded(pub u64);

/// What a key may do, as it was written; all of it counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    /// In the short form, `ACTION:BUCKET[/PREFIX]`.
    pub allow: Vec<String>,
    /// By the name of a preset.
    pub preset: Option<String>,
    /// As an identity policy in JSON.
    pub policy: Option<String>,
    /// Bytes it may upload in a day (UTC).
    pub daily_bytes: Option<u64>,
}

/// An access key but for its secrets.
#[derive(Debug)]
pub struct AccessKey {
    /// Its name.
    pub name: String,
    /// Whether it is in the settings, which alone change it.
    pub is_of_settings: bool,
    /// Milliseconds since 1970 when it was added; none of the settings' keys.
    pub created_ms: Option<i64>,
    /// The ids of its pairs, the older one first.
    pub ids: Vec<String>,
    /// What it may do, as written.
    pub rights: Rights,
    pub(super) policies: Vec<Policy>,
    pub(super) usage: Arc<Usage>,
}

/// How a key was used.
#[derive(Debug, Default)]
pub(super) struct Usage {
    last_used_ms: AtomicI64,
    /// Bytes uploaded, and the day they are of.
    uploaded: Mutex<(i64, u64)>,
    /// Whether it is to be stored.
    pub(super) is_changed: AtomicBool,
}

impl AccessKey {
    /// Milliseconds since 1970 of its last request; `None`: it was never used.
    #[must_use]
    pub fn last_used_ms(&self) -> Option<i64> {
        Some(self.usage.last_used_ms.load(Ordering::Relaxed)).filter(|at| *at > 0)
    }

    /// Bytes it has uploaded today (UTC).
    #[must_use]
    pub fn uploaded_today(&self) -> u64 {
        let (day, bytes) = *lock(&self.usage.uploaded);
        if day == today() { bytes } else { 0 }
    }

    /// Whom policies name.
    #[must_use]
    pub fn principal(&self) -> Principal<'_> {
        Principal::User { account: ACCOUNT, name: &self.name }
    }

    /// What it was given, which is less than all it may do: it owns buckets, and these have policies.
    #[must_use]
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// Whether it may see the console's pages.
    pub(super) fn may_log_in(&self) -> bool {
        let request = Request {
            principal: self.principal(),
            action: Action::Read,
            resource: Resource::Route,
            context: Context::at(std::time::SystemTime::now()),
        };
        let decisions = || self.policies.iter().map(|policy| evaluate(&request, Some(policy), None));
        decisions().any(|decision| decision.is_allowed())
            && !decisions().any(|decision| matches!(decision, tintype_policy::Decision::DeniedBy(_)))
    }

    pub(super) fn use_now(&self) {
        self.usage.last_used_ms.fetch_max(now_ms(), Ordering::Relaxed);
        self.usage.is_changed.store(true, Ordering::Relaxed);
    }

    /// Counts bytes that it uploads.
    ///
    /// # Errors
    /// They are too many for today; none was counted.
    pub(super) fn charge(&self, bytes: u64) -> Result<(), QuotaExceeded> {
        let mut uploaded = lock(&self.usage.uploaded);
        let (day, before) = *uploaded;
        let today = today();
        let before = if day == today { before } else { 0 };
        let after = before.saturating_add(bytes);
        if let Some(limit) = self.rights.daily_bytes.filter(|limit| after > *limit) {
            return Err(QuotaExceeded(limit));
        }
        *uploaded = (today, after);
        drop(uploaded);
        self.usage.is_changed.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl Usage {
    /// As it is stored.
    pub(super) fn record(&self) -> KeyUsageRecord {
        let (day, bytes) = *lock(&self.uploaded);
        KeyUsageRecord { last_used_ms: self.last_used_ms.load(Ordering::Relaxed), day, bytes }
    }
}

impl From<KeyUsageRecord> for Usage {
    fn from(record: KeyUsageRecord) -> Self {
        Self {
            last_used_ms: record.last_used_ms.into(),
            uploaded: (record.day, record.bytes).into(),
            is_changed: AtomicBool::default(),
        }
    }
}

/// The policies that rights amount to.
pub(super) fn compiled(rights: &Rights, triggers: &[Trigger]) -> Result<Vec<Policy>, String> {
    let mut policies = Vec::new();
    if !rights.allow.is_empty() {
        let grants = rights.allow.iter().map(|text| text.parse::<Grant>()).collect::<Result<Vec<_>, _>>();
        policies
            .push(grants.and_then(|grants| Policy::of_grants(&grants)).map_err(|error| error.to_string())?);
    }
    if let Some(preset) = &rights.preset {
        let names = |of: fn(&Trigger) -> &str| {
            let mut names: Vec<_> = triggers.iter().map(of).collect();
            names.sort_unstable();
            names.dedup();
            names
        };
        let (sources, destinations) =
            (names(|trigger| &trigger.bucket), names(|trigger| &trigger.destination));
        let preset = preset.parse::<Preset>().and_then(|preset| preset.policy(&sources, &destinations));
        policies.push(preset.map_err(|error| error.to_string())?);
    }
    if let Some(policy) = &rights.policy {
        policies.push(Policy::identity(policy.as_bytes()).map_err(|error| error.to_string())?);
    }
    Ok(policies)
}

fn today() -> i64 {
    now_ms().div_euclid(DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(daily_bytes: Option<u64>, preset: Option<&str>) -> AccessKey {
        let rights = Rights { daily_bytes, preset: preset.map(Into::into), ..Rights::default() };
        AccessKey {
            name: "a".into(),
            is_of_settings: false,
            created_ms: None,
            ids: Vec::new(),
            policies: compiled(&rights, &[]).unwrap(),
            rights,
            usage: Arc::default(),
        }
    }

    #[test]
    fn a_quota_is_of_a_day_and_counts_only_what_was_allowed() {
        let key = key(Some(10), None);
        assert_eq!(key.charge(11), Err(QuotaExceeded(10)));
        assert_eq!((key.charge(10), key.uploaded_today()), (Ok(()), 10));
        assert_eq!((key.charge(1), key.uploaded_today()), (Err(QuotaExceeded(10)), 10));
        lock(&key.usage.uploaded).0 -= 1;
        assert_eq!(key.uploaded_today(), 0);
        assert_eq!(key.charge(9), Ok(()));
    }

    #[test]
    fn operators_may_log_in_and_others_may_not() {
        assert!(key(None, Some("operator")).may_log_in());
        assert!(!key(None, Some("bucket-owner")).may_log_in() && !key(None, None).may_log_in());
    }
}
