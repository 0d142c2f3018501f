//! The page of one object: the status of its thumbnails, its images, its attempts; and the form that retries it.

use std::fmt::Write as _;

use axum::{extract::State, response::Response};
use tintype_pipeline::ThumbnailStatus;

use super::{Console, answers, html, results};
use crate::{
    admin::{Entry, Fields, Handle as _, ObjectStatus, Refusal, RetryRequest, Settlement, StatusRequest},
    auth::Client,
};

pub(super) async fn page(
    State(console): State<Console>,
    client: Client,
    request: Result<Fields<StatusRequest>, Refusal>,
) -> Response {
    let title = request.as_ref().map_or_else(|_| String::new(), |Fields(request)| request.key.clone());
    let body = async {
        let Fields(request) = request?;
        console.inner.admin.blocking(move |admin| Ok(body(&request.handle(admin)?))).await
    };
    answers::page(client, &title, "/object", body.await)
}

/// Retries an object and leads back to its page. A browser changes line ends of a form's fields but not of its address,
/// so that keys are in the query.
pub(super) async fn retry(
    State(console): State<Console>,
    client: Client,
    request: Result<Fields<RetryRequest>, Refusal>,
) -> Response {
    let answer = async {
        let Fields(request) = request?;
        let key = request.key.clone();
        let answer = console.inner.admin.blocking(|admin| request.handle(admin)).await?;
        Ok::<_, Refusal>(html::object_link(&answer.bucket, &key).replace("&amp;", "&"))
    };
    match answer.await {
        Ok(link) => answers::see_other(&link),
        Err(Refusal { status, message }) => answers::problem(client, status, &message),
    }
}

fn body(known: &ObjectStatus) -> String {
    let ObjectStatus { bucket, key, object, wanted, thumbnails, history, .. } = known;
    let mut out = String::new();
    let _ = write!(
        out,
        "<div class=\"head\"><div><h1 class=\"key\">{}</h1><p class=\"help\">in {}</p></div></div>",
        html::text(key),
        html::text(bucket)
    );
    let (class, status) = match known.status {
        ThumbnailStatus::Current => ("good", "Its thumbnails are there."),
        ThumbnailStatus::Pending => ("calm", "Its thumbnails are still to be rendered."),
        ThumbnailStatus::Failed => ("bad", "It has no thumbnail."),
        ThumbnailStatus::Ignored => ("calm", "It gets no thumbnail."),
        ThumbnailStatus::Stale => ("bad", "A thumbnail is gone, or of an earlier version."),
        ThumbnailStatus::Missing => ("calm", "No thumbnail was rendered of it."),
        ThumbnailStatus::Unknown => ("calm", "There is no such object now."),
    };
    let _ = write!(
        out,
        "<section class=\"card verdict {class}\"><div><p>{}</p><p class=\"help\"><b>{status}</b> What to do: {}.</p></div>",
        last_event(known),
        html::text(&known.advice)
    );
    if object.is_some() && *wanted {
        let _ = write!(
            out,
            "<form method=\"post\" action=\"{}\"><button>Render again</button></form>",
            html::retry_link(bucket, key)
        );
    }
    out.push_str("</section>");
    if let Some(object) = object {
        out.push_str("<section class=\"images\">");
        let note = format!(
            "{} · {} · ETag {}",
            html::bytes(object.size),
            html::text(object.content_type.as_deref().unwrap_or("no type")),
            html::text(&object.etag)
        );
        let is_image = history.first().is_none_or(|last| last.reason != "unsupported");
        out.push_str(&if is_image {
            image("Source", (bucket, key), &object.etag, &note)
        } else {
            format!(
                "<figure class=\"card\"><figcaption><b>Source</b>, no image<br>{note}</figcaption></figure>"
            )
        });
        for thumbnail in thumbnails {
            let title = format!("{}/{}", thumbnail.bucket, thumbnail.key);
            let place = (thumbnail.bucket.as_str(), thumbnail.key.as_str());
            out.push_str(&image(&title, place, &thumbnail.etag, &html::bytes(thumbnail.size)));
        }
        out.push_str("</section>");
    }
    let _ = write!(out, "<section aria-labelledby=\"history\"><h2 id=\"history\">History</h2>");
    if history.is_empty() {
        out.push_str("<p class=\"help\">No attempt is known; attempts are stored for 15 days.</p>");
    }
    out.push_str("<ol class=\"list\">");
    out.extend(history.iter().map(results::item));
    out.push_str("</ol></section>");
    out
}

/// How its last event stands or ended, in a sentence.
fn last_event(known: &ObjectStatus) -> String {
    let ObjectStatus { object, event, result, history, wanted, .. } = known;
    match (object, event, history.first(), result) {
        (_, Some(event), ..) if event.failed > 0 => format!(
            "Waiting for another attempt since {}; {} so far. Last error: {}",
            html::time(event.due_ms),
            attempts(event.failed),
            html::text(event.last_error.as_deref().unwrap_or("none"))
        ),
        (_, Some(event), ..) => format!("Uploaded {}, waiting for its turn.", html::time(event.queued_ms)),
        (_, None, Some(last), _) => last_attempt(history, last),
        (_, None, None, Some(result)) => format!(
            "Uploaded {}, {}, {}.",
            html::time(result.queued_ms),
            attempts(result.attempts),
            html::text(result.why.as_deref().unwrap_or(&result.outcome))
        ),
        (Some(object), ..) if !*wanted => format!(
            "Uploaded {}. No trigger matches this bucket and key, so no thumbnail is rendered.",
            html::time(object.modified_ms)
        ),
        (Some(object), ..) => format!("Uploaded {}. No attempt is known.", html::time(object.modified_ms)),
        (None, ..) => "There is no object of this key, and no attempt of one is known.".into(),
    }
}

fn image(title: &str, (bucket, key): (&str, &str), version: &str, note: &str) -> String {
    format!(
        "<figure class=\"card\"><img src=\"{}\" alt=\"{}\" loading=\"lazy\"><figcaption><b>{}</b><br>{note}</figcaption></figure>",
        html::image_link(bucket, key, version),
        html::text(title),
        html::text(title)
    )
}

/// `tried twice`.
pub(super) fn attempts(count: u32) -> String {
    match count {
        1 => "tried once".into(),
        2 => "tried twice".into(),
        more => format!("tried {more} times"),
    }
}

/// The attempts since the last upload.
fn last_attempt(history: &[Entry], last: &Entry) -> String {
    let begun = match last.queued_ms {
        Some(queued) if last.is_from_upload() => format!("Uploaded {}", html::time(queued)),
        Some(queued) => format!("Queued again {}", html::time(queued)),
        None => format!("Requested {}", html::time(last.ended_ms)),
    };
    let tried = history.iter().filter(|entry| entry.queued_ms.is_some() && entry.queued_ms == last.queued_ms);
    let tried = u32::try_from(tried.count().max(1)).unwrap_or(u32::MAX).max(last.attempt);
    let end = match (last.has_failed(), last.next) {
        (true, Settlement::DeadLetter) => format!("dead letter: {}", html::text(&last.why)),
        (true, Settlement::Retry) => format!("to be retried: {}", html::text(&last.why)),
        (true, Settlement::Done) => format!("failed: {}", html::text(&last.why)),
        (false, _) => match last.latency_ms() {
            Some(ms) => {
                format!("{} {} later", html::text(&last.outcome.replace('_', " ")), html::ms(ms as f64))
            }
            None => html::text(&last.outcome.replace('_', " ")),
        },
    };
    format!("{begun}, {}, {end}", attempts(tried))
}
