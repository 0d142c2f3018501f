//! Everything that is known of one object: its state, its thumbnails, its history; and trying it again.

use std::fmt::Write as _;

use axum::{
    Form,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use tintype_api::message;
use tintype_pipeline::Location;

use super::{
    Console, Inner,
    answers::{self, see_other},
    html,
    pictures::Place,
    results,
    story::{State as Stands, Story},
};
use crate::{
    auth::Client,
    history::{Entry, Settlement},
    queue::DeadLetterFilter,
    request_id,
    storage::{Cause, StoreFault},
};

pub(super) async fn page(
    State(console): State<Console>,
    client: Client,
    Query(place): Query<Place>,
    headers: HeaderMap,
) -> Response {
    let at = match place.location(&console) {
        Ok(at) => at,
        Err(words) if wants_json(&headers) => return message(StatusCode::BAD_REQUEST, words),
        Err(words) => return answers::problem(client, StatusCode::BAD_REQUEST, &words),
    };
    if wants_json(&headers) {
        return match answers::blocking(&console, move |inner| Story::of(inner, &at)).await {
            Ok(story) => axum::Json(story).into_response(),
            Err(problem) => *problem,
        };
    }
    let title = at.key.to_string();
    match answers::blocking(&console, move |inner| body(inner, &at)).await {
        Ok(body) => answers::fresh(html::layout(client, &title, "/object", &body)),
        Err(problem) => *problem,
    }
}

/// Tries an object again: its dead letters if it has any, otherwise as if it had been put just now. It is named in the
/// query, where no browser changes what a key may hold, or in a form.
pub(super) async fn retry(
    State(console): State<Console>,
    Query(asked): Query<Place>,
    headers: HeaderMap,
    Form(place): Form<Place>,
) -> Response {
    let place = if asked.key.is_empty() { place } else { asked };
    let at = match place.location(&console) {
        Ok(at) => at,
        Err(words) => return message(StatusCode::BAD_REQUEST, words),
    };
    let back = html::object_link(&at.bucket, at.key.as_str()).replace("&amp;", "&");
    let cause = Cause { event: "ObjectCreated:Retry", request_id: request_id::current() };
    let tried = answers::blocking(&console, move |inner| {
        let of_it = DeadLetterFilter { object: Some(at.clone()), ..DeadLetterFilter::default() };
        let ids: Vec<u64> = inner.queue.dead_letters(&of_it)?.iter().map(|letter| letter.event.id).collect();
        if ids.is_empty() {
            return match inner.store.backfill.enqueue(&at, cause) {
                Err(StoreFault::NoSuchKey(_)) => Ok(false),
                queued => Ok(queued?),
            };
        }
        let done =
            inner.queue.redrive(&DeadLetterFilter { ids: Some(ids), ..DeadLetterFilter::default() })?;
        Ok(done > 0)
    });
    match tried.await {
        Err(problem) => *problem,
        Ok(false) => message(StatusCode::NOT_FOUND, "there is no such object, or no trigger wants it"),
        Ok(true) if wants_json(&headers) => message(StatusCode::ACCEPTED, "queued again"),
        Ok(true) => see_other(&back),
    }
}

/// Scripts say that they want JSON; forms do not.
pub(super) fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(http::header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("application/json"))
}

fn body(inner: &Inner, at: &Location) -> anyhow::Result<String> {
    let known = Story::of(inner, at)?;
    let Story { state, advice, object, result, event: waiting, history, wanted, thumbnails, .. } = &known;
    let mut out = String::new();
    let _ = write!(
        out,
        "<div class=\"head\"><div><h1 class=\"key\">{}</h1><p class=\"help\">in {}</p></div></div>",
        html::text(at.key.as_str()),
        html::text(&at.bucket)
    );
    let verdict = match (object, waiting, history.first(), result) {
        (_, Some(event), ..) if event.failed > 0 => format!(
            "Waiting for another attempt since {}; {} so far. Last error: {}",
            html::moment(event.due_ms),
            attempts(event.failed),
            html::text(event.last_error.as_deref().unwrap_or("none"))
        ),
        (_, Some(event), ..) => format!("Uploaded {}, waiting for its turn.", html::moment(event.queued_ms)),
        (_, None, Some(last), _) => story(history, last),
        (_, None, None, Some(result)) => format!(
            "Uploaded {}, {}, {}.",
            html::moment(result.queued_ms),
            attempts(result.attempts),
            html::text(result.why.as_deref().unwrap_or(&result.outcome))
        ),
        (Some(object), ..) if !*wanted => format!(
            "Uploaded {}. No trigger matches this bucket and key, so no thumbnail is made.",
            html::moment(object.modified_ms)
        ),
        (Some(object), ..) => {
            format!("Uploaded {}. Nothing is known of an attempt.", html::moment(object.modified_ms))
        }
        (None, ..) => "There is no object of this key, and nothing is remembered of one.".into(),
    };
    let (class, now) = match state {
        Stands::Made => ("good", "Its thumbnails are there."),
        Stands::Pending => ("calm", "Its thumbnails are still to be made."),
        Stands::Failed => ("bad", "It has no thumbnail."),
        Stands::Ignored => ("calm", "It gets no thumbnail."),
        Stands::Outdated => ("bad", "A thumbnail is gone, or of an earlier version."),
        Stands::Unknown if object.is_none() => ("calm", "There is no such object now."),
        Stands::Unknown => ("calm", "Nothing was made of it."),
    };
    let _ = write!(
        out,
        "<section class=\"card verdict {class}\"><div><p>{verdict}</p><p class=\"help\"><b>{now}</b> What to do: {}.</p></div>",
        html::text(advice)
    );
    if object.is_some() && *wanted {
        let _ = write!(
            out,
            "<form method=\"post\" action=\"{}\"><button>Make it again</button></form>",
            html::retry_link(&at.bucket, at.key.as_str())
        );
    }
    out.push_str("</section>");
    if let Some(object) = object {
        out.push_str("<section class=\"pictures\">");
        let note = format!(
            "{} · {} · ETag {}",
            html::bytes(object.size),
            html::text(object.content_type.as_deref().unwrap_or("no type")),
            html::text(&object.etag)
        );
        let is_picture = history.first().is_none_or(|last| last.reason != "unsupported");
        out.push_str(&if is_picture {
            picture("Source", (&at.bucket, at.key.as_str()), &object.etag, &note)
        } else {
            format!(
                "<figure class=\"card\"><figcaption><b>Source</b>, no picture<br>{note}</figcaption></figure>"
            )
        });
        for made in thumbnails {
            let title = format!("{}/{}", made.bucket, made.key);
            out.push_str(&picture(&title, (&made.bucket, &made.key), &made.etag, &html::bytes(made.size)));
        }
        out.push_str("</section>");
    }
    let _ = write!(out, "<section aria-labelledby=\"history\"><h2 id=\"history\">History</h2>");
    if history.is_empty() {
        out.push_str("<p class=\"help\">No attempt is remembered; attempts are kept for 15 days.</p>");
    }
    out.push_str("<ol class=\"list\">");
    out.extend(history.iter().map(results::item));
    out.push_str("</ol></section>");
    Ok(out)
}

fn picture(title: &str, (bucket, key): (&str, &str), version: &str, note: &str) -> String {
    format!(
        "<figure class=\"card\"><img src=\"{}\" alt=\"{}\" loading=\"lazy\"><figcaption><b>{}</b><br>{note}</figcaption></figure>",
        html::picture_link(bucket, key, version),
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

/// What happened since the last upload, in one sentence.
fn story(history: &[Entry], last: &Entry) -> String {
    let begun = match last.queued_ms {
        Some(queued) if last.is_from_upload() => format!("Uploaded {}", html::moment(queued)),
        Some(queued) => format!("Queued again {}", html::moment(queued)),
        None => format!("Asked for {}", html::moment(last.ended_ms)),
    };
    let tried = history.iter().filter(|entry| entry.queued_ms.is_some() && entry.queued_ms == last.queued_ms);
    let tried = u32::try_from(tried.count().max(1)).unwrap_or(u32::MAX).max(last.attempt);
    let end = match (last.has_failed(), last.next) {
        (true, Settlement::DeadLetter) => format!("dead letter: {}", html::text(&last.why)),
        (true, Settlement::Retry) => format!("to be tried again: {}", html::text(&last.why)),
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
