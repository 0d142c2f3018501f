//! Buckets.

use std::sync::Arc;

use tintype_pipeline::{clock::now_ms, trigger::check_bucket_name};

use super::{Notifications, StoreFault};
use crate::ledger::{BucketRecord, CorsRecord, Ledger, View};

/// A bucket that has to exist.
pub(super) fn existing(view: &View, name: &str) -> Result<BucketRecord, StoreFault> {
    view.bucket(name)?.ok_or_else(|| StoreFault::NoSuchBucket(name.into()))
}

/// The buckets.
#[derive(Debug)]
pub struct Buckets {
    ledger: Arc<Ledger>,
    notifications: Arc<Notifications>,
}

impl Buckets {
    pub(super) const fn new(ledger: Arc<Ledger>, notifications: Arc<Notifications>) -> Self {
        Self { ledger, notifications }
    }

    /// Creates a bucket.
    ///
    /// # Errors
    /// It exists, or the name is none.
    pub fn create(&self, name: &str) -> Result<(), StoreFault> {
        check_bucket_name(name).map_err(StoreFault::InvalidBucketName)?;
        let name = name.to_owned();
        let pending = self.ledger.submit(Vec::new(), move |changes| {
            if changes.bucket(&name)?.is_some() {
                return Err(StoreFault::BucketExists(name));
            }
            let record = BucketRecord { created_ms: now_ms(), notifications: Vec::new(), cors: Vec::new() };
            Ok(changes.put_bucket(&name, &record)?)
        });
        pending.wait()
    }

    /// Creates a bucket if it is not there.
    ///
    /// # Errors
    /// The name is none, or the disk fails.
    pub fn ensure(&self, name: &str) -> Result<(), StoreFault> {
        if self.ledger.view()?.bucket(name)?.is_some() {
            return Ok(());
        }
        match self.create(name) {
            Err(StoreFault::BucketExists(_)) => Ok(()),
            other => other,
        }
    }

    /// A bucket.
    ///
    /// # Errors
    /// It does not exist.
    pub fn get(&self, name: &str) -> Result<BucketRecord, StoreFault> {
        existing(&self.ledger.view()?, name)
    }

    /// Sets which pages of other origins may do what with a bucket; no rules: none.
    ///
    /// # Errors
    /// The bucket does not exist.
    pub fn set_cors(&self, name: &str, rules: Vec<CorsRecord>) -> Result<(), StoreFault> {
        let name = name.to_owned();
        let pending = self.ledger.submit(Vec::new(), move |changes| {
            let mut record = changes.bucket(&name)?.ok_or_else(|| StoreFault::NoSuchBucket(name.clone()))?;
            record.cors = rules;
            Ok::<_, StoreFault>(changes.put_bucket(&name, &record)?)
        });
        pending.wait()
    }

    /// All buckets by name.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn list(&self) -> Result<Vec<(String, BucketRecord)>, StoreFault> {
        Ok(self.ledger.view()?.buckets()?)
    }

    /// Deletes an empty bucket.
    ///
    /// # Errors
    /// It does not exist, is not empty, or a trigger in the settings needs it.
    pub fn delete(&self, name: &str) -> Result<(), StoreFault> {
        if self.notifications.is_fixed(name) {
            return Err(StoreFault::BucketInUse(name.into()));
        }
        let bucket = name.to_owned();
        let pending = self.ledger.submit(Vec::new(), move |changes| {
            if changes.bucket(&bucket)?.is_none() {
                return Err(StoreFault::NoSuchBucket(bucket));
            }
            if !changes.is_bucket_empty(&bucket)? {
                return Err(StoreFault::BucketNotEmpty(bucket));
            }
            Ok(changes.remove_bucket(&bucket)?)
        });
        pending.wait()?;
        self.notifications.forget(name);
        Ok(())
    }
}
