//! The access keys in force: the root key, those of the settings, and those added to a running server. A key is a
//! principal of its own; requests are signed with one of its pairs of id and secret.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use arc_swap::ArcSwap;
use sha2::{Digest as _, Sha256};
use tintype_pipeline::{clock::now_ms, trigger::Trigger};

use super::{
    Credentials, Principal,
    access_key::{AccessKey, QuotaExceeded, Rights, Usage, compiled},
    is_equal,
    principal::is_reserved,
};
use crate::{
    settings,
    storage::{AccessKeyRecord, CredentialRecord, Storage, StoreFault},
};

/// The account that root key and access keys belong to, as policies name it.
pub const ACCOUNT: &str = "000000000000";

/// Pairs of id and secret that a key has at most.
const MAX_PAIRS: usize = 2;
/// Access keys that are added to a server at most.
const MAX_KEYS: usize = 10_000;
/// Why a key was not added, changed or removed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// There is a key of this name.
    #[error(
        "there is an access key \"{0}\" already; remove it first, or replace its secret with \"tintype keys rotate {0}\""
    )]
    Taken(String),
    /// There is no key of this name.
    #[error("there is no access key \"{0}\"; \"tintype keys list\" lists them")]
    Unknown(String),
    /// The key is in the settings.
    #[error("the access key \"{0}\" is in the settings ([[access]]); change it there")]
    OfSettings(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// The system gives no randomness.
    #[error("no secret can be created: {0}")]
    Unavailable(#[from] io::Error),
}

/// A SHA-256.
pub(super) type SecretDigest = [u8; 32];

/// What tells secrets apart without keeping them.
pub(super) fn digest(secret: &str) -> SecretDigest {
    Sha256::digest(secret).into()
}

/// A pair of id and secret, and whose it is.
struct Pair {
    secret: String,
    key: Arc<AccessKey>,
}

/// The keys beside the root key.
#[derive(Default)]
struct Index {
    by_id: HashMap<String, Pair>,
    by_name: BTreeMap<String, Arc<AccessKey>>,
    /// The names of those in the store whose rights cannot be read: keys all the same, only of no use.
    unusable: BTreeSet<String>,
}

/// The access keys in force. `Debug` shows no secret.
pub struct AccessKeys {
    root: Credentials,
    /// Where added keys are stored; none: none are.
    store: Option<Arc<Storage>>,
    triggers: Vec<Trigger>,
    now: ArcSwap<Index>,
    /// Those of the settings; held while keys change.
    of_settings: Mutex<Vec<settings::AccessKey>>,
}

impl fmt::Debug for AccessKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKeys").field("root", &self.root.access_key_id).finish_non_exhaustive()
    }
}

impl AccessKeys {
    /// The root key alone.
    #[must_use]
    pub fn root_only(root: Credentials) -> Self {
        Self {
            root,
            store: None,
            triggers: Vec::new(),
            now: ArcSwap::default(),
            of_settings: Mutex::default(),
        }
    }

    /// The root key, those in the store, and those of the settings.
    ///
    /// # Errors
    /// The store cannot be read, or the settings' keys contradict each other.
    pub fn open(
        root: Credentials,
        store: Arc<Storage>,
        settings: &settings::Settings,
    ) -> Result<Self, KeyError> {
        let keys = Self { store: Some(store), triggers: settings.triggers.clone(), ..Self::root_only(root) };
        let usage = keys.store()?.access_keys.usage()?.into_iter();
        let usage: HashMap<_, _> = usage.map(|(name, record)| (name, Usage::from(record))).collect();
        keys.rebuild(&settings.access, usage)?;
        *lock(&keys.of_settings) = settings.access.clone();
        Ok(keys)
    }

    /// From now on these are the settings' keys.
    ///
    /// # Errors
    /// They contradict each other, or the store cannot be read; nothing was changed.
    pub fn apply(&self, settings: &settings::Settings) -> Result<(), KeyError> {
        let mut of_settings = lock(&self.of_settings);
        self.rebuild(&settings.access, HashMap::new())?;
        of_settings.clone_from(&settings.access);
        Ok(())
    }

    /// The root key.
    #[must_use]
    pub const fn root(&self) -> &Credentials {
        &self.root
    }

    /// Whether an id is the root key's.
    #[must_use]
    pub fn is_root(&self, access_key_id: &str) -> bool {
        access_key_id == self.root.access_key_id
    }

    /// Whether there is no key but the root key, not even one that cannot be used.
    #[must_use]
    pub fn is_root_alone(&self) -> bool {
        let now = self.now.load();
        now.by_name.is_empty() && now.unusable.is_empty()
    }

    /// A key, by the id of one of its pairs; not the root key.
    #[must_use]
    pub fn key(&self, access_key_id: &str) -> Option<Arc<AccessKey>> {
        self.now.load().by_id.get(access_key_id).map(|pair| pair.key.clone())
    }

    /// All of them but the root key, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<AccessKey>> {
        self.now.load().by_name.values().cloned().collect()
    }

    /// The names of keys whose rights cannot be read, as those of a later version: they are of no use, and can be removed.
    #[must_use]
    pub fn unreadable(&self) -> Vec<String> {
        self.now.load().unusable.iter().cloned().collect()
    }

    /// The pair with this id.
    #[must_use]
    pub fn credentials(&self, access_key_id: &str) -> Option<Credentials> {
        if self.is_root(access_key_id) {
            return Some(self.root.clone());
        }
        let now = self.now.load();
        now.by_id.get(access_key_id).map(|pair| Credentials::new(access_key_id, pair.secret.as_str()))
    }

    /// Whether these are a key's id and secret.
    pub(super) fn is_pair(&self, access_key_id: &str, secret: &str) -> bool {
        let now = self.now.load();
        let known = match now.by_id.get(access_key_id) {
            _ if is_equal(access_key_id, &self.root.access_key_id) => self.root.secret_access_key(),
            Some(pair) => &pair.secret,
            // As long as for a known id.
            None => {
                std::hint::black_box(is_equal(secret, self.root.secret_access_key()));
                return false;
            }
        };
        is_equal(secret, known)
    }

    /// A digest of the secret that belongs to an id.
    pub(super) fn secret_digest(&self, access_key_id: &str) -> Option<SecretDigest> {
        Some(digest(self.credentials(access_key_id)?.secret_access_key()))
    }

    /// Whether a key may log in at the console.
    pub(super) fn may_log_in(&self, access_key_id: &str) -> bool {
        self.is_root(access_key_id) || self.key(access_key_id).is_some_and(|key| key.may_log_in())
    }

    /// Notes that a key was used, after its signature was verified.
    pub fn use_now(&self, access_key_id: &str) {
        if let Some(key) = self.key(access_key_id) {
            key.use_now();
        }
    }

    /// Counts bytes that a sender uploads; those of an access key are bounded.
    ///
    /// # Errors
    /// They are too many for today; none was counted.
    pub fn charge(&self, sender: &Principal, bytes: u64) -> Result<(), QuotaExceeded> {
        let Principal::AccessKey(id) = sender else { return Ok(()) };
        self.key(id).map_or(Ok(()), |key| key.charge(bytes))
    }

    /// Adds a key with its first pair. Blocks on the disk, as all that change keys.
    ///
    /// # Errors
    /// See [`KeyError`]; nothing was changed, except perhaps if the store failed. As for all that change keys.
    pub fn add(&self, name: &str, rights: Rights) -> Result<Credentials, KeyError> {
        check_not_reserved(name)?;
        if !is_name(name) {
            return Err(KeyError::Invalid(format!(
                "\"{}\" is no name of an access key: write 1 to 64 letters, digits and any of +=,.@-_",
                name.escape_debug()
            )));
        }
        compiled(&rights, &self.triggers).map_err(KeyError::Invalid)?;
        let of_settings = lock(&self.of_settings);
        let now = self.now.load();
        if now.by_name.contains_key(name) || now.unusable.contains(name) {
            return Err(KeyError::Taken(name.to_owned()));
        }
        if now.by_name.len() >= MAX_KEYS {
            return Err(KeyError::Invalid(format!("there are {MAX_KEYS} access keys already")));
        }
        let pair = Credentials::generate()?;
        let Rights { allow, preset, policy, daily_bytes } = rights;
        let credentials = vec![stored(&pair)];
        let record =
            AccessKeyRecord { created_ms: now_ms(), credentials, allow, preset, policy, daily_bytes };
        self.put(name, record, &of_settings)?;
        Ok(pair)
    }

    /// Gives a key a second pair; the first one stays valid until [`Self::finish_rotation`].
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn rotate(&self, name: &str) -> Result<Credentials, KeyError> {
        let of_settings = lock(&self.of_settings);
        let mut record = self.record(name)?;
        if record.credentials.len() >= MAX_PAIRS {
            return Err(KeyError::Invalid(format!(
                "the access key \"{name}\" has two secrets already; once its clients use the newer one, remove the older \
                 one with \"tintype keys rotate {name} --finish\""
            )));
        }
        let pair = Credentials::generate()?;
        record.credentials.push(stored(&pair));
        self.put(name, record, &of_settings)?;
        Ok(pair)
    }

    /// Removes the older of a key's two pairs; the id that remains.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn finish_rotation(&self, name: &str) -> Result<String, KeyError> {
        let of_settings = lock(&self.of_settings);
        let mut record = self.record(name)?;
        let Some(newest) = record.credentials.pop().filter(|_| !record.credentials.is_empty()) else {
            return Err(KeyError::Invalid(format!("the access key \"{name}\" has one secret only")));
        };
        let id = newest.id.clone();
        record.credentials = vec![newest];
        self.put(name, record, &of_settings)?;
        Ok(id)
    }

    /// Removes a key. Buckets that it owns remain, and are those of a later key of its name.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn remove(&self, name: &str) -> Result<(), KeyError> {
        let of_settings = lock(&self.of_settings);
        match self.record(name) {
            // An earlier removal is in the store, and not in force.
            Err(KeyError::Unknown(_)) if self.now.load().by_name.contains_key(name) => {}
            found => _ = found?,
        }
        self.in_force(self.store()?.access_keys.remove(name), &of_settings)
    }

    /// Stores how keys were used, as far as that has changed.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn store_usage(&self) -> Result<(), KeyError> {
        let keys = self.list();
        let changed = keys.iter().filter(|key| key.usage.is_changed.swap(false, Ordering::Relaxed));
        let changed: Vec<_> = changed.map(|key| (key.name.clone(), key.usage.record())).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let stored = self.store()?.access_keys.put_usage(changed);
        if stored.is_err() {
            keys.iter().for_each(|key| key.usage.is_changed.store(true, Ordering::Relaxed));
        }
        Ok(stored?)
    }

    fn store(&self) -> Result<&Storage, KeyError> {
        self.store.as_deref().ok_or_else(|| KeyError::Invalid("there is no store for access keys".into()))
    }

    /// The row of a key that was added.
    fn record(&self, name: &str) -> Result<AccessKeyRecord, KeyError> {
        if self.now.load().by_name.get(name).is_some_and(|key| key.is_of_settings) {
            return Err(KeyError::OfSettings(name.to_owned()));
        }
        let mut stored = self.store()?.access_keys.list()?.into_iter();
        let found = stored.find(|(known, _)| known == name);
        found.map(|(_, record)| record).ok_or_else(|| KeyError::Unknown(name.to_owned()))
    }

    fn put(
        &self,
        name: &str,
        record: AccessKeyRecord,
        of_settings: &[settings::AccessKey],
    ) -> Result<(), KeyError> {
        self.in_force(self.store()?.access_keys.put(name, record), of_settings)
    }

    /// Puts what is in the store in force after a change to it. Also after an error: the outcome of a commit may not
    /// have been known.
    fn in_force(
        &self,
        changed: Result<(), StoreFault>,
        of_settings: &[settings::AccessKey],
    ) -> Result<(), KeyError> {
        let rebuilt = self.rebuild(of_settings, HashMap::new());
        changed?;
        rebuilt
    }

    /// Puts the keys of settings and store in force, all at once. `usage` is that of keys not in force yet.
    fn rebuild(
        &self,
        of_settings: &[settings::AccessKey],
        mut usage: HashMap<String, Usage>,
    ) -> Result<(), KeyError> {
        let mut index = Index::default();
        let before = self.now.load();
        let mut usage_of = |name: &str| {
            let known = before.by_name.get(name).map(|key| key.usage.clone());
            known.unwrap_or_else(|| Arc::new(usage.remove(name).unwrap_or_default()))
        };
        for key in of_settings {
            let rights = Rights {
                allow: key.allow.clone(),
                preset: key.preset.clone(),
                policy: key.policy.clone(),
                daily_bytes: key.daily_bytes,
            };
            let policies = compiled(&rights, &self.triggers)
                .map_err(|error| KeyError::Invalid(format!("[[access]] \"{}\": {error}", key.name)))?;
            let pairs = key.pairs.clone();
            check_not_reserved(&key.name)?;
            if pairs.iter().any(|(id, _)| self.is_root(id)) {
                return Err(KeyError::Invalid(format!(
                    "[[access]] \"{}\": the access_key_id is the root key's",
                    key.name
                )));
            }
            let key = AccessKey {
                name: key.name.clone(),
                is_of_settings: true,
                created_ms: None,
                ids: pairs.iter().map(|(id, _)| id.clone()).collect(),
                rights,
                policies,
                usage: usage_of(&key.name),
            };
            index.insert(key, pairs);
        }
        let stored = match &self.store {
            Some(store) => store.access_keys.list()?,
            None => Vec::new(),
        };
        for (name, record) in stored {
            if index.by_name.contains_key(&name) {
                tracing::warn!(
                    key = name,
                    "[[access]] has a key of this name, so the one that was added is not used"
                );
                continue;
            }
            let AccessKeyRecord { created_ms, credentials, allow, preset, policy, daily_bytes } = record;
            let rights = Rights { allow, preset, policy, daily_bytes };
            // One that cannot be read must not keep others from use, and is not used in part.
            let policies = match compiled(&rights, &self.triggers) {
                Ok(policies) => policies,
                Err(error) => {
                    tracing::error!(
                        key = name,
                        error,
                        "an access key is not used: its rights cannot be read"
                    );
                    index.unusable.insert(name);
                    continue;
                }
            };
            let pairs: Vec<_> = credentials.into_iter().map(|pair| (pair.id, pair.secret)).collect();
            let usage = usage_of(&name);
            let ids = pairs.iter().map(|(id, _)| id.clone()).collect();
            let created_ms = Some(created_ms);
            let key = AccessKey { name, is_of_settings: false, created_ms, ids, rights, policies, usage };
            index.insert(key, pairs);
        }
        self.now.store(Arc::new(index));
        Ok(())
    }
}

impl Index {
    fn insert(&mut self, key: AccessKey, pairs: Vec<(String, String)>) {
        let key = Arc::new(key);
        for (id, secret) in pairs {
            self.by_id.entry(id).or_insert_with(|| Pair { secret, key: key.clone() });
        }
        self.by_name.insert(key.name.clone(), key);
    }
}

fn stored(pair: &Credentials) -> CredentialRecord {
    CredentialRecord {
        id: pair.access_key_id.clone(),
        secret: pair.secret_access_key().to_owned(),
        created_ms: now_ms(),
    }
}

fn check_not_reserved(name: &str) -> Result<(), KeyError> {
    if is_reserved(name) {
        let text = format!("\"{name}\" cannot be the name of an access key: the server itself has it");
        return Err(KeyError::Invalid(text));
    }
    Ok(())
}

/// Source: AWS, "IAM and AWS STS quotas", names.
fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+=,.@-_".contains(&byte))
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_iam_users() {
        assert!(is_name("a") && is_name("camera-1@shop.example") && is_name(&"a".repeat(64)));
        for text in ["", "a b", "a/b", "*", "ä", &"a".repeat(65)] {
            assert!(!is_name(text), "{text}");
        }
    }
}
