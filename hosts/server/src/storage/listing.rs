//! Listing a bucket's objects, page by page, with common prefixes rolled up.

use std::sync::Arc;

use super::{StoreFault, buckets::existing};
use crate::ledger::{Ledger, ObjectRecord, Walk};

/// Which page.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    /// Only keys that begin so.
    pub prefix: String,
    /// Keys are rolled up to their first occurrence of this after the prefix; empty: not at all.
    pub delimiter: String,
    /// Only keys (and common prefixes) after this one.
    pub after: String,
    /// The most entries, keys and common prefixes together.
    pub max: usize,
}

/// A page.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Objects in key order.
    pub objects: Vec<(String, ObjectRecord)>,
    /// Common prefixes in order.
    pub prefixes: Vec<String>,
    /// The last entry, if there is more after it.
    pub next: Option<String>,
}

/// The first byte string after every one that begins with `prefix`; UTF-8 holds no 0xFF.
fn after_all_with(prefix: &str) -> Vec<u8> {
    [prefix.as_bytes(), &[0xFF]].concat()
}

/// Lists objects.
#[derive(Debug)]
pub struct Listing {
    ledger: Arc<Ledger>,
}

impl Listing {
    pub(super) const fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger }
    }

    /// One page of a bucket's objects.
    ///
    /// # Errors
    /// The bucket does not exist or the ledger cannot be read.
    pub fn page(&self, bucket: &str, request: &PageRequest) -> Result<Page, StoreFault> {
        let view = self.ledger.view()?;
        existing(&view, bucket)?;
        let mut page = Page::default();
        if request.max == 0 {
            return Ok(page);
        }
        let PageRequest { prefix, delimiter, after, max } = request;
        // What `after` rolls up to has been answered already.
        let start = match rolled_up(after, prefix, delimiter) {
            Some(common) if common == *after => after_all_with(&common),
            _ if after.as_str() >= prefix.as_str() && !after.is_empty() => [after.as_bytes(), &[0]].concat(),
            _ => prefix.as_bytes().to_vec(),
        };
        let mut last = String::new();
        view.walk_objects(bucket, &start, |key, record| {
            if !key.starts_with(prefix.as_str()) {
                return Ok(Walk::Stop);
            }
            if page.objects.len() + page.prefixes.len() == *max {
                page.next = Some(std::mem::take(&mut last));
                return Ok(Walk::Stop);
            }
            if let Some(common) = rolled_up(key, prefix, delimiter) {
                let jump = after_all_with(&common);
                last.clone_from(&common);
                page.prefixes.push(common);
                return Ok(Walk::Jump(jump));
            }
            key.clone_into(&mut last);
            page.objects.push((key.to_owned(), record()?));
            Ok(Walk::Next)
        })?;
        Ok(page)
    }
}

fn rolled_up(key: &str, prefix: &str, delimiter: &str) -> Option<String> {
    if delimiter.is_empty() {
        return None;
    }
    let rest = key.strip_prefix(prefix)?;
    let end = rest.find(delimiter)? + delimiter.len();
    Some(format!("{prefix}{}", &rest[..end]))
}
