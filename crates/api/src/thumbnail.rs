//! GET and HEAD: the thumbnail of an object in the source bucket, made if it is missing.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use tintype_engine::{Format, OutputFormat, Spec};
use tintype_pipeline::{
    Failure, Location, Outcome,
    event::{Kind, Record},
    fingerprint::{RECIPE_FINGERPRINT, SOURCE_ETAG, fingerprint},
    format_by_name,
    store::Stat,
};

use crate::{
    Api, Deadline, Host, Refused,
    accept::Accept,
    answer::{self, message},
    conditions::{SourceTag, http_date, is_unchanged, modified_s},
    flight,
    openapi::{BucketQuery, KeyQuery, SpecQuery},
    query::{Chosen, Query},
    refusals::{OfGet, OfHead},
};

/// The same thumbnail: source, its ETag, recipe.
type Same = (Location, String, String);
/// Thumbnails under way.
pub(crate) type Flights = flight::Flights<Same, Result<Ready, Problem>>;

/// A thumbnail ready to be answered.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    bytes: Bytes,
    content_type: HeaderValue,
    source_etag: String,
}

/// Why there is none.
#[derive(Debug, Clone)]
pub(crate) enum Problem {
    Refused(Refused),
    Failure(Failure),
    Nothing(String),
}

impl Problem {
    fn response(&self) -> Response {
        match self {
            Self::Refused(refused) => answer::refused(*refused),
            Self::Failure(failure) => answer::failure(failure),
            Self::Nothing(words) => message(StatusCode::NOT_FOUND, words),
        }
    }
}

/// A parsed request.
struct Wanted {
    at: Location,
    trigger: Chosen,
    spec: Spec,
    /// Set if the format was chosen by `Accept`: then it is the choice to fall back on.
    negotiated: Option<(Accept, Format)>,
}

#[utoipa::path(
    get,
    path = "",
    operation_id = "getThumbnail",
    params(
        KeyQuery,
        BucketQuery,
        SpecQuery,
        ("Accept" = inline(Option<String>), Header, description = "Formats the client takes."),
        ("If-None-Match" = inline(Option<String>), Header, description = "ETags the client has.")
    ),
    responses(
        (status = 200, description = "The thumbnail, made if it is missing.", headers(("ETag" = String), ("Cache-Control" = String)), content((String = "image/jpeg"), (String = "image/png"), (String = "image/webp"))),
        (status = 304, description = "The client has it."),
        OfGet,
    )
)]
pub(crate) async fn get<H: Host>(State(api): State<Api<H>>, request: Request) -> Response {
    let deadline = Deadline::of(&request);
    let wanted = match wanted(&request, &api) {
        Ok(wanted) => wanted,
        Err(response) => return *response,
    };
    let stat = match api.host.stat(wanted.at.clone()).await {
        Err(failure) => return answer::failure(&failure),
        Ok(None) => {
            let words = format!("{} does not exist; upload it, or look for its exact key", wanted.at);
            return message(StatusCode::NOT_FOUND, words);
        }
        Ok(Some(stat)) => stat,
    };
    let mut spec = wanted.spec.clone();
    // Only what was answered before has this tag, so nothing needs to be made or read to know it again.
    if is_unchanged(request.headers(), &tag(&stat.etag, &spec), Some(modified_s(stat.modified_ms))) {
        return unchanged(&api, &wanted, &spec, &stat);
    }
    let mut made = make(&api, &wanted, &stat, &spec, deadline).await;
    if let (Ok(ready), Some((accept, choice))) = (&made, &wanted.negotiated)
        && !ready.content_type.to_str().is_ok_and(|kind| accept.takes(kind))
    {
        // The source is not what its name says.
        spec.format = explicit(*choice);
        made = make(&api, &wanted, &stat, &spec, deadline).await;
    }
    match made {
        Err(problem) => problem.response(),
        Ok(ready) => {
            let mut response = headed(&api, &wanted, &spec, &ready.source_etag, &stat);
            response.headers_mut().insert(header::CONTENT_TYPE, ready.content_type);
            response.headers_mut().insert(header::CONTENT_LENGTH, ready.bytes.len().into());
            if *request.method() != Method::HEAD {
                *response.body_mut() = Body::from(ready.bytes);
            }
            response
        }
    }
}

#[utoipa::path(
    head,
    path = "",
    operation_id = "headThumbnail",
    params(
        KeyQuery,
        BucketQuery,
        SpecQuery,
        ("Accept" = inline(Option<String>), Header, description = "Formats the client takes."),
        ("If-None-Match" = inline(Option<String>), Header, description = "ETags the client has.")
    ),
    responses(
        (status = 200, description = "The thumbnail, made if it is missing.", headers(("ETag" = String), ("Cache-Control" = String))),
        (status = 304, description = "The client has it."),
        OfHead,
    )
)]
/// HEAD is GET without its body; this stands for its description.
pub(crate) async fn head<H: Host>(state: State<Api<H>>, request: Request) -> Response {
    get(state, request).await
}

fn wanted<H: Host>(request: &Request, api: &Api<H>) -> Result<Wanted, Box<Response>> {
    let query = Query::of(request, &api.config, api.host.triggers())?;
    let at = query.location()?;
    let Query { trigger, mut spec, .. } = query;
    if query.names_format {
        return Ok(Wanted { at, trigger, spec, negotiated: None });
    }
    let (spec_format, accept) = negotiate(request.headers(), spec.format, at.key.as_str())?;
    spec.format = spec_format;
    Ok(Wanted { at, trigger, spec, negotiated: Some(accept) })
}

/// The format to make: the settings' own if it is as welcome as any.
fn negotiate(
    headers: &HeaderMap,
    format: OutputFormat,
    key: &str,
) -> Result<(OutputFormat, (Accept, Format)), Box<Response>> {
    let accept = Accept::of(headers);
    let own = format.resolve(format_by_name(key));
    match accept.choose(&[own, Format::WebP, Format::Jpeg, Format::Png]) {
        Some(choice) if choice == own => Ok((format, (accept, choice))),
        Some(choice) => Ok((explicit(choice), (accept, choice))),
        None => {
            let words =
                "Accept takes none of image/jpeg, image/png and image/webp, and thumbnails are nothing else";
            Err(Box::new(message(StatusCode::NOT_ACCEPTABLE, words)))
        }
    }
}

const fn explicit(format: Format) -> OutputFormat {
    match format {
        Format::Jpeg => OutputFormat::Jpeg,
        Format::WebP => OutputFormat::WebP,
        Format::Png | Format::Gif | Format::Bmp | Format::Tiff => OutputFormat::Png,
    }
}

/// Makes a thumbnail, or joins whoever makes the same one.
async fn make<H: Host>(
    api: &Api<H>,
    wanted: &Wanted,
    stat: &Stat,
    spec: &Spec,
    deadline: Deadline,
) -> Result<Ready, Problem> {
    let Wanted { at, trigger, .. } = wanted;
    let same = (at.clone(), stat.etag.clone(), fingerprint(spec));
    api.flights
        .join(same, || {
            let index = trigger.renditions.iter().position(|rendition| rendition.spec == *spec);
            let (host, at, spec) = (api.host.clone(), at.clone(), spec.clone());
            async move {
                match index {
                    Some(index) => stored(&host, at, index, spec, deadline).await,
                    None => rendered(&host, at, spec, deadline).await,
                }
            }
        })
        .await
}

/// A rendition that is stored, made if it is missing or out of date.
async fn stored<H: Host>(
    host: &H,
    at: Location,
    index: usize,
    spec: Spec,
    deadline: Deadline,
) -> Result<Ready, Problem> {
    // An object replaced between making and reading is a new start; nobody replaces it for ever.
    for _ in 0..3 {
        let record = Record::new(Kind::Created, "ObjectCreated:Get", at.clone());
        let report = host.invoke(record, deadline).await.map_err(Problem::Refused)?;
        let rendition = match &report.outcome {
            Outcome::Failed(failure) => return Err(Problem::Failure(failure.clone())),
            Outcome::Ignored(why) => return Err(Problem::Nothing(format!("there is no thumbnail: {why}"))),
            Outcome::Removed => continue,
            Outcome::Made | Outcome::UpToDate => report.renditions.get(index),
        };
        // Another trigger may want the key, with fewer renditions or others.
        let Some(rendition) = rendition else { return rendered(host, at, spec, deadline).await };
        let object = host.read(rendition.at.clone()).await.map_err(Problem::Failure)?;
        let Some(object) = object else { continue };
        if object.stat.metadata.get(RECIPE_FINGERPRINT) != Some(&fingerprint(&spec)) {
            return rendered(host, at, spec, deadline).await;
        }
        let Some(source_etag) = object.stat.metadata.get(SOURCE_ETAG).cloned() else { continue };
        // What it is by its content, whatever is written of it: whoever may write there must not put a page here.
        let Ok(header) = tintype_engine::probe(&object.bytes) else {
            return rendered(host, at, spec, deadline).await;
        };
        return Ok(Ready {
            bytes: object.bytes,
            content_type: HeaderValue::from_static(header.format.media_type()),
            source_etag,
        });
    }
    Err(Problem::Nothing("the thumbnail was removed again and again; ask later".into()))
}

/// A rendition of the request's own, not stored.
async fn rendered<H: Host>(host: &H, at: Location, spec: Spec, deadline: Deadline) -> Result<Ready, Problem> {
    let made = host.render_object(at, spec, deadline).await.map_err(Problem::Refused)?;
    let (source, thumbnail) = made.map_err(Problem::Failure)?;
    Ok(Ready {
        content_type: HeaderValue::from_static(thumbnail.format.media_type()),
        bytes: thumbnail.bytes.into(),
        source_etag: source.etag,
    })
}

/// The version of the source, and the recipe.
fn tag(source_etag: &str, spec: &Spec) -> String {
    format!("\"{source_etag}-{}\"", fingerprint(spec))
}

fn unchanged<H: Host>(api: &Api<H>, wanted: &Wanted, spec: &Spec, stat: &Stat) -> Response {
    let mut response = headed(api, wanted, spec, &stat.etag, stat);
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

/// An answer with the headers that 200 and 304 share.
fn headed<H: Host>(api: &Api<H>, wanted: &Wanted, spec: &Spec, source_etag: &str, stat: &Stat) -> Response {
    let mut response = Response::new(Body::empty());
    let mut insert = |name: header::HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    insert(header::ETAG, &tag(source_etag, spec));
    let whose = if api.config.has_keys { "private, " } else { "" };
    insert(header::CACHE_CONTROL, &format!("{whose}max-age={}", api.config.cache_ttl_s));
    // Known of this version alone.
    if stat.etag == source_etag
        && let Some(modified) = http_date(modified_s(stat.modified_ms))
    {
        insert(header::LAST_MODIFIED, &modified);
    }
    if wanted.negotiated.is_some() {
        insert(header::VARY, "Accept");
    }
    let tag = SourceTag { at: Arc::new(wanted.at.clone()), etag: source_etag.into() };
    response.extensions_mut().insert(tag);
    response
}
