//! A request whose signature s3s has verified: everything it acts on is signed, it is one of the operations offered, and
//! its sender is authorized. Only then is it passed on to the endpoint, without the signature.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use percent_encoding::percent_decode_str;
use s3s::{
    Body, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, dto,
    path::{S3Path, parse_path_style},
    route::S3Route,
    s3_error,
    service::S3Service,
};

use super::{
    access_denied, answers, attributes, blocking, byte_range, document,
    faults::s3,
    header_values,
    http_dates::{self, SignedByDate},
    operation_table::{Level, Operation, RequestBody},
    query::{Query, is_of_authentication},
    signature, tagging,
    upload_body::{check_named_algorithm, checksum_header, empty_checksum},
};
use crate::{
    auth::{AccessKeys, Action, Authorizer, Client, Principal, QuotaExceeded, RequestContext, Resource},
    storage::{Storage, StoreFault},
};

/// Headers of the signature and of the body's transfer, of no meaning to the endpoint.
const SIGNATURE_HEADERS: [&str; 4] =
    ["authorization", "x-amz-content-sha256", "x-amz-date", "x-amz-decoded-content-length"];

/// The one way from the protocol to the endpoint's operations.
pub(super) struct Verified {
    endpoint: S3Service,
    /// To look for what a sender may not read; none: nothing is looked for.
    store: Option<Arc<Storage>>,
    keys: Arc<AccessKeys>,
    authorizer: Authorizer,
}

impl Verified {
    /// `endpoint` must require no signature.
    pub(super) const fn new(
        endpoint: S3Service,
        store: Option<Arc<Storage>>,
        keys: Arc<AccessKeys>,
        authorizer: Authorizer,
    ) -> Self {
        Self { endpoint, store, keys, authorizer }
    }

    /// The refusal of a read that its sender may not do, if there is no such object and the sender may list it: it learns
    /// nothing new, and S3 answers so.
    async fn absence(
        &self,
        principal: &Principal,
        CheckedRequest { operation, path, .. }: &CheckedRequest,
        context: &RequestContext,
    ) -> Option<S3Error> {
        let S3Path::Object { bucket, key } = path else { return None };
        let context = RequestContext { prefix: Some(key.to_string()), ..context.clone() };
        let may_list =
            || self.authorizer.allows(principal, Action::ListBucket, &Resource::Bucket(bucket), &context);
        if operation.action != Action::GetObject || !may_list() {
            return None;
        }
        let (store, at) = (self.store.clone()?, answers::location(bucket, key).ok()?);
        let looked = blocking(move || match store.objects.head(&at).map_err(s3)? {
            Some(_) => Ok(()),
            None => Err(s3(StoreFault::NoSuchKey(at))),
        });
        looked.await.err()
    }

    /// Whether a principal may do what a request asks for, as far as its head says.
    fn authorize(
        &self,
        principal: &Principal,
        CheckedRequest { operation, path, uri, headers }: &CheckedRequest,
        context: &RequestContext,
    ) -> S3Result<()> {
        let resource = match path {
            S3Path::Root => Resource::Buckets,
            S3Path::Bucket { bucket } => Resource::Bucket(bucket),
            S3Path::Object { bucket, key } => Resource::Object { bucket, key },
        };
        // Its own buckets are listed to everybody, see `list_buckets`.
        let is_list = operation.action == Action::ListAllMyBuckets && self.authorizer.is_limited(principal);
        // Who is not known is not listened to for a whole document.
        if operation.is_decided_by_document && *principal == Principal::Anonymous {
            return Err(s3_error!(AccessDenied, "Signature is required"));
        }
        if operation.is_decided_by_document || is_list {
            return Ok(());
        }
        // A policy may deny the one or the other.
        let of_version = match operation.action {
            Action::GetObject => Some(Action::GetObjectVersion),
            Action::DeleteObject => Some(Action::DeleteObjectVersion),
            Action::GetObjectAttributes => Some(Action::GetObjectVersionAttributes),
            Action::GetObjectTagging => Some(Action::GetObjectVersionTagging),
            Action::DeleteObjectTagging => Some(Action::DeleteObjectVersionTagging),
            Action::GetObjectAcl => Some(Action::GetObjectVersionAcl),
            Action::PutObjectAcl => Some(Action::PutObjectVersionAcl),
            _ => None,
        };
        let of_version = of_version.filter(|_| Query::of(uri).has("versionId"));
        let of_acl = operation.acl_action().filter(|_| headers.contains_key("x-amz-acl"));
        let of_ownership =
            operation.ownership_action().filter(|_| headers.contains_key("x-amz-object-ownership"));
        let of_tags = operation.tagging_action().filter(|_| headers.contains_key("x-amz-tagging"));
        // Attributes are of who may read the object.
        let of_read = (operation.action == Action::GetObjectAttributes).then_some(Action::GetObject);
        // Whether it holds says something about the object.
        let of_condition = (operation.is_write_of_object() && headers.contains_key(header::IF_MATCH))
            .then_some(Action::GetObject);
        let more = of_version
            .into_iter()
            .chain(of_acl)
            .chain(of_ownership)
            .chain(of_tags)
            .chain(of_read)
            .chain(of_condition);
        [operation.action].into_iter().chain(more).try_for_each(|action| {
            let decided = self.authorizer.authorize(principal, action, &resource, context);
            decided.map_err(|denied| match operation.action {
                // That the bucket is not there yet is no reason.
                Action::CreateBucket => s3_error!(AccessDenied, "{denied}"),
                _ => access_denied(denied),
            })
        })
    }

    /// Counts the bytes of a body that becomes an object. Its length must be known: s3s demands one only of requests that
    /// are signed by a header.
    fn charge(&self, principal: &Principal, headers: &HeaderMap, body: &Body) -> S3Result<()> {
        let length = match headers.get(header::CONTENT_LENGTH) {
            Some(value) => value.to_str().ok().and_then(|value| value.parse().ok()),
            None => http_body::Body::size_hint(body).exact(),
        };
        let length = length.ok_or_else(|| {
            s3_error!(MissingContentLength, "You must provide the Content-Length HTTP header.")
        })?;
        self.keys.charge(principal, length).map_err(quota_exceeded)
    }
}

/// The refusal of bytes that are too many for today. Source: Ceph RGW, "Quota Management", whose code this is.
pub(super) fn quota_exceeded(error: QuotaExceeded) -> S3Error {
    let mut refusal = S3Error::with_message(S3ErrorCode::Custom("QuotaExceeded".into()), error.to_string());
    refusal.set_status_code(http::StatusCode::FORBIDDEN);
    refusal
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

    /// Requests without credentials are anonymous, and may do what is public.
    async fn check_access(&self, _: &mut S3Request<Body>) -> S3Result<()> {
        Ok(())
    }

    async fn call(&self, request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let access_key_id = request.credentials.as_ref().map(|credentials| credentials.access_key.clone());
        let query = Query::of(&request.uri);
        let is_signed = query.is_presigned() || request.headers.contains_key(header::AUTHORIZATION);
        let principal = match (access_key_id, request.service.as_deref()) {
            (None, None) if !is_signed => Principal::Anonymous,
            // s3s verifies forms, too, whose policy signs nothing of all this.
            (Some(_), _) if !is_signed => return Err(s3_error!(AccessDenied, "Signature is required")),
            (Some(id), Some("s3")) => {
                let mut unsigned = signature::unsigned_headers(&request.headers, &query);
                // Its value is `Date`'s, and its time is signed.
                if request.extensions.get::<SignedByDate>().is_some() {
                    unsigned.retain(|name| *name != "x-amz-date");
                }
                if !unsigned.is_empty() {
                    return Ok(signature::headers_not_signed(&unsigned));
                }
                self.keys.use_now(&id);
                Principal::AccessKey(id.into())
            }
            _ => return Err(s3_error!(AccessDenied, "the request is not signed for the service s3")),
        };
        let client = request.extensions.get().copied().unwrap_or_default();
        let sent = request.headers.clone();
        let checked = check(&request.method, &request.uri, &query, request.headers)?;
        let context = context(client, &sent, &query, &checked);
        if principal == Principal::Anonymous && query.iter().any(|(name, _)| name.starts_with("response-")) {
            return Err(s3_error!(
                InvalidRequest,
                "Request specific response headers cannot be used for anonymous GET requests."
            ));
        }
        if let Err(refusal) = self.authorize(&principal, &checked, &context) {
            return Err(self.absence(&principal, &checked, &context).await.unwrap_or(refusal));
        }
        let CheckedRequest { operation, uri, mut headers, .. } = checked;
        let expires = http_dates::take_expires(&mut headers)?;
        http_dates::normalize_conditions(&mut headers);
        if operation.body == RequestBody::Object {
            self.charge(&principal, &headers, &request.input)?;
        }
        let mut verified = http::Request::new(Body::empty());
        *verified.extensions_mut() = request.extensions;
        verified.extensions_mut().insert(principal);
        verified.extensions_mut().insert(context);
        expires.map(|expires| verified.extensions_mut().insert(expires));
        *verified.body_mut() = match operation.body {
            RequestBody::None => {
                document::require_empty(request.input).await?;
                Body::empty()
            }
            RequestBody::Document { checksums } => {
                let trailers = request.trailing_headers;
                Body::from(document::read(request.input, &mut headers, trailers, checksums, true).await?)
            }
            RequestBody::Json => {
                let trailers = request.trailing_headers;
                Body::from(document::read(request.input, &mut headers, trailers, true, false).await?)
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
        let is_done = operation.action == Action::GetObjectAttributes && head.status.is_success();
        let body = if is_done { attributes::unquoted(body).await? } else { body };
        let mut response = S3Response::new(body);
        let status = head.extensions.get::<answers::Status>().map(|status| status.0);
        response.status = Some(status.unwrap_or(head.status));
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

/// What a verified request gives for the conditions of policies.
fn context(client: Client, sent: &HeaderMap, query: &Query, checked: &CheckedRequest) -> RequestContext {
    let CheckedRequest { operation, headers, .. } = checked;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let parameter = |name: &str| query.get(name).filter(|_| operation.is_listing()).map(str::to_owned);
    let copied = header("x-amz-copy-source");
    let copied = copied.and_then(|source| dto::CopySource::parse(&source).ok());
    let copied = copied.and_then(|source| answers::copy_source(&source).ok());
    RequestContext {
        prefix: parameter("prefix"),
        delimiter: parameter("delimiter"),
        max_keys: parameter("max-keys").and_then(|number| number.parse().ok()),
        acl: header("x-amz-acl"),
        request_tags: header("x-amz-tagging")
            .and_then(|tags| tagging::of_header(&tags).ok())
            .unwrap_or_default(),
        copy_source: copied.map(|at| format!("{}/{}", at.bucket, at.key)),
        metadata_directive: header("x-amz-metadata-directive"),
        server_side_encryption: header("x-amz-server-side-encryption"),
        storage_class: header("x-amz-storage-class"),
        grant_full_control: header("x-amz-grant-full-control"),
        auth_type: match (query.is_presigned(), sent.contains_key(header::AUTHORIZATION)) {
            (true, _) => Some("REST-QUERY-STRING"),
            (_, true) => Some("REST-HEADER"),
            _ => None,
        },
        signature_age: signature::age(sent, query),
        content_sha256: sent
            .get("x-amz-content-sha256")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
            .or_else(|| query.is_presigned().then(|| "UNSIGNED-PAYLOAD".to_owned())),
        ..RequestContext::new(client, sent)
    }
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
