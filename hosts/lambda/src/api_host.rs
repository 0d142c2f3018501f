//! The API's [`Host`] within one invocation: the function over S3.

use std::sync::Arc;

use bytes::Bytes;
use md5::{Digest as _, Md5};
use tintype_api::{Deadline, FormSigner, Host, Parts, Refused};
use tintype_engine::{Header, Spec, Thumbnail};
use tintype_pipeline::{
    Failure, Inspection, Location, Outcome, Reason, RenderedImage, Report, Stop,
    event::Record,
    hex,
    store::{Arrival, Object, Stat, Store as _, WithArrival},
    trigger::Trigger,
};

use crate::{function::Function, report::Origin};

/// More than a response of Lambda may have.
const LARGEST_THUMBNAIL: u64 = 32 << 20;

/// The host of one request.
#[derive(Clone)]
pub(crate) struct ApiHost {
    pub(crate) function: Arc<Function>,
    pub(crate) request_id: String,
    pub(crate) stop: Stop,
}

/// Maps a stopped call to a time-out of the request.
fn in_time<T>(result: Result<T, Failure>) -> Result<Result<T, Failure>, Refused> {
    match result {
        Err(Failure { reason: Reason::Stopped, .. }) => Err(Refused::TimedOut),
        other => Ok(other),
    }
}

impl Host for ApiHost {
    fn triggers(&self) -> Arc<Vec<Trigger>> {
        self.function.settings.triggers.clone()
    }

    async fn invoke(&self, record: Record, deadline: Deadline) -> Result<Report, Refused> {
        let report = self.function.handle(&record, &self.stop.clone().by(deadline.0)).await;
        self.function.reporter.record(Origin { request_id: &self.request_id, occurred_ms: None }, &report);
        match &report.outcome {
            Outcome::Failed(Failure { reason: Reason::Stopped, .. }) => Err(Refused::TimedOut),
            _ => Ok(report),
        }
    }

    async fn render(
        &self,
        bytes: Bytes,
        spec: Spec,
        _: Deadline,
    ) -> Result<Result<(Header, Thumbnail), Failure>, Refused> {
        let rendered = self.bound(async {
            let (header, thumbnail, _) = self.function.thumbnails.render(&self.stop, bytes, &spec).await?;
            Ok((header, thumbnail))
        });
        in_time(rendered.await)
    }

    async fn render_object(
        &self,
        at: Location,
        spec: Spec,
        _: Deadline,
    ) -> Result<Result<(Stat, Thumbnail), Failure>, Refused> {
        let Function { thumbnails, store, .. } = self.function.as_ref();
        let rendered = self.bound(thumbnails.render_object(&self.stop, store, &at, &spec));
        in_time(rendered.await)
    }

    async fn inspect(
        &self,
        at: Location,
        trigger: Trigger,
        _: Deadline,
    ) -> Result<Result<Inspection, Failure>, Refused> {
        let Function { thumbnails, store, .. } = self.function.as_ref();
        let inspected = self.bound(thumbnails.inspect(&self.stop, store, &at, &trigger));
        in_time(inspected.await)
    }

    async fn receive(
        &self,
        arrival: Arrival,
        spec: Spec,
        _: Deadline,
    ) -> Result<Result<RenderedImage, Failure>, Refused> {
        if let Err(failure) = self.check_takes_uploads() {
            return Ok(Err(failure));
        }
        // The ETag of objects that S3 does not encrypt with KMS keys.
        let etag = hex::encode(&Md5::digest(&arrival.bytes));
        let store = WithArrival::new(&self.function.store, arrival.clone(), etag);
        let call = self.function.call(&self.stop);
        let uploaded = self.bound(self.function.thumbnails.receive(call, &store, &arrival, &spec));
        in_time(uploaded.await.map(|(report, image)| {
            let origin = Origin { request_id: &self.request_id, occurred_ms: None };
            self.function.reporter.record(origin, &report);
            image
        }))
    }

    async fn stat(&self, at: Location) -> Result<Option<Stat>, Failure> {
        self.bound(async { Ok(self.function.store.head(&at).await?) }).await
    }

    async fn read(&self, at: Location) -> Result<Option<Object>, Failure> {
        self.bound(async { Ok(self.function.store.get(&at, LARGEST_THUMBNAIL).await?) }).await
    }

    async fn form_signer(&self, bucket: &str, _: &Parts) -> Result<FormSigner, Failure> {
        self.check_takes_uploads()?;
        let aws = &self.function.aws;
        let keys = aws.credentials.clone();
        Ok(FormSigner {
            url: aws.bucket_url(bucket),
            region: aws.region.clone(),
            access_key_id: keys.access_key_id,
            secret_access_key: keys.secret_access_key,
            session_token: keys.session_token,
        })
    }
}

impl ApiHost {
    /// Bounds `work` by the deadline of this invocation.
    async fn bound<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        self.function.bound(&self.stop, work).await
    }

    /// Refuses unless the function may write to source buckets.
    fn check_takes_uploads(&self) -> Result<(), Failure> {
        if !self.function.accepts_uploads {
            return Err(Failure::new(
                Reason::Denied,
                "this API accepts no uploads: deploy the stack with the parameter ApiUploads=true",
            ));
        }
        Ok(())
    }
}
