//! Descriptions on pages: that of one image with the form that edits it, and how describing goes. What a model wrote is
//! text everywhere, whatever it holds.

use std::fmt::Write as _;

use axum::{extract::State, response::Response};

use super::{Console, answers, html};
use crate::{
    admin::{
        AltText, AltTextRequest, AltTexts, DescribeMissingRequest, Fields, Handle as _, ObjectStatus, Refusal,
    },
    auth::Client,
    settings::Settings,
};

/// Days that are shown.
const SHOWN_DAYS: usize = 7;

/// Changes a description, and leads back to the object's page.
pub(super) async fn act(
    State(console): State<Console>,
    client: Client,
    request: Result<Fields<AltTextRequest>, Refusal>,
) -> Response {
    let done = async {
        let Fields(request) = request?;
        let (bucket, key) = (request.bucket.clone(), request.key.clone());
        console.inner.admin.blocking(|admin| request.handle(admin)).await?;
        let default = console.inner.settings.default_trigger().map(|trigger| trigger.bucket.clone());
        let bucket = bucket.or(default).unwrap_or_default();
        Ok::<_, Refusal>(html::object_link(&bucket, &key).replace("&amp;", "&"))
    };
    match done.await {
        Ok(link) => answers::see_other(&link),
        Err(Refusal { status, message }) => answers::problem(client, status, &message),
    }
}

/// Has images described that have no description, and leads back.
pub(super) async fn describe_missing(
    State(console): State<Console>,
    client: Client,
    request: Result<Fields<DescribeMissingRequest>, Refusal>,
) -> Response {
    let done = async {
        let Fields(mut request) = request?;
        loop {
            let step = request.clone();
            let answer = console.inner.admin.blocking(|admin| step.handle(admin)).await?;
            match answer.next {
                Some(next) => request.after = Some(next),
                None => return Ok::<_, Refusal>(()),
            }
        }
    };
    match done.await {
        Ok(()) => answers::see_other("/operations"),
        Err(Refusal { status, message }) => answers::problem(client, status, &message),
    }
}

/// The section of an object's page.
pub(super) fn section(settings: &Settings, known: &ObjectStatus) -> String {
    let Some(alt_text) = &known.alt_text else { return String::new() };
    let mut out =
        String::from("<section class=\"card facts\" aria-labelledby=\"alt\"><h2 id=\"alt\">Alt text</h2>");
    let note = match alt_text {
        AltText { failed: Some(why), .. } => format!("<span class=\"why\">{}</span>", html::text(why)),
        AltText { waiting: true, .. } => "Waiting to be described.".into(),
        AltText { key: None, .. } => "There is none.".into(),
        AltText { edited: true, .. } => "Written by a person: no model overwrites it.".into(),
        AltText { model, written, .. } => format!(
            "By {}, {}.",
            html::text(model.as_deref().unwrap_or("a model")),
            html::text(written.as_deref().unwrap_or("some time ago"))
        ),
    };
    let action =
        format!("/alt-text?bucket={}&amp;key={}", html::query(&known.bucket), html::query(&known.key));
    let _ = write!(out, "<p class=\"help\">{note}</p><form method=\"post\" action=\"{action}\">");
    let of_settings = settings.alt_text.iter().flat_map(|alt_text| alt_text.languages.iter());
    let mut languages: Vec<&str> = alt_text.alt.keys().chain(of_settings).map(String::as_str).collect();
    languages.sort_unstable();
    languages.dedup();
    if languages.is_empty() {
        languages.push("en");
    }
    for language in languages {
        let text = alt_text.alt.get(language).map_or("", String::as_str);
        let language = html::text(language);
        let _ = write!(
            out,
            "<p><label for=\"alt-{language}\">{language}</label><input type=\"hidden\" name=\"language\" value=\"{language}\">\
             <textarea id=\"alt-{language}\" name=\"text\" rows=\"2\" cols=\"60\" lang=\"{language}\">{}</textarea></p>",
            html::text(text)
        );
    }
    out.push_str("<button>Save</button></form>");
    if settings.alt_text.is_some() {
        let _ = write!(
            out,
            "<form method=\"post\" action=\"{action}\"><input type=\"hidden\" name=\"action\" value=\"describe\">\
             <button class=\"quiet\">Describe again</button></form>"
        );
    }
    out.push_str("</section>");
    out
}

/// The text for an `alt` attribute: in the first language there is.
pub(super) fn first(known: &ObjectStatus) -> &str {
    let alt = known.alt_text.as_ref().map(|alt_text| &alt_text.alt);
    alt.and_then(|alt| alt.get("en").or_else(|| alt.values().next())).map_or("", String::as_str)
}

/// The section of the page of operations; nothing where no model describes images and none did.
pub(super) fn operations(state: &AltTexts) -> String {
    if state.model.is_none() && state.days.is_empty() {
        return String::new();
    }
    let mut out = String::from(
        "<section class=\"card part\" aria-labelledby=\"described\"><h2 id=\"described\">Alt text</h2>",
    );
    let model = state.model.as_deref().unwrap_or("no model");
    let _ = write!(out, "<p>{}, {} waiting", html::text(model), state.waiting);
    if let Some(until) = state.out_of_budget_until_ms {
        let _ = write!(out, ", budget used up until {}", html::time(until));
    }
    out.push_str("</p>");
    if let (Some(since), Some(why)) = (state.failing_since_ms, &state.last_error) {
        let _ = write!(
            out,
            "<p class=\"why\">Since {} the provider takes nothing: {}</p>",
            html::time(since),
            html::text(why)
        );
    }
    if !state.days.is_empty() {
        out.push_str("<table><thead><tr><th>Day (UTC)</th><th>Described</th><th>Requests</th><th>Tokens in</th><th>out</th><th>$</th></tr></thead><tbody>");
        for day in state.days.iter().rev().take(SHOWN_DAYS) {
            let _ = write!(
                out,
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{:.4}</td></tr>",
                html::text(&day.day),
                day.used.described,
                day.used.requests,
                day.used.tokens.input,
                day.used.tokens.output,
                day.dollars
            );
        }
        out.push_str("</tbody></table>");
    }
    if state.model.is_some() {
        out.push_str(
            "<form method=\"post\" action=\"/alt-texts\"><button class=\"quiet\">Describe what has no description</button></form>",
        );
    }
    out.push_str("</section>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_models_and_providers_wrote_is_text() {
        let state = AltTexts {
            model: Some("<i>".into()),
            waiting: 1,
            failing_since_ms: Some(0),
            last_error: Some("<script>alert(1)</script>".into()),
            out_of_budget_until_ms: None,
            max_tokens_per_day: None,
            days: Vec::new(),
        };
        let shown = operations(&state);
        assert!(!shown.contains("<script") && !shown.contains("<i>"), "{shown}");
        assert!(shown.contains("&lt;script"), "{shown}");
    }
}
