//! GET and HEAD: the thumbnail of an object in the source bucket, rendered if it is missing.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    response::Response,
};
use bytes::Bytes;
use tintype_engine::{Format, OutputFormat, Spec};
use tintype_pipeline::{
    Failure, Location, Outcome, Reason,
    event::{Kind, Record},
    fingerprint::{RECIPE_FINGERPRINT, SOURCE_ETAG, fingerprint, focal},
    format_by_name,
    store::Stat,
};

use crate::{
    Api, Audience, Deadline, Host, Refused, Rendering,
    accept::Accept,
    answer::{self, message},
    conditions::{SourceTag, http_date, is_unchanged, modified_s},
    delivery,
    openapi::{BucketQuery, DeliveryQuery, KeyQuery, Message, PresetQuery, SpecQuery},
    public::Pass,
    query::{Delivery, MatchedTrigger, Query},
    ranges,
    refusals::{GetRefusals, HeadRefusals},
    single_flight::SingleFlight,
};

/// What identifies a thumbnail: who may have it, source, its ETag, recipe.
type Identity = (Audience, Location, String, String);
/// Thumbnails in flight.
pub(crate) type InFlight = SingleFlight<Identity, Result<Ready, Problem>>;

/// A thumbnail ready to be returned.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    bytes: Bytes,
    format: Format,
    source_etag: String,
    /// Where it is stored, if it is one of the settings' renditions.
    stored_at: Option<Arc<Location>>,
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

    /// The status, if the image is at fault and will be the next time, too.
    fn status_of_image(&self) -> Option<StatusCode> {
        use Reason::{Malformed, Missing, TooLarge, Unsupported};
        match self {
            Self::NotFound(_) => Some(StatusCode::NOT_FOUND),
            Self::Failure(Failure {
                reason: reason @ (Malformed | Missing | TooLarge | Unsupported),
                ..
            }) => Some(answer::status(*reason)),
            Self::Failure(_) | Self::Refused(_) => None,
        }
    }
}

/// A parsed request.
struct ThumbnailRequest {
    at: Location,
    trigger: MatchedTrigger,
    spec: Spec,
    negotiation: Negotiation,
    delivery: Delivery,
    pass: Pass,
}

impl ThumbnailRequest {
    /// The index of the settings' rendition that this recipe is, which is stored.
    fn stored_index(&self, spec: &Spec) -> Option<usize> {
        // The focal point of the source belongs to the stored one, too; that of a request does not.
        let focal = self.spec.focal;
        let spec = Spec { focal, ..spec.clone() };
        self.trigger.renditions.iter().position(|rendition| rendition.spec == spec)
    }
}

/// Whether `Accept` decides about the format.
enum Negotiation {
    /// It does not.
    None,
    /// It has chosen; the fallback if the source is of another format than its name.
    ByName(Accept, Format),
    /// It has chosen, whatever the source is.
    OfPreset,
}

#[utoipa::path(
    get,
    path = "",
    operation_id = "getThumbnail",
    params(
        KeyQuery,
        BucketQuery,
        SpecQuery,
        PresetQuery,
        DeliveryQuery,
        ("Accept" = inline(Option<String>), Header, description = "Formats the client accepts."),
        ("If-None-Match" = inline(Option<String>), Header, description = "ETags the client has."),
        ("Range" = inline(Option<String>), Header, description = "A part of the bytes.")
    ),
    responses(
        (status = 200, description = "The thumbnail, rendered if it is missing.", headers(("ETag" = String), ("Cache-Control" = String)), content((String = "image/jpeg"), (String = "image/png"), (String = "image/webp"), (String = "image/avif"), (String = "image/gif"))),
        (status = 206, description = "A part of it.", content((String = "image/jpeg"), (String = "image/png"), (String = "image/webp"), (String = "image/avif"), (String = "image/gif"))),
        (status = 416, body = Message, description = "The range begins behind its end."),
        (status = 304, description = "The client has it."),
        GetRefusals,
    )
)]
pub(crate) async fn get<H: Host>(State(api): State<Api<H>>, request: Request) -> Response {
    answer(&api, request).await
}

#[utoipa::path(
    head,
    path = "",
    operation_id = "headThumbnail",
    params(
        KeyQuery,
        BucketQuery,
        SpecQuery,
        PresetQuery,
        DeliveryQuery,
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
pub(crate) async fn head<H: Host>(State(api): State<Api<H>>, request: Request) -> Response {
    // A handler of its own only for the OpenAPI description.
    answer(&api, request).await
}

/// The response to GET or HEAD of an image.
pub(crate) async fn answer<H: Host>(api: &Api<H>, request: Request) -> Response {
    let deadline = Deadline::of(&request);
    let (request, _) = request.into_parts();
    let parsed = match parse(&request, api) {
        Ok(parsed) => parsed,
        Err(response) => return *response,
    };
    let is_head = request.method == Method::HEAD;
    let mut response = match image(api, &parsed, &request.headers, is_head, deadline).await {
        Ok(response) => response,
        Err(problem) => match fallback(api, &parsed, &problem, deadline).await {
            Some(response) => response,
            None => problem.response(),
        },
    };
    if is_head {
        // The length of what GET answers, also of an error.
        let length = axum::body::HttpBody::size_hint(response.body()).exact().filter(|length| *length > 0);
        if let Some(length) = length {
            response.headers_mut().entry(header::CONTENT_LENGTH).or_insert(length.into());
        }
        *response.body_mut() = Body::empty();
    }
    response
}

/// The image, or that the client has it.
async fn image<H: Host>(
    api: &Api<H>,
    parsed: &ThumbnailRequest,
    headers: &HeaderMap,
    is_head: bool,
    deadline: Deadline,
) -> Result<Response, Problem> {
    let stat = api.host.stat(parsed.at.clone()).await.map_err(Problem::Failure)?;
    let stat = stat.ok_or_else(|| {
        Problem::NotFound(format!("{} does not exist; upload it, or look for its exact key", parsed.at))
    })?;
    let mut spec = with_focal(parsed, parsed.spec.clone(), &stat);
    let not_modified = |spec: &Spec| {
        let is_unchanged = is_unchanged(headers, &tag(&stat.etag, spec), Some(modified_s(stat.modified_ms)));
        is_unchanged.then(|| {
            let mut response = headed(api, parsed, spec, &stat.etag, &stat, None);
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        })
    };
    // A client can have this tag only from an earlier response, so nothing is rendered or read. Where anybody may ask, the
    // bucket of a stored thumbnail may have closed since.
    let is_asked_first = parsed.pass.is_public && parsed.stored_index(&spec).is_some();
    if !is_asked_first && let Some(response) = not_modified(&spec) {
        return Ok(response);
    }
    let mut ready = shared(api, parsed, &stat, &spec, deadline).await?;
    if let Negotiation::ByName(accept, choice) = &parsed.negotiation
        && !accept.accepts(ready.format.media_type())
    {
        // The source's format is not that of its name.
        spec = in_format(spec, explicit(*choice));
        ready = shared(api, parsed, &stat, &spec, deadline).await?;
    }
    if is_asked_first
        && ready.source_etag == stat.etag
        && let Some(response) = not_modified(&spec)
    {
        return Ok(response);
    }
    let mut response = headed(api, parsed, &spec, &ready.source_etag, &stat, ready.stored_at);
    if let Some(name) = &parsed.delivery.download {
        let disposition = delivery::attachment(name, parsed.at.key.as_str(), ready.format);
        response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    }
    let kind = HeaderValue::from_static(ready.format.media_type());
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    // HEAD has no ranges.
    let no_range = HeaderMap::new();
    Ok(ranges::set_body(response, if is_head { &no_range } else { headers }, &ready.bytes))
}

/// Seconds for which a fallback image may be cached: the source may be uploaded or repaired.
const FALLBACK_AGE_S: u32 = 60;

/// The fallback image of the request's preset, if it has one and the source is at fault. Its status is that of the fault:
/// browsers show it all the same.
async fn fallback<H: Host>(
    api: &Api<H>,
    parsed: &ThumbnailRequest,
    problem: &Problem,
    deadline: Deadline,
) -> Option<Response> {
    let status = problem.status_of_image()?;
    let key = api.config.presets[parsed.delivery.preset?].fallback.clone()?;
    let at = Location { bucket: parsed.at.bucket.clone(), key };
    let stat = api.host.stat(at.clone()).await.ok().flatten()?;
    let trigger = MatchedTrigger::find(&api.host, Some(&at.bucket), Some(&at.key)).ok()?;
    let of_fallback = ThumbnailRequest {
        at,
        trigger,
        spec: parsed.spec.clone(),
        negotiation: Negotiation::None,
        delivery: Delivery::default(),
        pass: parsed.pass,
    };
    let ready = shared(api, &of_fallback, &stat, &parsed.spec, deadline).await.ok()?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(ready.format.media_type()));
    let age = api.config.max_age_s.min(FALLBACK_AGE_S);
    let freshness = delivery::Freshness::of_seconds(age).until_the_end_of(parsed.pass);
    delivery::mark(headers, &api.config, parsed.pass, freshness);
    if !matches!(parsed.negotiation, Negotiation::None) {
        headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    }
    headers.insert(header::CONTENT_LENGTH, ready.bytes.len().into());
    *response.body_mut() = Body::from(ready.bytes);
    Some(response)
}

fn parse<H: Host>(request: &Parts, api: &Api<H>) -> Result<ThumbnailRequest, Box<Response>> {
    let query = Query::of(&request.uri, &api.config, &api.host)?;
    let at = query.location()?;
    let pass = request.extensions.get().copied().unwrap_or_default();
    let accept = Accept::of(&request.headers);
    let (spec, negotiation) = if let Some((spec, is_negotiated)) =
        query.of_preset(&api.config, |format| accept.names(format.media_type()))
    {
        (spec, if is_negotiated { Negotiation::OfPreset } else { Negotiation::None })
    } else if query.names_format {
        (query.spec, Negotiation::None)
    } else {
        let (format, choice) = negotiate(&accept, &query.spec, at.key.as_str())?;
        (in_format(query.spec, format), Negotiation::ByName(accept, choice))
    };
    Ok(ThumbnailRequest { at, trigger: query.trigger, spec, negotiation, delivery: query.delivery, pass })
}

/// The format to return: that of the settings unless `Accept` weighs another higher.
fn negotiate(accept: &Accept, spec: &Spec, key: &str) -> Result<(OutputFormat, Format), Box<Response>> {
    let own = spec.resolve(format_by_name(key));
    match accept.choose(&[own, Format::WebP, Format::Jpeg, Format::Png]) {
        Some(choice) if choice == own => Ok((spec.format, choice)),
        Some(choice) => Ok((explicit(choice), choice)),
        None => {
            // The settings may name one besides those that every thumbnail can have.
            let others = match own {
                Format::Jpeg | Format::Png | Format::WebP => String::new(),
                own => format!("{}, ", own.media_type()),
            };
            let text = format!(
                "Accept takes none of {others}image/jpeg, image/png and image/webp, and this thumbnail is nothing else"
            );
            Err(Box::new(message(StatusCode::NOT_ACCEPTABLE, text)))
        }
    }
}

fn explicit(format: Format) -> OutputFormat {
    OutputFormat::of(format).unwrap_or(OutputFormat::Png)
}

/// The rendition in a format that `Accept` chose; in a still one the first frame.
fn in_format(spec: Spec, format: OutputFormat) -> Spec {
    let is_still = matches!(format, OutputFormat::Jpeg | OutputFormat::Png | OutputFormat::Avif);
    let avif = spec.avif && format == spec.format;
    Spec { format, animate: spec.animate && !is_still, avif, ..spec }
}

/// Renders a thumbnail, or joins a request that is rendering the same one if the host says so.
async fn shared<H: Host>(
    api: &Api<H>,
    parsed: &ThumbnailRequest,
    stat: &Stat,
    spec: &Spec,
    deadline: Deadline,
) -> Result<Ready, Problem> {
    let at = &parsed.at;
    let start = || {
        let index = parsed.stored_index(spec);
        let (host, at, spec, etag) = (api.host.clone(), at.clone(), spec.clone(), stat.etag.clone());
        async move {
            match index {
                Some(index) => stored(&host, at, index, spec, deadline).await,
                None => recalled_or_rendered(&host, at, etag, spec, deadline).await,
            }
        }
    };
    let Some(audience) = api.host.audience() else {
        return start().await;
    };
    let identity = (audience, at.clone(), stat.etag.clone(), fingerprint(spec));
    match api.thumbnails.join(identity, start).await {
        // Another caller's, perhaps: policies may ask where a request comes from.
        Ok(Ready { stored_at: Some(at), .. }) if api.host.may_read(&at).is_err() => start().await,
        Err(Problem::Failure(Failure { reason: Reason::Denied, .. })) if audience == Audience::Public => {
            start().await
        }
        other => other,
    }
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
        let recipe = fingerprint(&Spec { focal: None, ..spec.clone() });
        if object.stat.metadata.get(RECIPE_FINGERPRINT) != Some(&recipe) {
            return rendered(host, at, spec, deadline).await;
        }
        let Some(source_etag) = object.stat.metadata.get(SOURCE_ETAG).cloned() else { continue };
        // The type follows from the content, not from the object's metadata: a writer to the bucket must not serve pages here,
        // nor drawings, which may hold scripts.
        let header = tintype_engine::probe(&object.bytes).ok();
        let Some(header) = header.filter(|header| !header.format.is_vector()) else {
            return rendered(host, at, spec, deadline).await;
        };
        let stored_at = Some(Arc::new(rendition.at.clone()));
        return Ok(Ready { bytes: object.bytes, format: header.format, source_etag, stored_at });
    }
    Err(Problem::NotFound("the thumbnail was removed repeatedly; try again later".into()))
}

/// A rendition of the request alone: what the host holds of an earlier one, or rendered.
async fn recalled_or_rendered<H: Host>(
    host: &H,
    at: Location,
    source_etag: String,
    spec: Spec,
    deadline: Deadline,
) -> Result<Ready, Problem> {
    let rendering = Rendering { at, source_etag, recipe: fingerprint(&spec) };
    if let Some(bytes) = host.recall(&rendering).await
        && let Ok(header) = tintype_engine::probe(&bytes)
    {
        let source_etag = rendering.source_etag;
        return Ok(Ready { bytes, format: header.format, source_etag, stored_at: None });
    }
    let ready = rendered(host, rendering.at.clone(), spec, deadline).await?;
    // It may be of a later version.
    let rendering = Rendering { source_etag: ready.source_etag.clone(), ..rendering };
    host.retain(rendering, ready.bytes.clone());
    Ok(ready)
}

/// A rendition of the request alone, not stored.
async fn rendered<H: Host>(host: &H, at: Location, spec: Spec, deadline: Deadline) -> Result<Ready, Problem> {
    let rendered = host.render_object(at, spec, deadline).await.map_err(Problem::Refused)?;
    let (source, thumbnail) = rendered.map_err(Problem::Failure)?;
    Ok(Ready {
        format: thumbnail.format,
        bytes: thumbnail.bytes.into(),
        source_etag: source.etag,
        stored_at: None,
    })
}

/// A rendition with the focal point in the source's metadata, unless the request has another.
fn with_focal(parsed: &ThumbnailRequest, spec: Spec, stat: &Stat) -> Spec {
    let focal = parsed.spec.focal.or_else(|| focal(&spec, &stat.metadata));
    Spec { focal, ..spec }
}

/// The ETag: the version of the source, and the recipe.
fn tag(source_etag: &str, spec: &Spec) -> String {
    format!("\"{source_etag}-{}\"", fingerprint(spec))
}

/// A response with the headers that 200 and 304 share.
fn headed<H: Host>(
    api: &Api<H>,
    parsed: &ThumbnailRequest,
    spec: &Spec,
    source_etag: &str,
    stat: &Stat,
    thumbnail: Option<Arc<Location>>,
) -> Response {
    let mut response = Response::new(Body::empty());
    let mut insert = |name: header::HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    insert(header::ETAG, &tag(source_etag, spec));
    // The date is that of this version.
    if stat.etag == source_etag
        && let Some(modified) = http_date(stat.modified_ms.div_euclid(1000))
    {
        insert(header::LAST_MODIFIED, &modified);
    }
    if !matches!(parsed.negotiation, Negotiation::None) {
        insert(header::VARY, "Accept");
    }
    let freshness = delivery::Freshness::new(&api.config, parsed.pass, &parsed.delivery, source_etag);
    delivery::mark(response.headers_mut(), &api.config, parsed.pass, freshness);
    let tag = SourceTag {
        at: Arc::new(parsed.at.clone()),
        etag: source_etag.into(),
        modified_ms: stat.modified_ms,
        thumbnail,
    };
    response.extensions_mut().insert(tag);
    response
}
