//! Dead letters: filter, look, redrive, purge.

use std::fmt::Write as _;

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde_json::json;
use tintype_api::message;

use super::{
    Console, Inner,
    answers::{self, see_other},
    html,
    object::{attempts, wants_json},
};
use crate::{
    auth::Client,
    queue::{DeadLetter, DeadLetterFilter, DeadLetterPage, DeadLetterSummary, reason},
};

/// Dead letters on one page.
const MOST: usize = 200;
/// Ids in one request.
const MOST_IDS: usize = 10_000;

/// What a query or form asks for.
#[derive(Debug, Default)]
struct Asked {
    reason: String,
    prefix: String,
    text: String,
    ids: Vec<u64>,
    /// Only ids below this one: where the answer before left off.
    before: Option<u64>,
    action: String,
    all: bool,
}

impl Asked {
    /// Reads it; fails in words that say what is wrong.
    fn read(text: &str) -> Result<Self, String> {
        let mut asked = Self::default();
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            let number = || value.parse::<u64>().map_err(|_| format!("{name} \"{value}\" is no number"));
            match name.as_ref() {
                "reason" if value.is_empty() => {}
                "reason" => reason(&value)?.clone_into(&mut asked.reason),
                "prefix" => asked.prefix = value.into_owned(),
                "text" => asked.text = value.into_owned(),
                "id" => asked.ids.push(number()?),
                "before" => asked.before = Some(number()?),
                "action" => asked.action = value.into_owned(),
                "all" if value == "1" => asked.all = true,
                "all" => return Err(format!("all=\"{value}\": only all=1 is known")),
                other => return Err(format!("\"{other}\" is not known")),
            }
        }
        if asked.ids.len() > MOST_IDS {
            return Err(format!("{} ids at once; at most {MOST_IDS}", asked.ids.len()));
        }
        asked.ids.sort_unstable();
        asked.ids.dedup();
        Ok(asked)
    }

    fn filter(&self) -> DeadLetterFilter {
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        DeadLetterFilter {
            ids: (!self.ids.is_empty() && !self.all).then(|| self.ids.clone()),
            object: None,
            reason: given(&self.reason),
            prefix: given(&self.prefix),
            text: given(&self.text),
        }
    }

    /// The next of them, as far as one answer goes.
    fn next(&self, inner: &Inner) -> anyhow::Result<DeadLetterPage> {
        let filter = self.filter();
        match filter.ids {
            Some(_) => Ok(DeadLetterPage { dead_letters: inner.queue.dead_letters(&filter)?, next: None }),
            None => Ok(inner.queue.dead_letters_below(self.before.unwrap_or(u64::MAX), &filter)?),
        }
    }
}

pub(super) async fn page(
    State(console): State<Console>,
    client: Client,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let asked = match Asked::read(&query.unwrap_or_default()) {
        Ok(asked) => asked,
        Err(words) => return refuse(client, &headers, &words),
    };
    if wants_json(&headers) {
        let read = answers::blocking(&console, move |inner| {
            let DeadLetterPage { dead_letters: letters, next } = asked.next(inner)?;
            Ok(json!({"deadLetters": letters, "next": next, "warning": inner.queue.dead_letter_warning()}))
        });
        return match read.await {
            Ok(letters) => axum::response::IntoResponse::into_response(axum::Json(letters)),
            Err(problem) => *problem,
        };
    }
    if !asked.ids.is_empty() {
        // Its box "all" is of all that pass the other conditions.
        return refuse(client, &headers, "id is for Accept: application/json; filter by reason or text");
    }
    match answers::blocking(&console, move |inner| body(inner, &asked)).await {
        Ok(body) => answers::fresh(html::layout(client, "Dead letters", "/dead-letters", &body)),
        Err(problem) => *problem,
    }
}

fn refuse(client: Client, headers: &HeaderMap, words: &str) -> Response {
    match wants_json(headers) {
        true => message(StatusCode::BAD_REQUEST, words),
        false => answers::problem(client, StatusCode::BAD_REQUEST, words),
    }
}

/// A form: `action` is `redrive` or `purge`; `id`s, or `all` that pass the filter.
pub(super) async fn act(
    State(console): State<Console>,
    client: Client,
    headers: HeaderMap,
    body: String,
) -> Response {
    let asked = match Asked::read(&body) {
        Ok(asked) => asked,
        Err(words) => return refuse(client, &headers, &words),
    };
    if asked.ids.is_empty() && !asked.all {
        return refuse(client, &headers, "choose dead letters first, or take all that are shown");
    }
    if asked.before.is_some() {
        return refuse(client, &headers, "before is for reading; leave it out (nothing was done)");
    }
    // A form of the page has both where some are ticked and then all.
    if asked.all && !asked.ids.is_empty() && wants_json(&headers) {
        return refuse(client, &headers, "give id or all=1, not both (nothing was done)");
    }
    let filter = asked.filter();
    let action = asked.action;
    let redrive = match action.as_str() {
        "redrive" => true,
        "purge" => false,
        other => {
            return message(
                StatusCode::BAD_REQUEST,
                format!("action \"{other}\" is neither redrive nor purge"),
            );
        }
    };
    let acted = answers::blocking(&console, move |inner| {
        if !redrive {
            return Ok(inner.queue.purge(&filter)?);
        }
        Ok(inner.queue.redrive(&filter)?)
    });
    match acted.await {
        Err(problem) => *problem,
        Ok(count) if wants_json(&headers) => {
            axum::response::IntoResponse::into_response(axum::Json(json!({"action": action, "count": count})))
        }
        Ok(_) => see_other("/dead-letters"),
    }
}

fn body(inner: &Inner, asked: &Asked) -> anyhow::Result<String> {
    let DeadLetterSummary { by_reason, passed, newest } = inner.queue.summary(&asked.filter(), MOST)?;
    let mut out = String::new();
    let _ = write!(
        out,
        "<div class=\"head\"><div><h1>Dead letters</h1><p class=\"help\">Events that were given up: {} kept.</p></div>\
         <form class=\"filter\" action=\"/dead-letters\" role=\"search\" aria-label=\"Filter dead letters\"><label>Reason <select name=\"reason\"><option value=\"\">any</option>",
        by_reason.values().sum::<usize>()
    );
    for (reason, count) in &by_reason {
        let chosen = if *reason == asked.reason { " selected" } else { "" };
        let _ = write!(
            out,
            "<option value=\"{0}\"{chosen}>{1} ({count})</option>",
            html::text(reason),
            html::text(&reason.replace('_', " "))
        );
    }
    let _ = write!(
        out,
        "</select></label><input type=\"search\" name=\"text\" value=\"{}\" placeholder=\"part of the key\" \
         aria-label=\"Part of the key\"><input type=\"hidden\" name=\"prefix\" value=\"{}\"><button>Filter</button></form></div>",
        html::text(&asked.text),
        html::text(&asked.prefix)
    );
    if let Some(warning) = inner.queue.dead_letter_warning() {
        let _ = write!(out, "<p class=\"card letter bad\" role=\"alert\">{}</p>", html::text(&warning));
    }
    if newest.is_empty() {
        out.push_str(match by_reason.is_empty() {
            true => "<p class=\"card empty\">None. Every event came to its end.</p>",
            false => "<p class=\"card empty\">None of them passes the filter.</p>",
        });
        return Ok(out);
    }
    let _ = write!(
        out,
        "<form method=\"post\" action=\"/dead-letters\"><input type=\"hidden\" name=\"reason\" value=\"{}\"><input type=\"hidden\" \
         name=\"text\" value=\"{}\"><input type=\"hidden\" name=\"prefix\" value=\"{}\"><div class=\"row actions\"><button name=\"action\" value=\"redrive\">Redrive chosen</button>\
         <button name=\"action\" value=\"purge\" class=\"danger\" data-confirm=\"Throw the chosen dead letters away? If “all” is ticked, these are {passed}.\">Purge chosen</button>\
         <label><input type=\"checkbox\" name=\"all\" value=\"1\"> all {passed} that pass the filter</label></div>",
        html::text(&asked.reason),
        html::text(&asked.text),
        html::text(&asked.prefix),
    );
    out.push_str("<ul class=\"list\">");
    for letter in &newest {
        out.push_str(&item(letter));
    }
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

fn item(letter: &DeadLetter) -> String {
    let event = &letter.event;
    let picture = match letter.reason.as_str() {
        "unsupported" | "missing" => "<span class=\"none\" aria-hidden=\"true\">▦</span>".to_owned(),
        _ => {
            let link = html::picture_link(&event.bucket, &event.key, &event.etag);
            format!("<img src=\"{link}\" alt=\"\" loading=\"lazy\">")
        }
    };
    format!(
        "<li class=\"card letter bad\"><input type=\"checkbox\" name=\"id\" value=\"{}\" aria-label=\"Choose {}\">\
         {}<div class=\"what\"><p class=\"name\"><span class=\"badge bad\">{}</span> <a href=\"{}\">{}</a></p>\
         <p class=\"why\">{}</p><p class=\"help\">given up {} · queued {} · {} · {} · request <code>{}</code></p></div></li>",
        event.id,
        html::text(&event.key),
        picture,
        html::text(&letter.reason.replace('_', " ")),
        html::object_link(&event.bucket, &event.key),
        html::text(&event.key),
        html::text(&letter.message),
        html::moment(letter.dead_ms),
        html::moment(event.queued_ms),
        attempts(event.failed),
        html::bytes(event.size),
        html::text(&event.request_id),
    )
}
