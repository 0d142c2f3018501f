//! A request whose signature s3s has verified: everything it acts on is signed, it is one of the operations offered, and
//! its sender is authorized. Only then is it passed on to the endpoint, without the signature.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use percent_encoding::percent_decode_str;
use s3s::{
    Body, S3Request, S3Response, S3Result,
    path::{S3Path, parse_path_style},
    route::S3Route,
    s3_error,
    service::S3Service,
};

use super::{
    access_denied, byte_range, document, header_values,
    operation_table::{Level, Operation, RequestBody},
    query::{Query, is_of_authentication},
    signature,
    upload_body::{check_named_algorithm, checksum_header, empty_checksum},
};
use crate::auth::{Authorizer, Principal, Resource};

/// Headers of the signature and of the body's transfer, of no meaning to the endpoint.
const SIGNATURE_HEADERS: [&str; 4] =
    ["authorization", "x-amz-content-sha256", "x-amz-date", "x-amz-decoded-content-length"];

/// The one way from the protocol to the endpoint's operations.
pub(super) struct Verified {
    endpoint: S3Service,
    authorizer: Authorizer,
}

impl Verified {
    /// `endpoint` must require no signature.
    pub(super) const fn new(endpoint: S3Service, authorizer: Authorizer) -> Self {
        Self { endpoint, authorizer }
    }
}

/// A request that passed the checks.
struct CheckedRequest {
    operation: &'static Operation,
    path: S3Path,
    uri: Uri,
    headers: HeaderMap,
}

#[async_trait::async_trait]
impl S3Route for Verified {
    fn is_match(&self, _: &Method, _: &Uri, _: &HeaderMap, _: &mut http::Extensions) -> bool {
        true
    }

    async fn call(&self, request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        // The default `check_access` has refused requests without credentials.
        let access_key_id = request.credentials.as_ref().map(|credentials| credentials.access_key.clone());
        let (Some(access_key_id), Some("s3")) = (access_key_id, request.service.as_deref()) else {
            return Err(s3_error!(AccessDenied, "the request is not signed for the service s3"));
        };
        let query = Query::of(&request.uri);
        // s3s verifies forms, too, whose policy signs nothing of all this.
        if !query.is_presigned() && !request.headers.contains_key(header::AUTHORIZATION) {
            return Err(s3_error!(AccessDenied, "Signature is required"));
        }
        let unsigned = signature::unsigned_headers(&request.headers, &query);
        if !unsigned.is_empty() {
            return Ok(signature::headers_not_signed(&unsigned));
        }
        let checked = check(&request.method, &request.uri, &query, request.headers)?;
        let CheckedRequest { operation, path, uri, mut headers } = checked;
        let principal = Principal::AccessKey(access_key_id.into());
        if !operation.is_per_object {
            let resource = match &path {
                S3Path::Root => Resource::Buckets,
                S3Path::Bucket { bucket } => Resource::Bucket(bucket),
                S3Path::Object { bucket, key } => Resource::Object { bucket, key },
            };
            self.authorizer.authorize(&principal, operation.action, &resource).map_err(access_denied)?;
        }
        let mut verified = http::Request::new(Body::empty());
        *verified.extensions_mut() = request.extensions;
        verified.extensions_mut().insert(principal);
        *verified.body_mut() = match operation.body {
            RequestBody::None => {
                document::require_empty(request.input).await?;
                Body::empty()
            }
            RequestBody::Document { checksums } => {
                let trailers = request.trailing_headers;
                Body::from(document::read(request.input, &mut headers, trailers, checksums).await?)
            }
            RequestBody::Object => {
                request.trailing_headers.map(|trailers| verified.extensions_mut().insert(trailers));
                request.input
            }
        };
        byte_range::normalize(&request.method, &mut headers);
        *verified.method_mut() = request.method;
        *verified.uri_mut() = uri;
        *verified.headers_mut() = headers;
        let answer = self.endpoint.call(verified).await;
        let (head, body) = answer.map_err(|error| s3_error!(InternalError, "{error:?}"))?.into_parts();
        let mut response = S3Response::new(body);
        response.status = Some(head.status);
        response.headers = head.headers;
        response.extensions = head.extensions;
        Ok(response)
    }
}

/// Finds the operation, and builds the endpoint's request from what was signed.
fn check(method: &Method, uri: &Uri, query: &Query, mut headers: HeaderMap) -> S3Result<CheckedRequest> {
    let decoded = percent_decode_str(uri.path()).decode_utf8().map_err(|_| s3_error!(InvalidURI))?;
    let path = parse_path_style(&decoded).map_err(|error| s3_error!(InvalidURI, "{error}"))?;
    let mut parameters = query.of_operation();
    if query.is_presigned() {
        add_headers(query, &mut headers)?;
    } else if query.headers().next().is_some() {
        // Only presigned URLs send headers as parameters: to the table these are unknown parameters.
        parameters = query.clone();
    }
    header_values::check(&headers)?;
    let operation = Operation::find(method.as_str(), Level::of(&path), &parameters, &headers)?;
    check_named_algorithm(&headers)?;
    if let Some(length) = headers.remove("x-amz-decoded-content-length") {
        headers.insert(header::CONTENT_LENGTH, length);
    }
    SIGNATURE_HEADERS.iter().for_each(|name| _ = headers.remove(*name));
    let encoded = parameters.encoded();
    let target = if encoded.is_empty() { uri.path().to_owned() } else { format!("{}?{encoded}", uri.path()) };
    let uri = target.parse().map_err(|error| s3_error!(InvalidURI, "{error}"))?;
    Ok(CheckedRequest { operation, path, uri, headers })
}

/// Query parameters of a presigned URL that represent headers become those headers.
fn add_headers(query: &Query, headers: &mut HeaderMap) -> S3Result<()> {
    let is_of_empty_body = |algorithm: &str, value: &str| empty_checksum(algorithm).as_deref() == Some(value);
    for (name, value) in query.headers() {
        // The AWS SDK for JavaScript signs the checksum of no bytes before it has the body, which S3 ignores.
        let algorithm = match name.as_str() {
            "x-amz-sdk-checksum-algorithm" => Some(value),
            name => name.strip_prefix("x-amz-checksum-"),
        };
        let checksum = algorithm.map(|algorithm| (algorithm, checksum_header(algorithm)));
        if let Some((algorithm, header)) = checksum
            && query.headers().any(|(found, value)| found == header && is_of_empty_body(algorithm, value))
        {
            continue;
        }
        if is_of_authentication(&name) || name == "x-amz-decoded-content-length" || name == "x-amz-trailer" {
            return Err(s3_error!(InvalidArgument, "{name} cannot be a query parameter of a presigned URL"));
        }
        let unusable = || s3_error!(InvalidArgument, "the query parameter \"{name}\" cannot be a header");
        let header = HeaderName::try_from(&name).map_err(|_| unusable())?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| unusable())?;
        if headers.contains_key(&header) {
            return Err(s3_error!(InvalidArgument, "{name} was sent as a query parameter and as a header"));
        }
        headers.append(header, value);
    }
    Ok(())
}
