//! The OpenAPI 3.1 description of the routes, from the handlers' annotations and the types below. The types describe
//! the JSON that handlers write; end-to-end tests compare the two.

use axum::{
    body::Body,
    extract,
    http::{HeaderValue, header},
    response::Response,
};
use serde_json::Value;
use tintype_engine::{Fit, Gravity, OutputFormat, Scaling};
use tintype_pipeline::trigger::Trigger;
use utoipa::{
    IntoParams, OpenApi, PartialSchema, ToSchema,
    openapi::{
        OneOfBuilder, PathItem, Ref, RefOr, Schema,
        path::Parameter,
        security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme},
    },
};

use crate::{Api, Config, Host, query::buckets, route_table::RoutePath, routes, uploads};

/// An error.
#[derive(ToSchema)]
#[schema(as = Message)]
#[expect(dead_code, reason = "describes JSON")]
pub(crate) struct Message {
    /// What is wrong, where, and what to do.
    message: String,
}

/// One object by its key.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON")]
pub(crate) struct Keys {
    /// A key in the source bucket, as it is.
    #[schema(min_length = 1, max_length = 1024)]
    key: String,
    /// Another bucket that a trigger watches.
    #[schema(required = false)]
    bucket: String,
}

/// An event as S3 sends it. SQS's, SNS's and EventBridge's envelopes around it are taken, too.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON")]
pub(crate) struct S3Event {
    #[schema(rename = "Records", min_items = 1, max_items = 1000)]
    records: Vec<S3Record>,
}

/// What happened to an object.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON")]
pub(crate) struct S3Record {
    #[schema(rename = "eventName", pattern = "^Object(Created|Removed):[A-Za-z]+$")]
    event_name: String,
    s3: S3Entity,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON")]
pub(crate) struct S3Entity {
    bucket: S3Bucket,
    object: S3Object,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON")]
pub(crate) struct S3Bucket {
    name: String,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON")]
pub(crate) struct S3Object {
    /// URL-encoded as a form's field is, as S3 sends it.
    #[schema(min_length = 1, max_length = 1024, pattern = "^[A-Za-z0-9._*/+-]+$")]
    key: String,
    /// Orders the events of a key.
    #[schema(required = false, pattern = "^[0-9A-F]+$")]
    sequencer: String,
}

/// A JSON body: one key, or an event. Named `Wish` in the description.
pub(crate) struct InvokeRequest;

impl PartialSchema for InvokeRequest {
    fn schema() -> RefOr<Schema> {
        let one = |name| Ref::from_schema_name(name);
        let either = OneOfBuilder::new().item(one(Keys::name())).item(one(S3Event::name()));
        Schema::from(either.build()).into()
    }
}

impl ToSchema for InvokeRequest {
    fn name() -> std::borrow::Cow<'static, str> {
        "Wish".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Keys::name().into(), Keys::schema()));
        schemas.push((S3Event::name().into(), S3Event::schema()));
        Keys::schemas(schemas);
        S3Event::schemas(schemas);
    }
}

/// The outcome of each record.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON")]
#[schema(as = Records)]
pub(crate) struct RecordResults {
    records: Vec<Record>,
    /// There if a record failed in a way that trying again may fix.
    #[schema(required = false)]
    message: String,
}

/// The outcome of a record.
#[derive(ToSchema)]
#[schema(as = Record)]
#[expect(dead_code, reason = "describes JSON")]
pub(crate) struct Record {
    /// The object; null if the record could not be read.
    source: Option<Object>,
    outcome: Outcome,
    renditions: Vec<Rendition>,
    #[schema(required = false)]
    milliseconds: f64,
    /// Why it failed or was ignored.
    #[schema(required = false)]
    why: String,
    /// The class of the failure.
    #[schema(required = false)]
    reason: String,
    /// Whether trying again cannot help.
    #[schema(required = false)]
    permanent: bool,
    /// Where to ask about a record that was queued.
    #[schema(required = false)]
    ask: String,
}

/// An object's place.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON")]
pub(crate) struct Object {
    bucket: String,
    key: String,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes JSON")]
pub(crate) enum Outcome {
    Made,
    UpToDate,
    Removed,
    Ignored,
    Failed,
    Queued,
}

/// A stored thumbnail.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON")]
pub(crate) struct Rendition {
    bucket: String,
    key: String,
    width: u32,
    height: u32,
    bytes: u64,
    etag: String,
}

/// What an image is.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON")]
pub(crate) struct Info {
    source: Object,
    etag: String,
    bytes: u64,
    /// When it was stored, as HTTP writes dates.
    modified: Option<String>,
    /// jpeg, png, webp, gif, bmp, tiff, avif, heic, jxl or svg.
    format: String,
    /// Once upright.
    width: u32,
    /// Once upright.
    height: u32,
    /// EXIF's, 1 to 8.
    #[schema(minimum = 1, maximum = 8)]
    orientation: u8,
    animated: bool,
    /// ThumbHash in base64.
    thumbhash: String,
    /// The dominant colour.
    #[schema(pattern = "^#[0-9a-f]{6}$")]
    colour: String,
    renditions: Vec<RenditionStatus>,
    /// What the image shows, by language, where it is described.
    #[schema(required = false)]
    alt: std::collections::BTreeMap<String, String>,
    /// Of each preset: the `srcset` of an img element, below the API's host.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    srcset: Value,
}

/// A thumbnail of the settings and its status.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON")]
#[schema(as = Standing)]
pub(crate) struct RenditionStatus {
    bucket: String,
    key: String,
    state: ThumbnailStatus,
    #[schema(required = false)]
    width: u32,
    #[schema(required = false)]
    height: u32,
    #[schema(required = false)]
    bytes: u64,
    #[schema(required = false)]
    etag: String,
}

// Of `ThumbnailStatus` in the pipeline those that one thumbnail can have.
#[derive(ToSchema)]
#[schema(as = State, rename_all = "snake_case")]
#[expect(dead_code, reason = "describes JSON")]
pub(crate) enum ThumbnailStatus {
    Missing,
    Stale,
    Current,
}

/// A form to be sent as multipart/form-data: all fields, then the file.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON")]
pub(crate) struct UploadForm {
    url: String,
    method: String,
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    fields: Value,
    file_field: String,
    expires: String,
    max_bytes: u64,
}

/// An image of a form.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body")]
pub(crate) struct FileForm {
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// A key in the query.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes a query")]
pub(crate) struct KeyQuery {
    /// The object's key in the source bucket.
    #[param(min_length = 1, max_length = 1024)]
    key: String,
}

/// A bucket in the query.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes a query")]
pub(crate) struct BucketQuery {
    /// The source bucket; without it the first trigger's.
    #[param(required = false)]
    bucket: String,
}

/// The rendition to return; fields not given are as in the trigger's first rendition.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes a query")]
pub(crate) struct SpecQuery {
    /// A box in pixels: "256" bounds the width, "x200" the height, "400x300" both. A side left open is no
    /// longer than the longest that may be asked for.
    #[param(required = false)]
    size: String,
    /// How the image fits the box.
    #[param(required = false)]
    fit: String,
    /// The format to write; without it `Accept` decides.
    #[param(required = false)]
    format: String,
    /// Of JPEG and WebP.
    #[param(required = false, minimum = 1)]
    quality: u8,
    /// The part that cover retains.
    #[param(required = false)]
    gravity: String,
    /// Behind transparency and around contain.
    #[param(required = false, pattern = "^([0-9a-fA-F]{6}|[0-9a-fA-F]{8}|transparent)$")]
    background: String,
    /// How large JPEGs are reduced while they are decoded: fast takes less time and is a little less sharp.
    #[param(required = false)]
    scaling: String,
    /// How much edges are sharpened.
    #[param(required = false, minimum = 0, maximum = 100)]
    sharpen: u8,
    /// The point that cover shows, as shares of width and height: "0.4,0.3". Without it that of the object's metadata
    /// x-amz-meta-focal, if there is one.
    #[param(required = false, pattern = "^(0(\\.[0-9]+)?|1(\\.0+)?),(0(\\.[0-9]+)?|1(\\.0+)?)$")]
    focal: String,
    /// Whether an animated image gives an animated WebP or GIF.
    #[param(required = false)]
    animate: bool,
}

/// A preset in the query.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes a query")]
pub(crate) struct PresetQuery {
    /// A preset, instead of size, fit and the like.
    #[param(required = false)]
    preset: String,
    /// With a preset: the device pixel ratio, by which its box is larger.
    #[param(required = false, minimum = 1, maximum = 4)]
    dpr: u32,
}

/// A device pixel ratio in the query.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes a query")]
pub(crate) struct DprQuery {
    /// The device pixel ratio, by which the preset's box is larger.
    #[param(required = false, minimum = 1, maximum = 4)]
    dpr: u32,
}

/// How an image is delivered.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes a query")]
pub(crate) struct DeliveryQuery {
    /// The ETag of the source's version: while it is current, the image may be cached for ever.
    #[param(required = false)]
    v: String,
    /// Has the image saved as a file of this name; empty: of the key's.
    #[param(required = false, max_length = 200, pattern = "^[^/\\\\\\x00-\\x1f\\x7f]*$")]
    download: String,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Tintype", description = "Thumbnails of images in a bucket."),
    components(schemas(Message))
)]
struct Description;

/// GET of the description.
pub(crate) async fn get<H: Host>(extract::State(api): extract::State<Api<H>>) -> Response {
    let description = description(&api.config, &api.host.triggers());
    let mut response = Response::new(Body::from(description.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The description for these settings: their paths, and the bounds of what a request may ask for.
#[must_use]
pub fn description(config: &Config, triggers: &[Trigger]) -> Value {
    let mut api = Description::openapi();
    let buckets = buckets(triggers);
    for route in routes::rows() {
        let Some(part) = route.description else { continue };
        // Without presets there is nothing to ask for.
        if config.presets.is_empty() && route.path == RoutePath::Resource(routes::PRESET) {
            continue;
        }
        let mut part = part();
        let described = std::mem::take(&mut part.paths.paths);
        // A catch-all is a parameter like others here.
        let path = route.path.below(&config.path).replace("{*", "{");
        let item = api.paths.paths.entry(path).or_default();
        for operations in described.into_values() {
            item.merge_operations(bounded(operations, config, &buckets));
        }
        api.merge(part);
    }
    if buckets.len() < 2 {
        forget_bucket_of_uploads(&mut api);
    }
    let key = ApiKeyValue::with_description("X-Api-Key", "Needed where the settings name any.");
    let components = api.components.get_or_insert_default();
    components.add_security_scheme(KEY, SecurityScheme::ApiKey(ApiKey::Header(key)));
    // The settings decide which of the two applies.
    api.security = Some(vec![SecurityRequirement::default(), SecurityRequirement::new(KEY, [""; 0])]);
    serde_json::to_value(api).unwrap_or_default()
}

/// The name of the API key in the description.
const KEY: &str = "apiKey";

/// A regular expression of the numbers from 1 to `most`.
fn up_to(most: u32) -> String {
    let digits: Vec<u32> = most.to_string().chars().filter_map(|digit| digit.to_digit(10)).collect();
    let mut alternatives = Vec::new();
    if digits.len() > 1 {
        alternatives.push(format!("[1-9][0-9]{{0,{}}}", digits.len() - 2));
    }
    for (place, digit) in digits.iter().enumerate() {
        let least = u32::from(place == 0);
        if *digit > least {
            let prefix: String = digits[..place].iter().map(u32::to_string).collect();
            let rest = digits.len() - place - 1;
            alternatives.push(format!("{prefix}[{least}-{}][0-9]{{{rest}}}", digit - 1));
        }
    }
    alternatives.push(most.to_string());
    format!("({})", alternatives.join("|"))
}

/// With the settings' bounds. Where one bucket is watched there is none to choose.
fn bounded(mut item: PathItem, config: &Config, buckets: &[&str]) -> PathItem {
    for operation in [&mut item.get, &mut item.head, &mut item.post].into_iter().flatten() {
        let Some(parameters) = &mut operation.parameters else { continue };
        parameters.retain(|parameter| match parameter {
            RefOr::T(parameter) => match parameter.name.as_str() {
                "bucket" => buckets.len() > 1,
                "preset" | "dpr" => !config.presets.is_empty(),
                _ => true,
            },
            RefOr::Ref(_) => true,
        });
        for parameter in parameters {
            if let RefOr::T(parameter) = parameter {
                bound(parameter, config, buckets);
            }
        }
    }
    item
}

/// The body of a request for a form has no bucket to choose either.
fn forget_bucket_of_uploads(api: &mut utoipa::openapi::OpenApi) {
    let schemas = &mut api.components.get_or_insert_default().schemas;
    if let Some(RefOr::T(Schema::Object(wish))) = schemas.get_mut(&*uploads::UploadFormRequest::name()) {
        wish.properties.remove("bucket");
    }
}

/// The formats that this build writes.
fn written_formats() -> Vec<&'static str> {
    let is_written = |name: &&&str| name.parse().is_ok_and(OutputFormat::is_written);
    OutputFormat::NAMES.iter().filter(is_written).copied().collect()
}

/// Adds the engine's values and the settings' bounds to a parameter.
fn bound(parameter: &mut Parameter, config: &Config, buckets: &[&str]) {
    let written = written_formats();
    let names: &[&str] = match parameter.name.as_str() {
        "fit" => Fit::NAMES,
        "format" => &written,
        "gravity" => Gravity::NAMES,
        "scaling" => Scaling::NAMES,
        "bucket" => buckets,
        _ => &[],
    };
    let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema else { return };
    if !names.is_empty() {
        schema.enum_values = Some(names.iter().map(|name| Value::from(*name)).collect());
    }
    if parameter.name == "size" {
        let side = up_to(config.bounds.side);
        schema.pattern = Some(format!("^({side}|x{side}|{side}x{side})$"));
    }
    if parameter.name == "preset" {
        let presets = config.presets.iter().map(|preset| Value::from(preset.name.as_str()));
        schema.enum_values = Some(presets.collect());
    }
    if parameter.name == "dpr" {
        let most = config.presets.iter().map(|preset| preset.max_dpr).min().unwrap_or(1);
        schema.maximum = Some(f64::from(most).into());
    }
    if parameter.name == "quality" {
        schema.maximum = Some(f64::from(config.bounds.quality).into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_of_numbers_matches_up_to_its_bound() {
        for most in [1, 7, 10, 99, 100, 999, 1000, 1009, 1010, 4096, 65_500] {
            let pattern = regex_lite::Regex::new(&format!("^{}$", up_to(most))).unwrap();
            for number in (1..=most + 200).chain([10 * most]) {
                assert_eq!(pattern.is_match(&number.to_string()), number <= most, "{pattern} {number}");
            }
            assert!(["0", "01", ""].iter().all(|text| !pattern.is_match(text)), "{pattern}");
        }
    }
}
