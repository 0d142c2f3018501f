//! The first page: where images are dropped, and the images of a bucket.

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use maud::{Markup, html};
use tintype_pipeline::{ThumbnailStatus, trigger::Trigger};

use super::{
    Console,
    amounts::bytes,
    answers,
    html::{Data, badge, empty, no_image, small_image, visible},
    links, summary,
};
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
        let work = move |admin: &Admin| body(&shown.inner.settings.load(), admin, &request);
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

fn body(settings: &Settings, admin: &Admin, request: &GalleryRequest) -> Result<Markup, Refusal> {
    let triggers = admin.visible_triggers();
    let is_search = request.is_search();
    let is_whole = !is_search && request.prefix.is_none() && request.bucket.is_none();
    let page = match request.clone().handle(admin) {
        // A server without any bucket has something to say, too.
        Err(refusal) if refusal.status == axum::http::StatusCode::NOT_FOUND && is_whole => {
            return Ok(html! {
                h1 { "Images" }
                (empty(html! { (visible(&refusal.message)) ": create one by any S3 client." }))
            });
        }
        other => other?,
    };
    let prefix = request.prefix.as_deref().unwrap_or_default();
    let latest = if is_whole { latest(admin)? } else { Vec::new() };
    let is_empty = page.images.is_empty() && page.folders.is_empty() && page.next.is_none();
    let is_first = is_empty && is_whole && !triggers.is_empty();
    Ok(html! {
        h1.visually-hidden { "Images" }
        div #strip data-refresh="/summary" { (summary::strip(admin)?) }
        (drop_zone(&triggers, &page.bucket, prefix))
        section aria-labelledby="latest-title" data-latest-part hidden[latest.is_empty()] {
            div.row.between {
                h2 #latest-title { "Latest" }
                span.live data-live { "not live" }
            }
            ul.tiles.one-row #latest { @for image in &latest { (tile(image)) } }
        }
        (toolbar(admin, request, &page)?)
        div #gallery data-bucket=(page.bucket) data-prefix=(prefix)
            data-api=(settings.api.path()) data-s3=(links::s3_endpoint(settings))
            data-sources=(sources(&triggers).join(" ")) {
            @if is_first {
                (first_steps(settings, &page.bucket, triggers.first().map_or("", |trigger| &trigger.prefix)))
            } @else { (images(&page, request)) }
        }
        (selection())
    })
}

/// Buckets that triggers watch.
fn sources(triggers: &[Trigger]) -> Vec<&str> {
    let mut buckets: Vec<&str> = triggers.iter().map(|trigger| trigger.bucket.as_str()).collect();
    buckets.dedup();
    buckets
}

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

/// What can be done with the images that are selected; shown by the script once there is one.
fn selection() -> Markup {
    html! {
        div.selection.card data-selection role="toolbar" aria-label="Selected images" hidden {
            b data-count { "0 selected" }
            button data-do="retry" { "Render again" }
            button data-do="download" { "Download" }
            button data-do="url" { "Copy URL" }
            button data-do="img" { "Copy <img>" }
            button data-do="s3" { "Copy S3 URI" }
            button.danger data-do="delete" { "Delete…" }
            button.quiet data-do="all" { "Select all shown" }
            button.quiet data-do="none" { "Clear" }
        }
    }
}

/// Where images are dropped or chosen, and where they go.
fn drop_zone(triggers: &[Trigger], bucket: &str, prefix: &str) -> Markup {
    let created = || triggers.iter().filter(|trigger| trigger.created);
    let is_here = |trigger: &Trigger| trigger.bucket == bucket && prefix.starts_with(&trigger.prefix);
    let Some(first) = created().next() else {
        return empty(html! {
            "No trigger is set, so no image would be rendered: the settings need a " code { "[[trigger]]" }
            ", or a bucket its notifications."
        });
    };
    // The folder that is shown, if images are taken there.
    let into: &str = if created().any(is_here) { prefix } else { &first.prefix };
    html! {
        div.drop data-drop hidden {
            p {
                svg viewBox="0 0 24 24" aria-hidden="true" { path d="M12 15V4m0 0L8 8m4-4l4 4M4 15v4h16v-4" {} }
                b { "Drop images here" } " and watch their thumbnails appear, or "
                label.pick { "choose files" input type="file" multiple accept="image/*" data-pick; }
            }
            p.help.into {
                label {
                    "into "
                    select data-into {
                        @for trigger in created() {
                            option data-bucket=(trigger.bucket) data-prefix=(trigger.prefix) selected[is_here(trigger)] {
                                (trigger.bucket) "/" (visible(&trigger.prefix))
                            }
                        }
                    }
                }
                label {
                    "under "
                    input data-prefix-field value=(into) size="18" spellcheck="false" autocomplete="off" placeholder="no prefix";
                }
            }
        }
    }
}

/// Bucket, folder, search and filters: a form that works without a script.
fn toolbar(admin: &Admin, request: &GalleryRequest, page: &GalleryPage) -> Result<Markup, Refusal> {
    let buckets = BucketsRequest::default().handle(admin)?.buckets;
    let (prefix, text) = (request.prefix.as_deref(), request.text.as_deref());
    let chips = [None].into_iter().chain(GalleryFilter::ALL.into_iter().map(Some));
    Ok(html! {
        form.toolbar action="/" role="search" aria-label="Images" data-gallery-form {
            label.visually-hidden for="bucket" { "Bucket" }
            select #bucket name="bucket" {
                @for bucket in &buckets {
                    option value=(bucket.name) selected[bucket.name == page.bucket] {
                        (bucket.name)
                        @match (bucket.is_source, bucket.is_destination) {
                            (true, _) => {},
                            (_, true) => " (thumbnails)",
                            _ => " (not watched)",
                        }
                    }
                }
            }
            nav.crumbs aria-label="Folder" data-crumbs { (crumbs(&page.bucket, prefix.unwrap_or_default())) }
            input type="hidden" name="prefix" value=(prefix.unwrap_or_default());
            input type="search" name="text" value=(text.unwrap_or_default()) placeholder="part of a key or description"
                aria-label="Part of a key or description"
                autocomplete="off" spellcheck="false";
            fieldset.chips {
                legend.visually-hidden { "Status" }
                @for only in chips {
                    label {
                        input type="radio" name="only" value=(only.map_or("", GalleryFilter::name)) checked[request.only == only];
                        (only.map_or("all", GalleryFilter::name))
                    }
                }
            }
            button data-scriptless { "Show" }
        }
    })
}

/// Links to the folders above.
fn crumbs(bucket: &str, prefix: &str) -> Markup {
    let ends = prefix.split_inclusive('/').scan(0, |end, part| {
        *end += part.len();
        Some(*end)
    });
    html! {
        a href=(links::folder(bucket, "")) data-folder="" { "All" }
        @for above in ends.map(|end| &prefix[..end]) {
            span aria-hidden="true" { "/" }
            a href=(links::folder(bucket, above)) data-folder=(above) { (visible(last_part(above))) }
        }
    }
}

/// The last name of a folder's path or a key.
fn last_part(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(path)
}

/// A page of images: folders, images, and where the next page begins.
fn images(page: &GalleryPage, request: &GalleryRequest) -> Markup {
    html! {
        @if !page.folders.is_empty() {
            ul.folders {
                @for folder in &page.folders {
                    li {
                        a href=(links::folder(&page.bucket, folder)) data-folder=(folder) {
                            svg viewBox="0 0 24 24" aria-hidden="true" { path d="M3 6h6l2 2h10v11H3z" {} }
                            (visible(last_part(folder)))
                        }
                    }
                }
            }
        }
        ul.tiles { @for image in &page.images { (tile(image)) } }
        @if let Some(next) = &page.next {
            // Without a script it is a link to what follows; the name of the last entry is the cursor.
            @let following = GalleryRequest { after: Some(next.clone()), ..request.clone() };
            p.more data-next=(next) {
                a href={ "/?" (encode(&following)) } { @if request.is_search() { "Search on" } @else { "More" } }
            }
        } @else if page.images.is_empty() && page.folders.is_empty() {
            p.card.empty data-empty {
                @if request.is_search() { "No image meets these conditions." } @else { "There is nothing here." }
            }
        }
    }
}

/// One image.
fn tile(image: &GalleryImage) -> Markup {
    let (class, words) = match image.status {
        _ if image.is_thumbnail => ("calm", "thumbnail"),
        ThumbnailStatus::Current => ("good", "rendered"),
        ThumbnailStatus::Pending => ("wait", "waiting"),
        ThumbnailStatus::Failed => ("bad", "failed"),
        ThumbnailStatus::Ignored => ("calm", "ignored"),
        ThumbnailStatus::Stale => ("calm", "outdated"),
        ThumbnailStatus::Missing | ThumbnailStatus::Unknown => ("calm", "missing"),
    };
    // What is under way is looked at once it has ended.
    let is_shown = !matches!(image.status, ThumbnailStatus::Failed | ThumbnailStatus::Pending);
    let key = visible(&image.key);
    html! {
        li class={ "tile " (class) } data-key=(Data(&image.key)) data-bucket=(image.bucket) {
            label.tick { input type="checkbox" aria-label={ "Select " (key) }; }
            a href=(links::object(&image.bucket, &image.key)) title=(key) {
                @if is_shown { (small_image(&links::preview(&image.bucket, &image.key, &image.etag), "")) }
                @else { (no_image()) }
                span.name { (visible(last_part(&image.key))) }
            }
            p { (badge(class, words)) " " span.help { (bytes(image.size)) } }
            @if let Some(why) = &image.why { p.reason title=(visible(why)) { (visible(why)) } }
        }
    }
}

/// What to do where there is no image yet.
fn first_steps(settings: &Settings, bucket: &str, prefix: &str) -> Markup {
    html! {
        ul.tiles {}
        div.card.empty.first data-empty {
            h2 { "No images yet" }
            p { "Drop some above, or upload one with any S3 client:" }
            p {
                code data-copied {
                    "aws --endpoint-url " (links::s3_endpoint(settings)) " s3 cp photo.jpg s3://" (bucket) "/" (prefix)
                }
                " " button data-copy="[data-copied]" hidden { "Copy" }
            }
            p.help {
                "Keys and secrets are in " code { (settings.data.join("credentials").display()) } ", in the form that "
                code { "AWS_SHARED_CREDENTIALS_FILE" } " names."
            }
        }
    }
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
        let shown = images(&page, &GalleryRequest::default()).into_string();
        for markup in ["<script", "<b>", "<i>", "\"<\""] {
            assert!(!shown.contains(markup), "{markup} in {shown}");
        }
        assert!(crumbs("in", "a/<b>/").into_string().contains("data-folder=\"a/&lt;b&gt;/\""));
    }
}
