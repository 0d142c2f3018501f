//! A store around another: whatever it does not do in its own way it hands on.

use std::future::Future;

use super::{Listing, Location, Object, ObjectKey, Put, SourceVersion, Stat, Store, StoreError};

/// A store around another, and thereby a [`Store`] itself. Each method is as the store's; not overridden, it is the
/// inner store's.
pub trait Wrapper: Sync {
    /// The store inside.
    type Inner: Store;

    /// The store inside.
    fn inner(&self) -> &Self::Inner;

    /// See [`Store::head`].
    fn head(&self, at: &Location) -> impl Future<Output = Result<Option<Stat>, StoreError>> + Send {
        self.inner().head(at)
    }

    /// See [`Store::get`].
    fn get(
        &self,
        at: &Location,
        limit: u64,
    ) -> impl Future<Output = Result<Option<Object>, StoreError>> + Send {
        self.inner().get(at, limit)
    }

    /// See [`Store::put_all`].
    fn put_all(
        &self,
        puts: Vec<Put>,
        source: Option<&SourceVersion>,
    ) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send {
        self.inner().put_all(puts, source)
    }

    /// See [`Store::delete`].
    fn delete(
        &self,
        at: &Location,
        if_match: Option<&str>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.inner().delete(at, if_match)
    }

    /// See [`Store::list`].
    fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&ObjectKey>,
        max: usize,
    ) -> impl Future<Output = Result<Listing, StoreError>> + Send {
        self.inner().list(bucket, prefix, after, max)
    }
}

impl<W: Wrapper> Store for W {
    fn head(&self, at: &Location) -> impl Future<Output = Result<Option<Stat>, StoreError>> + Send {
        Wrapper::head(self, at)
    }

    fn get(
        &self,
        at: &Location,
        limit: u64,
    ) -> impl Future<Output = Result<Option<Object>, StoreError>> + Send {
        Wrapper::get(self, at, limit)
    }

    fn put_all(
        &self,
        puts: Vec<Put>,
        source: Option<&SourceVersion>,
    ) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send {
        Wrapper::put_all(self, puts, source)
    }

    fn delete(
        &self,
        at: &Location,
        if_match: Option<&str>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        Wrapper::delete(self, at, if_match)
    }

    fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&ObjectKey>,
        max: usize,
    ) -> impl Future<Output = Result<Listing, StoreError>> + Send {
        Wrapper::list(self, bucket, prefix, after, max)
    }
}
