//! The first page: where images are dropped, and the images of a bucket.

use std::fmt::Write as _;

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use tintype_pipeline::{ThumbnailStatus, trigger::Trigger};

use super::{Console, answers, html, summary};
use crate::{
    admin::{
        Admin, BucketsRequest, Fields, GalleryFilter, GalleryImage, GalleryPage, GalleryRequest, Handle as _,
        Refusal, ResultsRequest, encode,
    },
    auth::Client,
    settings::Settings,
};

/// Images above the gallery: those whose attempts ended last.
const LATEST: usize = 12;

/// The whole page. The dashboard was here before, and links to its ranges lead to where it is now.
pub(super) async fn page(
    State(console): State<Console>,
    client: Client,
    RawQuery(query): RawQuery,
    request: Result<Fields<GalleryRequest>, Refusal>,
) -> Response {
    let query = query.unwrap_or_default();
    if query.starts_with("range=") || query.starts_with("start=") {
        return answers::see_other(&format!("/metrics/dashboard?{query}"));
    }
    let body = async {
        let Fields(request) = request?;
        let shown = console.clone();
        let work = move |admin: &Admin| body(&shown.inner.settings, admin, request);
        console.inner.admin.blocking_briefly(work).await
    };
    answers::page(client, "Images", "/", body.await)
}

/// A page of images alone, for the script.
pub(super) async fn fragment(
    State(console): State<Console>,
    Fields(request): Fields<GalleryRequest>,
) -> Result<Response, Refusal> {
    let shown = move |admin: &Admin| Ok(answers::fresh(images(&request.clone().handle(admin)?, &request)));
    console.inner.admin.blocking(shown).await
}

fn body(settings: &Settings, admin: &Admin, request: GalleryRequest) -> Result<String, Refusal> {
    let triggers = admin.triggers();
    let is_search = request.is_search();
    let is_whole = !is_search && request.prefix.is_none() && request.bucket.is_none();
    let page = request.clone().handle(admin);
    let page = match page {
        // A server without any bucket has something to say, too.
        Err(refusal) if refusal.status == axum::http::StatusCode::NOT_FOUND && is_whole => {
            let words = html::text(&refusal.message);
            return Ok(format!(
                "<h1>Images</h1><p class=\"card empty\">{words}: create one by any S3 client.</p>"
            ));
        }
        other => other?,
    };
    let mut out = String::with_capacity(64 << 10);
    let _ = write!(
        out,
        "<h1 class=\"visually-hidden\">Images</h1><div id=\"strip\" data-refresh=\"/summary\">{}</div>{}",
        summary::strip(admin)?,
        drop_zone(&triggers, &page.bucket, request.prefix.as_deref().unwrap_or_default()),
    );
    let latest = if is_whole { latest(admin)? } else { Vec::new() };
    let hidden = if latest.is_empty() { " hidden" } else { "" };
    let _ = write!(
        out,
        "<section aria-labelledby=\"latest-title\" data-latest-part{hidden}><div class=\"row between\">\
         <h2 id=\"latest-title\">Latest</h2><span class=\"live\" data-live>not live</span></div><ul class=\"tiles one-row\" id=\"latest\">"
    );
    out.extend(latest.iter().map(tile));
    let _ = write!(out, "</ul></section>{}", toolbar(admin, &request, &page)?);
    let _ = write!(
        out,
        "<div id=\"gallery\" data-bucket=\"{}\" data-prefix=\"{}\" data-api=\"/{}/{}\" data-s3=\"{}\" data-sources=\"{}\">{}</div>{}",
        html::text(&page.bucket),
        html::text(request.prefix.as_deref().unwrap_or_default()),
        html::text(&settings.api.stage),
        html::text(&settings.api.resource),
        html::text(&s3_address(settings)),
        html::text(&sources(&triggers).join(" ")),
        match page.images.is_empty() && page.folders.is_empty() && page.next.is_none() {
            true => empty(settings, &triggers, &page.bucket, is_whole, is_search),
            false => images(&page, &request),
        },
        SELECTION,
    );
    Ok(out)
}

/// Buckets that triggers watch.
fn sources(triggers: &[Trigger]) -> Vec<&str> {
    let mut buckets: Vec<&str> = triggers.iter().map(|trigger| trigger.bucket.as_str()).collect();
    buckets.dedup();
    buckets
}

fn s3_address(settings: &Settings) -> String {
    let scheme = if settings.listen.tls.is_some() { "https" } else { "http" };
    settings.api.s3_url.clone().unwrap_or_else(|| format!("{scheme}://{}", settings.listen.s3))
}

/// What can be done with the images that are selected; shown by the script once there is one.
const SELECTION: &str = "<div class=\"selection card\" data-selection role=\"toolbar\" aria-label=\"Selected images\" hidden>\
     <b data-count>0 selected</b><button data-do=\"retry\">Render again</button><button data-do=\"download\">Download</button>\
     <button data-do=\"url\">Copy URL</button><button data-do=\"img\">Copy &lt;img&gt;</button>\
     <button data-do=\"s3\">Copy S3 URI</button><button data-do=\"delete\" class=\"danger\">Delete…</button>\
     <button data-do=\"all\" class=\"quiet\">Select all shown</button><button data-do=\"none\" class=\"quiet\">Clear</button></div>";

/// The images whose attempts ended last.
fn latest(admin: &Admin) -> Result<Vec<GalleryImage>, Refusal> {
    // A fault of the database of measurements must not hide the images.
    let Ok(answer) = ResultsRequest::default().handle(admin) else { return Ok(Vec::new()) };
    let mut images: Vec<GalleryImage> = Vec::new();
    for entry in answer.results {
        let is_known = |image: &GalleryImage| image.bucket == entry.bucket && image.key == entry.key;
        if entry.key.is_empty() || images.iter().any(is_known) {
            continue;
        }
        let request = GalleryRequest {
            bucket: Some(entry.bucket.clone()),
            keys: vec![entry.key.clone()],
            ..GalleryRequest::default()
        };
        match request.handle(admin) {
            Ok(page) => images.extend(page.images),
            // Its bucket is gone.
            Err(_) => continue,
        }
        if images.len() == LATEST {
            break;
        }
    }
    Ok(images)
}

/// Where images are dropped or chosen, and where they go.
fn drop_zone(triggers: &[Trigger], bucket: &str, prefix: &str) -> String {
    let created = || triggers.iter().filter(|trigger| trigger.created);
    let mut options = String::new();
    for trigger in created() {
        let is_here = trigger.bucket == bucket && prefix.starts_with(&trigger.prefix);
        let _ = write!(
            options,
            "<option data-bucket=\"{}\" data-prefix=\"{}\"{}>{}/{}</option>",
            html::text(&trigger.bucket),
            html::text(&trigger.prefix),
            if is_here { " selected" } else { "" },
            html::text(&trigger.bucket),
            html::text(&trigger.prefix),
        );
    }
    let chosen = created().find(|trigger| trigger.bucket == bucket && prefix.starts_with(&trigger.prefix));
    let into = match (chosen, created().next()) {
        // The folder that is shown.
        (Some(_), _) => prefix,
        (None, Some(first)) => first.prefix.as_str(),
        (None, None) => return "<p class=\"card empty\">No trigger is set, so no image would be rendered: the settings need a \
             <code>[[trigger]]</code>, or a bucket its notifications.</p>".into(),
    };
    format!(
        "<div class=\"drop\" data-drop hidden><p><svg viewBox=\"0 0 24 24\" aria-hidden=\"true\"><path d=\"M12 15V4m0 0L8 8m4-4l4 4M4 15v4h16v-4\"/></svg>\
         <b>Drop images here</b> and watch their thumbnails appear, or <label class=\"pick\">choose files<input type=\"file\" multiple \
         accept=\"image/*\" data-pick></label></p><p class=\"help into\"><label>into <select data-into>{options}</select></label>\
         <label>under <input data-prefix-field value=\"{}\" size=\"18\" spellcheck=\"false\" autocomplete=\"off\" \
         placeholder=\"no prefix\"></label></p></div>",
        html::text(into),
    )
}

/// Bucket, folder, search and filters: a form that works without a script.
fn toolbar(admin: &Admin, request: &GalleryRequest, page: &GalleryPage) -> Result<String, Refusal> {
    let mut out = String::from(
        "<form class=\"toolbar\" action=\"/\" role=\"search\" aria-label=\"Images\" data-gallery-form><label class=\"visually-hidden\" for=\"bucket\">Bucket\
         </label><select name=\"bucket\" id=\"bucket\">",
    );
    for bucket in BucketsRequest::default().handle(admin)?.buckets {
        let selected = if bucket.name == page.bucket { " selected" } else { "" };
        let role = match (bucket.is_source, bucket.is_destination) {
            (true, _) => "",
            (_, true) => " (thumbnails)",
            _ => " (not watched)",
        };
        let name = html::text(&bucket.name);
        let _ = write!(out, "<option value=\"{name}\"{selected}>{name}{role}</option>");
    }
    let given = |text: &Option<String>| html::text(text.as_deref().unwrap_or_default());
    let _ = write!(
        out,
        "</select><nav class=\"crumbs\" aria-label=\"Folder\" data-crumbs>{}</nav><input type=\"hidden\" name=\"prefix\" value=\"{}\">\
         <input type=\"search\" name=\"text\" value=\"{}\" placeholder=\"part of a key or description\" aria-label=\"Part of a key or description\" autocomplete=\"off\" \
         spellcheck=\"false\"><fieldset class=\"chips\"><legend class=\"visually-hidden\">Status</legend>",
        crumbs(&page.bucket, request.prefix.as_deref().unwrap_or_default()),
        given(&request.prefix),
        given(&request.text),
    );
    let chip = |value: &str, words: &str, is_on: bool| {
        let checked = if is_on { " checked" } else { "" };
        format!("<label><input type=\"radio\" name=\"only\" value=\"{value}\"{checked}>{words}</label>")
    };
    out.push_str(&chip("", "all", request.only.is_none()));
    for only in GalleryFilter::ALL {
        out.push_str(&chip(only.name(), only.name(), request.only == Some(only)));
    }
    out.push_str("</fieldset><button data-scriptless>Show</button></form>");
    Ok(out)
}

/// Links to the folders above.
fn crumbs(bucket: &str, prefix: &str) -> String {
    let link = |prefix: &str| format!("/?bucket={}&amp;prefix={}", html::query(bucket), html::query(prefix));
    let mut out = format!("<a href=\"{}\" data-folder=\"\">All</a>", link(""));
    let mut end = 0;
    for part in prefix.split_inclusive('/') {
        end += part.len();
        let above = &prefix[..end];
        let _ = write!(
            out,
            "<span aria-hidden=\"true\">/</span><a href=\"{}\" data-folder=\"{}\">{}</a>",
            link(above),
            html::text(above),
            html::text(part.trim_end_matches('/'))
        );
    }
    out
}

/// A page of images: folders, images, and where the next page begins.
fn images(page: &GalleryPage, request: &GalleryRequest) -> String {
    let mut out = String::with_capacity(900 * (page.images.len() + 1));
    if !page.folders.is_empty() {
        out.push_str("<ul class=\"folders\">");
        for folder in &page.folders {
            let _ = write!(
                out,
                "<li><a href=\"/?bucket={}&amp;prefix={}\" data-folder=\"{}\"><svg viewBox=\"0 0 24 24\" aria-hidden=\"true\">\
                 <path d=\"M3 6h6l2 2h10v11H3z\"/></svg>{}</a></li>",
                html::query(&page.bucket),
                html::query(folder),
                html::text(folder),
                html::text(folder.trim_end_matches('/').rsplit('/').next().unwrap_or(folder)),
            );
        }
        out.push_str("</ul>");
    }
    out.push_str("<ul class=\"tiles\">");
    out.extend(page.images.iter().map(tile));
    out.push_str("</ul>");
    if let Some(next) = &page.next {
        // Without a script it is a link to what follows; the name of the last entry is the cursor.
        let following = GalleryRequest { after: Some(next.clone()), ..request.clone() };
        let _ = write!(
            out,
            "<p class=\"more\" data-next=\"{}\"><a href=\"/?{}\">{}</a></p>",
            html::text(next),
            html::text(&encode(&following)),
            if request.is_search() { "Search on" } else { "More" },
        );
    } else if page.images.is_empty() && page.folders.is_empty() {
        out.push_str("<p class=\"card empty\" data-empty>No image meets these conditions.</p>");
    }
    out
}

/// One image.
pub(super) fn tile(image: &GalleryImage) -> String {
    let (class, words) = match image.status {
        _ if image.is_thumbnail => ("calm", "thumbnail"),
        ThumbnailStatus::Current => ("good", "rendered"),
        ThumbnailStatus::Pending => ("wait", "waiting"),
        ThumbnailStatus::Failed => ("bad", "failed"),
        ThumbnailStatus::Ignored => ("calm", "ignored"),
        ThumbnailStatus::Stale => ("calm", "outdated"),
        ThumbnailStatus::Missing | ThumbnailStatus::Unknown => ("calm", "missing"),
    };
    let (key, bucket) = (html::text(&image.key), html::text(&image.bucket));
    let name = image.key.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(&image.key);
    // What is under way is looked at once it has ended.
    let picture = match image.status {
        ThumbnailStatus::Failed | ThumbnailStatus::Pending => {
            "<span class=\"none\" aria-hidden=\"true\">▦</span>".to_owned()
        }
        _ => format!(
            "<img src=\"{}\" alt=\"\" loading=\"lazy\" decoding=\"async\">",
            html::preview_link(&image.bucket, &image.key, &image.etag)
        ),
    };
    let mut out = String::with_capacity(900);
    let _ = write!(
        out,
        "<li class=\"tile {class}\" data-key=\"{key}\" data-bucket=\"{bucket}\"><label class=\"tick\"><input type=\"checkbox\" \
         aria-label=\"Select {key}\"></label><a href=\"{}\" title=\"{key}\">{picture}<span class=\"name\">{}</span></a>\
         <p><span class=\"badge {class}\">{words}</span> <span class=\"help\">{}</span></p>",
        html::object_link(&image.bucket, &image.key),
        html::text(name),
        html::bytes(image.size),
    );
    if let Some(why) = &image.why {
        let _ = write!(out, "<p class=\"reason\" title=\"{0}\">{0}</p>", html::text(why));
    }
    out.push_str("</li>");
    out
}

/// What to do where there is no image yet.
fn empty(settings: &Settings, triggers: &[Trigger], bucket: &str, is_whole: bool, is_search: bool) -> String {
    if is_search || !is_whole || triggers.is_empty() {
        let words = if is_search { "No image meets these conditions." } else { "There is nothing here." };
        return format!("<ul class=\"tiles\"></ul><p class=\"card empty\" data-empty>{words}</p>");
    }
    format!(
        "<ul class=\"tiles\"></ul><div class=\"card empty first\" data-empty><h2>No images yet</h2><p>Drop some above, or upload one with any S3 client:</p>\
         <p><code data-copied>aws --endpoint-url {} s3 cp photo.jpg s3://{}/{}</code> <button data-copy=\"[data-copied]\" hidden>Copy</button></p>\
         <p class=\"help\">Keys and secrets are in <code>{}</code>, in the form that <code>AWS_SHARED_CREDENTIALS_FILE</code> names.</p></div>",
        html::text(&s3_address(settings)),
        html::text(bucket),
        html::text(triggers.first().map_or("", |trigger| trigger.prefix.as_str())),
        html::text(&settings.data.join("credentials").display().to_string()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_from_outside_are_text_everywhere() {
        let image = GalleryImage {
            bucket: "in".into(),
            key: "\"><script>alert('x')</script>/&.jpg".into(),
            size: 1500,
            etag: "\"e".into(),
            modified_ms: 0,
            status: ThumbnailStatus::Failed,
            why: Some("<b>".into()),
            source: None,
            is_thumbnail: false,
        };
        let page = GalleryPage {
            bucket: "in".into(),
            folders: vec!["<i>/".into()],
            images: vec![image.clone(), GalleryImage { status: ThumbnailStatus::Current, ..image }],
            next: Some("\"<".into()),
        };
        let shown = images(&page, &GalleryRequest::default());
        for markup in ["<script", "<b>", "<i>", "\"<\""] {
            assert!(!shown.contains(markup), "{markup} in {shown}");
        }
        assert!(crumbs("in", "a/<b>/").contains("data-folder=\"a/&lt;b&gt;/\""));
    }
}
