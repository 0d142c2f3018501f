//! The page of dead letters: filter, redrive, purge.

use axum::{extract::State, http::StatusCode, response::Response};
use maud::{Markup, html};

use super::{
    Console,
    amounts::bytes,
    answers,
    html::{Data, badge, empty, no_image, small_image, time, visible},
    links,
    object::attempts,
};
use crate::{
    admin::{
        Admin, DeadLetter, DeadLetterActionRequest, DeadLetterSummary, DeadLettersRequest, Fields,
        Handle as _, Refusal,
    },
    auth::{Client, Visibility},
};

/// Dead letters on one page.
const MAX_SHOWN: usize = 200;

pub(super) async fn page(
    State(console): State<Console>,
    client: Client,
    request: Result<Fields<DeadLettersRequest>, Refusal>,
) -> Response {
    if let Ok(Fields(request)) = &request
        && !(request.ids.is_empty() && request.before.is_none())
    {
        // The page's box "all" is of all that pass the other conditions.
        let words = "id and before are for Accept: application/json; filter by reason or text";
        return answers::problem(client, StatusCode::BAD_REQUEST, words);
    }
    let body = async {
        let Fields(request) = request?;
        console.inner.admin.blocking(|admin| body(admin, request)).await
    };
    answers::page(client, "Dead letters", "/dead-letters", body.await)
}

pub(super) async fn act(
    State(console): State<Console>,
    client: Client,
    request: Result<Fields<DeadLetterActionRequest>, Refusal>,
) -> Response {
    let done = async {
        let Fields(mut request) = request?;
        // The form has both where some are ticked and then all.
        if request.all.is_some() {
            request.ids.clear();
        }
        console.inner.admin.blocking(|admin| request.handle(admin)).await
    };
    match done.await {
        Ok(_) => answers::see_other("/dead-letters"),
        Err(Refusal { status, message }) => answers::problem(client, status, &message),
    }
}

fn body(admin: &Admin, request: DeadLettersRequest) -> Result<Markup, Refusal> {
    let DeadLettersRequest { reason, text, prefix, .. } = request.clone();
    let [reason, text, prefix] = [reason, text, prefix].map(Option::unwrap_or_default);
    let DeadLetterSummary { by_reason, passed, newest } = request.summary(admin, MAX_SHOWN)?;
    Ok(html! {
        div.head {
            div {
                h1 { "Dead letters" }
                p.help { "Events that were moved to the dead-letter queue: " (by_reason.values().sum::<usize>()) "." }
            }
            form.filter action="/dead-letters" role="search" aria-label="Filter dead letters" {
                label {
                    "Reason "
                    select name="reason" {
                        option value="" { "any" }
                        @for (name, count) in &by_reason {
                            option value=(name) selected[*name == reason] { (name.replace('_', " ")) " (" (count) ")" }
                        }
                    }
                }
                input type="search" name="text" value=(text) placeholder="part of the key" aria-label="Part of the key";
                input type="hidden" name="prefix" value=(prefix);
                button { "Filter" }
            }
        }
        @if let Some(warning) = admin.dead_letter_warning() {
            p.card.dead-letter.bad role="alert" { (visible(&warning)) }
        }
        @if by_reason.is_empty() { (empty(none())) }
        @else if newest.is_empty() { (empty("None of them passes the filter.")) }
        @else {
            p.card.part role="status" data-redriven hidden {}
            form method="post" action="/dead-letters" data-dead-letters {
                input type="hidden" name="reason" value=(reason);
                input type="hidden" name="text" value=(text);
                input type="hidden" name="prefix" value=(prefix);
                div.row.actions {
                    span.help.unselected { "Tick some to redrive or purge them." }
                    button name="action" value="redrive" { "Redrive chosen" }
                    button.danger name="action" value="purge" data-confirm={
                        "Delete the chosen dead letters? If “all” is ticked, these are " (passed) "."
                    } { "Purge chosen" }
                    label { input type="checkbox" name="all" value="1"; " all " (passed) " that pass the filter" }
                }
                ul.list { @for dead_letter in &newest { (item(dead_letter)) } }
            }
            @if passed > newest.len() {
                p.help { "The newest " (newest.len()) " of " (passed) "; filter to see others." }
            }
        }
    })
}

/// What is said where there are none to show.
pub(super) fn none() -> &'static str {
    match Visibility::current().is_whole() {
        true => "None. Every event was handled.",
        false => "None of the objects that this access key sees.",
    }
}

fn item(dead_letter: &DeadLetter) -> Markup {
    let DeadLetter { event, reason, .. } = dead_letter;
    let key = visible(&event.key);
    html! {
        li.card.dead-letter.bad data-key=(Data(&event.key)) data-bucket=(event.bucket) {
            input type="checkbox" name="id" value=(event.id) aria-label={ "Choose " (key) };
            @match reason.as_str() {
                "unsupported" | "missing" => (no_image()),
                _ => (small_image(&links::preview(&event.bucket, &event.key, &event.etag), "")),
            }
            div.what {
                p.name {
                    (badge("bad", reason.replace('_', " "))) " "
                    a href=(links::object(&event.bucket, &event.key)) { (key) }
                }
                p.why { (visible(&dead_letter.message)) }
                p.help {
                    "dead since " (time(dead_letter.dead_ms)) " · queued " (time(event.queued_ms)) " · " (attempts(event.failed))
                    " · " (bytes(event.size)) " · request " code { (visible(&event.request_id)) }
                }
            }
        }
    }
}
