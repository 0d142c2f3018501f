//! The live strip: the few numbers that matter.

use std::fmt::Write as _;

use axum::{extract::State, response::Response};

use super::{Console, answers, html};
use crate::admin::{Admin, Fields, Handle as _, Refusal, Summary, SummaryRequest};

/// The strip alone, for the script to refresh it.
pub(super) async fn fragment(
    State(console): State<Console>,
    Fields(_): Fields<SummaryRequest>,
) -> Result<Response, Refusal> {
    Ok(answers::fresh(console.inner.admin.blocking_briefly(strip).await?))
}

/// The numbers as a list.
pub(super) fn strip(admin: &Admin) -> Result<String, Refusal> {
    let summary = SummaryRequest::default().handle(admin)?;
    let Summary { rendered, latency_p95_ms, waiting, dead_letters, .. } = summary;
    let mut out = String::from("<dl class=\"strip\" aria-label=\"Now\">");
    let mut number = |class: &str, name: &str, value: String, note: String| {
        let note = if note.is_empty() { note } else { format!("<dd class=\"help\">{note}</dd>") };
        let _ = write!(out, "<div class=\"{class}\"><dt>{name}</dt><dd>{value}</dd>{note}</div>");
    };
    let or_dash = |value: Option<u64>| value.map_or_else(|| "–".into(), |value| html::number(value as f64));
    number("", "Rendered", html::number(rendered as f64), "in the last hour".into());
    let latency = latency_p95_ms.map_or_else(|| "–".into(), html::ms);
    number("", "Upload to thumbnail", latency, "p95".into());
    number("", "Waiting", or_dash(waiting), String::new());
    let (class, note) = match dead_letters {
        Some(0) => ("", String::new()),
        Some(_) => ("bad", "<a href=\"/dead-letters\">look at them</a>".into()),
        None => ("bad", "the ledger cannot be read".into()),
    };
    number(class, "Dead letters", or_dash(dead_letters), note);
    let bytes =
        |value: Option<u64>| value.map_or_else(|| "–".into(), |value| html::bytes(value).replace(".0 ", " "));
    let (class, note) = match (summary.disk_free_bytes, summary.is_disk_full) {
        (None, _) => ("bad", "cannot be read".to_owned()),
        (_, true) => ("bad", "free some space".to_owned()),
        _ => ("", String::new()),
    };
    number(class, "Disk free", bytes(summary.disk_free_bytes), note);
    number("", "Memory", bytes(summary.memory_bytes), String::new());
    out.push_str("</dl>");
    Ok(out)
}
