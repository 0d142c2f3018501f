//! Whether a store honours conditions on writes. Some ignore `If-None-Match` and `If-Match` and answer 200.

use tintype_pipeline::{
    Location, ObjectKey,
    store::{Condition, Put, Store, StoreError},
};

/// Where probes are written; never an image, so that no trigger matches.
const PREFIX: &str = ".tintype/";

/// What a store does with conditions on writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionalWrites {
    /// A write whose condition does not hold is refused.
    Honoured,
    /// It is carried out.
    Ignored,
}

/// Finds out by four writes to a bucket, removed afterwards. `name` is unique to the caller, so that several may probe
/// at once.
///
/// # Errors
/// The store cannot be used, or may not be written to below `.tintype/`.
pub async fn probe(store: &dyn Store, bucket: &str, name: &str) -> Result<ConditionalWrites, StoreError> {
    let key = ObjectKey::new(&format!("{PREFIX}conditional-writes-{name}")).map_err(StoreError::Corrupt)?;
    let at = Location { bucket: bucket.to_owned(), key };
    let probed = sequence(store, &at).await;
    // An object left behind by a failed removal is harmless.
    let removed = store.delete(&at, None).await;
    let probed = probed?;
    removed?;
    Ok(probed)
}

async fn sequence(store: &dyn Store, at: &Location) -> Result<ConditionalWrites, StoreError> {
    let first = is_written(store, at, Condition::Absent, "1").await?;
    let Some(etag) = first else {
        return Err(StoreError::Unavailable(format!(
            "{at} exists although nothing wrote it; delete it, and start again"
        )));
    };
    let refused = [Condition::Absent, Condition::Matches("0123456789abcdef0123456789abcdef".into())];
    for condition in refused {
        if is_written(store, at, condition, "2").await?.is_some() {
            return Ok(ConditionalWrites::Ignored);
        }
    }
    // One that refuses every condition would never let a thumbnail be replaced.
    match is_written(store, at, Condition::Matches(etag), "3").await? {
        Some(_) => Ok(ConditionalWrites::Honoured),
        None => Err(StoreError::Unavailable(format!(
            "the store refused to replace {at} on the condition of its current ETag; thumbnails could not be replaced there"
        ))),
    }
}

/// The ETag of a write, or `None` where its condition did not hold.
async fn is_written(
    store: &dyn Store,
    at: &Location,
    condition: Condition,
    text: &'static str,
) -> Result<Option<String>, StoreError> {
    let put = Put {
        at: at.clone(),
        condition,
        bytes: text.into(),
        content_type: "text/plain".into(),
        metadata: [].into(),
    };
    match store.put(put).await {
        Ok(etag) => Ok(Some(etag)),
        Err(StoreError::Conflict(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use tintype_pipeline::store::{SourceVersion, Wrapper};

    use super::*;
    use crate::MemoryStore;

    /// As stores that do not know conditions.
    struct Careless(MemoryStore);

    #[async_trait]
    impl Wrapper for Careless {
        fn inner(&self) -> &dyn Store {
            &self.0
        }

        async fn put_all(
            &self,
            puts: Vec<Put>,
            source: Option<&SourceVersion>,
        ) -> Result<Vec<String>, StoreError> {
            let puts = puts.into_iter().map(|put| Put { condition: Condition::Any, ..put }).collect();
            self.0.put_all(puts, source).await
        }
    }

    #[tokio::test]
    async fn conditions_are_honoured_or_ignored_and_the_probe_is_removed() {
        let honours = MemoryStore::with_buckets(&["out"]);
        assert_eq!(probe(&honours, "out", "a").await, Ok(ConditionalWrites::Honoured));
        assert!(honours.list("out", "", None, 9).await.unwrap().objects.is_empty());
        let ignores = Careless(MemoryStore::with_buckets(&["out"]));
        assert_eq!(probe(&ignores, "out", "a").await, Ok(ConditionalWrites::Ignored));
        assert!(ignores.0.list("out", "", None, 9).await.unwrap().objects.is_empty());
        let nowhere = probe(&honours, "nowhere", "a").await;
        assert_eq!(nowhere, Err(StoreError::NoSuchBucket("nowhere".into())));
    }
}
