//! Results as a list: source and thumbnail side by side, the time of each stage, a failure with its
//! reason.

use axum::{extract::State, response::Response};
use maud::{Markup, html};
use tintype_pipeline::outcome::Stages;

use super::{
    Console,
    amounts::{bytes, ms},
    answers,
    html::{Data, badge, no_image, small_image, time, visible},
    links,
    svg_path::coordinate,
};
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
pub(super) fn filter() -> Markup {
    html! {
        form.filter data-filter hidden {
            label { input type="checkbox" name="only" value="failed"; " failed only" }
            input type="search" name="text" placeholder="filter by key" aria-label="Filter by key" value="" autocomplete="off"
                spellcheck="false";
        }
    }
}

/// The latest results, latest first.
pub(super) fn list(admin: &Admin, request: ResultsRequest) -> Markup {
    let is_filtered = request.is_filtered();
    let results = match request.handle(admin) {
        Ok(answer) => answer.results,
        // A fault of the database of measurements must not hide the rest of the page.
        Err(refusal) => return html! { li.card.empty { (visible(&refusal.message)) } },
    };
    let is_latest = |index: usize, entry: &Entry| {
        !results[..index].iter().any(|later| later.bucket == entry.bucket && later.key == entry.key)
    };
    html! {
        @for (index, entry) in results.iter().enumerate() { (item(entry, is_latest(index, entry))) }
        @if results.is_empty() {
            li.card.empty data-empty {
                @if is_filtered { "No result passes the filter." }
                @else { "No results yet. Upload an image, or drop one here." }
            }
        }
    }
}

/// One result. `is_latest`: no later one of its object is known, so that trying again may be of use.
pub(super) fn item(entry: &Entry, is_latest: bool) -> Markup {
    let class = class(entry);
    let may_retry = entry.next != Settlement::Retry && may_end_otherwise(&entry.reason);
    let begun = if entry.is_from_upload() { "the upload" } else { "it was queued" };
    html! {
        li class={ "card result " (class) } data-key=(Data(&entry.key)) data-bucket=(entry.bucket) {
            div.pair { (source(entry)) (thumbnail(entry)) }
            div.what {
                p.name {
                    (badge(class, words(entry))) " "
                    a href=(links::object(&entry.bucket, &entry.key)) { (visible(&entry.key)) }
                }
                @if !entry.why.is_empty() { p.why { (visible(&entry.why)) } }
                @if is_latest && entry.has_failed() && may_retry {
                    form method="post" action=(links::retry(&entry.bucket, &entry.key)) data-quiet {
                        button { "Try again" }
                    }
                }
                @if entry.duration_us > 0 { (stages(entry)) }
                p.help {
                    (time(entry.ended_ms))
                    @if let Some(latency) = entry.latency_ms() { " · " (ms(latency as f64)) " after " (begun) }
                    @if entry.attempt > 1 { " · attempt " (entry.attempt) }
                    " · request "
                    code { @if entry.request_id.is_empty() { "in the log" } @else { (visible(&entry.request_id)) } }
                }
            }
        }
    }
}

fn class(entry: &Entry) -> &'static str {
    match entry.outcome.as_str() {
        "made" => "good",
        "failed" => "bad",
        _ => "calm",
    }
}

/// How it ended, in a word or two.
fn words(entry: &Entry) -> String {
    let next = match (entry.has_failed(), entry.next) {
        (false, _) => return entry.outcome.replace('_', " "),
        (true, Settlement::Retry) => " · retried",
        (true, Settlement::DeadLetter) => " · dead letter",
        (true, Settlement::Done) => "",
    };
    entry.reason.replace('_', " ") + next
}

/// Whether another attempt may end otherwise: not where the object's bytes, size or key decide, nor where it is gone.
pub(super) fn may_end_otherwise(reason: &str) -> bool {
    !["malformed", "unsupported", "too_large", "key_too_long", "bad_event", "missing", "damaged"]
        .contains(&reason)
}

fn source(entry: &Entry) -> Markup {
    // What is up to date was not read, and only images can be shown.
    let is_image = entry.outcome == "up_to_date" || entry.source_bytes > 0 && entry.reason != "unsupported";
    html! {
        figure {
            @if is_image {
                (small_image(&links::preview(&entry.bucket, &entry.key, &entry.ended_ms.to_string()), "source"))
            } @else { (no_image()) }
            figcaption { @if entry.source_bytes > 0 { (bytes(entry.source_bytes)) } @else { "source" } }
        }
    }
}

fn thumbnail(entry: &Entry) -> Markup {
    let Some(first) = entry.thumbnails.first() else {
        return html! { figure { span.none aria-hidden="true" { "–" } figcaption { "no thumbnail" } } };
    };
    let link = links::preview(&first.bucket, &first.key, &entry.ended_ms.to_string());
    let more = entry.thumbnails.len() - 1;
    html! {
        figure {
            (small_image(&link, "thumbnail"))
            figcaption {
                (first.width) "×" (first.height) ", " (bytes(first.bytes))
                @if more > 0 { " +" (more) }
            }
        }
    }
}

/// The time of each stage as a bar, and in words.
fn stages(entry: &Entry) -> Markup {
    let words: Vec<String> = entry
        .stages_ms()
        .filter(|(_, time)| *time >= 0.05)
        .map(|(name, time)| format!("{name} {}", ms(time).replace(" ms", "")))
        .collect();
    let widths = entry.stages_us.map(|micros| micros as f64 / entry.duration_us as f64 * 100.0);
    let bars = widths.iter().scan(0.0, |end, width| {
        *end += width;
        Some((*end - width, width))
    });
    html! {
        div.stages {
            b { (ms(entry.duration_us as f64 / 1e3)) }
            svg viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label=(words.join(", ")) {
                @for (index, (x, width)) in bars.enumerate().filter(|(_, (_, width))| **width >= 0.3) {
                    rect class={ "s" (index) } x=(coordinate(x)) width=(coordinate(*width)) height="6" {
                        title { (Stages::NAMES[index]) }
                    }
                }
            }
            span.help { (words.join(" · ")) " ms" }
        }
    }
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
        let is_offered =
            |entry: &Entry, is_latest| item(entry, is_latest).into_string().contains("Try again");
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
        let entry = Entry { next: Settlement::DeadLetter, source_bytes: 1, ..Entry::new(&report, &at, 0) };
        let item = item(&entry, true).into_string();
        assert!(!item.contains("<script"), "{item}");
        assert!(item.contains("&quot;&gt;&lt;script&gt;"));
    }
}
