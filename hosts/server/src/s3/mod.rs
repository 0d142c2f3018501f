//! The S3 endpoint: S3's protocol in front of the store. The crate `s3s` (requests, signatures, XML) is
//! used here and nowhere else.
//!
//! The steps of a request: bounds and mechanism ([`check`]), its signature (s3s), then [`verified_request`]: what the
//! signature covers, the table of operations, authorization, and the endpoint's [`mod@operations`]. Forms are signed
//! otherwise, and join at authorization. Checksums and conditions are checked by the operations.

mod acls;
mod answers;
mod attributes;
mod aws_chunked;
mod bucket_configuration;
mod bucket_policy;
mod buckets;
mod byte_range;
mod conditions;
mod cors;
mod deletes;
mod document;
mod faults;
mod form;
#[cfg(fuzzing)]
pub mod fuzzing;
mod header_values;
mod http_dates;
mod listing;
mod notification;
mod object_reader;
mod operation_table;
mod operations;
mod ownership_controls;
mod parts;
mod query;
mod signature;
mod tagging;
mod upload_body;
mod verified_request;
mod writes;

use std::{future::Future, pin::Pin, sync::Arc};

use arc_swap::ArcSwap;
use bytes::Bytes;
use s3s::{
    S3Error, S3Result,
    auth::{S3Auth, SecretKey},
    config::{S3Config, StaticConfigProvider},
    dto::ServerSideEncryption,
    s3_error,
    service::S3ServiceBuilder,
};

use crate::{
    auth::{self, Action, Authorizer, Clients, Denied},
    listen::{self, TimeoutBody},
    request_id,
    storage::{Storage, StoreFault},
};
use aws_chunked::Terminated;
use query::Query;
use verified_request::Verified;

/// What is escaped of an object's key in a URL.
const URL_ESCAPED: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');
/// The largest body of one request: S3's own bound on a put.
const MAX_BODY: u64 = 5 << 30;

/// The endpoint's operations; cheap to clone.
#[derive(Clone)]
struct Endpoint {
    store: Arc<Storage>,
    keys: Arc<auth::AccessKeys>,
    authorizer: Authorizer,
    /// How objects are encrypted, if they are.
    encryption: Option<ServerSideEncryption>,
}

/// The endpoint as a hyper service.
#[derive(Clone)]
pub struct S3Service {
    protocol: s3s::service::S3Service,
    store: Arc<Storage>,
    keys: AccessKeys,
    authorizer: Authorizer,
    clients: Arc<ArcSwap<Clients>>,
    encrypted_at_rest: bool,
}

/// The operations offered, each with the right that it needs.
pub fn operations() -> impl Iterator<Item = (&'static str, Action)> {
    operation_table::OPERATIONS.iter().map(|operation| (operation.name, operation.action))
}

impl S3Service {
    /// The endpoint over a store, for requests signed with an access key and authorized. `encrypted_at_rest`: whoever
    /// operates it says that its disk is encrypted.
    #[must_use]
    pub fn new(
        store: Arc<Storage>,
        keys: Arc<auth::AccessKeys>,
        authorizer: Authorizer,
        clients: Arc<ArcSwap<Clients>>,
        encrypted_at_rest: bool,
    ) -> Self {
        let keys = AccessKeys(keys);
        let endpoint = Endpoint {
            store: store.clone(),
            keys: keys.0.clone(),
            authorizer: authorizer.clone(),
            encryption: encrypted_at_rest
                .then(|| ServerSideEncryption::from_static(ServerSideEncryption::AES256)),
        };
        let endpoint = S3ServiceBuilder::new(endpoint).build();
        let protocol = protocol(Some(store.clone()), keys.clone(), authorizer.clone(), endpoint);
        Self { protocol, store, keys, authorizer, clients, encrypted_at_rest }
    }
}

/// The verification of signatures in front of an endpoint that requires none.
fn protocol(
    store: Option<Arc<Storage>>,
    keys: AccessKeys,
    authorizer: Authorizer,
    endpoint: s3s::service::S3Service,
) -> s3s::service::S3Service {
    let mut builder = S3ServiceBuilder::new(Unreachable);
    builder.set_auth(keys.clone());
    // Forms are handled apart (`form`): s3s must accept none of their fields.
    let mut config = S3Config::default();
    (config.form_max_field_size, config.form_max_fields_size, config.form_max_parts) = (0, 0, 0);
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
    builder.set_route(Verified::new(endpoint, store, keys.0, authorizer));
    builder.build()
}

/// The operations of the service that verifies signatures: the route handles all requests instead.
struct Unreachable;

impl s3s::S3 for Unreachable {}

/// The access keys that requests may be signed with.
#[derive(Clone)]
struct AccessKeys(Arc<auth::AccessKeys>);

impl AccessKeys {
    /// The secret of a key.
    fn secret(&self, access_key_id: &str) -> S3Result<SecretKey> {
        match self.0.credentials(access_key_id) {
            Some(pair) => Ok(SecretKey::from(pair.secret_access_key())),
            None => Err(s3_error!(
                InvalidAccessKeyId,
                "The AWS Access Key Id you provided does not exist in our records."
            )),
        }
    }
}

#[async_trait::async_trait]
impl S3Auth for AccessKeys {
    async fn get_secret_key(&self, access_key_id: &str) -> S3Result<SecretKey> {
        self.secret(access_key_id)
    }
}

fn access_denied(denied: Denied) -> S3Error {
    match denied.missing_bucket {
        // What is not there is not there for anybody, as on S3.
        Some(bucket) => faults::s3(StoreFault::NoSuchBucket(bucket)),
        None => s3_error!(AccessDenied, "{denied}"),
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
            // After a body that was not read whole the connection cannot be used again.
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
    async fn form(
        &self,
        request: http::Request<hyper::body::Incoming>,
    ) -> S3Result<http::Response<s3s::Body>> {
        form::upload(self.store.clone(), &self.keys, &self.authorizer, self.encrypted_at_rest, request).await
    }

    /// CORS around everything; forms and preflights beside the protocol's own operations.
    async fn answer(
        &self,
        mut request: http::Request<hyper::body::Incoming>,
    ) -> Result<http::Response<s3s::Body>, s3s::HttpError> {
        let client = self.clients.load().client(&request);
        request.extensions_mut().insert(client);
        if let Some(signed) = http_dates::adopt_date(request.headers_mut()) {
            request.extensions_mut().insert(signed);
        }
        let cross_origin = cors::CrossOriginRequest::of(&request);
        let is_options = *request.method() == http::Method::OPTIONS;
        let is_preflight = cross_origin.as_ref().is_some_and(|request| request.is_preflight);
        let allowed = match cross_origin {
            None => http::HeaderMap::new(),
            Some(request) => {
                let store = self.store.clone();
                tokio::task::spawn_blocking(move || request.allowed(&store)).await.unwrap_or_default()
            }
        };
        let answered = match check(&request) {
            Err(error) => Err(error),
            Ok(()) if is_preflight => cors::preflight(&allowed),
            Ok(()) if is_options => Err(cors::no_origin()),
            Ok(()) if form::is_form(&request) => self.form(request).await,
            Ok(()) => Ok(self.protocol.call(with_limits(request)).await?),
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

/// The body of a request, bounded in time; in chunks it must have the final one.
fn with_limits<B>(request: http::Request<B>) -> http::Request<s3s::Body>
where
    B: hyper::body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let is_chunked = payload(request.headers()).starts_with("STREAMING-");
    request.map(TimeoutBody::new).map(|body| match is_chunked {
        true => s3s::Body::http_body_unsync(Terminated::new(body)),
        false => s3s::Body::http_body_unsync(body),
    })
}

/// What is signed of the body, or how it is sent.
fn payload(headers: &http::HeaderMap) -> &str {
    headers.get("x-amz-content-sha256").and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// What s3s does not check, and what is refused whatever the signature.
fn check<B>(request: &http::Request<B>) -> S3Result<()> {
    listen::check_host(request).map_err(|error| s3_error!(InvalidRequest, "{error}"))?;
    let headers = request.headers();
    header_values::check(headers)?;
    let length = headers.get(http::header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()).and_then(|value| value.parse::<u64>().ok());
    if length.is_some_and(|length| length > MAX_BODY) {
        return Err(s3_error!(
            EntityTooLarge,
            "a request's body may have at most 5 GiB; use a multipart upload"
        ));
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_encoded = text("content-encoding").is_some_and(|encodings| {
        encodings.split(',').any(|encoding| encoding.trim().eq_ignore_ascii_case("aws-chunked"))
    });
    let payload = payload(headers);
    // A body whose digest is signed is what was meant: Content-Encoding alone does not make it chunks.
    let is_digest = payload.len() == 64 && payload.bytes().all(|byte| byte.is_ascii_hexdigit());
    let announces = is_encoded && !is_digest || headers.contains_key("x-amz-decoded-content-length");
    if !payload.starts_with("STREAMING-") && announces {
        return Err(s3_error!(
            InvalidRequest,
            "the headers announce an aws-chunked body, but x-amz-content-sha256 is no STREAMING-… value"
        ));
    }
    if headers.contains_key("x-amz-trailer") && !payload.ends_with("-TRAILER") {
        return Err(s3_error!(
            InvalidRequest,
            "x-amz-trailer announces a trailer, but x-amz-content-sha256 is no STREAMING-…-TRAILER value"
        ));
    }
    signature::check_mechanism(headers, &Query::of(request.uri()))
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
