//! The ledger as of one moment, in a database of its own: what a backup stores.

use std::{path::Path, sync::Arc};

use redb::{
    ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _, TableDefinition, TableHandle as _,
};

use super::{
    CACHE_BYTES, LedgerError, View,
    access_keys::{ACCESS_KEYS, KEY_USAGE},
    alt_texts::{ALT_TEXT_EVENTS, ALT_TEXT_USAGE, ALT_TEXTS},
    numbers::META,
    object_details::{OBJECT_ACLS, OBJECT_PARTS, OBJECT_TAGS, PUBLIC_OBJECTS},
    outbox::OUTBOX,
    salvage::guarded,
    transaction::{
        BUCKETS, DEAD_LETTERS, DUE, EVENTS, OBJECTS, PARTS, RESULTS, RETRIES, TRASH, UPLOADS, WAITING,
        make_tables,
    },
};
use crate::disk::{DatabaseFile, SharedDisk, make_private};

/// Rows copied in one transaction.
const CHUNK: usize = 20_000;

impl View {
    /// Writes everything of this view to a new database at `path`, durably. Between two chunks `goes_on` is asked whether
    /// anybody still wants it. Readers and writers of the ledger go on meanwhile.
    ///
    /// # Errors
    /// The view cannot be read, the copy not be written, or nobody wants it; the file may be there in part.
    pub(crate) fn copy_to(
        &self,
        disk: &SharedDisk,
        path: &Path,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<(), LedgerError> {
        let file = DatabaseFile::open(disk, path, &Arc::default())?;
        // It holds the secrets of access keys.
        make_private(path);
        guarded(|| {
            let database = redb::Builder::new()
                .set_cache_size(CACHE_BYTES)
                .create_with_backend(file)
                .map_err(LedgerError::opening)?;
            make_tables(&database)?;
            let target = Target { view: self, database: &database, goes_on };
            target.copy(META)?;
            target.copy(BUCKETS)?;
            target.copy(OBJECTS)?;
            target.copy(PUBLIC_OBJECTS)?;
            target.copy(OBJECT_ACLS)?;
            target.copy(OBJECT_TAGS)?;
            target.copy(OBJECT_PARTS)?;
            target.copy(UPLOADS)?;
            target.copy(PARTS)?;
            target.copy(EVENTS)?;
            target.copy(WAITING)?;
            target.copy(DUE)?;
            target.copy(RETRIES)?;
            target.copy(DEAD_LETTERS)?;
            target.copy(RESULTS)?;
            target.copy(TRASH)?;
            target.copy(ACCESS_KEYS)?;
            target.copy(KEY_USAGE)?;
            target.copy(OUTBOX)?;
            target.copy(ALT_TEXT_EVENTS)?;
            target.copy(ALT_TEXTS)?;
            target.copy(ALT_TEXT_USAGE)?;
            target.check_is_whole()
        })
    }
}

struct Target<'a> {
    view: &'a View,
    database: &'a redb::Database,
    goes_on: &'a dyn Fn() -> bool,
}

impl Target<'_> {
    fn copy<K: redb::Key + 'static, V: redb::Value + 'static>(
        &self,
        table: TableDefinition<'static, K, V>,
    ) -> Result<(), LedgerError> {
        let source = self.view.table(table)?;
        let mut rows = source.iter().map_err(LedgerError::database)?.peekable();
        while rows.peek().is_some() {
            if !(self.goes_on)() {
                return Err(LedgerError::Closed);
            }
            let transaction = self.database.begin_write().map_err(LedgerError::database)?;
            {
                let mut target = transaction.open_table(table).map_err(LedgerError::database)?;
                for row in rows.by_ref().take(CHUNK) {
                    let (key, value) = row.map_err(LedgerError::database)?;
                    target.insert(key.value(), value.value()).map_err(LedgerError::database)?;
                }
            }
            transaction.commit().map_err(LedgerError::database)?;
        }
        Ok(())
    }

    /// A table that is not in the list above would be missing from every backup.
    fn check_is_whole(&self) -> Result<(), LedgerError> {
        let copy = self.database.begin_read().map_err(LedgerError::database)?;
        let tables = self.view.transaction().list_tables().map_err(LedgerError::database)?;
        for table in tables {
            let name = table.name().to_owned();
            let rows = self.view.transaction().open_untyped_table(table).map_err(LedgerError::database)?;
            let rows = rows.len().map_err(LedgerError::database)?;
            let mut copied = 0;
            for found in
                copy.list_tables().map_err(LedgerError::database)?.filter(|found| found.name() == name)
            {
                let found = copy.open_untyped_table(found).map_err(LedgerError::database)?;
                copied = found.len().map_err(LedgerError::database)?;
            }
            if copied != rows {
                let words = format!("the table \"{name}\" has {rows} rows, its copy {copied}");
                return Err(LedgerError::Record(words));
            }
        }
        Ok(())
    }
}
