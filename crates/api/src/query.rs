//! The query string.

use axum::{extract::Request, http::StatusCode, response::Response};
use tintype_engine::{Fit, Size, Spec};
use tintype_pipeline::{Location, ObjectKey};

use crate::{Config, answer::message};

/// The bounds of a request: the settings `api.max_side` and `api.max_quality`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The largest side, in pixels.
    pub(crate) side: u32,
    /// The highest quality, 1 to 100.
    pub(crate) quality: u8,
}

/// The known fields.
const FIELDS: [&str; 7] = ["key", "size", "fit", "format", "quality", "gravity", "background"];

/// A parsed query.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) key: Option<ObjectKey>,
    /// The first rendition of the settings, overridden by the request.
    pub(crate) spec: Spec,
    /// Whether the request overrides anything.
    pub(crate) has_spec: bool,
    /// Whether the request names the format.
    pub(crate) names_format: bool,
}

impl Query {
    /// Parses the query of a request.
    pub(crate) fn of(request: &Request, config: &Config) -> Result<Self, Box<Response>> {
        let renditions = &config.trigger.renditions;
        let base = renditions.first().map(|rendition| rendition.spec.clone()).unwrap_or_default();
        let mut query = parse(request.uri().query().unwrap_or_default(), &base, config.bounds)
            .map_err(|error| Box::new(message(StatusCode::BAD_REQUEST, error)))?;
        // Renditions of the settings are not bounded.
        if !renditions.iter().any(|rendition| rendition.spec == query.spec) {
            bound_open_sides(&mut query.spec, config.bounds);
        }
        Ok(query)
    }

    /// The object in the source bucket that the query names.
    pub(crate) fn location(&self, config: &Config) -> Result<Location, Box<Response>> {
        let key = self.key.clone().ok_or_else(|| {
            let text = "which image? Add ?key= and its key in the source bucket";
            Box::new(message(StatusCode::BAD_REQUEST, text))
        })?;
        Ok(Location { bucket: config.trigger.bucket.clone(), key })
    }
}

/// Parses a query; fields not given are as in `base`.
///
/// # Errors
/// The field that is unknown, repeated or out of bounds.
fn parse(query: &str, base: &Spec, bounds: Bounds) -> Result<Query, String> {
    let mut key = None;
    let mut spec = base.clone();
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
                key = Some(
                    ObjectKey::new(&value).map_err(|message| format!("query field \"key\": {message}"))?,
                );
            }
            "size" => {
                spec.size = value.parse()?;
                check_size(&spec, bounds)?;
            }
            "fit" => spec.fit = value.parse()?,
            "format" => spec.format = value.parse()?,
            "gravity" => spec.gravity = value.parse()?,
            "background" => spec.background = value.parse()?,
            _ => {
                let most = bounds.quality;
                let quality = value.parse::<u8>().ok().filter(|quality| (1..=most).contains(quality));
                let wrong = || format!("quality \"{value}\" is not 1 to {most} (api.max_quality)");
                spec.quality = quality.filter(|_| !value.starts_with('+')).ok_or_else(wrong)?;
            }
        }
        seen.push(name);
    }
    let has_spec = seen.iter().any(|name| name != "key");
    Ok(Query { key, spec, has_spec, names_format: seen.iter().any(|name| name == "format") })
}

fn check_size(spec: &Spec, bounds: Bounds) -> Result<(), String> {
    if [spec.size.width, spec.size.height].into_iter().flatten().any(|side| side > bounds.side) {
        return Err(format!(
            "size \"{}\" is larger than {} on a side (api.max_side)",
            spec.size, bounds.side
        ));
    }
    Ok(())
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

    fn parsed(query: &str) -> Result<Query, String> {
        parse(query, &Spec::default(), Bounds { side: 4096, quality: 95 })
    }

    #[test]
    fn fields() {
        let query = parsed("key=a+b%2Bc.jpg&size=64x32&quality=50").unwrap();
        assert_eq!(query.key.unwrap().as_str(), "a b+c.jpg");
        assert_eq!((query.spec.size.to_string(), query.spec.quality), ("64x32".into(), 50));
        assert!(query.has_spec && !query.names_format);
        let query = parsed("key=a.jpg").unwrap();
        assert!(!query.has_spec && query.spec == Spec::default());
        assert!(parsed("format=webp").unwrap().names_format);
    }

    #[test]
    fn an_open_side_is_bounded_too() {
        for (size, bounded) in [("256", "256x4096"), ("x200", "4096x200"), ("300x400", "300x400")] {
            let mut query = parsed(&format!("size={size}&fit=cover")).unwrap();
            bound_open_sides(&mut query.spec, Bounds { side: 4096, quality: 95 });
            assert_eq!(query.spec.size.to_string(), bounded);
            assert_eq!(query.spec.fit == Fit::Cover, size == bounded);
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
