//! The page of operations: queue, backfill, dead letters, memory and disk, keys, what is public, settings in force.

use axum::{extract::State, response::Response};
use maud::{Markup, html};
use tintype_api::Public;
use tintype_pipeline::clock::now_ms;

use super::{
    Console, alt_text,
    amounts::{bytes, count, ms, or_dash, round_bytes},
    answers, dead_letters,
    html::{badge, empty, figure, table, time, visible},
};
use crate::{
    admin::{
        Admin, BackfillActionRequest, BackfillProgress, BackfillState, BucketsRequest, Fields, Handle as _,
        KeyEntry, KeysRequest, Operations, OperationsRequest, Refusal,
    },
    auth::{Action, Client, Visibility, caller},
    settings::Settings,
};

pub(super) async fn page(State(console): State<Console>, client: Client) -> Response {
    let shown = console.clone();
    let work = move |admin: &Admin| body(&shown.inner.settings.load(), admin);
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

fn body(settings: &Settings, admin: &Admin) -> Result<Markup, Refusal> {
    let operations = OperationsRequest::default().handle(admin)?;
    Ok(html! {
        div.head {
            div {
                h1 { "Operations" }
                p.help {
                    "Function " b { (settings.function.name) } ", data in " code { (settings.data.display()) }
                }
            }
        }
        div data-refresh="/operations/state" data-every="2000" { (state(&operations)) }
        section aria-labelledby="start" {
            h2 #start { "Begin a backfill" }
            form.card.start method="post" action="/backfills" {
                input type="hidden" name="action" value="start";
                label {
                    "Keys that begin with "
                    input name="prefix" placeholder="every key" spellcheck="false" autocomplete="off";
                }
                button { "Start" }
                p.help {
                    "Every source without a current thumbnail is queued, behind uploads. The queue does the work; a backfill only looks."
                }
            }
        }
        section aria-labelledby="keys" { h2 #keys { "Access keys" } (keys(admin)) }
        section aria-labelledby="public" {
            h2 #public { "Public" }
            p.card.part { (public(settings, admin, &operations)?) }
        }
        section aria-labelledby="settings" { h2 #settings { "Settings in force" } (in_force(settings, &operations)) }
    })
}

/// What changes by itself.
fn state(operations: &Operations) -> Markup {
    let Operations { summary, .. } = operations;
    let bytes = |value: Option<u64>| or_dash(value, round_bytes);
    let oldest = match operations.oldest_event_ms {
        None => "the ledger cannot be read; /readyz has more".into(),
        Some(0) => "nothing waits but maintenance, if any".into(),
        Some(oldest) => format!("the oldest for {}", ms(oldest as f64)),
    };
    let workers = format!("of {} workers", operations.workers);
    let admitted = format!(
        "{} admitted for sources, {} for renders",
        bytes(operations.source_memory_bytes),
        bytes(operations.render_memory_bytes)
    );
    let (class, free) = match (summary.disk_total_bytes, summary.is_disk_full) {
        (None, _) => ("bad", "the free space cannot be read; /readyz has more".to_owned()),
        (total, true) => ("bad", format!("free of {}: free some space", bytes(total))),
        (total, false) => ("", format!("free of {}", bytes(total))),
    };
    html! {
        dl.figures {
            (figure("", "Queue", or_dash(summary.waiting, count), oldest))
            (figure("", "Running", or_dash(operations.running, count), workers))
            (figure("", "Memory", bytes(summary.memory_bytes), admitted))
            (figure(class, "Disk", bytes(summary.disk_free_bytes), free))
        }
        div.columns {
            section.card.part aria-labelledby="dead" { h2 #dead { "Dead letters" } (dead_letters(operations)) }
            section.card.part aria-labelledby="backfill" {
                h2 #backfill { "Backfill" }
                @match &operations.backfill {
                    Some(progress) => (backfill(progress)),
                    None => p.help { "None was begun since the start of the server." },
                }
            }
            (alt_text::operations(&operations.alt_texts))
        }
    }
}

fn dead_letters(operations: &Operations) -> Markup {
    html! {
        @if operations.dead_letters.is_empty() {
            p.help { (dead_letters::none()) }
        } @else {
            ul.reasons {
                @for (reason, count) in &operations.dead_letters {
                    li { a href={ "/dead-letters?reason=" (reason) } { (reason.replace('_', " ")) } " " b { (count) } }
                }
            }
            p { a.button href="/dead-letters" { "Look at them" } }
        }
    }
}

fn backfill(progress: &BackfillProgress) -> Markup {
    let class = if progress.state == BackfillState::Failed { "bad" } else { "calm" };
    let took = progress.ended_ms.unwrap_or_else(now_ms) - progress.started_ms;
    let actions: &[(&str, &str)] = match progress.state {
        BackfillState::Running => &[("pause", "Pause"), ("cancel", "Cancel")],
        BackfillState::Paused => &[("resume", "Go on"), ("cancel", "Cancel")],
        _ => &[],
    };
    html! {
        p {
            (badge(class, progress.state.name())) " "
            @if progress.prefix.is_empty() {
                // Which is not shown to every access key.
                @if Visibility::current().is_whole() { "every key" } @else { "keys that an operator chose" }
            } @else { "keys below " code { (visible(&progress.prefix)) } }
            ", " (ms(took.max(0) as f64))
        }
        p role="status" {
            (progress.looked_at) " sources looked at: " b { (progress.queued) " queued" } ", " (progress.current) " current, "
            (progress.waiting) " waiting already, " (progress.dead_lettered) " dead letters"
        }
        @if progress.queued > 0 {
            p.help {
                "Of those queued: " (progress.rendered) " rendered, " (progress.failed) " not"
                @if progress.superseded > 0 { ", " (progress.superseded) " replaced or removed meanwhile" }
                @if progress.is_settled { "." } @else { "; the others wait." }
            }
        }
        @if let Some(error) = &progress.error { p.why { (visible(error)) } }
        @if !actions.is_empty() {
            form.row method="post" action="/backfills" {
                @for (action, words) in actions { button name="action" value=(action) { (words) } }
            }
        }
    }
}

/// Access keys, for those who may administer them.
fn keys(admin: &Admin) -> Markup {
    if !caller::may(Action::AdministerKeys, "/keys") {
        return empty("Access keys are shown to the root key: log in with it.");
    }
    match KeysRequest::default().handle(admin) {
        Err(refusal) => empty(visible(&refusal.message)),
        Ok(list) if list.keys.is_empty() => empty(html! {
            "Only the root key. " code { "tintype keys add NAME --allow write:BUCKET" } " adds one."
        }),
        Ok(list) => table(
            "Table of access keys",
            &["Name", "May", "Today", "Last used"],
            html! {
                @for entry in &list.keys { (key(entry)) }
            },
        ),
    }
}

fn key(key: &KeyEntry) -> Markup {
    let mut may = key.allow.clone();
    may.extend(key.preset.iter().map(|preset| format!("preset {preset}")));
    may.extend(key.policy.iter().map(|_| "a policy".to_owned()));
    html! {
        tr {
            td { (visible(&key.name)) }
            td { @if may.is_empty() { "nothing" } @else { (visible(&may.join(", "))) } }
            td { (bytes(key.uploaded_today)) @if let Some(most) = key.daily_bytes { " of " (bytes(most)) } }
            td { @if let Some(last) = key.last_used_ms { (time(last)) } @else { "never" } }
        }
    }
}

/// What anybody may read.
fn public(settings: &Settings, admin: &Admin, operations: &Operations) -> Result<Markup, Refusal> {
    let buckets = BucketsRequest::default().handle(admin)?.buckets;
    let names: Vec<_> =
        buckets.into_iter().filter(|bucket| bucket.is_public).map(|bucket| bucket.name).collect();
    let is_whole = Visibility::current().is_whole();
    let (objects, of_triggers) = (operations.public_objects, settings.api.public);
    Ok(html! {
        @if !names.is_empty() || objects > 0 {
            b { @if names.is_empty() { (if is_whole { "No bucket" } else { "No bucket that this access key sees" }) } @else { (names.join(", ")) } }
            " may be read or written by anybody, as its policy or ACL says; " (objects) " objects have an ACL that is public."
        } @else if !is_whole {
            "No bucket that this access key sees is public, and no object's ACL."
        } @else if of_triggers == Public::None {
            "Nothing is public: every request needs a key."
        }
        @if of_triggers != Public::None {
            " Images of the triggers' buckets are public at the HTTP port: " code { "api.public = \"" (of_triggers) "\"" } "."
        }
    })
}

/// Settings, each with where it was written.
fn in_force(settings: &Settings, operations: &Operations) -> Markup {
    let triggers = settings.triggers.len();
    html! {
        p.help {
            "S3 endpoint " code { (settings.listen.s3) } ", HTTP port " code { (settings.listen.http) } ", "
            (triggers) @if triggers == 1 { " trigger." } @else { " triggers." }
        }
        @if operations.settings.is_empty() {
            (empty(match Visibility::current().is_whole() {
                true => "All are at their defaults.",
                false => "Those that are not at their defaults are shown to operators.",
            }))
        } @else {
            (table("Table of settings", &["Setting", "Value", "From"], html! {
                @for setting in &operations.settings {
                    tr {
                        td { code { (visible(&setting.name)) } }
                        td { code { (visible(&setting.value)) } }
                        td { (visible(&setting.origin)) }
                    }
                }
            }))
            p.help { "All others are at their defaults; a change by SIGHUP shows after a restart." }
        }
    }
}
