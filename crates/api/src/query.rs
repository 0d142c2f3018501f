//! The query string.

use std::{ops::Deref, sync::Arc};

use axum::{extract::Request, http::StatusCode, response::Response};
use tintype_engine::{Background, Fit, Gravity, OutputFormat, Size, Spec};
use tintype_pipeline::{
    Location, ObjectKey,
    trigger::{Trigger, default_trigger, find_trigger},
};

use crate::{Config, NO_TRIGGER, answer::message};

/// The bounds of a request: the settings `api.max_side` and `api.max_quality`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The largest side, in pixels.
    pub(crate) side: u32,
    /// The highest quality, 1 to 100.
    pub(crate) quality: u8,
}

/// The known fields.
const FIELDS: [&str; 8] = ["key", "bucket", "size", "fit", "format", "quality", "gravity", "background"];

/// A trigger among those in force.
#[derive(Debug)]
pub(crate) struct MatchedTrigger {
    triggers: Arc<Vec<Trigger>>,
    index: usize,
}

impl Deref for MatchedTrigger {
    type Target = Trigger;

    fn deref(&self) -> &Trigger {
        &self.triggers[self.index]
    }
}

impl MatchedTrigger {
    /// The trigger for a key of a bucket; where none is named, the default trigger's bucket is meant.
    pub(crate) fn find(
        triggers: Arc<Vec<Trigger>>,
        bucket: Option<&str>,
        key: Option<&ObjectKey>,
    ) -> Result<Self, NotFound> {
        let bucket = match bucket {
            Some(bucket) => bucket,
            None => &default_trigger(&triggers).ok_or(NotFound::NoTrigger)?.bucket,
        };
        let found = find_trigger(&triggers, bucket, key.map(ObjectKey::as_str));
        let index = found.and_then(|found| triggers.iter().position(|trigger| std::ptr::eq(trigger, found)));
        match index {
            Some(index) => Ok(Self { triggers, index }),
            None => {
                Err(NotFound::Bucket(format!("\"{bucket}\" is not one of {}", buckets(&triggers).join(", "))))
            }
        }
    }
}

/// Why no trigger was found.
#[derive(Debug)]
pub(crate) enum NotFound {
    /// There is none.
    NoTrigger,
    /// No trigger watches the bucket: what is wrong, without the field it stands in.
    Bucket(String),
}

impl NotFound {
    /// The answer; `field` names the bucket.
    pub(crate) fn response(self, field: &str) -> Box<Response> {
        Box::new(match self {
            Self::NoTrigger => message(StatusCode::INTERNAL_SERVER_ERROR, NO_TRIGGER),
            Self::Bucket(text) => message(StatusCode::BAD_REQUEST, format!("{field}: {text}")),
        })
    }
}

/// The buckets that triggers watch, in their order.
pub(crate) fn buckets(triggers: &[Trigger]) -> Vec<&str> {
    let mut buckets: Vec<&str> = Vec::new();
    for trigger in triggers {
        if !buckets.contains(&trigger.bucket.as_str()) {
            buckets.push(&trigger.bucket);
        }
    }
    buckets
}

/// A parsed query.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) key: Option<ObjectKey>,
    /// The trigger for the key.
    pub(crate) trigger: MatchedTrigger,
    /// The first rendition of the trigger, overridden by the request.
    pub(crate) spec: Spec,
    /// Whether the request overrides anything.
    pub(crate) has_spec: bool,
    /// Whether the request names the bucket.
    pub(crate) names_bucket: bool,
    /// Whether the request names the format.
    pub(crate) names_format: bool,
}

impl Query {
    /// Parses the query of a request.
    pub(crate) fn of(
        request: &Request,
        config: &Config,
        triggers: Arc<Vec<Trigger>>,
    ) -> Result<Self, Box<Response>> {
        let fields = parse(request.uri().query().unwrap_or_default(), config.bounds)
            .map_err(|error| Box::new(message(StatusCode::BAD_REQUEST, error)))?;
        let trigger = MatchedTrigger::find(triggers, fields.bucket.as_deref(), fields.key.as_ref())
            .map_err(|unknown| unknown.response("query field \"bucket\""))?;
        let base = trigger.renditions.first().map(|rendition| rendition.spec.clone()).unwrap_or_default();
        let mut query = Self {
            has_spec: fields.has_spec(),
            names_bucket: fields.bucket.is_some(),
            names_format: fields.format.is_some(),
            spec: fields.over(base),
            key: fields.key,
            trigger,
        };
        // Renditions of the settings are not bounded.
        if !query.trigger.renditions.iter().any(|rendition| rendition.spec == query.spec) {
            bound_open_sides(&mut query.spec, config.bounds);
        }
        Ok(query)
    }

    /// The object in the source bucket that the query names.
    pub(crate) fn location(&self) -> Result<Location, Box<Response>> {
        let key = self.key.clone().ok_or_else(|| {
            let text = "which image? Add ?key= and its key in the source bucket";
            Box::new(message(StatusCode::BAD_REQUEST, text))
        })?;
        Ok(Location { bucket: self.trigger.bucket.clone(), key })
    }
}

/// The fields of a query.
#[derive(Debug, Default)]
struct Fields {
    key: Option<ObjectKey>,
    bucket: Option<String>,
    size: Option<Size>,
    fit: Option<Fit>,
    format: Option<OutputFormat>,
    quality: Option<u8>,
    gravity: Option<Gravity>,
    background: Option<Background>,
}

impl Fields {
    /// Whether any overrides the rendition.
    fn has_spec(&self) -> bool {
        self.size.is_some()
            || self.fit.is_some()
            || self.format.is_some()
            || self.quality.is_some()
            || self.gravity.is_some()
            || self.background.is_some()
    }

    /// The rendition `base`, overridden by the fields.
    fn over(&self, base: Spec) -> Spec {
        Spec {
            size: self.size.unwrap_or(base.size),
            fit: self.fit.unwrap_or(base.fit),
            format: self.format.unwrap_or(base.format),
            quality: self.quality.unwrap_or(base.quality),
            gravity: self.gravity.unwrap_or(base.gravity),
            background: self.background.unwrap_or(base.background),
            ..base
        }
    }
}

/// Parses a query.
///
/// # Errors
/// The field that is unknown, repeated or out of bounds.
fn parse(query: &str, bounds: Bounds) -> Result<Fields, String> {
    let mut fields = Fields::default();
    let mut seen: Vec<String> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name)?, decode(value)?);
        if !FIELDS.contains(&name.as_str()) {
            return Err(format!("query field \"{name}\" is not one of {}", FIELDS.join(", ")));
        }
        if seen.contains(&name) {
            return Err(format!("query field \"{name}\" is given twice"));
        }
        match name.as_str() {
            "key" => {
                let key = ObjectKey::new(&value);
                fields.key = Some(key.map_err(|message| format!("query field \"key\": {message}"))?);
            }
            "bucket" => fields.bucket = Some(value),
            "size" => fields.size = Some(size(&value, bounds)?),
            "fit" => fields.fit = Some(value.parse()?),
            "format" => fields.format = Some(value.parse()?),
            "gravity" => fields.gravity = Some(value.parse()?),
            "background" => fields.background = Some(value.parse()?),
            _ => {
                let most = bounds.quality;
                let quality = value.parse::<u8>().ok().filter(|quality| (1..=most).contains(quality));
                let wrong = || format!("quality \"{value}\" is not 1 to {most} (api.max_quality)");
                fields.quality = Some(quality.filter(|_| !value.starts_with('+')).ok_or_else(wrong)?);
            }
        }
        seen.push(name);
    }
    Ok(fields)
}

fn size(text: &str, bounds: Bounds) -> Result<Size, String> {
    let size: Size = text.parse()?;
    if [size.width, size.height].into_iter().flatten().any(|side| side > bounds.side) {
        return Err(format!("size \"{size}\" is larger than {} on a side (api.max_side)", bounds.side));
    }
    Ok(size)
}

/// Bounds an open side: it follows from the image, which may be a thousand times as high as it is wide.
fn bound_open_sides(spec: &mut Spec, bounds: Bounds) {
    let Size { width, height } = spec.size;
    if width.is_none() || height.is_none() {
        // With an open side every fit is equivalent to this one.
        spec.fit = Fit::Inside;
        spec.size = Size { width: width.or(Some(bounds.side)), height: height.or(Some(bounds.side)) };
    }
}

/// Decodes a component of `application/x-www-form-urlencoded`.
fn decode(text: &str) -> Result<String, String> {
    let spaced = text.replace('+', " ");
    let bytes = percent_encoding::percent_decode_str(&spaced);
    bytes
        .decode_utf8()
        .map(String::from)
        .map_err(|_| format!("\"{text}\" in the query does not decode to UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { side: 4096, quality: 95 };

    fn parsed(query: &str) -> Result<Fields, String> {
        parse(query, BOUNDS)
    }

    #[test]
    fn fields() {
        let fields = parsed("key=a+b%2Bc.jpg&size=64x32&quality=50").unwrap();
        let spec = fields.over(Spec::default());
        assert_eq!((spec.size.to_string(), spec.quality), ("64x32".into(), 50));
        assert!(fields.has_spec() && fields.format.is_none());
        assert_eq!(fields.key.unwrap().as_str(), "a b+c.jpg");
        let fields = parsed("key=a.jpg&bucket=in").unwrap();
        assert!(!fields.has_spec() && fields.over(Spec::default()) == Spec::default());
        assert_eq!(fields.bucket.as_deref(), Some("in"));
    }

    #[test]
    fn an_open_side_is_bounded_too() {
        for (size, bounded) in [("256", "256x4096"), ("x200", "4096x200"), ("300x400", "300x400")] {
            let mut spec = parsed(&format!("size={size}&fit=cover")).unwrap().over(Spec::default());
            bound_open_sides(&mut spec, BOUNDS);
            assert_eq!(spec.size.to_string(), bounded);
            assert_eq!(spec.fit == Fit::Cover, size == bounded);
        }
    }

    #[test]
    fn errors_name_the_field() {
        for (query, part) in [
            ("url=http://x", "\"url\""),
            ("key=a&key=b", "twice"),
            ("size=0", "not a box"),
            ("size=5000", "api.max_side"),
            ("quality=96", "1 to 95"),
            ("fit=squash", "fit"),
            ("key=%ff", "UTF-8"),
            ("key=", "empty"),
        ] {
            let error = parsed(query).unwrap_err();
            assert!(error.contains(part), "{query}: {error}");
        }
    }
}
