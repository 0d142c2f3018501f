//! Rows of access keys: what each is and may do, and apart from that how it was used.

use redb::{ReadableTable as _, TableDefinition};
use serde::de::DeserializeOwned;

use super::{
    LedgerError,
    records::{AccessKeyRecord, KeyUsageRecord},
    transaction::{Changes, View, decode, encode},
};

/// By name.
pub(super) const ACCESS_KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("access_keys");
/// By name.
pub(super) const KEY_USAGE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("key_usage");

impl View {
    /// All access keys by name.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn access_keys(&self) -> Result<Vec<(String, AccessKeyRecord)>, LedgerError> {
        self.rows(ACCESS_KEYS)
    }

    /// How access keys were used, by name.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn key_usage(&self) -> Result<Vec<(String, KeyUsageRecord)>, LedgerError> {
        self.rows(KEY_USAGE)
    }

    fn rows<T: DeserializeOwned>(
        &self,
        table: TableDefinition<'_, &'static str, &'static [u8]>,
    ) -> Result<Vec<(String, T)>, LedgerError> {
        let table = self.table(table)?;
        let rows = table.iter().map_err(LedgerError::database)?;
        rows.map(|row| {
            let (name, record) = row.map_err(LedgerError::database)?;
            Ok((name.value().to_owned(), decode(record.value())?))
        })
        .collect()
    }
}

impl Changes<'_> {
    /// Writes an access key.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn put_access_key(&self, name: &str, record: &AccessKeyRecord) -> Result<(), LedgerError> {
        self.table(ACCESS_KEYS)?.insert(name, encode(record)?.as_slice()).map_err(LedgerError::database)?;
        Ok(())
    }

    /// Removes an access key and how it was used.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn remove_access_key(&self, name: &str) -> Result<(), LedgerError> {
        self.table(ACCESS_KEYS)?.remove(name).map_err(LedgerError::database)?;
        self.table(KEY_USAGE)?.remove(name).map_err(LedgerError::database)?;
        Ok(())
    }

    /// Writes how an access key was used.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn put_key_usage(&self, name: &str, record: &KeyUsageRecord) -> Result<(), LedgerError> {
        self.table(KEY_USAGE)?.insert(name, encode(record)?.as_slice()).map_err(LedgerError::database)?;
        Ok(())
    }
}
