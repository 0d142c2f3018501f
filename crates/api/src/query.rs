//! The query string.

use tintype_engine::Spec;
use tintype_function::ObjectKey;

/// The largest side a request may ask for, in pixels.
const LARGEST_SIDE: u32 = 4096;

/// The fields there are.
const FIELDS: [&str; 7] = ["key", "size", "fit", "format", "quality", "gravity", "background"];

/// A parsed query.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) key: Option<ObjectKey>,
    /// Set if the request asks for a rendition of its own.
    pub(crate) spec: Option<Spec>,
}

/// Parses a query; fields not given are as in `base`.
///
/// # Errors
/// The field that is unknown, repeated or out of bounds.
pub(crate) fn parse(query: &str, base: &Spec) -> Result<Query, String> {
    let mut key = None;
    let mut spec = base.clone();
    let mut changed = false;
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
            "size" => spec.size = value.parse()?,
            "fit" => spec.fit = value.parse()?,
            "format" => spec.format = value.parse()?,
            "gravity" => spec.gravity = value.parse()?,
            "background" => spec.background = value.parse()?,
            _ => {
                let quality = value.parse::<u8>().ok().filter(|quality| (1..=100).contains(quality));
                spec.quality = quality.ok_or_else(|| format!("quality \"{value}\" is not 1 to 100"))?;
            }
        }
        changed |= name != "key";
        seen.push(name);
    }
    if [spec.size.width, spec.size.height].into_iter().flatten().any(|side| side > LARGEST_SIDE) {
        return Err(format!("size \"{}\" is larger than {LARGEST_SIDE} on a side", spec.size));
    }
    Ok(Query { key, spec: changed.then_some(spec) })
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

    #[test]
    fn fields() {
        let parsed = parse("key=a+b%2Bc.jpg&size=64x32&quality=50", &Spec::default()).unwrap();
        assert_eq!(parsed.key.unwrap().as_str(), "a b+c.jpg");
        let spec = parsed.spec.unwrap();
        assert_eq!((spec.size.to_string(), spec.quality), ("64x32".into(), 50));
        assert!(parse("key=a.jpg", &Spec::default()).unwrap().spec.is_none());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, part) in [
            ("url=http://x", "\"url\""),
            ("key=a&key=b", "twice"),
            ("size=0", "not a box"),
            ("size=5000", "larger"),
            ("quality=101", "1 to 100"),
            ("fit=squash", "fit"),
            ("key=%ff", "UTF-8"),
            ("key=", "empty"),
        ] {
            let error = parse(query, &Spec::default()).unwrap_err();
            assert!(error.contains(part), "{query}: {error}");
        }
    }
}
