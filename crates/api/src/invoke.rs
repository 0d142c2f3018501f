//! POST: runs the function on the objects that a JSON body names, or on an image in the body.

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use serde_json::{Value, json};
use tintype_pipeline::{
    Ignored, Outcome, Report,
    event::{self, Event, Kind, Record, form_encoded},
    trigger::default_trigger,
};

use crate::{
    Api, Deadline, Host, Queued, Refused,
    answer::{self, message},
    body, image, multipart,
    openapi::{BucketQuery, FileForm, InvokeRequest, RecordResults, SpecQuery},
    query::Query,
    refusals::PostRefusals,
    routes::INFO,
};

/// The most records of one request.
const MOST_RECORDS: usize = 1000;

#[utoipa::path(
    post,
    path = "",
    operation_id = "makeThumbnails",
    params(
        ("key" = inline(Option<String>), Query, description = "With an image body: store it under this key, too."),
        BucketQuery,
        SpecQuery,
        ("Prefer" = inline(Option<String>), Header, description = "respond-async: queue and answer at once.")
    ),
    request_body(content(
        (InvokeRequest = "application/json"),
        (String = "image/jpeg"),
        (String = "image/png"),
        (String = "application/octet-stream"),
        (FileForm = "multipart/form-data")
    )),
    responses(
        (status = 200, description = "The outcome of each record, or the thumbnail of the image.", content((RecordResults = "application/json"), (String = "image/jpeg"), (String = "image/png"), (String = "image/webp"), (String = "image/avif"), (String = "image/gif"))),
        (status = 202, body = RecordResults, description = "Queued: ask at Location."),
        PostRefusals,
    )
)]
pub(crate) async fn post<H: Host>(State(api): State<Api<H>>, request: Request) -> Response {
    match response(&api, request).await {
        Ok(response) | Err(response) => *response,
    }
}

async fn response<H: Host>(api: &Api<H>, request: Request) -> Result<Box<Response>, Box<Response>> {
    let query = Query::of(request.uri(), &api.config, &api.host)?;
    query.delivery.refuse()?;
    let deadline = Deadline::of(&request);
    let (head, body) = request.into_parts();
    let kind = body::media_type(&head.headers);
    let bad = |text: String| Box::new(message(StatusCode::BAD_REQUEST, text));
    let max = api.config.max_body;
    Ok(Box::new(match kind.as_str() {
        "application/json" | "" if query.has_spec || query.key.is_some() || query.names_bucket => {
            return Err(bad("a JSON body takes no query fields; name the keys in the body".into()));
        }
        "application/json" | "" => {
            run(api, &head.headers, &body::read_json(body, max).await?, deadline).await
        }
        "multipart/form-data" => {
            let form = body::read(body, max).await?;
            let (kind, file) = multipart::file(&head.headers, form).await.map_err(bad)?;
            if !is_image(&kind) {
                let text = format!(
                    "the form's file is of type \"{kind}\"; image/* and application/octet-stream are taken"
                );
                return Err(Box::new(message(StatusCode::UNSUPPORTED_MEDIA_TYPE, text)));
            }
            image::post(api, query, kind, file, deadline).await
        }
        kind if is_image(kind) => {
            image::post(api, query, kind.to_owned(), body::read(body, max).await?, deadline).await
        }
        other => message(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!(
                "Content-Type \"{other}\" is not taken; send application/json, image/*, application/octet-stream or \
                 multipart/form-data"
            ),
        ),
    }))
}

/// Whether a body of this media type may be an image.
fn is_image(kind: &str) -> bool {
    kind == "application/octet-stream" || kind.starts_with("image/")
}

/// Runs the function on every record of an event, or queues it.
async fn run<H: Host>(api: &Api<H>, headers: &HeaderMap, body: &[u8], deadline: Deadline) -> Response {
    // The margin is for the response, with the records that were handled by then.
    let deadline = deadline.with_margin();
    let triggers = api.host.triggers();
    let bucket = default_trigger(&triggers).map(|trigger| trigger.bucket.as_str()).unwrap_or_default();
    // The raw parts are dropped before the records are handled.
    let parts: Vec<_> = match event::parse(body, bucket, MOST_RECORDS) {
        Err(error) => return message(StatusCode::BAD_REQUEST, error),
        Ok(Event::Test) => return answer::json(StatusCode::OK, &json!({"records": []})),
        Ok(Event::Records(parts)) => parts.into_iter().map(|part| part.record).collect(),
    };
    // No record can be read: the request itself is malformed.
    if let Some(Err(error)) = parts.first()
        && parts.iter().all(Result::is_err)
    {
        return message(StatusCode::BAD_REQUEST, error);
    }
    let mut records = Records::default();
    let is_async = prefers_async(headers);
    for record in parts {
        let record = match record {
            Err(error) => {
                records.push(&Report::bad_event(error));
                continue;
            }
            Ok(record) => record,
        };
        if is_async && record.kind != Kind::Other {
            match api.host.enqueue(record.clone()).await {
                Ok(Queued::NoQueue) => {}
                Ok(Queued::Yes) => {
                    // Where callers differ in what they may read, they may differ in which bucket is meant by default.
                    let default = api.host.audience().map(|_| bucket);
                    records.queued(&api.config.path, default, &record);
                    continue;
                }
                Ok(Queued::NoTrigger) => {
                    records.push(&Report::of(&record, Outcome::Ignored(Ignored::NoTrigger)));
                    continue;
                }
                Err(failure) => {
                    records.push(&Report::of(&record, Outcome::Failed(failure)));
                    continue;
                }
            }
        }
        let invoked = tokio::time::timeout_at(deadline.0.into(), api.host.invoke(record, deadline)).await;
        match invoked.unwrap_or(Err(Refused::TimedOut)) {
            Ok(report) => records.push(&report),
            // Earlier records are done; the client sends the rest again.
            Err(refused) if records.results.is_empty() => return answer::refused(refused),
            Err(refused) => return records.interrupted(answer::refused(refused)),
        }
    }
    records.answer()
}

/// Whether a request's records are to be queued; an image in the body is always rendered at once.
#[must_use]
pub fn is_to_be_queued(headers: &HeaderMap) -> bool {
    matches!(body::media_type(headers).as_str(), "application/json" | "") && prefers_async(headers)
}

/// Whether the client prefers queueing to waiting. Source: RFC 7240, section 4.1.
fn prefers_async(headers: &HeaderMap) -> bool {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"))
}

/// The results of the records so far.
#[derive(Default)]
struct Records {
    results: Vec<Value>,
    failed_transiently: bool,
    /// The status URL of the first queued record.
    ask: Option<String>,
}

impl Records {
    fn push(&mut self, report: &Report) {
        self.failed_transiently |=
            matches!(&report.outcome, Outcome::Failed(failure) if !failure.reason.is_permanent());
        self.results.push(report.to_json());
    }

    /// A record of `default_bucket` is asked for without its bucket.
    fn queued(&mut self, path: &str, default_bucket: Option<&str>, record: &Record) {
        let mut ask = format!("{path}{INFO}?key={}", form_encoded(record.key.as_str()));
        if default_bucket != Some(record.bucket.as_str()) {
            ask = format!("{ask}&bucket={}", form_encoded(&record.bucket));
        }
        self.results.push(json!({
            "source": {"bucket": record.bucket, "key": record.key.as_str()},
            "outcome": "queued",
            "renditions": [],
            "ask": ask,
        }));
        self.ask.get_or_insert(ask);
    }

    fn interrupted(self, mut response: Response) -> Response {
        let body =
            json!({"message": "some records were not handled; send them again", "records": self.results});
        *response.body_mut() = Body::from(body.to_string());
        response
    }

    fn answer(self) -> Response {
        let mut answer = json!({"records": self.results});
        if self.failed_transiently {
            answer["message"] = "a record failed in a way that trying again may fix; see \"records\"".into();
            return answer::json(StatusCode::INTERNAL_SERVER_ERROR, &answer);
        }
        let Some(ask) = self.ask else { return answer::json(StatusCode::OK, &answer) };
        let mut response = answer::json(StatusCode::ACCEPTED, &answer);
        let headers = response.headers_mut();
        headers.insert("preference-applied", HeaderValue::from_static("respond-async"));
        if let Ok(ask) = HeaderValue::from_str(&ask) {
            headers.insert(header::LOCATION, ask);
        }
        response
    }
}
