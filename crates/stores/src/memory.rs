//! A store in memory: the reference for the conformance suite, and for tests of hosts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard},
};

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tintype_pipeline::{
    hex,
    store::{
        Condition, Listing, Location, Object, ObjectKey, Put, SourceVersion, Stat, Store, StoreError,
        single_etag,
    },
};

/// Buckets and objects behind one lock.
#[derive(Debug, Default)]
pub struct MemoryStore {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    buckets: BTreeSet<String>,
    objects: BTreeMap<Location, Object>,
}

impl MemoryStore {
    /// A store with these buckets.
    #[must_use]
    pub fn with_buckets(buckets: &[&str]) -> Self {
        let buckets = buckets.iter().map(|name| (*name).to_owned()).collect();
        Self { inner: Mutex::new(Inner { buckets, objects: BTreeMap::new() }) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Inner {
    fn bucket(&self, name: &str) -> Result<(), StoreError> {
        if self.buckets.contains(name) { Ok(()) } else { Err(StoreError::NoSuchBucket(name.into())) }
    }

    fn etag(&self, at: &Location) -> Option<&str> {
        self.objects.get(at).map(|object| object.stat.etag.as_str())
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn head(&self, at: &Location) -> Result<Option<Stat>, StoreError> {
        let inner = self.lock();
        inner.bucket(&at.bucket)?;
        Ok(inner.objects.get(at).map(|object| object.stat.clone()))
    }

    async fn get(&self, at: &Location, limit: u64) -> Result<Option<Object>, StoreError> {
        let inner = self.lock();
        inner.bucket(&at.bucket)?;
        match inner.objects.get(at) {
            Some(object) if object.stat.size > limit => {
                Err(StoreError::TooLarge { size: object.stat.size, limit })
            }
            found => Ok(found.cloned()),
        }
    }

    async fn put(&self, put: Put) -> Result<String, StoreError> {
        single_etag(self.put_all(vec![put], None).await?)
    }

    async fn put_all(
        &self,
        puts: Vec<Put>,
        source: Option<&SourceVersion>,
    ) -> Result<Vec<String>, StoreError> {
        let mut inner = self.lock();
        if let Some(source) = source
            && inner.etag(&source.at) != Some(&source.etag)
        {
            return Err(StoreError::Conflict(source.at.clone()));
        }
        for put in &puts {
            inner.bucket(&put.at.bucket)?;
            let holds = match &put.condition {
                Condition::Any => true,
                Condition::Absent => inner.etag(&put.at).is_none(),
                Condition::Matches(etag) => inner.etag(&put.at) == Some(etag),
            };
            if !holds {
                return Err(StoreError::Conflict(put.at.clone()));
            }
        }
        let mut etags = Vec::new();
        for put in puts {
            let etag = hex::encode(&Sha256::digest(&put.bytes)[..16]);
            let stat = Stat {
                etag: etag.clone(),
                size: put.bytes.len() as u64,
                content_type: Some(put.content_type),
                metadata: put.metadata,
                modified_ms: 0,
            };
            inner.objects.insert(put.at, Object { stat, bytes: put.bytes });
            etags.push(etag);
        }
        Ok(etags)
    }

    async fn delete(&self, at: &Location, if_match: Option<&str>) -> Result<(), StoreError> {
        let mut inner = self.lock();
        inner.bucket(&at.bucket)?;
        if if_match.is_some() && inner.etag(at).is_some() && inner.etag(at) != if_match {
            return Err(StoreError::Conflict(at.clone()));
        }
        inner.objects.remove(at);
        Ok(())
    }

    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&ObjectKey>,
        max: usize,
    ) -> Result<Listing, StoreError> {
        let inner = self.lock();
        inner.bucket(bucket)?;
        let mut found = inner
            .objects
            .iter()
            .filter(|(at, _)| at.bucket == bucket && at.key.as_str().starts_with(prefix))
            .filter(|(at, _)| after.is_none_or(|after| at.key > *after))
            .map(|(at, object)| (at.key.clone(), object.stat.clone()));
        let objects = found.by_ref().take(max).collect();
        Ok(Listing { objects, more: found.next().is_some() })
    }
}
