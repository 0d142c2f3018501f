//! The page of one object: the status of its thumbnails, the source and its renditions, options to try out, its attempts;
//! and the form that retries it.

use axum::{extract::State, response::Response};
use maud::{Markup, html};
use tintype_engine::{Effort, Fit, Gravity, OutputFormat};
use tintype_pipeline::ThumbnailStatus;

use super::{
    Console, addresses, alt_text,
    amounts::{bytes, ms},
    answers,
    html::{Data, time, visible},
    links, results,
};
use crate::{
    admin::{
        Admin, Entry, Fields, Handle as _, ImageFacts, ObjectStatus, Refusal, RetryRequest, Settlement,
        StatusRequest, StoredObject, StoredThumbnail, is_upload_cause,
    },
    auth::Client,
    settings::Settings,
};

pub(super) async fn page(
    State(console): State<Console>,
    client: Client,
    request: Result<Fields<StatusRequest>, Refusal>,
) -> Response {
    let title = request.as_ref().map_or_else(|_| String::new(), |Fields(request)| request.key.clone());
    let body = async {
        let Fields(request) = request?;
        let shown = console.clone();
        let work =
            move |admin: &Admin| Ok(body(&shown.inner.settings.load(), admin, &request.handle(admin)?));
        console.inner.admin.blocking(work).await
    };
    answers::page(client, &title, "/object", body.await)
}

/// Retries an object and leads back to its page. A browser changes line ends of a form's fields but not of its address,
/// so that keys are in the query.
pub(super) async fn retry(
    State(console): State<Console>,
    client: Client,
    request: Result<Fields<RetryRequest>, Refusal>,
) -> Response {
    let answer = async {
        let Fields(request) = request?;
        let key = request.key.clone();
        let answer = console.inner.admin.blocking(|admin| request.handle(admin)).await?;
        Ok::<_, Refusal>(links::object(&answer.bucket, &key))
    };
    match answer.await {
        Ok(link) => answers::see_other(&link),
        Err(Refusal { status, message }) => answers::problem(client, status, &message),
    }
}

fn body(settings: &Settings, admin: &Admin, known: &ObjectStatus) -> Markup {
    let ObjectStatus { bucket, key, object, wanted, thumbnails, history, .. } = known;
    let (class, status) = match known.status {
        ThumbnailStatus::Current => ("good", "Its thumbnails are there."),
        ThumbnailStatus::Pending => ("calm", "Its thumbnails are still to be rendered."),
        ThumbnailStatus::Failed => ("bad", "It has no thumbnail."),
        ThumbnailStatus::Ignored => ("calm", "It gets no thumbnail."),
        ThumbnailStatus::Stale => ("bad", "A thumbnail is gone, or of an earlier version."),
        ThumbnailStatus::Missing => ("calm", "No thumbnail was rendered of it."),
        ThumbnailStatus::Unknown => ("calm", "There is no such object now."),
    };
    // What cannot be rendered is not tried again for the page.
    let reason = known.dead_letter.as_ref().map(|dead_letter| dead_letter.reason.as_str());
    let can_render = !matches!(reason, Some("malformed" | "too_large"));
    let is_source = admin.triggers().iter().any(|trigger| trigger.bucket == *bucket);
    html! {
        div.head {
            div {
                h1.key { (visible(key)) }
                p.help {
                    "in " a href={ "/?bucket=" (links::query(bucket)) } { (visible(bucket)) }
                    @if let Some((folder, _)) = key.rsplit_once('/') {
                        ", folder " a href=(links::folder(bucket, &key[..=folder.len()])) { (visible(folder)) }
                    }
                }
            }
            @if object.is_some() { (copies(settings, is_source, known)) }
        }
        section class={ "card verdict " (class) } {
            div {
                p { (last_event(known)) }
                p.help { b { (status) } " What to do: " (visible(&known.advice)) "." }
            }
            @if object.is_some() && *wanted && can_help(known) {
                form method="post" action=(links::retry(bucket, key)) { button { "Render again" } }
            }
        }
        @if let Some(object) = object {
            div.object { (source(bucket, key, object, can_render)) (facts(object)) }
            @if !thumbnails.is_empty() {
                section aria-labelledby="renditions" {
                    h2 #renditions { "Renditions" }
                    div.images { @for thumbnail in thumbnails { (rendition(thumbnail)) } }
                }
            }
            @if is_source { @if let Some(addresses) = addresses::section(settings, bucket, key) { (addresses) } }
            (alt_text::section(settings, known))
            @if object.image.is_some() && can_render { (try_out(settings, bucket, key)) }
        }
        section aria-labelledby="history" {
            h2 #history { "History" }
            @if history.is_empty() { p.help { "No attempt is known; attempts are stored for 15 days." } }
            // What can be done now is above.
            ol.list { @for entry in history { (results::item(entry, false)) } }
        }
    }
}

/// Whether rendering again may end otherwise: not where the object's bytes decide.
fn can_help(known: &ObjectStatus) -> bool {
    let is_corrupt = known.object.as_ref().is_some_and(|object| object.corruption.is_some());
    let reason = known.dead_letter.as_ref().map(|dead_letter| dead_letter.reason.as_str());
    // A corrupt file may have been restored since.
    let is_open = |reason: &str| results::may_end_otherwise(reason) || reason == "damaged";
    known.status != ThumbnailStatus::Ignored && !is_corrupt && reason.is_none_or(is_open)
}

/// Its addresses, to be copied.
fn copies(settings: &Settings, is_source: bool, known: &ObjectStatus) -> Markup {
    let ObjectStatus { bucket, key, .. } = known;
    let mut values = Vec::new();
    if is_source {
        let url = links::place(&links::api(settings), bucket, key);
        let tag = html! { img src=(url) alt=(alt_text::first(known)) loading="lazy"; };
        values.extend([("url", "Copy URL", url), ("img", "Copy <img>", tag.into_string())]);
    }
    values.push(("s3", "Copy S3 URI", format!("s3://{bucket}/{key}")));
    html! {
        div.row.copies {
            @for (name, words, value) in values {
                button data-copy={ "#copy-" (name) } data-words=(words) hidden { (words) }
                span id={ "copy-" (name) } data-value=(value) hidden {}
            }
            a.button href=(links::place("/download", bucket, key)) download { "Download" }
        }
    }
}

/// The source, as large as a page shows it.
fn source(bucket: &str, key: &str, object: &StoredObject, can_render: bool) -> Markup {
    let Some(image) = object.image.as_ref().filter(|_| can_render) else {
        let words =
            if object.image.is_some() { "It cannot be rendered." } else { "No image by its content." };
        return html! { figure.card.source.none { p.help { (words) } } };
    };
    let place = links::place("/render", bucket, key);
    html! {
        figure.card.source {
            img src={ (place) "&size=1200x900&format=webp&v=" (links::query(&object.etag)) }
                alt={ (visible(key)) ", " (image.width) " by " (image.height) " pixels" };
        }
    }
}

/// What is known of the source.
fn facts(object: &StoredObject) -> Markup {
    let fact = |name: &str, value: Markup| html! { dt { (visible(name)) } dd { (value) } };
    let code = |value: &str| html! { code { (visible(value)) } };
    let text = |value: &str| html! { (visible(value)) };
    html! {
        section.card.facts aria-labelledby="facts" {
            h2 #facts { "Source" }
            dl {
                @if let Some(image) = &object.image {
                    (fact("Pixels", html! {
                        (image.width) " × " (image.height) " "
                        span.help { (format!("{:.1}", f64::from(image.width) * f64::from(image.height) / 1e6)) " MP" }
                    }))
                    (fact("Format", text(&format_in_words(image))))
                }
                (fact("Size", html! { (bytes(object.size)) " " span.help { (object.size) " bytes" } }))
                (fact("Content-Type", text(object.content_type.as_deref().unwrap_or("none"))))
                (fact("Stored", time(object.modified_ms)))
                (fact("ETag", code(&object.etag)))
                @for (name, value) in &object.checksums { (fact(name, code(value))) }
                @for (name, value) in &object.metadata { (fact(&format!("x-amz-meta-{name}"), text(value))) }
                @if let Some(corruption) = &object.corruption {
                    (fact("Corrupt", html! { span.why { (visible(corruption)) } }))
                }
            }
        }
    }
}

/// An image's format and what is notable about it.
fn format_in_words(image: &ImageFacts) -> String {
    let mut words = format!("{} {}, {} bits", image.format, image.colour, image.bits);
    let named = [
        (image.alpha, ", transparency"),
        (image.progressive, ", progressive"),
        (image.animated, ", animated, the first frame is rendered"),
        (image.profile, ", ICC profile"),
    ];
    words.extend(named.into_iter().filter(|(is, _)| *is).map(|(_, name)| name));
    if image.orientation != 1 {
        words += &format!(", EXIF orientation {}", image.orientation);
    }
    words
}

fn rendition(thumbnail: &StoredThumbnail) -> Markup {
    let StoredThumbnail { bucket, key, etag, .. } = thumbnail;
    let title = format!("{bucket}/{}", visible(key));
    html! {
        figure.card {
            a href=(links::object(bucket, key)) { img src=(links::image(bucket, key, etag)) alt=(title) loading="lazy"; }
            figcaption {
                b { (title) }
                br;
                @if let Some(image) = &thumbnail.image { (image.width) " × " (image.height) " · " (image.format) " · " }
                (bytes(thumbnail.size))
            }
        }
    }
}

/// A form that renders it with other options, beside the settings and the address that do the same.
fn try_out(settings: &Settings, bucket: &str, key: &str) -> Markup {
    let choice = |label: &str, name: &str, options: &[&str], default: &str| {
        html! {
            label {
                (label) " "
                select name=(name) { @for option in options { option selected[*option == default] { (option) } } }
            }
        }
    };
    let code = |label: &str, name: &str| {
        html! {
            p.row.between { b { (label) } " " button data-copy={ "[data-" (name) "]" } hidden { "Copy" } }
        }
    };
    let is_written = |name: &&&str| name.parse().is_ok_and(OutputFormat::is_written);
    let written: Vec<&str> = OutputFormat::NAMES.iter().filter(is_written).copied().collect();
    html! {
        section aria-labelledby="try" data-try data-bucket=(bucket) data-key=(Data(key))
            data-api=(settings.api.path()) hidden {
            h2 #try { "Render with these options" }
            div.try {
                form.card.options {
                    label {
                        "Size "
                        input name="size" value="480x360" pattern="[0-9]*x?[0-9]*" spellcheck="false" autocomplete="off";
                    }
                    (choice("Fit", "fit", Fit::NAMES, "inside"))
                    (choice("Gravity", "gravity", Gravity::NAMES, "center"))
                    (choice("Format", "format", &written, "same"))
                    label {
                        "Quality "
                        span.row { input name="quality" type="range" min="1" max="100" value="80"; " " output { "80" } }
                    }
                    (choice("Effort", "effort", Effort::NAMES, "balanced"))
                    label { "Sharpen " input name="sharpen" type="number" min="0" max="100" value="0"; }
                    label { "Animate " input name="animate" type="checkbox" value="true"; }
                }
                figure.card {
                    img alt="The image with these options" data-tried;
                    figcaption { span role="status" data-outcome {} }
                }
                div.card.code {
                    (code("Settings", "toml")) pre tabindex="0" { code data-toml {} }
                    (code("URL", "url")) pre tabindex="0" { code data-url {} }
                }
            }
        }
    }
}

/// How its last event stands or ended, in a sentence.
fn last_event(known: &ObjectStatus) -> Markup {
    let ObjectStatus { object, event, result, history, ignored, .. } = known;
    html! {
        @match (object, event, history.first(), result) {
            (_, Some(event), ..) if event.failed > 0 => {
                "Waiting for another attempt since " (time(event.due_ms)) "; " (attempts(event.failed)) " so far. Last error: "
                (visible(event.last_error.as_deref().unwrap_or("none")))
            },
            (_, Some(event), ..) => {
                @if is_upload_cause(event.cause()) { "Uploaded " } @else { "Queued again " }
                (time(event.queued_ms)) ", waiting for its turn."
            },
            (_, None, Some(last), _) => (last_attempt(history, last)),
            (_, None, None, Some(result)) => {
                "Uploaded " (time(result.queued_ms)) ", " (attempts(result.attempts)) ", "
                (visible(result.why.as_deref().unwrap_or(&result.outcome))) "."
            },
            (Some(object), ..) => {
                "Uploaded " (time(object.modified_ms))
                @if let Some(why) = ignored { ", ignored: " (visible(why)) "." } @else { ". No attempt is known." }
            },
            (None, ..) => "There is no object of this key, and no attempt of one is known.",
        }
    }
}

/// `tried twice`.
pub(super) fn attempts(count: u32) -> String {
    match count {
        1 => "tried once".into(),
        2 => "tried twice".into(),
        more => format!("tried {more} times"),
    }
}

/// The attempts since the last upload.
fn last_attempt(history: &[Entry], last: &Entry) -> Markup {
    let tried = history.iter().filter(|entry| entry.queued_ms.is_some() && entry.queued_ms == last.queued_ms);
    let tried = u32::try_from(tried.count().max(1)).unwrap_or(u32::MAX).max(last.attempt);
    let failed = match last.next {
        Settlement::DeadLetter => "dead letter: ",
        Settlement::Retry => "to be retried: ",
        Settlement::Done => "failed: ",
    };
    html! {
        @match last.queued_ms {
            Some(queued) if last.is_from_upload() => { "Uploaded " (time(queued)) },
            Some(queued) => { "Queued again " (time(queued)) },
            None => { "Requested " (time(last.ended_ms)) },
        }
        ", " (attempts(tried)) ", "
        @if last.has_failed() { (failed) (visible(&last.why)) } @else {
            (last.outcome.replace('_', " "))
            @if let Some(latency) = last.latency_ms() { " " (ms(latency as f64)) " later" }
        }
    }
}
