//! POST: run the function on objects, or on the image in the body.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use serde_json::json;
use tintype_engine::{Spec, Thumbnail};
use tintype_function::{
    Failure, ObjectKey, Outcome, Report,
    event::{self, Event, Kind, Record},
};

use crate::{
    Api, Host,
    answer::{self, message},
    query,
};

pub(crate) async fn post<H: Host>(api: &Api<H>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let base =
        api.config.trigger.renditions.first().map(|rendition| rendition.spec.clone()).unwrap_or_default();
    let query = match query::parse(head.uri.query().unwrap_or_default(), &base) {
        Ok(query) => query,
        Err(error) => return message(StatusCode::BAD_REQUEST, error),
    };
    let kind = media_type(&head.headers);
    let body = match axum::body::to_bytes(body, api.config.max_body).await {
        Ok(body) => body,
        Err(error) => return unreadable(&error, api.config.max_body),
    };
    match kind.as_str() {
        "application/json" | "" if query.spec.is_none() && query.key.is_none() => run(api, &body).await,
        "application/json" => {
            message(StatusCode::BAD_REQUEST, "a JSON body takes no query fields; name the keys in the body")
        }
        "application/octet-stream" => image(api, query.key, query.spec.unwrap_or(base), kind, body).await,
        image_type if image_type.starts_with("image/") => {
            image(api, query.key, query.spec.unwrap_or(base), kind, body).await
        }
        other => message(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!(
                "Content-Type \"{other}\" is not taken; send application/json, image/* or application/octet-stream"
            ),
        ),
    }
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn unreadable(error: &axum::Error, max: usize) -> Response {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return message(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!(
                    "the body has more than {max} bytes (api.max_body); upload larger images to the source bucket"
                ),
            );
        }
        cause = error.source();
    }
    message(StatusCode::BAD_REQUEST, format!("the body could not be read: {error}"))
}

/// Runs the function on every record of an event.
async fn run<H: Host>(api: &Api<H>, body: &[u8]) -> Response {
    let parts = match event::parse(body, &api.config.trigger.bucket) {
        Err(error) => return message(StatusCode::BAD_REQUEST, error),
        Ok(Event::Test) => return answer::json(StatusCode::OK, &json!({"records": []})),
        Ok(Event::Records(parts)) => parts,
    };
    let mut reports = Vec::with_capacity(parts.len());
    for part in parts {
        reports.push(match part.record {
            Err(error) => Report::bad_event(error),
            Ok(record) => match api.host.invoke(record).await {
                Ok(report) => report,
                // What was done before stands; the rest is to be sent again.
                Err(refused) if reports.is_empty() => return answer::refused(refused),
                Err(refused) => {
                    let mut response = answer::refused(refused);
                    let records: Vec<_> = reports.iter().map(Report::to_json).collect();
                    let body = json!({"message": "some records were not handled; send them again", "records": records});
                    *response.body_mut() = Body::from(body.to_string());
                    return response;
                }
            },
        });
    }
    let transient = reports
        .iter()
        .any(|report| matches!(&report.outcome, Outcome::Failed(failure) if !failure.reason.is_permanent()));
    let status = if transient { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
    let records: Vec<_> = reports.iter().map(Report::to_json).collect();
    let mut answer = json!({"records": records});
    if transient {
        answer["message"] = "a record failed in a way that trying again may mend; see \"records\"".into();
    }
    answer::json(status, &answer)
}

/// Makes a thumbnail of the body; with a key, the image is stored and its stored renditions are made too.
async fn image<H: Host>(
    api: &Api<H>,
    key: Option<ObjectKey>,
    spec: Spec,
    content_type: String,
    body: Bytes,
) -> Response {
    // Rendered first: nothing is stored of what is no picture.
    let thumbnail = match api.host.render(body.clone(), spec).await {
        Err(refused) => return answer::refused(refused),
        Ok(Err(failure)) => return answer::failure(&failure),
        Ok(Ok((_, thumbnail))) => thumbnail,
    };
    if let Some(key) = key {
        match store(api, key, content_type, body).await {
            Ok(Some(response)) => return response,
            Ok(None) => {}
            Err(failure) => return answer::failure(&failure),
        }
    }
    picture(thumbnail)
}

/// Stores the image and makes its renditions; answers a response only if that did not work.
async fn store<H: Host>(
    api: &Api<H>,
    key: ObjectKey,
    content_type: String,
    body: Bytes,
) -> Result<Option<Response>, Failure> {
    let size = body.len() as u64;
    api.host.upload(key.clone(), content_type, body).await?;
    let record = Record {
        kind: Kind::Created,
        name: "ObjectCreated:Post".into(),
        bucket: api.config.trigger.bucket.clone(),
        key,
        etag: None,
        size: Some(size),
        sequencer: None,
    };
    match api.host.invoke(record).await {
        Err(refused) => Ok(Some(answer::refused(refused))),
        Ok(Report { outcome: Outcome::Failed(failure), .. }) => Err(failure),
        Ok(_) => Ok(None),
    }
}

fn picture(thumbnail: Thumbnail) -> Response {
    let number = |number: u32| HeaderValue::from_str(&number.to_string()).ok();
    let mut response = Response::new(Body::from(thumbnail.bytes));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(thumbnail.format.media_type()));
    for (name, value) in [("x-tintype-width", thumbnail.width), ("x-tintype-height", thumbnail.height)] {
        if let Some(value) = number(value) {
            headers.insert(name, value);
        }
    }
    response
}
