//! The port [`Host`] over any store behind a network: what AWS Lambda and workers share.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use md5::{Digest as _, Md5};
use tintype_engine::{Header, Spec, Thumbnail};
use tintype_pipeline::{
    Call, Failure, Inspection, Location, Outcome, Reason, RenderedImage, Report, Stop, Store, Thumbnails,
    event::Record,
    hex,
    store::{Arrival, Object, Stat, WithArrival},
    trigger::Trigger,
};

use crate::host::{Deadline, FormSigner, Host, HostResult, Parts, Refused};

/// More than any thumbnail has.
const LARGEST_THUMBNAIL: u64 = 32 << 20;
/// Requests end before, by their own deadline.
const LONGEST_LOOKUP: Duration = Duration::from_secs(900);

/// The parts of a host that differ.
pub trait StoreBackend: Clone + Send + Sync + 'static {
    /// The triggers in force.
    fn triggers(&self) -> Arc<Vec<Trigger>>;

    /// The function.
    fn thumbnails(&self) -> &Thumbnails;

    /// The objects.
    fn store(&self) -> &dyn Store;

    /// When to stop the work of a request that has time until `deadline`.
    fn stop(&self, deadline: Deadline) -> Stop;

    /// Logs and counts the report of a record.
    fn report(&self, report: &Report);

    /// Work was stopped and may still occupy a thread.
    fn abandoned(&self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Refuses unless source buckets may be written to.
    ///
    /// # Errors
    /// They may not; what to do.
    fn check_takes_uploads(&self) -> Result<(), Failure>;

    /// What signs forms for uploads to a source bucket.
    fn form_signer(&self, bucket: &str) -> impl Future<Output = Result<FormSigner, Failure>> + Send;
}

/// The host over a backend.
#[derive(Debug, Clone)]
pub struct StoreHost<B>(pub B);

impl<B: StoreBackend> StoreHost<B> {
    /// Bounds work, which may wait for the store, by `stop`.
    async fn bound<T>(
        &self,
        stop: &Stop,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        if let Some(done) = stop.bound(work).await {
            return done;
        }
        self.0.abandoned().await;
        Err(out_of_time())
    }

    fn call<'a>(triggers: &'a [Trigger], stop: &'a Stop) -> Call<'a> {
        Call { triggers, stop }
    }
}

/// The failure of a call that waited for the store until its deadline.
#[must_use]
pub fn out_of_time() -> Failure {
    Failure::new(
        Reason::Stopped,
        "the time was used up waiting for the store; it will be retried. If it happens often, raise the function's \
         time-out",
    )
}

/// Maps a stopped call to a time-out of the request.
fn in_time<T>(result: Result<T, Failure>) -> HostResult<T> {
    match result {
        Err(Failure { reason: Reason::Stopped, .. }) => Err(Refused::TimedOut),
        other => Ok(other),
    }
}

impl<B: StoreBackend> Host for StoreHost<B> {
    fn triggers(&self) -> Arc<Vec<Trigger>> {
        self.0.triggers()
    }

    async fn invoke(&self, record: Record, deadline: Deadline) -> Result<Report, Refused> {
        let (stop, triggers) = (self.0.stop(deadline), self.0.triggers());
        let handling = self.0.thumbnails().handle(Self::call(&triggers, &stop), self.0.store(), &record);
        let handled = self.bound(&stop, async { Ok(handling.await) }).await;
        let report = handled.unwrap_or_else(|failure| Report::of(&record, Outcome::Failed(failure)));
        self.0.report(&report);
        match &report.outcome {
            Outcome::Failed(Failure { reason: Reason::Stopped, .. }) => Err(Refused::TimedOut),
            _ => Ok(report),
        }
    }

    async fn render(&self, bytes: Bytes, spec: Spec, deadline: Deadline) -> HostResult<(Header, Thumbnail)> {
        let stop = self.0.stop(deadline);
        let rendered = self.bound(&stop, async {
            let (header, thumbnail, _) = self.0.thumbnails().render(&stop, bytes, &spec).await?;
            Ok((header, thumbnail))
        });
        in_time(rendered.await)
    }

    async fn render_object(
        &self,
        at: Location,
        spec: Spec,
        deadline: Deadline,
    ) -> HostResult<(Stat, Thumbnail)> {
        let stop = self.0.stop(deadline);
        let rendering = self.0.thumbnails().render_object(&stop, self.0.store(), &at, &spec);
        in_time(self.bound(&stop, rendering).await)
    }

    async fn inspect(&self, at: Location, trigger: Trigger, deadline: Deadline) -> HostResult<Inspection> {
        let stop = self.0.stop(deadline);
        let inspecting = self.0.thumbnails().inspect(&stop, self.0.store(), &at, &trigger);
        in_time(self.bound(&stop, inspecting).await)
    }

    async fn receive(&self, arrival: Arrival, spec: Spec, deadline: Deadline) -> HostResult<RenderedImage> {
        if let Err(failure) = self.0.check_takes_uploads() {
            return Ok(Err(failure));
        }
        let (stop, triggers) = (self.0.stop(deadline), self.0.triggers());
        // The ETag of objects that the store does not encrypt with keys of its own.
        let etag = hex::encode(&Md5::digest(&arrival.bytes));
        let store = WithArrival::new(self.0.store(), arrival.clone(), etag);
        let receiving = self.0.thumbnails().receive(Self::call(&triggers, &stop), &store, &arrival, &spec);
        let received = self.bound(&stop, receiving).await;
        in_time(received.map(|(report, image)| {
            self.0.report(&report);
            image
        }))
    }

    async fn stat(&self, at: Location) -> Result<Option<Stat>, Failure> {
        let stop = self.0.stop(Deadline::after(LONGEST_LOOKUP));
        self.bound(&stop, async { Ok(self.0.store().head(&at).await?) }).await
    }

    async fn read(&self, at: Location) -> Result<Option<Object>, Failure> {
        let stop = self.0.stop(Deadline::after(LONGEST_LOOKUP));
        self.bound(&stop, async { Ok(self.0.store().get(&at, LARGEST_THUMBNAIL).await?) }).await
    }

    async fn form_signer(&self, bucket: &str, _: &Parts) -> Result<FormSigner, Failure> {
        self.0.check_takes_uploads()?;
        self.0.form_signer(bucket).await
    }
}
