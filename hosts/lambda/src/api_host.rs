//! What the API's routes ask of their host, answered by the function and S3, within one invocation.

use std::sync::Arc;

use bytes::Bytes;
use md5::{Digest as _, Md5};
use tintype_api::{FormSigner, Host, Parts, Refused};
use tintype_engine::{Header, Spec, Thumbnail};
use tintype_pipeline::{
    Failure, Inspection, Location, Outcome, Picture, Reason, Report,
    event::Record,
    hex,
    store::{Arrival, Object, Stat, Store as _, WithArrival},
};

use crate::{deadline::Deadline, function::Function, report::Origin};

/// No larger thumbnail could be answered, and none is near this.
const LARGEST_THUMBNAIL: u64 = 32 << 20;

/// The host of one request.
#[derive(Clone)]
pub(crate) struct ApiHost {
    pub(crate) function: Arc<Function>,
    pub(crate) request_id: String,
    pub(crate) deadline: Deadline,
}

/// A failure for want of time is a time-out to whoever asked.
fn in_time<T>(result: Result<T, Failure>) -> Result<Result<T, Failure>, Refused> {
    match result {
        Err(Failure { reason: Reason::Stopped, .. }) => Err(Refused::TimedOut),
        other => Ok(other),
    }
}

fn no_trigger() -> Failure {
    Failure::new(Reason::Missing, "the settings have no trigger, so there is no source bucket")
}

impl Host for ApiHost {
    async fn invoke(&self, record: Record) -> Result<Report, Refused> {
        let report = self.function.handle(&record, self.deadline).await;
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
    ) -> Result<Result<(Header, Thumbnail), Failure>, Refused> {
        let rendered = self.function.call(self.deadline, async |thumbnails, call| {
            thumbnails.render(call, &bytes, &spec).map(|(header, thumbnail, _)| (header, thumbnail))
        });
        in_time(rendered.await)
    }

    async fn render_object(
        &self,
        at: Location,
        spec: Spec,
    ) -> Result<Result<(Stat, Thumbnail), Failure>, Refused> {
        let rendered = self.function.call(self.deadline, async |thumbnails, call| {
            thumbnails.render_object(call, &self.function.store, &at, &spec).await
        });
        in_time(rendered.await)
    }

    async fn inspect(&self, at: Location) -> Result<Result<Inspection, Failure>, Refused> {
        let inspected = self.function.call(self.deadline, async |thumbnails, call| {
            match self.function.settings.triggers.first() {
                Some(trigger) => thumbnails.inspect(call, &self.function.store, &at, trigger).await,
                None => Err(no_trigger()),
            }
        });
        in_time(inspected.await)
    }

    async fn receive(&self, arrival: Arrival, spec: Spec) -> Result<Result<Picture, Failure>, Refused> {
        if let Err(failure) = self.bucket_for_uploads() {
            return Ok(Err(failure));
        }
        let received = self.function.call(self.deadline, async |thumbnails, call| {
            // What S3 gives objects that it does not encrypt with keys of KMS.
            let etag = hex::encode(&Md5::digest(&arrival.bytes));
            let store = WithArrival::new(&self.function.store, arrival.clone(), etag);
            thumbnails.receive(call, &store, &arrival, &spec).await
        });
        in_time(received.await.map(|(report, picture)| {
            let origin = Origin { request_id: &self.request_id, occurred_ms: None };
            self.function.reporter.record(origin, &report);
            picture
        }))
    }

    async fn stat(&self, at: Location) -> Result<Option<Stat>, Failure> {
        let looked_at = self
            .function
            .call(self.deadline, async |_, _| self.function.store.head(&at).await.map_err(Failure::from));
        looked_at.await
    }

    async fn read(&self, at: Location) -> Result<Option<Object>, Failure> {
        let read = self.function.call(self.deadline, async |_, _| {
            self.function.store.get(&at, LARGEST_THUMBNAIL).await.map_err(Failure::from)
        });
        read.await
    }
    async fn form_signer(&self, _: &Parts) -> Result<FormSigner, Failure> {
        let bucket = self.bucket_for_uploads()?;
        let aws = &self.function.aws;
        let keys = aws.credentials.clone();
        Ok(FormSigner {
            url: aws.bucket_url(&bucket),
            region: aws.region.clone(),
            access_key_id: keys.access_key_id,
            secret_access_key: keys.secret_access_key,
            session_token: keys.session_token,
        })
    }
}

impl ApiHost {
    /// The source bucket, if the function may write there.
    fn bucket_for_uploads(&self) -> Result<String, Failure> {
        if !self.function.takes_uploads {
            return Err(Failure::new(
                Reason::Denied,
                "this API takes no uploads: deploy the stack with the parameter ApiUploads=true",
            ));
        }
        let trigger = self.function.settings.triggers.first().ok_or_else(no_trigger)?;
        Ok(trigger.bucket.clone())
    }
}
