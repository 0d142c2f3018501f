//! The S3 endpoint: S3's protocol in front of the store. The crate `s3s` (requests, signatures, XML) is
//! used here and nowhere else.
//!
//! `s3s` checks signatures and the form of requests. Checksums, conditions and limits are checked here.

mod amended;
mod answers;
mod conditions;
mod cors;
mod faults;
mod form;
mod listing;
mod notification;
mod operations;
mod parts;
mod reading;
mod receive;

use std::{future::Future, pin::Pin, sync::Arc};

use s3s::{
    S3Result,
    auth::{S3Auth, SecretKey},
    s3_error,
    service::S3ServiceBuilder,
};

use crate::{credentials::Credentials, listen::IdleLimited, request_id, store::DiskStore};

/// What an object's key has escaped in a URL.
const URL_ESCAPED: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');
/// The largest body of one request: S3's own bound on a put.
const LARGEST_BODY: u64 = 5 << 30;
/// Seconds a presigned URL may be good: a week (AWS, "Authenticating requests: using query parameters").
const LONGEST_PRESIGNED: u64 = 604_800;

/// The endpoint's operations; cheap to clone.
#[derive(Debug, Clone)]
struct Endpoint {
    store: Arc<DiskStore>,
}

/// The endpoint as a hyper service.
#[derive(Clone)]
pub struct S3Service {
    protocol: s3s::service::S3Service,
    store: Arc<DiskStore>,
    key: Arc<OneKey>,
}

impl S3Service {
    /// The endpoint over a store, for whoever has the credentials.
    #[must_use]
    pub fn new(store: Arc<DiskStore>, credentials: &Credentials) -> Self {
        let key = OneKey {
            access_key_id: credentials.access_key_id.clone(),
            secret: credentials.secret_access_key().into(),
        };
        let mut builder = S3ServiceBuilder::new(Endpoint { store: store.clone() });
        builder.set_auth(key.clone());
        let unsigned = S3ServiceBuilder::new(Endpoint { store: store.clone() }).build();
        builder.set_route(amended::Amended::new(unsigned));
        Self { protocol: builder.build(), store, key: Arc::new(key) }
    }
}

/// Knows one access key.
#[derive(Clone)]
struct OneKey {
    access_key_id: String,
    secret: SecretKey,
}

#[async_trait::async_trait]
impl S3Auth for OneKey {
    async fn get_secret_key(&self, access_key_id: &str) -> S3Result<SecretKey> {
        if access_key_id == self.access_key_id {
            return Ok(self.secret.clone());
        }
        Err(s3_error!(
            InvalidAccessKeyId,
            "The AWS Access Key Id you provided does not exist in our records."
        ))
    }
}

impl hyper::service::Service<http::Request<hyper::body::Incoming>> for S3Service {
    type Response = http::Response<s3s::Body>;
    type Error = s3s::HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, request: http::Request<hyper::body::Incoming>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let id = request_id::current();
            let has_body = !hyper::body::Body::is_end_stream(request.body());
            let mut response = service.answer(request).await?;
            if let Ok(id) = http::HeaderValue::from_str(&id) {
                response.headers_mut().insert("x-amz-request-id", id);
            }
            // A body that was not read whole leaves nothing to go on with on this connection.
            if has_body && !response.status().is_success() {
                response
                    .headers_mut()
                    .insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
            }
            Ok(response)
        })
    }
}

impl S3Service {
    /// CORS around everything; forms and preflights beside the protocol's own operations.
    async fn answer(
        &self,
        request: http::Request<hyper::body::Incoming>,
    ) -> Result<http::Response<s3s::Body>, s3s::HttpError> {
        let asked = cors::Asked::of(&request);
        let is_preflight = asked.as_ref().is_some_and(|asked| asked.is_preflight);
        let allowed = match asked {
            None => http::HeaderMap::new(),
            Some(asked) => {
                let store = self.store.clone();
                tokio::task::spawn_blocking(move || asked.answer(&store)).await.unwrap_or_default()
            }
        };
        let answered = match check(&request) {
            Err(error) => Err(error),
            Ok(()) if is_preflight => cors::preflight(&allowed),
            Ok(()) if form::is_form(&request) => {
                form::upload(self.store.clone(), self.key.clone(), request).await
            }
            Ok(()) => Ok(self.protocol.call(request.map(limited)).await?),
        };
        let mut response = match answered {
            Ok(response) => response,
            Err(mut error) => {
                error.set_request_id(request_id::current());
                error.to_http_response().map_err(|error| s3s::HttpError::new(Box::new(error)))?
            }
        };
        response.headers_mut().extend(allowed);
        Ok(response)
    }
}

fn limited(body: hyper::body::Incoming) -> s3s::Body {
    s3s::Body::http_body_unsync(IdleLimited::new(body))
}

/// What s3s does not check: how long a body may be, and how long a presigned URL may be good.
fn check(request: &http::Request<hyper::body::Incoming>) -> S3Result<()> {
    let length = request.headers().get(http::header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()).and_then(|value| value.parse::<u64>().ok());
    if length.is_some_and(|length| length > LARGEST_BODY) {
        return Err(s3_error!(
            EntityTooLarge,
            "a request's body may have at most 5 GiB; use a multipart upload"
        ));
    }
    let query = request.uri().query().unwrap_or_default();
    let expires = query.split('&').find_map(|field| field.strip_prefix("X-Amz-Expires="));
    if expires.and_then(|text| text.parse::<u64>().ok()).is_some_and(|seconds| seconds > LONGEST_PRESIGNED) {
        return Err(s3_error!(
            AuthorizationQueryParametersError,
            "X-Amz-Expires must be less than a week (in seconds); that is, at most {LONGEST_PRESIGNED}"
        ));
    }
    Ok(())
}

/// Runs what blocks on the disk where blocking is allowed.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> S3Result<T> + Send + 'static) -> S3Result<T> {
    let result = match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            tracing::error!(%error, "an S3 operation panicked");
            Err(s3_error!(InternalError, "a fault of the server; it is in the log"))
        }
    };
    result.map_err(|mut error| {
        error.set_request_id(request_id::current());
        error
    })
}
