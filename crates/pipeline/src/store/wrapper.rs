//! A store that wraps another one.

use async_trait::async_trait;

use super::{Listing, Location, Object, ObjectKey, Put, SourceVersion, Stat, Store, StoreError, single_etag};

/// A [`Store`] that wraps another one and overrides some of its methods. A single object is written by [`Wrapper::put_all`], too.
#[async_trait]
pub trait Wrapper: Send + Sync {
    /// The store inside.
    fn inner(&self) -> &dyn Store;

    /// See [`Store::head`].
    async fn head(&self, at: &Location) -> Result<Option<Stat>, StoreError> {
        self.inner().head(at).await
    }

    /// See [`Store::get`].
    async fn get(&self, at: &Location, limit: u64) -> Result<Option<Object>, StoreError> {
        self.inner().get(at, limit).await
    }

    /// See [`Store::put_all`].
    async fn put_all(
        &self,
        puts: Vec<Put>,
        source: Option<&SourceVersion>,
    ) -> Result<Vec<String>, StoreError> {
        self.inner().put_all(puts, source).await
    }

    /// See [`Store::delete`].
    async fn delete(&self, at: &Location, if_match: Option<&str>) -> Result<(), StoreError> {
        self.inner().delete(at, if_match).await
    }
}

#[async_trait]
impl<W: Wrapper> Store for W {
    async fn head(&self, at: &Location) -> Result<Option<Stat>, StoreError> {
        Wrapper::head(self, at).await
    }

    async fn get(&self, at: &Location, limit: u64) -> Result<Option<Object>, StoreError> {
        Wrapper::get(self, at, limit).await
    }

    async fn put(&self, put: Put) -> Result<String, StoreError> {
        single_etag(Wrapper::put_all(self, vec![put], None).await?)
    }

    async fn put_all(
        &self,
        puts: Vec<Put>,
        source: Option<&SourceVersion>,
    ) -> Result<Vec<String>, StoreError> {
        Wrapper::put_all(self, puts, source).await
    }

    async fn delete(&self, at: &Location, if_match: Option<&str>) -> Result<(), StoreError> {
        Wrapper::delete(self, at, if_match).await
    }

    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&ObjectKey>,
        max: usize,
    ) -> Result<Listing, StoreError> {
        self.inner().list(bucket, prefix, after, max).await
    }
}
