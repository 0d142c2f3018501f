//! Buckets.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use tintype_pipeline::{clock::now_ms, trigger::check_bucket_name};
use tintype_policy::{CannedAcl, Policy, Principal, PublicAccessBlock, Resource, is_public};

use super::{Notifications, StoreFault, publication::Publisher};
use crate::ledger::{BucketRecord, CorsRecord, ObjectOwnership, PublicAccessBlockRecord, View};

/// A bucket that has to exist.
pub(super) fn existing(view: &View, name: &str) -> Result<BucketRecord, StoreFault> {
    view.bucket(name)?.ok_or_else(|| StoreFault::NoSuchBucket(name.into()))
}

/// What decisions need of a bucket: in memory, since every request asks.
#[derive(Debug, Clone, PartialEq)]
pub struct BucketEntry {
    /// The name of the access key that owns it; none: the root key.
    pub owner: Option<String>,
    /// Its policy.
    pub policy: Option<Policy>,
    /// Its ACL, if that allows anybody anything and counts.
    pub acls: Vec<Policy>,
    /// Its ownership controls disable ACLs: its own, and those of its objects.
    pub are_acls_disabled: bool,
    /// There is a policy that cannot be read, as one of a later version: nobody but the owner may do anything.
    pub is_unreadable: bool,
    /// What may be public; none: what the settings say.
    pub public_access_block: Option<PublicAccessBlock>,
}

/// What a bucket's ACL allows others than its owner.
fn acl_policy(name: &str, acl: CannedAcl) -> Option<Policy> {
    acl.policy(Resource::Bucket(name), &Principal::Anonymous).ok().filter(|_| acl.is_public())
}

impl BucketEntry {
    /// Whether anything of it is public; `default` is what is blocked where nothing else was said.
    #[must_use]
    pub fn is_public(&self, default: PublicAccessBlock) -> bool {
        let block = self.public_access_block.unwrap_or(default);
        !block.restrict_public_buckets && self.policy.as_ref().is_some_and(is_public)
            || !block.ignore_public_acls && !self.acls.is_empty()
    }

    fn new(name: &str, record: &BucketRecord) -> Self {
        let policy = record.policy.as_ref().map(|text| Policy::of_bucket(text.as_bytes(), name));
        if let Some(Err(error)) = &policy {
            tracing::error!(bucket = name, %error, "the bucket's policy cannot be read, so it is its owner's alone; put it again");
        }
        let are_acls_disabled = record.ownership == Some(ObjectOwnership::BucketOwnerEnforced);
        let acl = acl_policy(name, record.acl.canned()).filter(|_| !are_acls_disabled);
        Self {
            owner: record.owner.clone(),
            acls: acl.into_iter().collect(),
            are_acls_disabled,
            is_unreadable: matches!(policy, Some(Err(_))),
            policy: policy.and_then(Result::ok),
            public_access_block: record.public_access_block.map(|block| match block {
                PublicAccessBlockRecord::Set(set) => set.into(),
                PublicAccessBlockRecord::Removed => PublicAccessBlock::default(),
            }),
        }
    }
}

type Entries = BTreeMap<String, Arc<BucketEntry>>;

/// The buckets.
#[derive(Debug)]
pub struct Buckets {
    publisher: Arc<Publisher>,
    notifications: Arc<Notifications>,
    entries: ArcSwap<Entries>,
    /// Held while one is changed, so that the entries follow the ledger's order.
    changing: Mutex<()>,
}

impl Buckets {
    pub(super) fn new(
        publisher: Arc<Publisher>,
        notifications: Arc<Notifications>,
    ) -> Result<Self, StoreFault> {
        let buckets = publisher.ledger.view()?.buckets()?;
        let entries = buckets.into_iter().map(|(name, record)| {
            let entry = Arc::new(BucketEntry::new(&name, &record));
            (name, entry)
        });
        let entries = ArcSwap::from_pointee(entries.collect());
        Ok(Self { publisher, notifications, entries, changing: Mutex::default() })
    }

    /// What decisions need of a bucket; reads no disk. `None`: there is none.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<Arc<BucketEntry>> {
        self.entries.load().get(name).cloned()
    }

    /// Makes a change to a bucket, after which its entry is what the ledger has.
    fn change<T>(&self, name: &str, change: impl FnOnce() -> Result<T, StoreFault>) -> Result<T, StoreFault> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change();
        // Also after an error: the outcome of a commit may not have been known.
        if let Ok(now) = self.publisher.ledger.view().and_then(|view| view.bucket(name)) {
            let mut entries = Entries::clone(&self.entries.load());
            match now {
                Some(record) => {
                    entries.insert(name.to_owned(), Arc::new(BucketEntry::new(name, &record)));
                }
                None => _ = entries.remove(name),
            }
            self.entries.store(Arc::new(entries));
        }
        changed
    }

    /// Creates a bucket that belongs to an access key; `None`: to the root key.
    ///
    /// # Errors
    /// It exists, or the name is none.
    pub fn create(&self, name: &str, owner: Option<String>) -> Result<(), StoreFault> {
        self.create_as(name, BucketRecord::new(now_ms(), owner))
    }

    /// Creates a bucket with what was said of it.
    ///
    /// # Errors
    /// It exists, or the name is none.
    pub fn create_as(&self, name: &str, record: BucketRecord) -> Result<(), StoreFault> {
        check_bucket_name(name).map_err(StoreFault::InvalidBucketName)?;
        let bucket = name.to_owned();
        self.change(name, || {
            let pending =
                self.publisher.ledger.submit(Vec::new(), move |changes| match changes.bucket(&bucket)? {
                    Some(there) if there.owner == record.owner => Err(StoreFault::BucketExists(bucket)),
                    Some(_) => Err(StoreFault::BucketOfAnother(bucket)),
                    None => Ok(changes.put_bucket(&bucket, &record)?),
                });
            pending.wait()
        })
    }

    /// Creates a bucket if it is not there.
    ///
    /// # Errors
    /// The name is none, or the disk fails.
    pub fn ensure(&self, name: &str) -> Result<(), StoreFault> {
        if self.publisher.ledger.view()?.bucket(name)?.is_some() {
            return Ok(());
        }
        match self.create(name, None) {
            Err(StoreFault::BucketExists(_) | StoreFault::BucketOfAnother(_)) => Ok(()),
            other => other,
        }
    }

    /// A bucket.
    ///
    /// # Errors
    /// It does not exist.
    pub fn get(&self, name: &str) -> Result<BucketRecord, StoreFault> {
        existing(&self.publisher.ledger.view()?, name)
    }

    /// Sets which pages of other origins may do what with a bucket; no rules: none.
    ///
    /// # Errors
    /// The bucket does not exist.
    pub fn set_cors(&self, name: &str, rules: Vec<CorsRecord>) -> Result<(), StoreFault> {
        self.set(name, |record| record.cors = rules)
    }

    /// Sets a bucket's policy; `None`: it has none.
    ///
    /// # Errors
    /// The bucket does not exist.
    pub fn set_policy(&self, name: &str, policy: Option<String>) -> Result<(), StoreFault> {
        self.set(name, |record| record.policy = policy)
    }

    /// Sets a bucket's canned ACL, unless its ownership controls disable ACLs.
    ///
    /// # Errors
    /// They do, or the bucket does not exist.
    pub fn set_acl(&self, name: &str, acl: CannedAcl) -> Result<(), StoreFault> {
        self.try_set(name, move |record| {
            if record.ownership == Some(ObjectOwnership::BucketOwnerEnforced) && acl.is_public() {
                return Err(StoreFault::AclsDisabled);
            }
            record.acl = acl.into();
            Ok(())
        })
    }

    /// Sets a bucket's ownership controls; `None`: it has none.
    ///
    /// # Errors
    /// The bucket does not exist, or they disable ACLs while its own is public.
    pub fn set_ownership(&self, name: &str, ownership: Option<ObjectOwnership>) -> Result<(), StoreFault> {
        self.try_set(name, move |record| {
            if ownership == Some(ObjectOwnership::BucketOwnerEnforced) && record.acl.canned().is_public() {
                return Err(StoreFault::AclContradictsOwnership);
            }
            record.ownership = ownership;
            Ok(())
        })
    }

    /// Sets what of a bucket may be public.
    ///
    /// # Errors
    /// The bucket does not exist.
    pub fn set_public_access_block(
        &self,
        name: &str,
        block: PublicAccessBlockRecord,
    ) -> Result<(), StoreFault> {
        self.set(name, move |record| record.public_access_block = Some(block))
    }

    fn set(
        &self,
        name: &str,
        set: impl FnOnce(&mut BucketRecord) + Send + 'static,
    ) -> Result<(), StoreFault> {
        self.try_set(name, |record| {
            set(record);
            Ok(())
        })
    }

    fn try_set(
        &self,
        name: &str,
        set: impl FnOnce(&mut BucketRecord) -> Result<(), StoreFault> + Send + 'static,
    ) -> Result<(), StoreFault> {
        let bucket = name.to_owned();
        self.change(name, || {
            let pending = self.publisher.ledger.submit(Vec::new(), move |changes| {
                let record = changes.bucket(&bucket)?;
                let mut record = record.ok_or_else(|| StoreFault::NoSuchBucket(bucket.clone()))?;
                set(&mut record)?;
                Ok::<_, StoreFault>(changes.put_bucket(&bucket, &record)?)
            });
            pending.wait()
        })
    }

    /// All buckets by name.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn list(&self) -> Result<Vec<(String, BucketRecord)>, StoreFault> {
        Ok(self.publisher.ledger.view()?.buckets()?)
    }

    /// Deletes an empty bucket; its uploads under way are aborted.
    ///
    /// # Errors
    /// It does not exist, is not empty, or a trigger in the settings needs it.
    pub fn delete(&self, name: &str) -> Result<(), StoreFault> {
        if self.notifications.is_fixed(name) {
            return Err(StoreFault::BucketInUse(name.into()));
        }
        let bucket = name.to_owned();
        let parts = self.change(name, || {
            let pending = self.publisher.ledger.submit(Vec::new(), move |changes| {
                if changes.bucket(&bucket)?.is_none() {
                    return Err(StoreFault::NoSuchBucket(bucket));
                }
                if !changes.is_bucket_empty(&bucket)? {
                    return Err(StoreFault::BucketNotEmpty(bucket));
                }
                // Or they would go on in another bucket of this name.
                let mut parts = Vec::new();
                for upload in changes.uploads_of(&bucket)? {
                    parts.extend(changes.remove_upload(&upload)?);
                }
                changes.remove_bucket(&bucket)?;
                Ok(parts)
            });
            pending.wait()
        })?;
        self.publisher.unlink(&parts);
        self.notifications.forget(name);
        Ok(())
    }
}
