//! Results as a list: source and thumbnail side by side, the time of each stage, a failure with its
//! reason.

use std::fmt::Write as _;

use axum::{extract::State, response::Response};
use tintype_pipeline::outcome::Stages;

use super::{Console, answers, html};
use crate::admin::{Admin, Entry, Fields, Handle as _, Refusal, ResultsRequest, Settlement};

/// The list alone, for the script.
pub(super) async fn fragment(
    State(console): State<Console>,
    Fields(request): Fields<ResultsRequest>,
) -> Result<Response, Refusal> {
    let list = console.inner.admin.blocking(move |admin| Ok(list(admin, request)));
    Ok(answers::fresh(list.await?))
}

/// The form that filters results by outcome and key.
pub(super) const FILTER: &str = "<form class=\"filter\" data-filter hidden><label><input type=\"checkbox\" name=\"only\" \
     value=\"failed\"> failed only</label><input type=\"search\" name=\"text\" placeholder=\"filter by key\" \
     aria-label=\"Filter by key\" value=\"\" autocomplete=\"off\" spellcheck=\"false\"></form>";

/// The latest results, latest first.
pub(super) fn list(admin: &Admin, request: ResultsRequest) -> String {
    let is_filtered = request.is_filtered();
    let results = match request.handle(admin) {
        Ok(answer) => answer.results,
        // A fault of the database of measurements must not hide the rest of the page.
        Err(refusal) => return format!("<li class=\"card empty\">{}</li>", html::text(&refusal.message)),
    };
    if results.is_empty() {
        let words = match is_filtered {
            false => "No results yet. Upload an image, or drop one here.",
            true => "No result passes the filter.",
        };
        return format!("<li class=\"card empty\" data-empty>{words}</li>");
    }
    let is_latest = |index: usize, entry: &Entry| {
        !results[..index].iter().any(|later| later.bucket == entry.bucket && later.key == entry.key)
    };
    results.iter().enumerate().map(|(index, entry)| item(entry, is_latest(index, entry))).collect()
}

/// One result. `is_latest`: no later one of its object is known, so that trying again may be of use.
pub(super) fn item(entry: &Entry, is_latest: bool) -> String {
    let mut out = String::with_capacity(1500);
    let class = class(entry);
    let link = html::object_link(&entry.bucket, &entry.key);
    let _ = write!(
        out,
        "<li class=\"card result {class}\" data-key=\"{}\" data-bucket=\"{}\"><div class=\"pair\">{}{}</div>\
         <div class=\"what\"><p class=\"name\"><span class=\"badge {class}\">{}</span> <a href=\"{link}\">{}</a></p>",
        html::text(&entry.key),
        html::text(&entry.bucket),
        source(entry),
        thumbnail(entry),
        badge(entry),
        html::text(&entry.key),
    );
    if !entry.why.is_empty() {
        let _ = write!(out, "<p class=\"why\">{}</p>", html::text(&entry.why));
    }
    if is_latest && entry.has_failed() && entry.next != Settlement::Retry && may_end_otherwise(&entry.reason)
    {
        out.push_str(&retry(entry));
    }
    let _ = write!(
        out,
        "{}<p class=\"help\">{}{}{} · request <code>{}</code></p></div></li>",
        stages(entry),
        html::time(entry.ended_ms),
        entry.latency_ms().map_or_else(String::new, |ms| {
            let begun = if entry.is_from_upload() { "the upload" } else { "it was queued" };
            format!(" · {} after {begun}", html::ms(ms as f64))
        }),
        if entry.attempt > 1 { format!(" · attempt {}", entry.attempt) } else { String::new() },
        html::text(if entry.request_id.is_empty() { "in the log" } else { &entry.request_id }),
    );
    out
}

fn class(entry: &Entry) -> &'static str {
    match entry.outcome.as_str() {
        "made" => "good",
        "failed" => "bad",
        _ => "calm",
    }
}

fn badge(entry: &Entry) -> String {
    let name = entry.outcome.replace('_', " ");
    match (entry.has_failed(), entry.next) {
        (true, Settlement::Retry) => {
            format!("{} · retried", html::text(&entry.reason.replace('_', " ")))
        }
        (true, Settlement::DeadLetter) => {
            format!("{} · dead letter", html::text(&entry.reason.replace('_', " ")))
        }
        (true, Settlement::Done) => html::text(&entry.reason.replace('_', " ")),
        (false, _) => html::text(&name),
    }
}

/// Whether another attempt may end otherwise: not where the object's bytes, size or key decide, nor where it is gone.
pub(super) fn may_end_otherwise(reason: &str) -> bool {
    !["malformed", "unsupported", "too_large", "key_too_long", "bad_event", "missing", "damaged"]
        .contains(&reason)
}

/// The form that retries an object.
fn retry(entry: &Entry) -> String {
    format!(
        "<form method=\"post\" action=\"{}\" data-quiet><button>Try again</button></form>",
        html::retry_link(&entry.bucket, &entry.key)
    )
}

fn source(entry: &Entry) -> String {
    let note = if entry.source_bytes > 0 { html::bytes(entry.source_bytes) } else { "source".into() };
    // What is up to date was not read, and only images can be shown.
    let is_image = entry.outcome == "up_to_date" || entry.source_bytes > 0 && entry.reason != "unsupported";
    let image = if is_image {
        let link = html::preview_link(&entry.bucket, &entry.key, &entry.ended_ms.to_string());
        format!("<img src=\"{link}\" alt=\"source\" loading=\"lazy\" decoding=\"async\">")
    } else {
        "<span class=\"none\" aria-hidden=\"true\">▦</span>".into()
    };
    format!("<figure>{image}<figcaption>{note}</figcaption></figure>")
}

fn thumbnail(entry: &Entry) -> String {
    let Some(first) = entry.thumbnails.first() else {
        return "<figure><span class=\"none\" aria-hidden=\"true\">–</span><figcaption>no thumbnail</figcaption></figure>"
            .into();
    };
    let link = html::preview_link(&first.bucket, &first.key, &entry.ended_ms.to_string());
    let more = entry.thumbnails.len() - 1;
    let more = if more > 0 { format!(" +{more}") } else { String::new() };
    format!(
        "<figure><img src=\"{link}\" alt=\"thumbnail\" loading=\"lazy\" decoding=\"async\"><figcaption>{}×{}, \
         {}{more}</figcaption></figure>",
        first.width,
        first.height,
        html::bytes(first.bytes)
    )
}

/// The time of each stage as a bar, and in words.
fn stages(entry: &Entry) -> String {
    if entry.duration_us == 0 {
        return String::new();
    }
    let words: Vec<String> = entry
        .stages_ms()
        .filter(|(_, ms)| *ms >= 0.05)
        .map(|(name, ms)| format!("{name} {}", html::ms(ms).replace(" ms", "")))
        .collect();
    let mut out = format!(
        "<div class=\"stages\"><b>{}</b><svg viewBox=\"0 0 100 6\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">",
        html::ms(entry.duration_us as f64 / 1e3),
        html::text(&words.join(", ")),
    );
    let mut at = 0.0;
    for (index, micros) in entry.stages_us.iter().enumerate() {
        let width = *micros as f64 / entry.duration_us as f64 * 100.0;
        if width >= 0.3 {
            let _ = write!(
                out,
                "<rect class=\"s{index}\" x=\"{at:.1}\" width=\"{width:.1}\" height=\"6\"><title>{}</title></rect>",
                Stages::NAMES[index]
            );
        }
        at += width;
    }
    let _ = write!(out, "</svg><span class=\"help\">{} ms</span></div>", words.join(" · "));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trying_again_is_offered_only_where_it_may_help() {
        let entry = |reason: &str| Entry {
            reason: reason.into(),
            outcome: "failed".into(),
            next: Settlement::DeadLetter,
            ..Entry::without_object(&tintype_pipeline::Report::bad_event(String::new()), 0)
        };
        let is_offered = |entry: &Entry, is_latest| item(entry, is_latest).contains("Try again");
        assert!(is_offered(&entry("unavailable"), true));
        // What came later decides.
        assert!(!is_offered(&entry("unavailable"), false));
        assert!(!is_offered(&Entry { next: Settlement::Retry, ..entry("unavailable") }, true));
        for reason in ["malformed", "unsupported", "too_large", "missing", "damaged"] {
            assert!(!is_offered(&entry(reason), true), "{reason}");
        }
    }

    #[test]
    fn names_from_outside_are_text_everywhere() {
        let report = tintype_pipeline::Report::bad_event("<script>alert(1)</script>".into());
        let key = "\"><script>alert('x')</script>&.jpg";
        let at = tintype_pipeline::Location {
            bucket: "in".into(),
            key: tintype_pipeline::ObjectKey::new(key).unwrap(),
        };
        let item = item(
            &Entry { next: Settlement::DeadLetter, source_bytes: 1, ..Entry::new(&report, &at, 0) },
            true,
        );
        assert!(!item.contains("<script"), "{item}");
        assert!(item.contains("&quot;&gt;&lt;script&gt;"));
    }
}
