//! A request whose signature s3s has verified, on its way to the endpoint: everything it acts on is signed, it is one of
//! the operations offered, and its sender may do it. Only then is it handed on, without the signature.

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
    authorization::{Authorizer, Principal},
    byte_range, document,
    operation::{Level, Operation, RequestBody},
    query::Query,
    receive::check_named_algorithm,
    signature,
};

/// Headers of the signature and of how the body travelled, of no meaning to the endpoint.
const SIGNATURE_HEADERS: [&str; 4] =
    ["authorization", "x-amz-content-sha256", "x-amz-date", "x-amz-decoded-content-length"];

/// The one way from the protocol to the endpoint's operations.
pub(super) struct Verified {
    endpoint: S3Service,
    authorizer: Authorizer,
}

impl Verified {
    /// `endpoint` must ask for no signature.
    pub(super) const fn new(endpoint: S3Service, authorizer: Authorizer) -> Self {
        Self { endpoint, authorizer }
    }
}

/// What the checks let through.
struct Admitted {
    operation: &'static Operation,
    /// `bucket` or `bucket/key`.
    resource: String,
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
        let unsigned = signature::unsigned_headers(&request.headers, &query);
        if !unsigned.is_empty() {
            return Ok(signature::headers_not_signed(&unsigned));
        }
        let admitted = admit(&request.method, &request.uri, &query, request.headers)?;
        let principal = Principal { access_key_id };
        self.authorizer.authorize(&principal, admitted.operation.action, &admitted.resource)?;

        let Admitted { operation, uri, mut headers, .. } = admitted;
        let mut verified = http::Request::new(Body::empty());
        *verified.extensions_mut() = request.extensions;
        verified.extensions_mut().insert(principal);
        *verified.body_mut() = match operation.body {
            RequestBody::Document => {
                let body = document::read(request.input, &headers, request.trailing_headers).await?;
                document::set_length(&mut headers, &body);
                Body::from(body)
            }
            RequestBody::Own => {
                request.trailing_headers.map(|trailers| verified.extensions_mut().insert(trailers));
                request.input
            }
        };
        byte_range::amend(&request.method, &mut headers);
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

/// Finds the operation, and makes the request that the endpoint sees of what was signed.
fn admit(method: &Method, uri: &Uri, query: &Query, mut headers: HeaderMap) -> S3Result<Admitted> {
    let path = percent_decode_str(uri.path()).decode_utf8().map_err(|_| s3_error!(InvalidURI))?;
    let path = parse_path_style(&path).map_err(|error| s3_error!(InvalidURI, "{error}"))?;
    let mut parameters = query.of_operation();
    if query.is_presigned() {
        take_headers(query, &mut headers)?;
    } else if query.headers().next().is_some() {
        // Only a presigned URL has no other place for them.
        parameters = query.clone();
    }
    let operation = Operation::find(method.as_str(), Level::of(&path), &parameters, &headers)?;
    check_named_algorithm(&headers)?;
    if let Some(length) = headers.remove("x-amz-decoded-content-length") {
        headers.insert(header::CONTENT_LENGTH, length);
    }
    SIGNATURE_HEADERS.iter().for_each(|name| _ = headers.remove(*name));
    let encoded = parameters.encoded();
    let whole = if encoded.is_empty() { uri.path().to_owned() } else { format!("{}?{encoded}", uri.path()) };
    let uri = whole.parse().map_err(|error| s3_error!(InvalidURI, "{error}"))?;
    let resource = match &path {
        S3Path::Root => "*".into(),
        S3Path::Bucket { bucket } => bucket.to_string(),
        S3Path::Object { bucket, key } => format!("{bucket}/{key}"),
    };
    Ok(Admitted { operation, resource, uri, headers })
}

/// Query parameters of a presigned URL that stand for headers become those headers.
fn take_headers(query: &Query, headers: &mut HeaderMap) -> S3Result<()> {
    for (name, value) in query.headers() {
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
