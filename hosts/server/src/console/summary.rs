//! The live strip: the few numbers that matter.

use axum::{extract::State, response::Response};
use maud::{Markup, html};

use super::{
    Console,
    amounts::{count, ms, or_dash, round_bytes},
    answers,
};
use crate::admin::{Admin, Fields, Handle as _, Refusal, SummaryRequest};

/// The strip alone, for the script to refresh it.
pub(super) async fn fragment(
    State(console): State<Console>,
    Fields(_): Fields<SummaryRequest>,
) -> Result<Response, Refusal> {
    Ok(answers::fresh(console.inner.admin.blocking_briefly(strip).await?))
}

/// The numbers as a list.
pub(super) fn strip(admin: &Admin) -> Result<Markup, Refusal> {
    let summary = SummaryRequest::default().handle(admin)?;
    let dead_letters = match summary.dead_letters {
        Some(0) => ("", None),
        Some(_) => ("bad", Some(html! { a href="/dead-letters" { "look at them" } })),
        None => ("bad", Some(html! { "the ledger cannot be read" })),
    };
    let disk = match (summary.disk_free_bytes, summary.is_disk_full) {
        (None, _) => ("bad", Some(html! { "cannot be read" })),
        (_, true) => ("bad", Some(html! { "free some space" })),
        _ => ("", None),
    };
    Ok(html! {
        dl.strip aria-label="Now" {
            (number("Rendered", &count(summary.rendered), ("", Some(html! { "in the last hour" }))))
            (number("Upload to thumbnail", &or_dash(summary.latency_p95_ms, ms), ("", Some(html! { "p95" }))))
            (number("Waiting", &or_dash(summary.waiting, count), ("", None)))
            (number("Dead letters", &or_dash(summary.dead_letters, count), dead_letters))
            (number("Disk free", &or_dash(summary.disk_free_bytes, round_bytes), disk))
            (number("Memory", &or_dash(summary.memory_bytes, round_bytes), ("", None)))
        }
    })
}

fn number(name: &str, value: &str, (class, note): (&str, Option<Markup>)) -> Markup {
    html! {
        div class=(class) {
            dt { (name) }
            dd { (value) }
            @if let Some(note) = note { dd.help { (note) } }
        }
    }
}
