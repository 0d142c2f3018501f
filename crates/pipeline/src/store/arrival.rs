//! An image uploaded with the request for its thumbnails, and a store that writes it only once they are rendered.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Condition, Location, Object, Put, SourceVersion, Stat, Store, StoreError, Wrapper};

/// An uploaded image that is not stored yet.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Where it is to be stored.
    pub at: Location,
    /// Its media type, as sent by the client.
    pub content_type: String,
    /// All of its bytes.
    pub bytes: Bytes,
}

impl Arrival {
    /// Its properties, with the ETag that it will have.
    #[must_use]
    pub fn stat(&self, etag: &str) -> Stat {
        Stat {
            etag: etag.to_owned(),
            size: self.bytes.len() as u64,
            content_type: Some(self.content_type.clone()),
            metadata: [].into(),
            modified_ms: 0,
        }
    }

    /// The image as [`Store::get`] returns it.
    ///
    /// # Errors
    /// It is larger than the caller would take.
    pub fn object(&self, etag: &str, limit: u64) -> Result<Object, StoreError> {
        let stat = self.stat(etag);
        if stat.size > limit {
            return Err(StoreError::TooLarge { size: stat.size, limit });
        }
        Ok(Object { stat, bytes: self.bytes.clone() })
    }
}

/// A view of a store without transactions that returns an arrival as if it were stored. The first [`Store::put_all`]
/// writes it, before everything else; until then nothing of it is stored.
pub struct WithArrival<'a> {
    store: &'a dyn Store,
    arrival: Arrival,
    /// The ETag that the store will most likely give it.
    etag: String,
    is_written: AtomicBool,
}

impl<'a> WithArrival<'a> {
    /// `etag`: the one that the store will most likely give it; where it gives another, the thumbnails are
    /// rendered again from the stored object.
    #[must_use]
    pub fn new(store: &'a dyn Store, arrival: Arrival, etag: String) -> Self {
        Self { store, arrival, etag, is_written: AtomicBool::new(false) }
    }

    fn holds(&self, at: &Location) -> bool {
        *at == self.arrival.at && !self.is_written.load(Ordering::Acquire)
    }

    async fn write(&self) -> Result<(), StoreError> {
        let Arrival { at, content_type, bytes } = self.arrival.clone();
        let put = Put { at: at.clone(), condition: Condition::Any, bytes, content_type, metadata: [].into() };
        let written = self.store.put(put).await?;
        self.is_written.store(true, Ordering::Release);
        if written == self.etag { Ok(()) } else { Err(StoreError::Conflict(at)) }
    }
}

#[async_trait]
impl Wrapper for WithArrival<'_> {
    fn inner(&self) -> &dyn Store {
        self.store
    }

    async fn head(&self, at: &Location) -> Result<Option<Stat>, StoreError> {
        if self.holds(at) {
            return Ok(Some(self.arrival.stat(&self.etag)));
        }
        self.store.head(at).await
    }

    async fn get(&self, at: &Location, limit: u64) -> Result<Option<Object>, StoreError> {
        if self.holds(at) {
            return self.arrival.object(&self.etag, limit).map(Some);
        }
        self.store.get(at, limit).await
    }

    async fn put_all(
        &self,
        puts: Vec<Put>,
        source: Option<&SourceVersion>,
    ) -> Result<Vec<String>, StoreError> {
        if !self.is_written.load(Ordering::Acquire) {
            match self.write().await {
                // The ETag is irrelevant where nothing was rendered from it.
                Err(StoreError::Conflict(_)) if puts.is_empty() => {}
                written => written?,
            }
        }
        self.store.put_all(puts, source).await
    }
}
