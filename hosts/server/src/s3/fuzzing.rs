//! The parts of the S3 endpoint that fuzz targets call; compiled with `--cfg fuzzing` only.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Collected, Full};
use multer::Multipart;
use s3s::{
    Body, S3Error, S3Request, S3Response, S3Result, route::S3Route, s3_error, service::S3ServiceBuilder,
};

use super::{AccessKeys, Unreachable, aws_chunked::Framing, check, form, protocol, with_limits};
use crate::{
    auth::{self, Authorizer, Credentials},
    storage::StoredHeaders,
};

/// The verification of signatures, in front of an endpoint that reads the body, does nothing and answers 200.
#[derive(Clone)]
pub struct Verification {
    protocol: s3s::service::S3Service,
}

/// A request as the endpoint receives it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the parts of a request")]
pub struct Received {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Verification {
    /// For one access key.
    #[must_use]
    pub fn new(access_key_id: &str, secret: &str) -> Self {
        let keys = access_keys(access_key_id, secret);
        let mut endpoint = S3ServiceBuilder::new(Unreachable);
        endpoint.set_route(Receiver);
        Self { protocol: protocol(None, keys, Authorizer::root_only(access_key_id), endpoint.build()) }
    }

    /// What the endpoint receives of a request, or the answer that refuses it.
    ///
    /// # Errors
    /// Status and body of the refusal; forms are refused here with 400, as they are not verified here.
    pub async fn receive(&self, request: Request<Bytes>) -> Result<Received, (StatusCode, String)> {
        check(&request).map_err(|error| refusal(&error))?;
        if form::is_form(&request) {
            return Err((StatusCode::BAD_REQUEST, "a form".into()));
        }
        let request = with_limits(request.map(Full::new));
        let answer = self.protocol.call(request).await;
        let (mut head, body) =
            answer.map_err(|error| (StatusCode::BAD_GATEWAY, format!("{error:?}")))?.into_parts();
        if let Some(received) = head.extensions.remove::<Received>() {
            return Ok(received);
        }
        let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
        Err((head.status, String::from_utf8_lossy(&body).into_owned()))
    }
}

fn access_keys(access_key_id: &str, secret: &str) -> AccessKeys {
    AccessKeys(Arc::new(auth::AccessKeys::root_only(Credentials::new(access_key_id, secret))))
}

fn refusal(error: &S3Error) -> (StatusCode, String) {
    (error.status_code().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), error.to_string())
}

/// In place of the endpoint's operations.
struct Receiver;

#[async_trait::async_trait]
impl S3Route for Receiver {
    fn is_match(&self, _: &Method, _: &Uri, _: &HeaderMap, _: &mut http::Extensions) -> bool {
        true
    }

    // Verified already.
    async fn check_access(&self, _: &mut S3Request<Body>) -> S3Result<()> {
        Ok(())
    }

    async fn call(&self, request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let S3Request { method, uri, headers, input, .. } = request;
        let body = input.collect().await.map_err(|error| s3_error!(IncompleteBody, "{error}"))?.to_bytes();
        let mut response = S3Response::new(Body::empty());
        response.extensions.insert(Received { method, uri, headers, body });
        Ok(response)
    }
}

/// Whether the framing of an `aws-chunked` body has reached its final chunk after these pieces.
#[must_use]
pub fn has_final_chunk(pieces: &[&[u8]]) -> bool {
    let mut framing = Framing::default();
    pieces.iter().for_each(|piece| framing.push(piece));
    framing.has_ended()
}

/// The fields of an upload form as they are read.
#[derive(Debug)]
#[expect(missing_docs, reason = "named as they are in the form")]
pub struct FormFields {
    pub list: Vec<(String, String)>,
    pub key: String,
    pub headers: Result<StoredHeaders, String>,
}

/// Reads a form's fields up to its file, from a body in pieces.
///
/// # Errors
/// What is wrong with the form.
pub async fn form_fields(boundary: &str, pieces: Vec<Bytes>) -> Result<FormFields, String> {
    let pieces = stream::iter(pieces.into_iter().map(Ok::<_, std::convert::Infallible>));
    let mut form = Multipart::new(pieces, boundary);
    let (fields, _) = form::fields::read(&mut form).await.map_err(|error| error.to_string())?;
    let list = fields.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let headers = fields.headers().map_err(|error| error.to_string());
    Ok(FormFields { list, key: fields.key(), headers })
}

/// Checks an upload form as its upload does: the bounds of the file's size, if signature and policy allow it.
///
/// # Errors
/// Why it is refused.
pub fn check_form(
    fields: Vec<(String, String)>,
    file_name: &str,
    bucket: &str,
    (access_key_id, secret): (&str, &str),
) -> Result<(u64, u64), String> {
    let keys = access_keys(access_key_id, secret);
    let fields = form::fields::Fields::new(fields, file_name).map_err(|error| error.to_string())?;
    let checked = form::policy::check(&fields, bucket, &keys, time::OffsetDateTime::now_utc());
    checked.map(|(_, sizes)| (sizes.min, sizes.max)).map_err(|error| error.to_string())
}
