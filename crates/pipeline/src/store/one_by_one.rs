//! Writing a set of objects to a store without transactions, such as S3.

use std::future::Future;

use super::{Put, SourceVersion, Store, StoreError};

/// A store that writes objects one by one.
pub trait PutOne: Store {
    /// Writes an object if its condition holds; answers its ETag.
    fn put_one(&self, put: Put) -> impl Future<Output = Result<String, StoreError>> + Send;
}

/// Writes in order, each by itself, then looks at the source once more. Conditions on what is written to are
/// not enough: a thumbnail that was rewritten with the same bytes has the same ETag, and a writer with an old
/// source would pass. Whoever wrote from an old version finds out here and begins again.
///
/// # Errors
/// What the store answers; [`StoreError::Conflict`] if a condition does not hold or the source has changed.
pub async fn put_one_by_one(
    store: &impl PutOne,
    puts: Vec<Put>,
    source: Option<&SourceVersion>,
) -> Result<Vec<String>, StoreError> {
    let mut etags = Vec::with_capacity(puts.len());
    for put in puts {
        etags.push(store.put_one(put).await?);
    }
    if let Some(source) = source
        && store.head(&source.at).await?.is_none_or(|stat| stat.etag != source.etag)
    {
        return Err(StoreError::Conflict(source.at.clone()));
    }
    Ok(etags)
}
