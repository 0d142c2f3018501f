//! GET and HEAD: the thumbnail of an object in the source bucket, made if it is missing.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use tintype_engine::Spec;
use tintype_function::{
    Location, ObjectKey, Outcome,
    event::{Kind, Record},
    fingerprint::fingerprint,
};

use crate::{
    Api, Host,
    answer::{self, message},
    query,
};

/// A thumbnail ready to be answered.
struct Ready {
    bytes: Bytes,
    content_type: String,
    etag: String,
    modified_ms: Option<i64>,
}

pub(crate) async fn get<H: Host>(api: &Api<H>, request: Request) -> Response {
    let base =
        api.config.trigger.renditions.first().map(|rendition| rendition.spec.clone()).unwrap_or_default();
    let query = match query::parse(request.uri().query().unwrap_or_default(), &base) {
        Ok(query) => query,
        Err(error) => return message(StatusCode::BAD_REQUEST, error),
    };
    let Some(key) = query.key else {
        return message(StatusCode::BAD_REQUEST, "which image? Add ?key= and its key in the source bucket");
    };
    let ready = match query.spec {
        Some(spec) => rendered(api, key, spec).await,
        None => stored(api, key).await,
    };
    match ready {
        Ok(ready) => respond(api, &request, ready),
        Err(response) => *response,
    }
}

/// The first stored rendition, made if it is missing or out of date.
async fn stored<H: Host>(api: &Api<H>, key: ObjectKey) -> Result<Ready, Box<Response>> {
    let record = Record {
        kind: Kind::Created,
        name: "ObjectCreated:Get".into(),
        bucket: api.config.trigger.bucket.clone(),
        key,
        etag: None,
        size: None,
        sequencer: None,
    };
    let report = api.host.invoke(record).await.map_err(|refused| Box::new(answer::refused(refused)))?;
    let rendition = match &report.outcome {
        Outcome::Failed(failure) => return Err(Box::new(answer::failure(failure))),
        Outcome::Ignored(why) => {
            return Err(Box::new(message(StatusCode::NOT_FOUND, format!("there is no thumbnail: {why}"))));
        }
        Outcome::Made | Outcome::UpToDate | Outcome::Removed => report.renditions.first(),
    };
    let gone = || Box::new(message(StatusCode::NOT_FOUND, "the thumbnail is gone; ask again"));
    let at = rendition.ok_or_else(gone)?.at.clone();
    let object =
        api.host.read(at).await.map_err(|failure| Box::new(answer::failure(&failure)))?.ok_or_else(gone)?;
    Ok(Ready {
        bytes: object.bytes,
        content_type: object.stat.content_type.unwrap_or_else(|| "application/octet-stream".into()),
        etag: object.stat.etag,
        modified_ms: Some(object.stat.modified_ms),
    })
}

/// A rendition of the request's own, not stored.
async fn rendered<H: Host>(api: &Api<H>, key: ObjectKey, spec: Spec) -> Result<Ready, Box<Response>> {
    let at = Location { bucket: api.config.trigger.bucket.clone(), key };
    let recipe = fingerprint(&spec);
    let made =
        api.host.render_object(at, spec).await.map_err(|refused| Box::new(answer::refused(refused)))?;
    let (source, thumbnail) = made.map_err(|failure| Box::new(answer::failure(&failure)))?;
    Ok(Ready {
        bytes: thumbnail.bytes.into(),
        content_type: thumbnail.format.media_type().into(),
        etag: format!("{}-{recipe}", source.etag),
        modified_ms: Some(source.modified_ms),
    })
}

fn respond<H: Host>(api: &Api<H>, request: &Request, ready: Ready) -> Response {
    let etag = format!("\"{}\"", ready.etag);
    let unchanged = is_unchanged(request.headers(), &etag);
    let head = *request.method() == Method::HEAD;
    let length = ready.bytes.len();
    let mut response = Response::new(if unchanged || head { Body::empty() } else { Body::from(ready.bytes) });
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let modified = ready.modified_ms.and_then(http_date);
    let mut insert = |name: header::HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    insert(header::ETAG, &etag);
    insert(header::CACHE_CONTROL, &format!("max-age={}", api.config.cache_ttl_s));
    if let Some(modified) = modified {
        insert(header::LAST_MODIFIED, &modified);
    }
    if !unchanged {
        insert(header::CONTENT_TYPE, &ready.content_type);
        insert(header::CONTENT_LENGTH, &length.to_string());
    }
    response
}

/// RFC 9110, section 13.1.2: weak comparison, any of the list.
fn is_unchanged(headers: &HeaderMap, etag: &str) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|value| value == "*" || value.strip_prefix("W/").unwrap_or(value) == etag)
}

/// RFC 9110, section 5.6.7.
fn http_date(milliseconds: i64) -> Option<String> {
    let format = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    time::OffsetDateTime::from_unix_timestamp(milliseconds.div_euclid(1000)).ok()?.format(format).ok()
}
