//! The backend of the API within one invocation: the function over S3.

use std::sync::Arc;

use tintype_api::{Deadline, FormSigner, StoreBackend};
use tintype_pipeline::{Failure, Reason, Report, Stop, Store, Thumbnails, trigger::Trigger};

use crate::{function::Function, report::Origin};

/// The backend of one request.
#[derive(Clone)]
pub(crate) struct ApiBackend {
    pub(crate) function: Arc<Function>,
    pub(crate) request_id: String,
    pub(crate) stop: Stop,
}

impl StoreBackend for ApiBackend {
    fn triggers(&self) -> Arc<Vec<Trigger>> {
        self.function.settings.triggers.clone()
    }

    fn thumbnails(&self) -> &Thumbnails {
        &self.function.thumbnails
    }

    fn store(&self) -> &dyn Store {
        &self.function.store
    }

    fn stop(&self, deadline: Deadline) -> Stop {
        self.stop.clone().by(deadline.0)
    }

    fn report(&self, report: &Report) {
        self.function.reporter.record(Origin { request_id: &self.request_id, occurred_ms: None }, report);
    }

    /// See [`Function::bound`].
    async fn abandoned(&self) {
        self.function.thumbnails.idle().await;
    }

    fn check_takes_uploads(&self) -> Result<(), Failure> {
        if !self.function.accepts_uploads {
            return Err(Failure::new(
                Reason::Denied,
                "this API accepts no uploads: deploy the stack with the parameter ApiUploads=true",
            ));
        }
        Ok(())
    }

    async fn form_signer(&self, bucket: &str) -> Result<FormSigner, Failure> {
        let aws = &self.function.aws;
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
