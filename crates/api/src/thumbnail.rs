//! GET and HEAD: the thumbnail of an object in the source bucket, rendered if it is missing.

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
    openapi::{BucketQuery, KeyQuery, SpecQuery},
    query::{MatchedTrigger, Query},
    refusals::{GetRefusals, HeadRefusals},
    single_flight::SingleFlight,
};

/// What identifies a thumbnail: source, its ETag, recipe.
type Identity = (Location, String, String);
/// Thumbnails in flight.
pub(crate) type InFlight = SingleFlight<Identity, Result<Ready, Problem>>;

/// A thumbnail ready to be returned.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    bytes: Bytes,
    content_type: HeaderValue,
    source_etag: String,
}

/// Why there is no thumbnail.
#[derive(Debug, Clone)]
pub(crate) enum Problem {
    Refused(Refused),
    Failure(Failure),
    NotFound(String),
}

impl Problem {
    fn response(&self) -> Response {
        match self {
            Self::Refused(refused) => answer::refused(*refused),
            Self::Failure(failure) => answer::failure(failure),
            Self::NotFound(text) => message(StatusCode::NOT_FOUND, text),
        }
    }
}

/// A parsed request.
struct ThumbnailRequest {
    at: Location,
    trigger: MatchedTrigger,
    spec: Spec,
    /// Set if the format was chosen by `Accept`: the fallback if the source is of another format than its name.
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
        ("Accept" = inline(Option<String>), Header, description = "Formats the client accepts."),
        ("If-None-Match" = inline(Option<String>), Header, description = "ETags the client has.")
    ),
    responses(
        (status = 200, description = "The thumbnail, rendered if it is missing.", headers(("ETag" = String), ("Cache-Control" = String)), content((String = "image/jpeg"), (String = "image/png"), (String = "image/webp"))),
        (status = 304, description = "The client has it."),
        GetRefusals,
    )
)]
pub(crate) async fn get<H: Host>(State(api): State<Api<H>>, request: Request) -> Response {
    let deadline = Deadline::of(&request);
    let parsed = match parse(&request, &api) {
        Ok(parsed) => parsed,
        Err(response) => return *response,
    };
    let stat = match api.host.stat(parsed.at.clone()).await {
        Err(failure) => return answer::failure(&failure),
        Ok(None) => {
            let text = format!("{} does not exist; upload it, or look for its exact key", parsed.at);
            return message(StatusCode::NOT_FOUND, text);
        }
        Ok(Some(stat)) => stat,
    };
    let mut spec = parsed.spec.clone();
    // A client can have this tag only from an earlier response, so nothing is rendered or read.
    if is_unchanged(request.headers(), &tag(&stat.etag, &spec), Some(modified_s(stat.modified_ms))) {
        return unchanged(&api, &parsed, &spec, &stat);
    }
    let mut result = shared(&api, &parsed, &stat, &spec, deadline).await;
    if let (Ok(ready), Some((accept, choice))) = (&result, &parsed.negotiated)
        && !ready.content_type.to_str().is_ok_and(|kind| accept.accepts(kind))
    {
        // The source's format is not that of its name.
        spec.format = explicit(*choice);
        result = shared(&api, &parsed, &stat, &spec, deadline).await;
    }
    match result {
        Err(problem) => problem.response(),
        Ok(ready) => {
            let mut response = headed(&api, &parsed, &spec, &ready.source_etag, &stat);
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
        ("Accept" = inline(Option<String>), Header, description = "Formats the client accepts."),
        ("If-None-Match" = inline(Option<String>), Header, description = "ETags the client has.")
    ),
    responses(
        (status = 200, description = "The thumbnail, rendered if it is missing.", headers(("ETag" = String), ("Cache-Control" = String))),
        (status = 304, description = "The client has it."),
        HeadRefusals,
    )
)]
/// The headers of GET, without its body.
pub(crate) async fn head<H: Host>(state: State<Api<H>>, request: Request) -> Response {
    // A handler of its own only for the OpenAPI description.
    get(state, request).await
}

fn parse<H: Host>(request: &Request, api: &Api<H>) -> Result<ThumbnailRequest, Box<Response>> {
    let query = Query::of(request, &api.config, api.host.triggers())?;
    let at = query.location()?;
    let Query { trigger, mut spec, .. } = query;
    if query.names_format {
        return Ok(ThumbnailRequest { at, trigger, spec, negotiated: None });
    }
    let (spec_format, accept) = negotiate(request.headers(), spec.format, at.key.as_str())?;
    spec.format = spec_format;
    Ok(ThumbnailRequest { at, trigger, spec, negotiated: Some(accept) })
}

/// The format to return: that of the settings unless `Accept` weighs another higher.
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
            let text =
                "Accept takes none of image/jpeg, image/png and image/webp, and thumbnails are nothing else";
            Err(Box::new(message(StatusCode::NOT_ACCEPTABLE, text)))
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

/// Renders a thumbnail, or joins a request that is rendering the same one.
async fn shared<H: Host>(
    api: &Api<H>,
    parsed: &ThumbnailRequest,
    stat: &Stat,
    spec: &Spec,
    deadline: Deadline,
) -> Result<Ready, Problem> {
    let ThumbnailRequest { at, trigger, .. } = parsed;
    let identity = (at.clone(), stat.etag.clone(), fingerprint(spec));
    api.thumbnails
        .join(identity, || {
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

/// A stored rendition, rendered if it is missing or stale.
async fn stored<H: Host>(
    host: &H,
    at: Location,
    index: usize,
    spec: Spec,
    deadline: Deadline,
) -> Result<Ready, Problem> {
    // An object replaced between rendering and reading restarts the loop.
    for _ in 0..3 {
        let record = Record::new(Kind::Created, "ObjectCreated:Get", at.clone());
        let report = host.invoke(record, deadline).await.map_err(Problem::Refused)?;
        let rendition = match &report.outcome {
            Outcome::Failed(failure) => return Err(Problem::Failure(failure.clone())),
            Outcome::Ignored(why) => return Err(Problem::NotFound(format!("there is no thumbnail: {why}"))),
            Outcome::Removed => continue,
            Outcome::Rendered | Outcome::UpToDate => report.renditions.get(index),
        };
        // Another trigger may match the key by now, with fewer renditions or others.
        let Some(rendition) = rendition else { return rendered(host, at, spec, deadline).await };
        let object = host.read(rendition.at.clone()).await.map_err(Problem::Failure)?;
        let Some(object) = object else { continue };
        if object.stat.metadata.get(RECIPE_FINGERPRINT) != Some(&fingerprint(&spec)) {
            return rendered(host, at, spec, deadline).await;
        }
        let Some(source_etag) = object.stat.metadata.get(SOURCE_ETAG).cloned() else { continue };
        // The type follows from the content, not from the object's metadata: a writer to the bucket must not serve pages here.
        let Ok(header) = tintype_engine::probe(&object.bytes) else {
            return rendered(host, at, spec, deadline).await;
        };
        return Ok(Ready {
            bytes: object.bytes,
            content_type: HeaderValue::from_static(header.format.media_type()),
            source_etag,
        });
    }
    Err(Problem::NotFound("the thumbnail was removed repeatedly; try again later".into()))
}

/// A rendition of the request alone, not stored.
async fn rendered<H: Host>(host: &H, at: Location, spec: Spec, deadline: Deadline) -> Result<Ready, Problem> {
    let rendered = host.render_object(at, spec, deadline).await.map_err(Problem::Refused)?;
    let (source, thumbnail) = rendered.map_err(Problem::Failure)?;
    Ok(Ready {
        content_type: HeaderValue::from_static(thumbnail.format.media_type()),
        bytes: thumbnail.bytes.into(),
        source_etag: source.etag,
    })
}

/// The ETag: the version of the source, and the recipe.
fn tag(source_etag: &str, spec: &Spec) -> String {
    format!("\"{source_etag}-{}\"", fingerprint(spec))
}

fn unchanged<H: Host>(api: &Api<H>, parsed: &ThumbnailRequest, spec: &Spec, stat: &Stat) -> Response {
    let mut response = headed(api, parsed, spec, &stat.etag, stat);
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

/// A response with the headers that 200 and 304 share.
fn headed<H: Host>(
    api: &Api<H>,
    parsed: &ThumbnailRequest,
    spec: &Spec,
    source_etag: &str,
    stat: &Stat,
) -> Response {
    let mut response = Response::new(Body::empty());
    let mut insert = |name: header::HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    insert(header::ETAG, &tag(source_etag, spec));
    let scope = if api.config.has_keys { "private, " } else { "" };
    insert(header::CACHE_CONTROL, &format!("{scope}max-age={}", api.config.cache_ttl_s));
    // The date is that of this version.
    if stat.etag == source_etag
        && let Some(modified) = http_date(modified_s(stat.modified_ms))
    {
        insert(header::LAST_MODIFIED, &modified);
    }
    if parsed.negotiated.is_some() {
        insert(header::VARY, "Accept");
    }
    let tag = SourceTag { at: Arc::new(parsed.at.clone()), etag: source_etag.into() };
    response.extensions_mut().insert(tag);
    response
}
