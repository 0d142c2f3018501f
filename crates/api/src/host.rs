//! The port of the routes to the host that serves them.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::extract::Request;
/// The head of a request.
pub use axum::http::request::Parts;
use bytes::Bytes;
use tintype_engine::{Header, Spec, Thumbnail};
use tintype_pipeline::{
    Failure, Inspection, Location, RenderedImage, Report,
    event::Record,
    store::{Arrival, Object, Stat},
    trigger::Trigger,
};

/// When a request's time is used up. The host sets it, as an extension of the request, where it enforces it; here it
/// is passed on, so that the work stops then, too.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(pub Instant);

impl Deadline {
    /// A time-out from now.
    #[must_use]
    pub fn after(timeout: Duration) -> Self {
        Self(Instant::now() + timeout)
    }

    /// That of a request; where the host has set none, it is far.
    pub(crate) fn of(request: &Request) -> Self {
        request.extensions().get().copied().unwrap_or_else(|| Self::after(Duration::from_secs(3600)))
    }

    /// A little earlier: by a tenth of what is left, at most a second.
    pub(crate) fn with_margin(self) -> Self {
        let left = self.0.saturating_duration_since(Instant::now());
        Self(self.0 - (left / 10).min(Duration::from_secs(1)))
    }
}

/// Why the host did not run the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Too many requests: 429.
    Throttled,
    /// It took too long: 504.
    TimedOut,
    /// The host is shutting down: 503.
    ShuttingDown,
}

/// What a request of the function came to: refused by the host, failed, or done.
pub type HostResult<T> = Result<Result<T, Failure>, Refused>;

/// The result of queueing a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queued {
    /// It is in the queue.
    Yes,
    /// No trigger matches it.
    NoTrigger,
    /// This host has no queue: the record is handled while the client waits.
    NoQueue,
}

/// The key that signs an upload form; it may put objects into the source bucket.
#[derive(Clone)]
pub struct FormSigner {
    /// Where the form is sent: the source bucket's URL.
    pub url: String,
    /// The region of the signature.
    pub region: String,
    /// The key's id.
    pub access_key_id: String,
    /// The key's secret.
    pub secret_access_key: String,
    /// The session of a temporary key.
    pub session_token: Option<String>,
}

impl fmt::Debug for FormSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FormSigner").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Callers who may get what was rendered for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Audience {
    /// Those who may use the API for every object.
    Callers,
    /// Those who need no key: see [`crate::Public`].
    Public,
}

/// What was rendered for a request and is no thumbnail of the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendering {
    /// The source.
    pub at: Location,
    /// The ETag of the version that it was rendered from.
    pub source_etag: String,
    /// The fingerprint of the recipe.
    pub recipe: String,
}

/// The operations of a host.
pub trait Host: Clone + Send + Sync + 'static {
    /// The triggers in force, the default first ([`tintype_pipeline::trigger::default_trigger`]); where callers differ in what
    /// they may read, those whose buckets may be named to the caller.
    fn triggers(&self) -> Arc<Vec<Trigger>>;

    /// The triggers for an object of a bucket that none of [`Self::triggers`] watches, which the request that the current task
    /// serves names.
    fn triggers_for(&self, at: &Location) -> Arc<Vec<Trigger>> {
        let _ = at;
        self.triggers()
    }

    /// Whose results the request that the current task serves may get; `None`: nobody's, where callers differ in what they
    /// may read.
    fn audience(&self) -> Option<Audience> {
        Some(Audience::Callers)
    }

    /// Whether the request that the current task serves may get an object that another request has read.
    ///
    /// # Errors
    /// It may not.
    fn may_read(&self, at: &Location) -> Result<(), Failure> {
        let _ = at;
        Ok(())
    }

    /// What was rendered before, where the host holds it.
    fn recall(&self, rendering: &Rendering) -> impl Future<Output = Option<Bytes>> + Send {
        let _ = rendering;
        async { None }
    }

    /// Gives the host what was rendered, which may hold it.
    fn retain(&self, rendering: Rendering, bytes: Bytes) {
        drop((rendering, bytes));
    }

    /// Runs the function on one record.
    fn invoke(
        &self,
        record: Record,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Report, Refused>> + Send;

    /// Queues a record; returns [`Queued::NoQueue`] where there is no queue.
    fn enqueue(&self, record: Record) -> impl Future<Output = Result<Queued, Failure>> + Send {
        drop(record);
        async { Ok(Queued::NoQueue) }
    }

    /// Renders bytes of the request.
    fn render(
        &self,
        bytes: Bytes,
        spec: Spec,
        deadline: Deadline,
    ) -> impl Future<Output = HostResult<(Header, Thumbnail)>> + Send;

    /// Renders an object, read once its memory is admitted. Returns the object's properties, too.
    fn render_object(
        &self,
        at: Location,
        spec: Spec,
        deadline: Deadline,
    ) -> impl Future<Output = HostResult<(Stat, Thumbnail)>> + Send;

    /// Inspects an object of a source bucket and the thumbnails that `trigger` renders of it.
    fn inspect(
        &self,
        at: Location,
        trigger: Trigger,
        deadline: Deadline,
    ) -> impl Future<Output = HostResult<Inspection>> + Send;

    /// What an image shows, by language, where a description is stored beside its first thumbnail.
    fn alt_text(&self, thumbnail: Location) -> impl Future<Output = BTreeMap<String, String>> + Send {
        drop(thumbnail);
        async { BTreeMap::new() }
    }

    /// Stores an image in a source bucket together with its thumbnails, and returns the one that `spec` describes. A
    /// refused image leaves nothing behind.
    fn receive(
        &self,
        arrival: Arrival,
        spec: Spec,
        deadline: Deadline,
    ) -> impl Future<Output = HostResult<RenderedImage>> + Send;

    /// An object's properties; `None` if there is no object.
    fn stat(&self, at: Location) -> impl Future<Output = Result<Option<Stat>, Failure>> + Send;

    /// Reads a thumbnail; `None` if there is no object.
    fn read(&self, at: Location) -> impl Future<Output = Result<Option<Object>, Failure>> + Send;

    /// What signs forms for uploads to a source bucket, and where they are sent; `request` asks for one.
    fn form_signer(
        &self,
        bucket: &str,
        request: &Parts,
    ) -> impl Future<Output = Result<FormSigner, Failure>> + Send;
}
