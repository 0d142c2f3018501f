//! The page of one object: the status of its thumbnails, the source and its renditions, options to try out, its attempts;
//! and the form that retries it.

use std::fmt::Write as _;

use axum::{extract::State, response::Response};
use tintype_engine::{Effort, Fit, Gravity, OutputFormat};
use tintype_pipeline::ThumbnailStatus;

use super::{Console, alt_text, answers, html, results};
use crate::{
    admin::{
        Admin, Entry, Fields, Handle as _, ObjectStatus, Refusal, RetryRequest, Settlement, StatusRequest,
        StoredObject, StoredThumbnail, is_upload_cause,
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
        let work = move |admin: &Admin| Ok(body(&shown.inner.settings, admin, &request.handle(admin)?));
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
        Ok::<_, Refusal>(html::object_link(&answer.bucket, &key).replace("&amp;", "&"))
    };
    match answer.await {
        Ok(link) => answers::see_other(&link),
        Err(Refusal { status, message }) => answers::problem(client, status, &message),
    }
}

fn body(settings: &Settings, admin: &Admin, known: &ObjectStatus) -> String {
    let ObjectStatus { bucket, key, object, wanted, thumbnails, history, .. } = known;
    let mut out = String::with_capacity(32 << 10);
    let _ = write!(
        out,
        "<div class=\"head\"><div><h1 class=\"key\">{}</h1><p class=\"help\">in <a href=\"/?bucket={}\">{}</a>{}</p></div>{}</div>",
        html::text(key),
        html::query(bucket),
        html::text(bucket),
        folder(bucket, key),
        if object.is_some() { copies(settings, admin, known) } else { String::new() },
    );
    let (class, status) = match known.status {
        ThumbnailStatus::Current => ("good", "Its thumbnails are there."),
        ThumbnailStatus::Pending => ("calm", "Its thumbnails are still to be rendered."),
        ThumbnailStatus::Failed => ("bad", "It has no thumbnail."),
        ThumbnailStatus::Ignored => ("calm", "It gets no thumbnail."),
        ThumbnailStatus::Stale => ("bad", "A thumbnail is gone, or of an earlier version."),
        ThumbnailStatus::Missing => ("calm", "No thumbnail was rendered of it."),
        ThumbnailStatus::Unknown => ("calm", "There is no such object now."),
    };
    let _ = write!(
        out,
        "<section class=\"card verdict {class}\"><div><p>{}</p><p class=\"help\"><b>{status}</b> What to do: {}.</p></div>",
        last_event(known),
        html::text(&known.advice)
    );
    if object.is_some() && *wanted && can_help(known) {
        let _ = write!(
            out,
            "<form method=\"post\" action=\"{}\"><button>Render again</button></form>",
            html::retry_link(bucket, key)
        );
    }
    out.push_str("</section>");
    if let Some(object) = object {
        let _ = write!(out, "<div class=\"object\">{}{}</div>", source(bucket, key, object), facts(object));
        if !thumbnails.is_empty() {
            out.push_str("<section aria-labelledby=\"renditions\"><h2 id=\"renditions\">Renditions</h2><div class=\"images\">");
            out.extend(thumbnails.iter().map(rendition));
            out.push_str("</div></section>");
        }
        out.push_str(&alt_text::section(settings, known));
        if object.image.is_some() {
            out.push_str(&try_out(settings, bucket, key));
        }
    }
    let _ = write!(out, "<section aria-labelledby=\"history\"><h2 id=\"history\">History</h2>");
    if history.is_empty() {
        out.push_str("<p class=\"help\">No attempt is known; attempts are stored for 15 days.</p>");
    }
    out.push_str("<ol class=\"list\">");
    // What can be done now is above.
    out.extend(history.iter().map(|entry| results::item(entry, false)));
    out.push_str("</ol></section>");
    out
}

/// Whether rendering again may end otherwise: not where the object's bytes decide.
fn can_help(known: &ObjectStatus) -> bool {
    let is_corrupt = known.object.as_ref().is_some_and(|object| object.corruption.is_some());
    let reason = known.dead_letter.as_ref().map(|dead_letter| dead_letter.reason.as_str());
    // A corrupt file may have been restored since.
    let is_open = |reason: &str| results::may_end_otherwise(reason) || reason == "damaged";
    known.status != ThumbnailStatus::Ignored && !is_corrupt && reason.is_none_or(is_open)
}

/// A link to the folder that it lies in.
fn folder(bucket: &str, key: &str) -> String {
    let Some((folder, _)) = key.rsplit_once('/') else { return String::new() };
    let link = format!("/?bucket={}&amp;prefix={}", html::query(bucket), html::query(&format!("{folder}/")));
    format!(", folder <a href=\"{link}\">{}</a>", html::text(folder))
}

/// Its addresses, to be copied.
fn copies(settings: &Settings, admin: &Admin, known: &ObjectStatus) -> String {
    let ObjectStatus { bucket, key, .. } = known;
    let mut out = String::from("<div class=\"row copies\">");
    let mut button = |id: &str, words: &str, value: &str| {
        let _ = write!(
            out,
            "<button data-copy=\"#copy-{id}\" data-words=\"{words}\" hidden>{words}</button><span id=\"copy-{id}\" data-value=\"{}\" hidden></span>",
            html::text(value)
        );
    };
    let api = format!("/{}/{}", settings.api.stage, settings.api.resource);
    let query = format!("bucket={}&key={}", html::query(bucket), html::query(key));
    if admin.triggers().iter().any(|trigger| trigger.bucket == *bucket) {
        let scheme = if settings.listen.tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}{api}?{query}", settings.listen.http);
        button("url", "Copy URL", &url);
        button(
            "img",
            "Copy <img>",
            &format!(
                "<img src=\"{}\" alt=\"{}\" loading=\"lazy\">",
                html::text(&url),
                html::text(alt_text::first(known))
            ),
        );
    }
    button("s3", "Copy S3 URI", &format!("s3://{bucket}/{key}"));
    let _ = write!(
        out,
        "<a class=\"button\" href=\"/download?{}\" download>Download</a></div>",
        html::text(&query)
    );
    out.replace("Copy <img>", "Copy &lt;img&gt;")
}

/// The source, as large as a page shows it.
fn source(bucket: &str, key: &str, object: &StoredObject) -> String {
    match &object.image {
        Some(image) => {
            let link = format!(
                "/render?bucket={}&amp;key={}&amp;size=1200x900&amp;format=webp&amp;v={}",
                html::query(bucket),
                html::query(key),
                html::query(&object.etag)
            );
            format!(
                "<figure class=\"card source\"><img src=\"{link}\" alt=\"{}, {} by {} pixels\"></figure>",
                html::text(key),
                image.width,
                image.height
            )
        }
        None => "<figure class=\"card source none\"><p class=\"help\">No image by its content.</p></figure>"
            .into(),
    }
}

/// What is known of the source.
fn facts(object: &StoredObject) -> String {
    let mut out = String::from(
        "<section class=\"card facts\" aria-labelledby=\"facts\"><h2 id=\"facts\">Source</h2><dl>",
    );
    let mut fact = |name: &str, value: String| {
        let _ = write!(out, "<dt>{}</dt><dd>{value}</dd>", html::text(name));
    };
    if let Some(image) = &object.image {
        let megapixels = f64::from(image.width) * f64::from(image.height) / 1e6;
        fact(
            "Pixels",
            format!("{} × {} <span class=\"help\">{megapixels:.1} MP</span>", image.width, image.height),
        );
        let mut more = vec![format!("{} bits", image.bits)];
        let named = [
            (image.alpha, "transparency"),
            (image.progressive, "progressive"),
            (image.animated, "animated, the first frame is rendered"),
            (image.profile, "ICC profile"),
        ];
        more.extend(named.into_iter().filter(|(is, _)| *is).map(|(_, name)| name.to_owned()));
        if image.orientation != 1 {
            more.push(format!("EXIF orientation {}", image.orientation));
        }
        let format = format!("{} {}, {}", image.format, image.colour, more.join(", "));
        fact("Format", html::text(&format));
    }
    fact("Size", format!("{} <span class=\"help\">{} bytes</span>", html::bytes(object.size), object.size));
    fact("Content-Type", html::text(object.content_type.as_deref().unwrap_or("none")));
    fact("Stored", html::time(object.modified_ms));
    fact("ETag", format!("<code>{}</code>", html::text(&object.etag)));
    for (name, value) in &object.checksums {
        fact(name, format!("<code>{}</code>", html::text(value)));
    }
    for (name, value) in &object.metadata {
        fact(&format!("x-amz-meta-{name}"), html::text(value));
    }
    if let Some(corruption) = &object.corruption {
        fact("Corrupt", format!("<span class=\"why\">{}</span>", html::text(corruption)));
    }
    out.push_str("</dl></section>");
    out
}

fn rendition(thumbnail: &StoredThumbnail) -> String {
    let title = html::text(&format!("{}/{}", thumbnail.bucket, thumbnail.key));
    let pixels = match &thumbnail.image {
        Some(image) => format!("{} × {} · {} · ", image.width, image.height, html::text(&image.format)),
        None => String::new(),
    };
    format!(
        "<figure class=\"card\"><a href=\"{}\"><img src=\"{}\" alt=\"{title}\" loading=\"lazy\"></a><figcaption><b>{title}</b><br>{pixels}{}</figcaption></figure>",
        html::object_link(&thumbnail.bucket, &thumbnail.key),
        html::image_link(&thumbnail.bucket, &thumbnail.key, &thumbnail.etag),
        html::bytes(thumbnail.size),
    )
}

/// A form that renders it with other options, beside the settings and the address that do the same.
fn try_out(settings: &Settings, bucket: &str, key: &str) -> String {
    fn options(names: &[&str], default: &str) -> String {
        let option = |name: &&str| {
            let selected = if *name == default { " selected" } else { "" };
            format!("<option{selected}>{name}</option>")
        };
        names.iter().map(option).collect()
    }
    format!(
        "<section aria-labelledby=\"try\" data-try data-bucket=\"{bucket}\" data-key=\"{key}\" data-api=\"/{stage}/{resource}\" hidden>\
         <h2 id=\"try\">Render with these options</h2><div class=\"try\"><form class=\"card options\">\
         <label>Size <input name=\"size\" value=\"480x360\" pattern=\"[0-9]*x?[0-9]*\" spellcheck=\"false\" autocomplete=\"off\"></label>\
         <label>Fit <select name=\"fit\">{fit}</select></label><label>Gravity <select name=\"gravity\">{gravity}</select></label>\
         <label>Format <select name=\"format\">{format}</select></label>\
         <label>Quality <span class=\"row\"><input name=\"quality\" type=\"range\" min=\"1\" max=\"100\" value=\"80\"> <output>80</output></span></label>\
         <label>Effort <select name=\"effort\">{effort}</select></label></form>\
         <figure class=\"card\"><img alt=\"The image with these options\" data-tried><figcaption><span role=\"status\" data-outcome></span></figcaption></figure>\
         <div class=\"card code\"><p class=\"row between\"><b>Settings</b> <button data-copy=\"[data-toml]\" hidden>Copy</button></p><pre tabindex=\"0\"><code data-toml></code></pre>\
         <p class=\"row between\"><b>URL</b> <button data-copy=\"[data-url]\" hidden>Copy</button></p><pre tabindex=\"0\"><code data-url></code></pre></div></div></section>",
        bucket = html::text(bucket),
        key = html::text(key),
        stage = html::text(&settings.api.stage),
        resource = html::text(&settings.api.resource),
        fit = options(Fit::NAMES, "inside"),
        gravity = options(Gravity::NAMES, "center"),
        format = options(OutputFormat::NAMES, "same"),
        effort = options(Effort::NAMES, "balanced"),
    )
}

/// How its last event stands or ended, in a sentence.
fn last_event(known: &ObjectStatus) -> String {
    let ObjectStatus { object, event, result, history, ignored, .. } = known;
    match (object, event, history.first(), result) {
        (_, Some(event), ..) if event.failed > 0 => format!(
            "Waiting for another attempt since {}; {} so far. Last error: {}",
            html::time(event.due_ms),
            attempts(event.failed),
            html::text(event.last_error.as_deref().unwrap_or("none"))
        ),
        (_, Some(event), ..) => {
            let begun = if is_upload_cause(event.cause()) { "Uploaded" } else { "Queued again" };
            format!("{begun} {}, waiting for its turn.", html::time(event.queued_ms))
        }
        (_, None, Some(last), _) => last_attempt(history, last),
        (_, None, None, Some(result)) => format!(
            "Uploaded {}, {}, {}.",
            html::time(result.queued_ms),
            attempts(result.attempts),
            html::text(result.why.as_deref().unwrap_or(&result.outcome))
        ),
        (Some(object), ..) if ignored.is_some() => format!(
            "Uploaded {}, ignored: {}.",
            html::time(object.modified_ms),
            html::text(ignored.as_deref().unwrap_or_default())
        ),
        (Some(object), ..) => format!("Uploaded {}. No attempt is known.", html::time(object.modified_ms)),
        (None, ..) => "There is no object of this key, and no attempt of one is known.".into(),
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
fn last_attempt(history: &[Entry], last: &Entry) -> String {
    let begun = match last.queued_ms {
        Some(queued) if last.is_from_upload() => format!("Uploaded {}", html::time(queued)),
        Some(queued) => format!("Queued again {}", html::time(queued)),
        None => format!("Requested {}", html::time(last.ended_ms)),
    };
    let tried = history.iter().filter(|entry| entry.queued_ms.is_some() && entry.queued_ms == last.queued_ms);
    let tried = u32::try_from(tried.count().max(1)).unwrap_or(u32::MAX).max(last.attempt);
    let end = match (last.has_failed(), last.next) {
        (true, Settlement::DeadLetter) => format!("dead letter: {}", html::text(&last.why)),
        (true, Settlement::Retry) => format!("to be retried: {}", html::text(&last.why)),
        (true, Settlement::Done) => format!("failed: {}", html::text(&last.why)),
        (false, _) => match last.latency_ms() {
            Some(ms) => {
                format!("{} {} later", html::text(&last.outcome.replace('_', " ")), html::ms(ms as f64))
            }
            None => html::text(&last.outcome.replace('_', " ")),
        },
    };
    format!("{begun}, {}, {end}", attempts(tried))
}
