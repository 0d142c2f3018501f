//! The page of operations: queue, backfill, dead letters, memory and disk, keys, what is public, settings in force.

use std::fmt::Write as _;

use axum::{extract::State, response::Response};
use tintype_api::Public;
use tintype_pipeline::clock::now_ms;

use super::{Console, alt_text, answers, html};
use crate::{
    admin::{
        Admin, BackfillActionRequest, BackfillProgress, BackfillState, BucketsRequest, Fields, Handle as _,
        KeyEntry, KeysRequest, Operations, OperationsRequest, Refusal,
    },
    auth::{Action, Client, caller},
    settings::Settings,
};

pub(super) async fn page(State(console): State<Console>, client: Client) -> Response {
    let shown = console.clone();
    let work = move |admin: &Admin| body(&shown.inner.settings, admin);
    answers::page(client, "Operations", "/operations", console.inner.admin.blocking_briefly(work).await)
}

/// What changes by itself, for the script to refresh it.
pub(super) async fn fragment(State(console): State<Console>) -> Result<Response, Refusal> {
    let work = |admin: &Admin| Ok(state(&OperationsRequest::default().handle(admin)?));
    Ok(answers::fresh(console.inner.admin.blocking_briefly(work).await?))
}

/// Begins or changes a backfill, and leads back.
pub(super) async fn act(
    State(console): State<Console>,
    client: Client,
    request: Result<Fields<BackfillActionRequest>, Refusal>,
) -> Response {
    let done = async {
        let Fields(request) = request?;
        console.inner.admin.blocking(|admin| request.handle(admin)).await
    };
    match done.await {
        Ok(_) => answers::see_other("/operations"),
        Err(Refusal { status, message }) => answers::problem(client, status, &message),
    }
}

fn body(settings: &Settings, admin: &Admin) -> Result<String, Refusal> {
    let operations = OperationsRequest::default().handle(admin)?;
    let mut out = String::with_capacity(24 << 10);
    let _ = write!(
        out,
        "<div class=\"head\"><div><h1>Operations</h1><p class=\"help\">Function <b>{}</b>, data in <code>{}</code></p></div></div>\
         <div data-refresh=\"/operations/state\" data-every=\"2000\">{}</div>",
        html::text(&settings.function.name),
        html::text(&settings.data.display().to_string()),
        state(&operations),
    );
    out.push_str(
        "<section aria-labelledby=\"start\"><h2 id=\"start\">Begin a backfill</h2><form class=\"card start\" method=\"post\" action=\"/backfills\">\
         <input type=\"hidden\" name=\"action\" value=\"start\"><label>Keys that begin with <input name=\"prefix\" placeholder=\"every key\" \
         spellcheck=\"false\" autocomplete=\"off\"></label><button>Start</button><p class=\"help\">Every source without a current thumbnail is queued, \
         behind uploads. The queue does the work; a backfill only looks.</p></form></section>",
    );
    out.push_str(&keys(admin));
    out.push_str(&public(settings, admin, &operations)?);
    out.push_str(&in_force(settings, &operations));
    Ok(out)
}

/// A tile: a name, a value, a note.
fn tile(out: &mut String, class: &str, name: &str, value: &str, note: &str) {
    let _ = write!(
        out,
        "<div class=\"card {class}\"><dt>{name}</dt><dd>{value}</dd><dd class=\"help\">{note}</dd></div>"
    );
}

/// What changes by itself.
fn state(operations: &Operations) -> String {
    let Operations { summary, .. } = operations;
    let mut out = String::from("<dl class=\"figures\">");
    let or_dash = |value: Option<u64>| value.map_or_else(|| "–".into(), |value| html::number(value as f64));
    let bytes =
        |value: Option<u64>| value.map_or_else(|| "–".into(), |value| html::bytes(value).replace(".0 ", " "));
    let oldest = match operations.oldest_event_ms {
        None => "the ledger cannot be read; /readyz has more".into(),
        Some(0) => "nothing waits but maintenance, if any".into(),
        Some(ms) => format!("the oldest for {}", html::ms(ms as f64)),
    };
    tile(&mut out, "", "Queue", &or_dash(summary.waiting), &oldest);
    let of = format!("of {} workers", operations.workers);
    tile(&mut out, "", "Running", &or_dash(operations.running), &of);
    let admitted = format!(
        "{} admitted for sources, {} for renders",
        bytes(operations.source_memory_bytes),
        bytes(operations.render_memory_bytes)
    );
    tile(&mut out, "", "Memory", &bytes(summary.memory_bytes), &admitted);
    let (class, note) = match (summary.disk_total_bytes, summary.is_disk_full) {
        (None, _) => ("bad", "the free space cannot be read; /readyz has more".to_owned()),
        (total, true) => ("bad", format!("free of {}: free some space", bytes(total))),
        (total, false) => ("", format!("free of {}", bytes(total))),
    };
    tile(&mut out, class, "Disk", &bytes(summary.disk_free_bytes), &note);
    out.push_str("</dl><div class=\"columns\">");
    dead_letters(&mut out, operations);
    backfill(&mut out, operations.backfill.as_ref());
    out.push_str(&alt_text::operations(&operations.alt_texts));
    out.push_str("</div>");
    out
}

fn dead_letters(out: &mut String, operations: &Operations) {
    out.push_str("<section class=\"card part\" aria-labelledby=\"dead\"><h2 id=\"dead\">Dead letters</h2>");
    if operations.dead_letters.is_empty() {
        out.push_str("<p class=\"help\">None. Every event was handled.</p></section>");
        return;
    }
    out.push_str("<ul class=\"reasons\">");
    for (reason, count) in &operations.dead_letters {
        let reason = html::text(reason);
        let _ = write!(
            out,
            "<li><a href=\"/dead-letters?reason={reason}\">{}</a> <b>{count}</b></li>",
            reason.replace('_', " ")
        );
    }
    out.push_str("</ul><p><a class=\"button\" href=\"/dead-letters\">Look at them</a></p></section>");
}

fn backfill(out: &mut String, progress: Option<&BackfillProgress>) {
    out.push_str(
        "<section class=\"card part\" aria-labelledby=\"backfill\"><h2 id=\"backfill\">Backfill</h2>",
    );
    let Some(progress) = progress else {
        out.push_str("<p class=\"help\">None was begun since the start of the server.</p></section>");
        return;
    };
    let keys = match progress.prefix.as_str() {
        "" => "every key".into(),
        prefix => format!("keys below <code>{}</code>", html::text(prefix)),
    };
    let class = if progress.state == BackfillState::Failed { "bad" } else { "calm" };
    let took = progress.ended_ms.unwrap_or_else(now_ms) - progress.started_ms;
    let _ = write!(
        out,
        "<p><span class=\"badge {class}\">{}</span> {keys}, {}</p><p role=\"status\">{} sources looked at: <b>{} queued</b>, {} current, {} \
         waiting already, {} dead letters</p>",
        progress.state.name(),
        html::ms(took.max(0) as f64),
        progress.looked_at,
        progress.queued,
        progress.current,
        progress.waiting,
        progress.dead_lettered,
    );
    if let Some(error) = &progress.error {
        let _ = write!(out, "<p class=\"why\">{}</p>", html::text(error));
    }
    let actions: &[(&str, &str)] = match progress.state {
        BackfillState::Running => &[("pause", "Pause"), ("cancel", "Cancel")],
        BackfillState::Paused => &[("resume", "Go on"), ("cancel", "Cancel")],
        _ => &[],
    };
    if !actions.is_empty() {
        out.push_str("<form class=\"row\" method=\"post\" action=\"/backfills\">");
        for (action, words) in actions {
            let _ = write!(out, "<button name=\"action\" value=\"{action}\">{words}</button>");
        }
        out.push_str("</form>");
    }
    out.push_str("</section>");
}

/// Access keys, for those who may administer them.
fn keys(admin: &Admin) -> String {
    let mut out = String::from("<section aria-labelledby=\"keys\"><h2 id=\"keys\">Access keys</h2>");
    if !caller::may(Action::AdministerKeys, "/keys") {
        out.push_str(
            "<p class=\"card empty\">Access keys are shown to the root key: log in with it.</p></section>",
        );
        return out;
    }
    let keys = match KeysRequest::default().handle(admin) {
        Ok(list) => list.keys,
        Err(refusal) => {
            let _ = write!(out, "<p class=\"card empty\">{}</p></section>", html::text(&refusal.message));
            return out;
        }
    };
    if keys.is_empty() {
        out.push_str(
            "<p class=\"card empty\">Only the root key. <code>tintype keys add NAME --allow write:BUCKET</code> adds one.</p></section>",
        );
        return out;
    }
    out.push_str(
        "<div class=\"card scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table of access keys\"><table><thead><tr><th scope=\"col\">Name</th><th scope=\"col\">May</th><th scope=\"col\">Today</th>\
         <th scope=\"col\">Last used</th></tr></thead><tbody>",
    );
    out.extend(keys.iter().map(key));
    out.push_str("</tbody></table></div></section>");
    out
}

fn key(key: &KeyEntry) -> String {
    let mut may = key.allow.clone();
    may.extend(key.preset.iter().map(|preset| format!("preset {preset}")));
    may.extend(key.policy.iter().map(|_| "a policy".to_owned()));
    let quota = key.daily_bytes.map_or_else(String::new, |most| format!(" of {}", html::bytes(most)));
    format!(
        "<tr><td>{}</td><td>{}</td><td>{}{quota}</td><td>{}</td></tr>",
        html::text(&key.name),
        html::text(&if may.is_empty() { "nothing".into() } else { may.join(", ") }),
        html::bytes(key.uploaded_today),
        key.last_used_ms.map_or_else(|| "never".into(), html::time),
    )
}

/// What anybody may read.
fn public(settings: &Settings, admin: &Admin, operations: &Operations) -> Result<String, Refusal> {
    let buckets = BucketsRequest::default().handle(admin)?.buckets;
    let names: Vec<_> =
        buckets.iter().filter(|bucket| bucket.is_public).map(|bucket| html::text(&bucket.name)).collect();
    let words = match (names.as_slice(), operations.public_objects) {
        ([], 0) if settings.api.public == Public::None => {
            "Nothing is public: every request needs a key.".to_owned()
        }
        ([], 0) => String::new(),
        (names, objects) => {
            let buckets = if names.is_empty() { "No bucket".into() } else { names.join(", ") };
            format!(
                "<b>{buckets}</b> may be read or written by anybody, as its policy or ACL says; {objects} objects have an ACL that is public."
            )
        }
    };
    let images = match settings.api.public {
        Public::None => String::new(),
        public => format!(
            " Images of the triggers' buckets are public at the HTTP port: <code>api.public = \"{public}\"</code>."
        ),
    };
    let words = words + &images;
    Ok(format!(
        "<section aria-labelledby=\"public\"><h2 id=\"public\">Public</h2><p class=\"card part\">{words}</p></section>"
    ))
}

/// Settings, each with where it was written.
fn in_force(settings: &Settings, operations: &Operations) -> String {
    let mut out =
        String::from("<section aria-labelledby=\"settings\"><h2 id=\"settings\">Settings in force</h2>");
    let _ = write!(
        out,
        "<p class=\"help\">S3 endpoint <code>{}</code>, HTTP port <code>{}</code>, {} triggers.</p>",
        settings.listen.s3,
        settings.listen.http,
        settings.triggers.len()
    );
    if operations.settings.is_empty() {
        out.push_str("<p class=\"card empty\">All are at their defaults.</p></section>");
        return out;
    }
    out.push_str(
        "<div class=\"card scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table of settings\"><table><thead><tr><th scope=\"col\">Setting</th>\
         <th scope=\"col\">Value</th><th scope=\"col\">From</th></tr></thead><tbody>",
    );
    for setting in &operations.settings {
        let _ = write!(
            out,
            "<tr><td><code>{}</code></td><td><code>{}</code></td><td>{}</td></tr>",
            html::text(&setting.name),
            html::text(&setting.value),
            html::text(&setting.origin)
        );
    }
    out.push_str("</tbody></table></div><p class=\"help\">All others are at their defaults; a change by SIGHUP shows after a restart.</p></section>");
    out
}
