//! The backend of the HTTP API over the worker's store.

use std::sync::Arc;

use tintype_api::{Deadline, FormSigner, StoreBackend};
use tintype_pipeline::{
    Disposition, Failure, Reason, Report, Stop, Store, Thumbnails, clock::now_ms, trigger::Trigger,
};

use crate::{reporter::Origin, worker::Shared};

/// The backend; clones share the worker.
#[derive(Clone)]
pub(crate) struct WorkerBackend(pub(crate) Arc<Shared>);

impl StoreBackend for WorkerBackend {
    fn triggers(&self) -> Arc<Vec<Trigger>> {
        self.0.triggers.clone()
    }

    fn thumbnails(&self) -> &Thumbnails {
        &self.0.thumbnails
    }

    fn store(&self) -> &dyn Store {
        self.0.store.as_ref()
    }

    fn stop(&self, deadline: Deadline) -> Stop {
        Stop::new(self.0.stopping.clone()).by(deadline.0)
    }

    fn report(&self, report: &Report) {
        let request_id = format!("{:x}-{:016x}", now_ms(), fastrand::u64(..));
        let origin =
            Origin { request_id: &request_id, event: "ObjectCreated:Post", attempt: 1, occurred_ms: None };
        self.0.reporter.record(origin, report, Disposition::Ack);
    }

    fn check_takes_uploads(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn form_signer(&self, bucket: &str) -> Result<FormSigner, Failure> {
        let aws = &self.0.aws;
        let keys = aws.current_credentials().await;
        let keys = keys.map_err(|message| Failure::new(Reason::Unavailable, message))?;
        Ok(FormSigner {
            url: aws.bucket_url(bucket),
            region: aws.region.clone(),
            access_key_id: keys.access_key_id().to_owned(),
            secret_access_key: keys.secret_access_key().to_owned(),
            session_token: keys.session_token().map(str::to_owned),
        })
    }
}
