//! Uploads by HTML form: the file of a `multipart/form-data` POST becomes an object, if the form's signed
//! policy allows it. The fields are read and checked before a byte of the file is taken, and the file is
//! streamed to disk.
//! Sources: AWS, "POST Object"; "Browser-based uploads using POST (AWS Signature Version 4)".

pub(super) mod fields;
pub(super) mod policy;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::StreamExt as _;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyDataStream;
use hyper::body::Incoming as HttpBody;
use multer::{Field, Multipart};
use s3s::{S3Error, S3Result, s3_error};
use tintype_pipeline::store::{Condition, Location};

use super::{
    AccessKeys, MAX_BODY, access_denied, answers, blocking, bucket_configuration::acl_of_new_object,
    faults::s3, query::Query, verified_request::quota_exceeded,
};
use crate::{
    auth::{Action, Authorizer, Client, QuotaExceeded, RequestContext},
    listen::{BodyTimeoutError, TimeoutBody},
    request_id,
    storage::{Cause, Incoming, ObjectDetails, ObjectRecord, Storage},
};
use fields::Fields;

/// Bytes of fields, of their heads, and of what arrived of the file with them: the parser buffers them before anything
/// is checked.
const MAX_BEFORE_FILE: usize = 256 << 10;

/// Within this all that is before the file must arrive.
const BEFORE_FILE_TIMEOUT: Duration = Duration::from_secs(30);

/// Whether a request is an upload by form. Compares bytes, of every value: what is passed to the protocol's operations
/// must be no form to s3s, as a form's policy signs nothing but fields.
pub(super) fn is_form<B>(request: &Request<B>) -> bool {
    let mut kinds = request.headers().get_all(header::CONTENT_TYPE).iter();
    *request.method() == http::Method::POST
        && kinds
            .any(|kind| kind.as_bytes().trim_ascii().to_ascii_lowercase().starts_with(b"multipart/form-data"))
}

/// Stores the form's file.
pub(super) async fn upload(
    store: Arc<Storage>,
    keys: &AccessKeys,
    authorizer: &Authorizer,
    encrypted_at_rest: bool,
    request: Request<HttpBody>,
) -> S3Result<Response<s3s::Body>> {
    let bucket = bucket(request.uri().path())?;
    let (client, sent) = (request.extensions().get().copied(), request.headers().clone());
    check_nothing_unsigned(&request)?;
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let boundary = multer::parse_boundary(kind.unwrap_or_default()).map_err(|error| malformed(&error))?;
    let before_file = Arc::new(AtomicBool::new(true));
    let (is_before, mut received) = (before_file.clone(), 0);
    let body = BodyDataStream::new(TimeoutBody::new(request.into_body())).map(move |chunk| {
        let chunk = chunk.map_err(std::io::Error::other)?;
        if is_before.load(Ordering::Relaxed) {
            received += chunk.len();
            if received > MAX_BEFORE_FILE {
                return Err(std::io::Error::other("too many bytes before the file"));
            }
        }
        Ok(chunk)
    });
    let mut form = Multipart::new(body, boundary);
    let (fields, file) =
        tokio::time::timeout(BEFORE_FILE_TIMEOUT, fields::read(&mut form)).await.map_err(|_| {
            let seconds = BEFORE_FILE_TIMEOUT.as_secs();
            s3_error!(RequestTimeout, "The fields before the file did not arrive within {seconds} s")
        })??;
    before_file.store(false, Ordering::Relaxed);
    let (principal, allowed) = policy::check(&fields, &bucket, keys, time::OffsetDateTime::now_utc())?;
    let at = answers::location(&bucket, &fields.key())?;
    let client: Client = client.unwrap_or_default();
    let tags = fields.tags()?;
    check_encryption(fields.encryption(), encrypted_at_rest)?;
    let context = RequestContext {
        auth_type: Some("POST"),
        acl: fields.get("acl").map(str::to_owned),
        request_tags: tags.clone(),
        server_side_encryption: fields.encryption().map(str::to_owned),
        ..RequestContext::new(client, &sent)
    };
    let of_acl = fields.get("acl").map(|_| Action::PutObjectAcl);
    let of_tags = fields.get("tagging").map(|_| Action::PutObjectTagging);
    for action in [Action::PutObject].into_iter().chain(of_acl).chain(of_tags) {
        authorizer.authorize(&principal, action, &(&at).into(), &context).map_err(access_denied)?;
    }
    let cause =
        Cause::new("ObjectCreated:Post", request_id::current()).with_key(authorizer.owner(&principal));
    keys.0.use_now(principal.access_key_id().unwrap_or_default());
    let of_bucket = store.buckets.entry(&at.bucket);
    let acl = acl_of_new_object(fields.get("acl"), of_bucket.as_deref(), authorizer.default_block())?;
    let begin = {
        let (store, at, headers) = (store.clone(), at.clone(), fields.headers()?);
        move || -> S3Result<Incoming> {
            let mut incoming = store.objects.begin(&at, headers).map_err(s3)?;
            incoming.set_details(ObjectDetails { acl, tags, ..ObjectDetails::default() });
            Ok(incoming)
        }
    };
    let incoming = blocking(begin).await?;
    let charge = |bytes| keys.0.charge(&principal, bytes);
    let record = store_file(store, &at, incoming, file, allowed, cause, charge).await?;
    let url = answers::url(sent.get(header::HOST), client.is_encrypted, &at);
    let mut response = answer(&fields, &at, &url, &record)?;
    if encrypted_at_rest {
        insert(&mut response, header::HeaderName::from_static("x-amz-server-side-encryption"), "AES256");
    }
    Ok(response)
}

/// As of a put, see `Endpoint::check_encryption`.
fn check_encryption(wanted: Option<&str>, encrypted_at_rest: bool) -> S3Result<()> {
    match wanted {
        None => Ok(()),
        Some("AES256") if encrypted_at_rest => Ok(()),
        Some(_) => Err(s3_error!(
            NotImplemented,
            "the form's field x-amz-server-side-encryption is offered only with AES256, and that only where \
             storage.encrypted_at_rest = true says that the server's disk is encrypted"
        )),
    }
}

/// A form's policy signs its fields alone.
fn check_nothing_unsigned(request: &Request<HttpBody>) -> S3Result<()> {
    let query = Query::of(request.uri());
    if let Some((name, _)) = query.of_operation().iter().next() {
        return Err(s3_error!(NotImplemented, "a form with the query parameter \"{name}\" is not offered"));
    }
    if query.is_presigned() || request.headers().contains_key(header::AUTHORIZATION) {
        return Err(s3_error!(
            InvalidArgument,
            "Only one auth mechanism allowed; a form is signed by its policy"
        ));
    }
    let of_url = query.headers().map(|(name, _)| name).next();
    let header = request.headers().keys().find(|name| name.as_str().starts_with("x-amz-"));
    if let Some(name) = of_url.or_else(|| header.map(ToString::to_string)) {
        return Err(s3_error!(
            AccessDenied,
            "There were headers present in the request which were not signed: {name}; a form sends it as a field"
        ));
    }
    Ok(())
}

/// Path style: the bucket alone.
fn bucket(path: &str) -> S3Result<String> {
    let name = path.trim_matches('/');
    if name.is_empty() || name.contains('/') {
        return Err(s3_error!(
            MethodNotAllowed,
            "a form is sent to the bucket's URL, and names the key in a field"
        ));
    }
    let name = percent_encoding::percent_decode_str(name).decode_utf8();
    Ok(name.map_err(|_| s3_error!(InvalidURI))?.into_owned())
}

/// Stores the file chunk by chunk; a refused one leaves nothing.
async fn store_file(
    store: Arc<Storage>,
    at: &Location,
    mut incoming: Incoming,
    mut file: Field<'_>,
    allowed: policy::Sizes,
    cause: Cause,
    charge: impl Fn(u64) -> Result<(), QuotaExceeded>,
) -> S3Result<ObjectRecord> {
    let max = allowed.max.min(MAX_BODY);
    while let Some(chunk) = file.chunk().await.map_err(|error| malformed(&error))? {
        if incoming.size() + chunk.len() as u64 > max {
            return Err(s3_error!(
                EntityTooLarge,
                "Your proposed upload exceeds the maximum allowed size ({max})"
            ));
        }
        charge(chunk.len() as u64).map_err(quota_exceeded)?;
        incoming = blocking(move || {
            incoming.write(&chunk).map_err(s3)?;
            Ok(incoming)
        })
        .await?;
    }
    if incoming.size() < allowed.min {
        return Err(s3_error!(
            EntityTooSmall,
            "Your proposed upload is smaller than the minimum allowed size ({})",
            allowed.min
        ));
    }
    let at = at.clone();
    blocking(move || store.objects.commit(&at, incoming, Condition::Any, cause).map_err(s3)).await
}

fn malformed(error: &(dyn std::error::Error + Send + Sync + 'static)) -> S3Error {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.is::<BodyTimeoutError>() {
            return s3_error!(RequestTimeout, "{error}");
        }
        cause = error.source();
    }
    s3_error!(
        MalformedPOSTRequest,
        "The body of your POST request is not well-formed multipart/form-data: {error}"
    )
}

/// 204, or what the form's `success_action_*` fields name.
fn answer(
    fields: &Fields,
    at: &Location,
    location: &str,
    record: &ObjectRecord,
) -> S3Result<Response<s3s::Body>> {
    let etag = format!("\"{}\"", record.etag);
    let mut response = Response::new(s3s::Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    // The file is stored already, so an invalid URL must not fail the request.
    let redirect = fields.get("success_action_redirect").and_then(|url| url::Url::parse(url).ok());
    if let Some(mut url) = redirect {
        url.query_pairs_mut()
            .append_pair("bucket", &at.bucket)
            .append_pair("key", at.key.as_str())
            .append_pair("etag", &etag);
        *response.status_mut() = StatusCode::SEE_OTHER;
        insert(&mut response, header::LOCATION, url.as_str());
    } else {
        insert(&mut response, header::LOCATION, location);
        match fields.get("success_action_status") {
            Some("200") => *response.status_mut() = StatusCode::OK,
            Some("201") => {
                *response.status_mut() = StatusCode::CREATED;
                let text = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                let xml = format!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PostResponse><Location>{}</Location>\
                     <Bucket>{}</Bucket><Key>{}</Key><ETag>{}</ETag></PostResponse>",
                    text(location),
                    text(&at.bucket),
                    text(at.key.as_str()),
                    text(&etag)
                );
                insert(&mut response, header::CONTENT_TYPE, "application/xml");
                *response.body_mut() = s3s::Body::from(xml);
            }
            _ => {}
        }
    }
    insert(&mut response, header::ETAG, &etag);
    Ok(response)
}

fn insert(response: &mut Response<s3s::Body>, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_one_whatever_else_its_type_holds() {
        let is_form_of = |method: &str, kinds: &[&[u8]]| {
            let mut request = Request::builder().method(method).body(()).unwrap();
            for kind in kinds {
                request.headers_mut().append(header::CONTENT_TYPE, HeaderValue::from_bytes(kind).unwrap());
            }
            is_form(&request)
        };
        for kind in [
            &b"multipart/form-data; boundary=b"[..],
            b"Multipart/Form-Data",
            b"multipart/form-data; boundary=b; a=\"\xc3\xbc\"",
            b" multipart/form-data; boundary=\xff",
        ] {
            assert!(is_form_of("POST", &[kind]) && is_form_of("POST", &[b"text/plain", kind]));
            assert!(!is_form_of("PUT", &[kind]));
        }
        assert!(!is_form_of("POST", &[]) && !is_form_of("POST", &[b"multipart/mixed"]));
    }
}
