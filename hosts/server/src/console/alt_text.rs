//! Descriptions on pages: that of one image with the form that edits it, and how describing goes. What a model wrote is
//! text everywhere, whatever it holds.

use axum::{extract::State, response::Response};
use maud::{Markup, html};

use super::{
    Console, answers,
    html::{table, time, visible},
    links,
};
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
        let default = console.inner.settings.load().default_trigger().map(|trigger| trigger.bucket.clone());
        let bucket = bucket.or(default).unwrap_or_default();
        Ok::<_, Refusal>(links::object(&bucket, &key))
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

/// The section of an object's page; nothing where there is no description and can be none.
pub(super) fn section(settings: &Settings, known: &ObjectStatus) -> Markup {
    let Some(alt_text) = &known.alt_text else { return html! {} };
    let of_settings = settings.alt_text.iter().flat_map(|alt_text| alt_text.languages.iter());
    let mut languages: Vec<&str> = alt_text.alt.keys().chain(of_settings).map(String::as_str).collect();
    languages.sort_unstable();
    languages.dedup();
    if languages.is_empty() {
        languages.push("en");
    }
    let action = links::place("/alt-text", &known.bucket, &known.key);
    html! {
        section.card.facts aria-labelledby="alt" {
            h2 #alt { "Alt text" }
            p.help {
                @match alt_text {
                    AltText { failed: Some(why), .. } => span.why { (visible(why)) },
                    AltText { waiting: true, .. } => "Waiting to be described.",
                    AltText { key: None, .. } => "There is none.",
                    AltText { edited: true, earlier: true, .. } => {
                        "Written by a person for an earlier version of the image: no model overwrites it."
                    },
                    AltText { edited: true, .. } => "Written by a person: no model overwrites it.",
                    AltText { model, written, .. } => {
                        "By " (visible(model.as_deref().unwrap_or("a model"))) ", "
                        (written.as_deref().unwrap_or("some time ago")) "."
                    }
                }
            }
            form method="post" action=(action) {
                @for language in languages {
                    p {
                        label for={ "alt-" (language) } { (language) }
                        input type="hidden" name="language" value=(language);
                        textarea id={ "alt-" (language) } name="text" rows="2" cols="60" lang=(language) {
                            (alt_text.alt.get(language).map_or("", String::as_str))
                        }
                    }
                }
                button { "Save" }
            }
            @if settings.alt_text.is_some() {
                form method="post" action=(action) {
                    input type="hidden" name="action" value="describe";
                    button.quiet { "Describe again" }
                }
            }
        }
    }
}

/// The text for an `alt` attribute: in the first language there is.
pub(super) fn first(known: &ObjectStatus) -> &str {
    let alt = known.alt_text.as_ref().map(|alt_text| &alt_text.alt);
    alt.and_then(|alt| alt.get("en").or_else(|| alt.values().next())).map_or("", String::as_str)
}

/// The section of the page of operations; nothing where no model describes images and none did.
pub(super) fn operations(state: &AltTexts) -> Markup {
    if state.model.is_none() && state.days.is_empty() {
        return html! {};
    }
    html! {
        section.card.part aria-labelledby="described" {
            h2 #described { "Alt text" }
            p {
                (visible(state.model.as_deref().unwrap_or("no model"))) ", " (state.waiting) " waiting"
                @if let Some(until) = state.out_of_budget_until_ms { ", budget used up until " (time(until)) }
            }
            @if let (Some(since), Some(why)) = (state.failing_since_ms, &state.last_error) {
                p.why { "Since " (time(since)) " the provider takes nothing: " (visible(why)) }
            }
            @if !state.days.is_empty() {
                (table("Table of days", &["Day (UTC)", "Described", "Requests", "Tokens in", "out", "$"], html! {
                    @for day in state.days.iter().rev().take(SHOWN_DAYS) {
                        tr {
                            td { (day.day) }
                            td { (day.used.described) }
                            td { (day.used.requests) }
                            td { (day.used.tokens.input) }
                            td { (day.used.tokens.output) }
                            td { (format_args!("{:.4}", day.dollars)) }
                        }
                    }
                }))
            }
            @if state.model.is_some() {
                form method="post" action="/alt-texts" { button.quiet { "Describe what has no description" } }
            }
        }
    }
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
        let shown = operations(&state).into_string();
        assert!(!shown.contains("<script") && !shown.contains("<i>"), "{shown}");
        assert!(shown.contains("&lt;script"), "{shown}");
    }
}
