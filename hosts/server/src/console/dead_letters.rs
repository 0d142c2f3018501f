//! The page of dead letters: filter, redrive, purge.

use std::fmt::Write as _;

use axum::{extract::State, http::StatusCode, response::Response};

use super::{Console, answers, html, object::attempts};
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

fn body(admin: &Admin, request: DeadLettersRequest) -> Result<String, Refusal> {
    let given = |text: &Option<String>| html::text(text.as_deref().unwrap_or_default());
    let (reason, text, prefix) = (given(&request.reason), given(&request.text), given(&request.prefix));
    let DeadLetterSummary { by_reason, passed, newest } = request.summary(admin, MAX_SHOWN)?;
    let mut out = String::new();
    let _ = write!(
        out,
        "<div class=\"head\"><div><h1>Dead letters</h1><p class=\"help\">Events that were moved to the dead-letter queue: {}.</p></div>\
         <form class=\"filter\" action=\"/dead-letters\" role=\"search\" aria-label=\"Filter dead letters\"><label>Reason <select name=\"reason\"><option value=\"\">any</option>",
        by_reason.values().sum::<usize>()
    );
    for (name, count) in &by_reason {
        let name = html::text(name);
        let selected = if name == reason { " selected" } else { "" };
        let _ =
            write!(out, "<option value=\"{name}\"{selected}>{} ({count})</option>", name.replace('_', " "));
    }
    let _ = write!(
        out,
        "</select></label><input type=\"search\" name=\"text\" value=\"{text}\" placeholder=\"part of the key\" \
         aria-label=\"Part of the key\"><input type=\"hidden\" name=\"prefix\" value=\"{prefix}\"><button>Filter</button></form></div>"
    );
    if let Some(warning) = admin.dead_letter_warning() {
        let _ = write!(out, "<p class=\"card dead-letter bad\" role=\"alert\">{}</p>", html::text(&warning));
    }
    if newest.is_empty() {
        out.push_str(match (by_reason.is_empty(), Visibility::current().is_whole()) {
            (true, true) => "<p class=\"card empty\">None. Every event was handled.</p>",
            (true, false) => "<p class=\"card empty\">None of the objects that this access key sees.</p>",
            (false, _) => "<p class=\"card empty\">None of them passes the filter.</p>",
        });
        return Ok(out);
    }
    let _ = write!(
        out,
        "<p class=\"card part\" role=\"status\" data-redriven hidden></p><form method=\"post\" action=\"/dead-letters\" data-dead-letters><input type=\"hidden\" name=\"reason\" value=\"{reason}\"><input type=\"hidden\" \
         name=\"text\" value=\"{text}\"><input type=\"hidden\" name=\"prefix\" value=\"{prefix}\"><div class=\"row actions\"><span class=\"help unselected\">Tick some to redrive or purge them.</span><button name=\"action\" value=\"redrive\">Redrive chosen</button>\
         <button name=\"action\" value=\"purge\" class=\"danger\" data-confirm=\"Delete the chosen dead letters? If “all” is ticked, these are {passed}.\">Purge chosen</button>\
         <label><input type=\"checkbox\" name=\"all\" value=\"1\"> all {passed} that pass the filter</label></div>"
    );
    out.push_str("<ul class=\"list\">");
    out.extend(newest.iter().map(item));
    out.push_str("</ul></form>");
    if passed > newest.len() {
        let _ = write!(
            out,
            "<p class=\"help\">The newest {} of {passed}; filter to see others.</p>",
            newest.len()
        );
    }
    Ok(out)
}

fn item(dead_letter: &DeadLetter) -> String {
    let event = &dead_letter.event;
    let image = match dead_letter.reason.as_str() {
        "unsupported" | "missing" => "<span class=\"none\" aria-hidden=\"true\">▦</span>".to_owned(),
        _ => {
            let link = html::preview_link(&event.bucket, &event.key, &event.etag);
            format!("<img src=\"{link}\" alt=\"\" loading=\"lazy\">")
        }
    };
    format!(
        "<li class=\"card dead-letter bad\" data-key=\"{}\" data-bucket=\"{}\"><input type=\"checkbox\" name=\"id\" value=\"{}\" aria-label=\"Choose {}\">\
         {}<div class=\"what\"><p class=\"name\"><span class=\"badge bad\">{}</span> <a href=\"{}\">{}</a></p>\
         <p class=\"why\">{}</p><p class=\"help\">dead since {} · queued {} · {} · {} · request <code>{}</code></p></div></li>",
        html::text(&event.key),
        html::text(&event.bucket),
        event.id,
        html::text(&event.key),
        image,
        html::text(&dead_letter.reason.replace('_', " ")),
        html::object_link(&event.bucket, &event.key),
        html::text(&event.key),
        html::text(&dead_letter.message),
        html::time(dead_letter.dead_ms),
        html::time(event.queued_ms),
        attempts(event.failed),
        html::bytes(event.size),
        html::text(&event.request_id),
    )
}
