//! The S3 endpoint: S3's protocol in front of the store. The crate `s3s` (requests, signatures, XML) is
//! used here and nowhere else.
//!
//! `s3s` checks signatures and the form of requests. Checksums, conditions and limits are checked here.

mod answers;
mod conditions;
mod faults;
mod listing;
mod notification;
mod operations;
mod parts;
mod reading;
mod receive;

use std::{future::Future, pin::Pin, sync::Arc};

use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};

use crate::{credentials::Credentials, store::DiskStore};

/// The largest body of one request: S3's own bound on a put.
const LARGEST_BODY: u64 = 5 << 30;

/// The endpoint's operations; cheap to clone.
#[derive(Debug, Clone)]
struct Endpoint {
    store: Arc<DiskStore>,
}

/// The endpoint as a hyper service.
#[derive(Clone)]
pub struct S3Service(s3s::service::S3Service);

impl S3Service {
    /// The endpoint over a store, for whoever has the credentials.
    #[must_use]
    pub fn new(store: Arc<DiskStore>, credentials: &Credentials) -> Self {
        let mut builder = S3ServiceBuilder::new(Endpoint { store });
        builder.set_auth(SimpleAuth::from_single(
            credentials.access_key_id.clone(),
            credentials.secret_access_key(),
        ));
        Self(builder.build())
    }
}

impl hyper::service::Service<http::Request<hyper::body::Incoming>> for S3Service {
    type Response = http::Response<s3s::Body>;
    type Error = s3s::HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, request: http::Request<hyper::body::Incoming>) -> Self::Future {
        let service = self.0.clone();
        Box::pin(async move {
            let length = request.headers().get(http::header::CONTENT_LENGTH);
            let length =
                length.and_then(|value| value.to_str().ok()).and_then(|value| value.parse::<u64>().ok());
            if length.is_some_and(|length| length > LARGEST_BODY) {
                let error = s3s::s3_error!(
                    EntityTooLarge,
                    "a request's body may have at most 5 GiB; use a multipart upload"
                );
                return error.to_http_response().map_err(|error| s3s::HttpError::new(Box::new(error)));
            }
            service.call(request.map(s3s::Body::from)).await
        })
    }
}

/// Runs what blocks on the disk where blocking is allowed.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> s3s::S3Result<T> + Send + 'static,
) -> s3s::S3Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            tracing::error!(%error, "an S3 operation panicked");
            Err(s3s::s3_error!(InternalError, "a fault of the server; it is in the log"))
        }
    }
}
