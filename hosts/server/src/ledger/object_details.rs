//! Rows beside those of objects, which equal the heads of their files: canned ACL, tags, and the parts an object was
//! uploaded in. ACLs but `public-read`, tags and parts name the version they are of: an older program replaces objects without knowing of them.

use redb::{ReadableTableMetadata as _, TableDefinition};
use tintype_pipeline::store::Location;

use tintype_policy::CannedAcl;

use super::{
    LedgerError,
    records::{ObjectAclRecord, ObjectDetails, ObjectPart, PartLayoutRecord, TagsRecord},
    transaction::{Changes, View, encode, get, object_key},
};

/// Objects whose canned ACL is `public-read`, keyed as objects are.
pub(super) const PUBLIC_OBJECTS: TableDefinition<'_, &[u8], ()> = TableDefinition::new("public_objects");
/// Any other ACL that allows somebody something, keyed as objects are.
pub(super) const OBJECT_ACLS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("object_acls");
/// Tags of objects that have some, keyed as objects are.
pub(super) const OBJECT_TAGS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("object_tags");
/// Parts of objects that were uploaded in parts, keyed as objects are.
pub(super) const OBJECT_PARTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("object_parts");

impl View {
    /// The canned ACL of the version of an object with this order.
    ///
    /// # Errors
    /// As for all methods here: the ledger cannot be read.
    pub fn acl(&self, at: &Location, order: u64) -> Result<CannedAcl, LedgerError> {
        let key = object_key(at);
        if self.table(PUBLIC_OBJECTS)?.get(key.as_slice()).map_err(LedgerError::database)?.is_some() {
            return Ok(CannedAcl::PublicRead);
        }
        let row: Option<ObjectAclRecord> = get(&self.table(OBJECT_ACLS)?, key.as_slice())?;
        Ok(row.filter(|row| row.order == order).map(|row| row.acl.canned()).unwrap_or_default())
    }

    /// How many objects have a canned ACL that counts as public.
    pub fn public_object_count(&self) -> Result<u64, LedgerError> {
        let everybody = self.table(PUBLIC_OBJECTS)?.len().map_err(LedgerError::database)?;
        Ok(everybody + self.table(OBJECT_ACLS)?.len().map_err(LedgerError::database)?)
    }

    /// The tags of the version of an object with this order, in the order they were put.
    pub fn tags(&self, at: &Location, order: u64) -> Result<Vec<(String, String)>, LedgerError> {
        let row: Option<TagsRecord> = get(&self.table(OBJECT_TAGS)?, object_key(at).as_slice())?;
        Ok(row.filter(|row| row.order == order).map(|row| row.tags).unwrap_or_default())
    }

    /// The parts that the version of an object with this order was uploaded in; none: in one piece, or by a program that
    /// did not store them.
    pub fn part_layout(&self, at: &Location, order: u64) -> Result<Vec<ObjectPart>, LedgerError> {
        let row: Option<PartLayoutRecord> = get(&self.table(OBJECT_PARTS)?, object_key(at).as_slice())?;
        Ok(row.filter(|row| row.order == order).map(|row| row.parts).unwrap_or_default())
    }
}

impl Changes<'_> {
    /// Sets the canned ACL of the version of an object with this order.
    ///
    /// # Errors
    /// As for all methods here: the ledger cannot be written.
    pub fn set_acl(&self, at: &Location, order: u64, acl: CannedAcl) -> Result<(), LedgerError> {
        let (mut everybody, mut others) = (self.table(PUBLIC_OBJECTS)?, self.table(OBJECT_ACLS)?);
        let key = object_key(at);
        match acl {
            CannedAcl::PublicRead => everybody.insert(key.as_slice(), ()).map(drop),
            _ => everybody.remove(key.as_slice()).map(drop),
        }
        .map_err(LedgerError::database)?;
        if acl.is_public() && acl != CannedAcl::PublicRead {
            let row = encode(&ObjectAclRecord { order, acl: acl.into() })?;
            others.insert(key.as_slice(), row.as_slice()).map(drop)
        } else {
            others.remove(key.as_slice()).map(drop)
        }
        .map_err(LedgerError::database)
    }

    /// Sets the tags of the version of an object with this order.
    pub fn set_tags(
        &self,
        at: &Location,
        order: u64,
        tags: Vec<(String, String)>,
    ) -> Result<(), LedgerError> {
        let (mut table, key) = (self.table(OBJECT_TAGS)?, object_key(at));
        let changed = if tags.is_empty() {
            table.remove(key.as_slice()).map(drop)
        } else {
            let row = encode(&TagsRecord { order, tags })?;
            table.insert(key.as_slice(), row.as_slice()).map(drop)
        };
        changed.map_err(LedgerError::database)
    }

    /// Sets what is stored beside the row of an object that was just written.
    pub fn put_details(&self, at: &Location, order: u64, details: ObjectDetails) -> Result<(), LedgerError> {
        let ObjectDetails { acl, tags, parts } = details;
        if acl.is_public() {
            self.set_acl(at, order, acl)?;
        }
        if !tags.is_empty() {
            self.set_tags(at, order, tags)?;
        }
        if !parts.is_empty() {
            let row = encode(&PartLayoutRecord { order, parts })?;
            let mut table = self.table(OBJECT_PARTS)?;
            table.insert(object_key(at).as_slice(), row.as_slice()).map_err(LedgerError::database)?;
        }
        Ok(())
    }

    /// Removes what is stored beside an object's row: a version begins private and without tags.
    pub(super) fn remove_details(&self, at: &Location) -> Result<(), LedgerError> {
        self.set_acl(at, 0, CannedAcl::Private)?;
        self.set_tags(at, 0, Vec::new())?;
        self.table(OBJECT_PARTS)?.remove(object_key(at).as_slice()).map_err(LedgerError::database)?;
        Ok(())
    }
}
