//! Dead letters: filter, look, redrive, purge.

use std::{collections::BTreeMap, fmt::Write as _};

use axum::{
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde_json::json;
use tintype_api::message;

use super::{
    Inner, Page,
    answers::{self, see_other},
    html,
    object::{attempts, wants_json},
};
use crate::{ledger::DeadLetter, queue::DeadLetterFilter};

/// Dead letters on one page.
const MOST: usize = 200;

/// The filter as a query has it.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    reason: String,
    prefix: String,
    text: String,
}

impl Asked {
    fn filter(&self) -> DeadLetterFilter {
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        DeadLetterFilter {
            ids: None,
            object: None,
            // As people write it: "too large".
            reason: given(&self.reason).map(|reason| reason.to_lowercase().replace([' ', '-'], "_")),
            prefix: given(&self.prefix),
            text: given(&self.text),
        }
    }
}

pub(super) async fn page(
    State(page): State<Page>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    if wants_json(&headers) {
        let read = answers::blocking(&page, move |inner| {
            let letters = inner.queue.dead_letters(&asked.filter())?;
            Ok(json!({"deadLetters": letters, "warning": inner.queue.dead_letter_warning()}))
        });
        return match read.await {
            Ok(letters) => axum::response::IntoResponse::into_response(axum::Json(letters)),
            Err(problem) => *problem,
        };
    }
    match answers::blocking(&page, move |inner| body(inner, &asked)).await {
        Ok(body) => {
            answers::fresh(html::layout(&page.inner.settings, "Dead letters", "/dead-letters", &body))
        }
        Err(problem) => *problem,
    }
}

/// A form: `action` is `redrive` or `purge`; `id`s, or `all` that pass the filter.
pub(super) async fn act(State(page): State<Page>, headers: HeaderMap, body: String) -> Response {
    let (mut action, mut all, mut ids, mut asked) = (String::new(), false, Vec::new(), Asked::default());
    for (name, value) in url::form_urlencoded::parse(body.as_bytes()) {
        match name.as_ref() {
            "action" => action = value.into_owned(),
            "all" => all = true,
            "reason" => asked.reason = value.into_owned(),
            "prefix" => asked.prefix = value.into_owned(),
            "text" => asked.text = value.into_owned(),
            "id" => match value.parse() {
                Ok(id) => ids.push(id),
                Err(_) => return message(StatusCode::BAD_REQUEST, format!("id \"{value}\" is no number")),
            },
            other => return message(StatusCode::BAD_REQUEST, format!("\"{other}\" is not known")),
        }
    }
    if ids.is_empty() && !all {
        let words = "choose dead letters first, or take all that are shown";
        return match wants_json(&headers) {
            true => message(StatusCode::BAD_REQUEST, words),
            false => answers::problem(&page, StatusCode::BAD_REQUEST, words),
        };
    }
    let mut filter = asked.filter();
    if !all {
        filter.ids = Some(ids);
    }
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
    let acted = answers::blocking(&page, move |inner| {
        if !redrive {
            return Ok(inner.queue.purge(&filter)?);
        }
        let done = inner.queue.redrive(&filter)?;
        (0..done).for_each(|_| inner.store.event_queued());
        Ok(done)
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
    let every = inner.queue.dead_letters(&DeadLetterFilter::default())?;
    let shown = inner.queue.dead_letters(&asked.filter())?;
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for letter in &every {
        *reasons.entry(&letter.reason).or_default() += 1;
    }
    let mut out = String::new();
    let _ = write!(
        out,
        "<div class=\"head\"><div><h1>Dead letters</h1><p class=\"help\">Events that were given up: {} kept.</p></div>\
         <form class=\"filter\" action=\"/dead-letters\" role=\"search\" aria-label=\"Filter dead letters\"><label>Reason <select name=\"reason\"><option value=\"\">any</option>",
        every.len()
    );
    for (reason, count) in &reasons {
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
    if shown.is_empty() {
        out.push_str("<p class=\"card empty\">None. Every event came to its end.</p>");
        return Ok(out);
    }
    let _ = write!(
        out,
        "<form method=\"post\" action=\"/dead-letters\"><input type=\"hidden\" name=\"reason\" value=\"{}\"><input type=\"hidden\" \
         name=\"text\" value=\"{}\"><input type=\"hidden\" name=\"prefix\" value=\"{}\"><div class=\"row actions\"><button name=\"action\" value=\"redrive\">Redrive chosen</button>\
         <button name=\"action\" value=\"purge\" class=\"danger\" data-confirm=\"Throw the chosen dead letters away?\">Purge chosen</button>\
         <label><input type=\"checkbox\" name=\"all\" value=\"1\"> all {} shown</label></div>",
        html::text(&asked.reason),
        html::text(&asked.text),
        html::text(&asked.prefix),
        shown.len()
    );
    out.push_str("<ul class=\"list\">");
    for letter in shown.iter().take(MOST) {
        out.push_str(&item(letter));
    }
    out.push_str("</ul></form>");
    if shown.len() > MOST {
        let _ =
            write!(out, "<p class=\"help\">The newest {MOST} of {}; filter to see others.</p>", shown.len());
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
         <p class=\"why\">{}</p><p class=\"help\">given up {} · uploaded {} · {} · {} · request <code>{}</code></p></div></li>",
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
