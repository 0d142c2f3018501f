//! Reading and changing the ledger, by what the rows mean.

use std::sync::Arc;

use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata as _, TableDefinition};
use serde::{Serialize, de::DeserializeOwned};
use tintype_pipeline::store::{Location, ObjectKey};

use super::{
    LedgerError,
    access_keys::{ACCESS_KEYS, KEY_USAGE},
    alt_texts::{ALT_TEXT_EVENTS, ALT_TEXT_USAGE, ALT_TEXTS},
    numbers::META,
    object_details::{OBJECT_ACLS, OBJECT_PARTS, OBJECT_TAGS, PUBLIC_OBJECTS},
    outbox::OUTBOX,
    records::{BucketRecord, ObjectRecord, PartRecord, UploadRecord},
};

pub(super) const BUCKETS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("buckets");
/// By bucket, a zero byte, key: byte order is listing order, and no bucket's name holds a zero byte.
pub(super) const OBJECTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("objects");
pub(super) const UPLOADS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("uploads");
pub(super) const PARTS: TableDefinition<'_, (&str, u16), &[u8]> = TableDefinition::new("parts");
pub(super) const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
/// The event of each object that was queued last, see `events`.
pub(super) const WAITING: TableDefinition<'_, &[u8], u64> = TableDefinition::new("waiting");
/// Events that are ready, by turn.
pub(super) const DUE: TableDefinition<'_, (i64, u64), ()> = TableDefinition::new("due");
/// Events that are tried again later, by when they are due.
pub(super) const RETRIES: TableDefinition<'_, (i64, u64), ()> = TableDefinition::new("retries");
pub(super) const DEAD_LETTERS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("dead_letters");
/// By source, keyed as objects are.
pub(super) const RESULTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("results");
/// Files no longer referenced, until they are removed from disk.
pub(super) const TRASH: TableDefinition<'_, u64, ()> = TableDefinition::new("trash");

pub(super) fn object_key(at: &Location) -> Vec<u8> {
    [at.bucket.as_bytes(), &[0], at.key.as_str().as_bytes()].concat()
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, LedgerError> {
    serde_json::from_slice(bytes).map_err(|error| LedgerError::Record(error.to_string()))
}

pub(super) fn encode(record: &impl Serialize) -> Result<Vec<u8>, LedgerError> {
    serde_json::to_vec(record).map_err(|error| LedgerError::Record(error.to_string()))
}

pub(super) fn make_tables(database: &redb::Database) -> Result<(), LedgerError> {
    let there = {
        let view = database.begin_read().map_err(LedgerError::database)?;
        let there = view.open_table(TRASH).is_ok()
            && view.open_table(RETRIES).is_ok()
            && view.open_table(PUBLIC_OBJECTS).is_ok()
            && view.open_table(OBJECT_PARTS).is_ok()
            && view.open_table(OBJECT_ACLS).is_ok()
            && view.open_table(OUTBOX).is_ok()
            && view.open_table(ALT_TEXT_USAGE).is_ok();
        let is_ours = view.open_table(TRASH).is_ok();
        if !is_ours && view.list_tables().map_err(LedgerError::database)?.next().is_some() {
            return Err(LedgerError::Foreign("a database of another kind"));
        }
        there
    };
    if there {
        return Ok(());
    }
    let transaction = database.begin_write().map_err(LedgerError::database)?;
    {
        let make = |result: Result<(), redb::TableError>| result.map_err(LedgerError::database);
        make(transaction.open_table(META).map(drop))?;
        make(transaction.open_table(BUCKETS).map(drop))?;
        make(transaction.open_table(OBJECTS).map(drop))?;
        make(transaction.open_table(UPLOADS).map(drop))?;
        make(transaction.open_table(PARTS).map(drop))?;
        make(transaction.open_table(EVENTS).map(drop))?;
        make(transaction.open_table(WAITING).map(drop))?;
        make(transaction.open_table(DUE).map(drop))?;
        make(transaction.open_table(RETRIES).map(drop))?;
        make(transaction.open_table(DEAD_LETTERS).map(drop))?;
        make(transaction.open_table(RESULTS).map(drop))?;
        make(transaction.open_table(TRASH).map(drop))?;
        make(transaction.open_table(ACCESS_KEYS).map(drop))?;
        make(transaction.open_table(KEY_USAGE).map(drop))?;
        make(transaction.open_table(PUBLIC_OBJECTS).map(drop))?;
        make(transaction.open_table(OBJECT_ACLS).map(drop))?;
        make(transaction.open_table(OBJECT_TAGS).map(drop))?;
        make(transaction.open_table(OBJECT_PARTS).map(drop))?;
        make(transaction.open_table(OUTBOX).map(drop))?;
        make(transaction.open_table(ALT_TEXT_EVENTS).map(drop))?;
        make(transaction.open_table(ALT_TEXTS).map(drop))?;
        make(transaction.open_table(ALT_TEXT_USAGE).map(drop))?;
    }
    transaction.commit().map_err(LedgerError::database)
}

/// A consistent view of everything committed when it began. Short-lived: hold none across waiting.
pub struct View {
    transaction: redb::ReadTransaction,
    /// Keeps the database open as long as the view is; see `Handle::reopen`.
    _database: Arc<redb::Database>,
}

impl View {
    pub(super) fn begin(database: Arc<redb::Database>) -> Result<Self, LedgerError> {
        let transaction = database.begin_read().map_err(LedgerError::database)?;
        Ok(Self { transaction, _database: database })
    }

    /// The queue's rows.
    #[must_use]
    pub const fn queue(&self) -> QueueView<'_> {
        QueueView(self)
    }

    pub(super) const fn transaction(&self) -> &redb::ReadTransaction {
        &self.transaction
    }

    pub(super) fn table<K: redb::Key + 'static, V: redb::Value + 'static>(
        &self,
        table: TableDefinition<'_, K, V>,
    ) -> Result<redb::ReadOnlyTable<K, V>, LedgerError> {
        self.transaction.open_table(table).map_err(LedgerError::database)
    }

    /// A bucket.
    ///
    /// # Errors
    /// As for all methods here: the ledger cannot be read.
    pub fn bucket(&self, name: &str) -> Result<Option<BucketRecord>, LedgerError> {
        get(&self.table(BUCKETS)?, name)
    }

    /// All buckets by name.
    pub fn buckets(&self) -> Result<Vec<(String, BucketRecord)>, LedgerError> {
        let table = self.table(BUCKETS)?;
        let rows = table.iter().map_err(LedgerError::database)?;
        rows.map(|row| {
            let (name, record) = row.map_err(LedgerError::database)?;
            Ok((name.value().to_owned(), decode(record.value())?))
        })
        .collect()
    }

    /// The current version of an object.
    pub fn object(&self, at: &Location) -> Result<Option<ObjectRecord>, LedgerError> {
        get(&self.table(OBJECTS)?, object_key(at).as_slice())
    }

    /// How many objects there are.
    ///
    /// # Errors
    /// The ledger cannot be used.
    pub fn object_count(&self) -> Result<u64, LedgerError> {
        self.table(OBJECTS)?.len().map_err(LedgerError::database)
    }

    /// Walks a bucket's objects whose key is at least `from`, in order, until `visit` answers where to go
    /// on: `Some(None)` to the next, `Some(Some(key))` to the first key not before that one, `None` to stop.
    pub fn walk_objects(
        &self,
        bucket: &str,
        from: &[u8],
        mut visit: impl FnMut(&str, &dyn Fn() -> Result<ObjectRecord, LedgerError>) -> Result<Walk, LedgerError>,
    ) -> Result<(), LedgerError> {
        let table = self.table(OBJECTS)?;
        let start_of_bucket = [bucket.as_bytes(), &[0]].concat();
        let end_of_bucket = [bucket.as_bytes(), &[1]].concat();
        let mut from = [start_of_bucket.as_slice(), from].concat();
        'jump: loop {
            if from >= end_of_bucket {
                return Ok(());
            }
            let rows =
                table.range(from.as_slice()..end_of_bucket.as_slice()).map_err(LedgerError::database)?;
            for row in rows {
                let (key, record) = row.map_err(LedgerError::database)?;
                let key = std::str::from_utf8(&key.value()[start_of_bucket.len()..])
                    .map_err(|error| LedgerError::Record(error.to_string()))?
                    .to_owned();
                match visit(&key, &|| decode(record.value()))? {
                    Walk::Next => {}
                    Walk::Stop => return Ok(()),
                    Walk::Jump(next) => {
                        from = [start_of_bucket.as_slice(), &next].concat();
                        continue 'jump;
                    }
                }
            }
            return Ok(());
        }
    }

    /// An upload under way.
    pub fn upload(&self, id: &str) -> Result<Option<UploadRecord>, LedgerError> {
        get(&self.table(UPLOADS)?, id)
    }

    /// Uploads under way, by id, which is by when they began, until `take` answers `false`.
    pub fn walk_uploads(&self, mut take: impl FnMut(&str, UploadRecord) -> bool) -> Result<(), LedgerError> {
        let table = self.table(UPLOADS)?;
        for row in table.iter().map_err(LedgerError::database)? {
            let (id, record) = row.map_err(LedgerError::database)?;
            if !take(id.value(), decode(record.value())?) {
                break;
            }
        }
        Ok(())
    }

    /// An upload's parts, by number.
    pub fn parts(&self, upload: &str) -> Result<Vec<(u16, PartRecord)>, LedgerError> {
        parts(&self.table(PARTS)?, upload)
    }

    /// One of an upload's parts.
    pub fn part(&self, upload: &str, number: u16) -> Result<Option<PartRecord>, LedgerError> {
        get(&self.table(PARTS)?, (upload, number))
    }

    /// Files to be removed from disk.
    pub fn trash(&self) -> Result<Vec<u64>, LedgerError> {
        let table = self.table(TRASH)?;
        let rows = table.iter().map_err(LedgerError::database)?;
        rows.map(|row| Ok(row.map_err(LedgerError::database)?.0.value())).collect()
    }
}

/// The queue's part of a [`View`]: events, dead letters, results.
pub struct QueueView<'a>(pub(super) &'a View);

/// Where a walk goes on.
pub enum Walk {
    /// To the next object.
    Next,
    /// To the first key that is not before these bytes.
    Jump(Vec<u8>),
    /// Nowhere.
    Stop,
}

pub(super) fn get<'k, K: redb::Key + 'static, T: DeserializeOwned>(
    table: &impl ReadableTable<K, &'static [u8]>,
    key: impl std::borrow::Borrow<K::SelfType<'k>>,
) -> Result<Option<T>, LedgerError> {
    let row = table.get(key).map_err(LedgerError::database)?;
    row.map(|row| decode(row.value())).transpose()
}

fn parts(
    table: &impl ReadableTable<(&'static str, u16), &'static [u8]>,
    upload: &str,
) -> Result<Vec<(u16, PartRecord)>, LedgerError> {
    let rows = table.range((upload, 0)..=(upload, u16::MAX)).map_err(LedgerError::database)?;
    rows.map(|row| {
        let (key, record) = row.map_err(LedgerError::database)?;
        Ok((key.value().1, decode(record.value())?))
    })
    .collect()
}

/// The changes of one commit. Each method acts at once within the shared transaction.
pub struct Changes<'t> {
    transaction: &'t redb::WriteTransaction,
}

impl<'t> Changes<'t> {
    pub(super) fn new(transaction: &'t redb::WriteTransaction) -> Self {
        Self { transaction }
    }

    /// Changes of the queue's rows.
    #[must_use]
    pub const fn queue(&self) -> QueueChanges<'_, 't> {
        QueueChanges(self)
    }

    pub(super) fn table<K: redb::Key + 'static, V: redb::Value + 'static>(
        &self,
        table: TableDefinition<'static, K, V>,
    ) -> Result<redb::Table<'t, K, V>, LedgerError> {
        self.transaction.open_table(table).map_err(LedgerError::database)
    }

    /// A bucket.
    ///
    /// # Errors
    /// As for all methods here: the ledger cannot be read or written.
    pub fn bucket(&self, name: &str) -> Result<Option<BucketRecord>, LedgerError> {
        get(&self.table(BUCKETS)?, name)
    }

    /// Writes a bucket.
    pub fn put_bucket(&self, name: &str, record: &BucketRecord) -> Result<(), LedgerError> {
        self.table(BUCKETS)?.insert(name, encode(record)?.as_slice()).map_err(LedgerError::database)?;
        Ok(())
    }

    /// Removes a bucket.
    pub fn remove_bucket(&self, name: &str) -> Result<(), LedgerError> {
        self.table(BUCKETS)?.remove(name).map_err(LedgerError::database)?;
        Ok(())
    }

    /// Whether a bucket holds no object.
    pub fn is_bucket_empty(&self, name: &str) -> Result<bool, LedgerError> {
        let table = self.table(OBJECTS)?;
        let (start, end) = ([name.as_bytes(), &[0]].concat(), [name.as_bytes(), &[1]].concat());
        let mut rows = table.range(start.as_slice()..end.as_slice()).map_err(LedgerError::database)?;
        Ok(rows.next().is_none())
    }

    /// The current version of an object.
    pub fn object(&self, at: &Location) -> Result<Option<ObjectRecord>, LedgerError> {
        get(&self.table(OBJECTS)?, object_key(at).as_slice())
    }

    /// Writes an object, without details at first, and remembers its order as used.
    pub fn put_object(&self, at: &Location, record: &ObjectRecord) -> Result<(), LedgerError> {
        let key = object_key(at);
        self.table(OBJECTS)?
            .insert(key.as_slice(), encode(record)?.as_slice())
            .map_err(LedgerError::database)?;
        self.remove_details(at)?;
        self.use_order(record.order)
    }

    /// Removes an object.
    pub fn remove_object(&self, at: &Location) -> Result<(), LedgerError> {
        self.table(OBJECTS)?.remove(object_key(at).as_slice()).map_err(LedgerError::database)?;
        self.remove_details(at)
    }

    /// Marks a file to be removed from disk.
    pub fn put_trash(&self, order: u64) -> Result<(), LedgerError> {
        self.table(TRASH)?.insert(order, ()).map_err(LedgerError::database)?;
        Ok(())
    }

    /// Forgets files that are gone from disk.
    pub fn remove_trash(&self, orders: &[u64]) -> Result<(), LedgerError> {
        if orders.is_empty() {
            return Ok(());
        }
        let mut table = self.table(TRASH)?;
        for order in orders {
            table.remove(order).map_err(LedgerError::database)?;
        }
        Ok(())
    }

    /// An upload under way.
    pub fn upload(&self, id: &str) -> Result<Option<UploadRecord>, LedgerError> {
        get(&self.table(UPLOADS)?, id)
    }

    /// The ids of a bucket's uploads under way.
    pub fn uploads_of(&self, bucket: &str) -> Result<Vec<String>, LedgerError> {
        let table = self.table(UPLOADS)?;
        let mut ids = Vec::new();
        for row in table.iter().map_err(LedgerError::database)? {
            let (id, record) = row.map_err(LedgerError::database)?;
            if decode::<UploadRecord>(record.value())?.bucket == bucket {
                ids.push(id.value().to_owned());
            }
        }
        Ok(ids)
    }

    /// Writes an upload.
    pub fn put_upload(&self, id: &str, record: &UploadRecord) -> Result<(), LedgerError> {
        self.table(UPLOADS)?.insert(id, encode(record)?.as_slice()).map_err(LedgerError::database)?;
        Ok(())
    }

    /// Writes a part; answers the one it replaces.
    pub fn put_part(
        &self,
        upload: &str,
        number: u16,
        record: &PartRecord,
    ) -> Result<Option<PartRecord>, LedgerError> {
        let mut table = self.table(PARTS)?;
        let old =
            table.insert((upload, number), encode(record)?.as_slice()).map_err(LedgerError::database)?;
        let old = old.map(|old| decode(old.value())).transpose()?;
        self.use_order(record.order)?;
        Ok(old)
    }

    /// An upload's parts, by number.
    pub fn parts(&self, upload: &str) -> Result<Vec<(u16, PartRecord)>, LedgerError> {
        parts(&self.table(PARTS)?, upload)
    }

    /// Removes an upload and its parts, whose files go to the trash; answers them.
    pub fn remove_upload(&self, id: &str) -> Result<Vec<u64>, LedgerError> {
        let parts = self.parts(id)?;
        self.table(UPLOADS)?.remove(id).map_err(LedgerError::database)?;
        let mut table = self.table(PARTS)?;
        for (number, _) in &parts {
            table.remove((id, *number)).map_err(LedgerError::database)?;
        }
        let orders: Vec<u64> = parts.iter().map(|(_, part)| part.order).collect();
        orders.iter().try_for_each(|order| self.put_trash(*order))?;
        Ok(orders)
    }
}

/// The queue's part of [`Changes`]: events, dead letters, results.
pub struct QueueChanges<'a, 't>(pub(super) &'a Changes<'t>);

/// The key of a listed object, which the ledger only ever took in checked.
pub fn listed_key(key: &str) -> Result<ObjectKey, LedgerError> {
    ObjectKey::new(key).map_err(LedgerError::Record)
}
