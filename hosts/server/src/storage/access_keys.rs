//! Access keys and how they were used.

use std::sync::Arc;

use super::StoreFault;
use crate::ledger::{AccessKeyRecord, KeyUsageRecord, Ledger};

/// The access keys in the ledger. What they may do is decided in `auth`.
#[derive(Debug)]
pub struct AccessKeyStore {
    ledger: Arc<Ledger>,
}

impl AccessKeyStore {
    pub(super) const fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger }
    }

    /// All of them by name.
    ///
    /// # Errors
    /// As for all methods here: the ledger cannot be read or written.
    pub fn list(&self) -> Result<Vec<(String, AccessKeyRecord)>, StoreFault> {
        Ok(self.ledger.view()?.access_keys()?)
    }

    /// How they were used, by name.
    pub fn usage(&self) -> Result<Vec<(String, KeyUsageRecord)>, StoreFault> {
        Ok(self.ledger.view()?.key_usage()?)
    }

    /// Adds one, or replaces the one of that name.
    pub fn put(&self, name: &str, record: AccessKeyRecord) -> Result<(), StoreFault> {
        let name = name.to_owned();
        self.ledger.submit(Vec::new(), move |changes| Ok(changes.put_access_key(&name, &record)?)).wait()
    }

    /// Removes one.
    pub fn remove(&self, name: &str) -> Result<(), StoreFault> {
        let name = name.to_owned();
        self.ledger.submit(Vec::new(), move |changes| Ok(changes.remove_access_key(&name)?)).wait()
    }

    /// Stores how some were used.
    pub fn put_usage(&self, used: Vec<(String, KeyUsageRecord)>) -> Result<(), StoreFault> {
        let write = self.ledger.submit(Vec::new(), move |changes| {
            used.iter().try_for_each(|(name, record)| Ok(changes.put_key_usage(name, record)?))
        });
        write.wait()
    }
}
