//! The query string.

use std::{ops::Deref, sync::Arc};

use axum::{
    http::{StatusCode, Uri},
    response::Response,
};
use tintype_engine::{Background, Fit, Focal, Format, Gravity, OutputFormat, Scaling, Size, Spec};
use tintype_pipeline::{
    Location, ObjectKey,
    trigger::{Trigger, default_trigger, find_trigger},
};

use crate::{
    Config, Host, NO_TRIGGER,
    answer::message,
    settings::{Preset, PresetFormat},
    signed_url::{EXPIRES, SIGNATURE},
};

/// The bounds of a request: the settings `api.max_side` and `api.max_quality`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The largest side, in pixels.
    pub(crate) side: u32,
    /// The highest quality, 1 to 100.
    pub(crate) quality: u8,
}

/// The known fields.
const FIELDS: [&str; 18] = [
    "key",
    "bucket",
    "size",
    "fit",
    "format",
    "quality",
    "gravity",
    "background",
    "scaling",
    "sharpen",
    "focal",
    "animate",
    "preset",
    "dpr",
    "v",
    "download",
    "expires",
    "signature",
];

/// The field of the source's version: its ETag.
pub(crate) const VERSION: &str = "v";

/// Characters of the longest file name for a download.
const LONGEST_FILE_NAME: usize = 200;

/// The preset's name and the encoded key of a path below the resource that has both.
pub(crate) fn preset_path<'a>(path: &'a str, resource: &str) -> Option<(&'a str, &'a str)> {
    let (preset, key) = path.strip_prefix(resource)?.strip_prefix('/')?.split_once('/')?;
    (!preset.is_empty() && !key.is_empty()).then_some((preset, key))
}

/// The decoded pairs of a query, in their order.
#[derive(Debug, Default)]
pub(crate) struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// Decodes a query.
    ///
    /// # Errors
    /// A part does not decode to UTF-8.
    pub(crate) fn parse(query: &str) -> Result<Self, String> {
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        });
        pairs.collect::<Result<_, String>>().map(Self)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there is a pair of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.iter().any(|(known, _)| known == name)
    }

    /// The value of a name that is given once.
    pub(crate) fn single(&self, name: &str) -> Option<&str> {
        let mut values = self.iter().filter(|(known, _)| *known == name).map(|(_, value)| value);
        values.next().filter(|_| values.next().is_none())
    }

    /// The first name that is given twice.
    fn duplicate(&self) -> Option<&str> {
        let mut names: Vec<&str> = self.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
    }

    pub(crate) fn has_duplicates(&self) -> bool {
        self.duplicate().is_some()
    }
}

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
    /// The trigger of a host for a key of a bucket; where none is named, the default trigger's bucket is meant.
    pub(crate) fn find<H: Host>(
        host: &H,
        bucket: Option<&str>,
        key: Option<&ObjectKey>,
    ) -> Result<Self, NotFound> {
        let triggers = host.triggers();
        let bucket = match bucket {
            Some(bucket) => bucket,
            None => &default_trigger(&triggers).ok_or(NotFound::NoTrigger)?.bucket,
        };
        if let Some(found) = Self::among(&triggers, bucket, key) {
            return Ok(found);
        }
        let at = key.map(|key| Location { bucket: bucket.to_owned(), key: key.clone() });
        at.and_then(|at| Self::among(&host.triggers_for(&at), bucket, key)).ok_or_else(|| {
            NotFound::Bucket(format!("\"{bucket}\" is not one of {}", buckets(&triggers).join(", ")))
        })
    }

    fn among(triggers: &Arc<Vec<Trigger>>, bucket: &str, key: Option<&ObjectKey>) -> Option<Self> {
        let found = find_trigger(triggers, bucket, key.map(ObjectKey::as_str))?;
        let index = triggers.iter().position(|trigger| std::ptr::eq(trigger, found))?;
        Some(Self { triggers: triggers.clone(), index })
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
    /// What GET and HEAD take besides.
    pub(crate) delivery: Delivery,
}

/// How an image is delivered: what GET and HEAD of images take, and nothing else does.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// The preset, by its index in the settings.
    pub(crate) preset: Option<usize>,
    /// The device pixel ratio, for presets.
    dpr: Option<u32>,
    /// The ETag of the source's version that the URL is for.
    pub(crate) version: Option<String>,
    /// That it is to be saved as a file, and under which name; empty: under the key's.
    pub(crate) download: Option<String>,
    /// Whether the URL is signed.
    pub(crate) is_signed: bool,
}

impl Delivery {
    /// Refuses it where an image is not what is answered.
    pub(crate) fn refuse(&self) -> Result<(), Box<Response>> {
        if *self == Self::default() {
            return Ok(());
        }
        let text = "the query fields \"preset\", \"dpr\", \"v\", \"download\", \"expires\" and \"signature\" are for GET and HEAD of images";
        Err(Box::new(message(StatusCode::BAD_REQUEST, text)))
    }
}

impl Query {
    /// Parses the query of a URL, and the path of a preset's image.
    pub(crate) fn of<H: Host>(uri: &Uri, config: &Config, host: &H) -> Result<Self, Box<Response>> {
        let bad = |error: String| Box::new(message(StatusCode::BAD_REQUEST, error));
        let mut fields = parse(uri.query().unwrap_or_default(), config.bounds).map_err(bad)?;
        if let Some((preset, key)) = preset_path(uri.path(), &config.path) {
            fields.of_path(preset, key).map_err(bad)?;
        }
        let preset = fields.preset.take().map(|name| config.preset(&name)).transpose()?;
        if let Some((_, preset)) = preset {
            fields.check_for_preset(preset).map_err(bad)?;
        } else if fields.dpr.is_some() {
            return Err(bad("query field \"dpr\" is for presets; ask for a larger \"size\"".into()));
        }
        let trigger = MatchedTrigger::find(host, fields.bucket.as_deref(), fields.key.as_ref())
            .map_err(|unknown| unknown.response("query field \"bucket\""))?;
        let base = trigger.renditions.first().map(|rendition| rendition.spec.clone()).unwrap_or_default();
        let mut query = Self {
            has_spec: fields.has_spec(),
            names_bucket: fields.bucket.is_some(),
            names_format: fields.format.is_some(),
            spec: fields.over(base),
            delivery: Delivery {
                preset: preset.map(|(index, _)| index),
                dpr: fields.dpr,
                version: fields.version,
                download: fields.download,
                is_signed: fields.is_signed,
            },
            key: fields.key,
            trigger,
        };
        query.spec.validate().map_err(|error| bad(error.to_string()))?;
        // Renditions of the settings are not bounded.
        if query.delivery.preset.is_none()
            && !query.trigger.renditions.iter().any(|rendition| rendition.spec == query.spec)
        {
            bound_open_sides(&mut query.spec, config.bounds);
        }
        Ok(query)
    }

    /// The preset's rendition for a client that names formats in `Accept` or not; whether that decides.
    pub(crate) fn of_preset(
        &self,
        config: &Config,
        accepts: impl Fn(Format) -> bool,
    ) -> Option<(Spec, bool)> {
        let preset = &config.presets[self.delivery.preset?];
        let spec = preset.rendition(self.delivery.dpr.unwrap_or(1), accepts);
        Some((spec, preset.format == PresetFormat::Auto))
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
    scaling: Option<Scaling>,
    sharpen: Option<u8>,
    focal: Option<Focal>,
    animate: Option<bool>,
    preset: Option<String>,
    dpr: Option<u32>,
    version: Option<String>,
    download: Option<String>,
    is_signed: bool,
}

impl Fields {
    /// Takes preset and key from the path.
    fn of_path(&mut self, preset: &str, key: &str) -> Result<(), String> {
        for (name, is_given) in [("key", self.key.is_some()), ("preset", self.preset.is_some())] {
            if is_given {
                return Err(format!("query field \"{name}\": the path names it already"));
            }
        }
        let decoded = percent_encoding::percent_decode_str(key).decode_utf8();
        let decoded =
            decoded.map_err(|_| format!("the key \"{key}\" in the path does not decode to UTF-8"))?;
        self.key =
            Some(ObjectKey::new(&decoded).map_err(|message| format!("the key in the path: {message}"))?);
        self.preset = Some(preset.to_owned());
        Ok(())
    }

    fn check_for_preset(&self, preset: &Preset) -> Result<(), String> {
        if self.has_spec() {
            return Err("a preset has its size, fit, format and the like; ask for one or the other".into());
        }
        match self.dpr {
            Some(dpr) if dpr > preset.max_dpr => {
                Err(format!("dpr \"{dpr}\" is not 1 to {} (preset.max_dpr)", preset.max_dpr))
            }
            _ => Ok(()),
        }
    }

    /// Whether any overrides the rendition.
    fn has_spec(&self) -> bool {
        self.size.is_some()
            || self.fit.is_some()
            || self.format.is_some()
            || self.quality.is_some()
            || self.gravity.is_some()
            || self.background.is_some()
            || self.scaling.is_some()
            || self.sharpen.is_some()
            || self.focal.is_some()
            || self.animate.is_some()
    }

    /// The rendition `base`, overridden by the fields.
    fn over(&self, base: Spec) -> Spec {
        // A request for a still format asks for no animation.
        let is_animated =
            !matches!(self.format, Some(OutputFormat::Jpeg | OutputFormat::Png | OutputFormat::Avif));
        Spec {
            size: self.size.unwrap_or(base.size),
            fit: self.fit.unwrap_or(base.fit),
            format: self.format.unwrap_or(base.format),
            quality: self.quality.unwrap_or(base.quality),
            gravity: self.gravity.unwrap_or(base.gravity),
            background: self.background.unwrap_or(base.background),
            scaling: self.scaling.unwrap_or(base.scaling),
            sharpen: self.sharpen.unwrap_or(base.sharpen),
            focal: self.focal.or(base.focal),
            animate: self.animate.unwrap_or(base.animate && is_animated),
            avif: base.avif && matches!(self.format, None | Some(OutputFormat::Same)),
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
    let pairs = Pairs::parse(query)?;
    if let Some(unknown) = pairs.iter().map(|(name, _)| name).find(|name| !FIELDS.contains(name)) {
        return Err(format!("query field \"{unknown}\" is not one of {}", FIELDS.join(", ")));
    }
    if let Some(name) = pairs.duplicate() {
        return Err(format!("query field \"{name}\" is given twice"));
    }
    for (name, value) in pairs.iter() {
        match name {
            "key" => {
                let key = ObjectKey::new(value);
                fields.key = Some(key.map_err(|message| format!("query field \"key\": {message}"))?);
            }
            "bucket" => fields.bucket = Some(value.to_owned()),
            "size" => fields.size = Some(size(value, bounds)?),
            "fit" => fields.fit = Some(value.parse()?),
            "format" => fields.format = Some(value.parse()?),
            "gravity" => fields.gravity = Some(value.parse()?),
            "background" => fields.background = Some(value.parse()?),
            "scaling" => fields.scaling = Some(value.parse()?),
            "sharpen" => {
                let strength =
                    value.parse::<u8>().ok().filter(|most| *most <= 100 && !value.starts_with('+'));
                fields.sharpen =
                    Some(strength.ok_or_else(|| format!("sharpen \"{value}\" is not 0 to 100"))?);
            }
            "focal" => fields.focal = Some(value.parse()?),
            "animate" => {
                let animate =
                    value.parse::<bool>().map_err(|_| format!("animate \"{value}\" is not true or false"));
                fields.animate = Some(animate?);
            }
            "preset" => fields.preset = Some(value.to_owned()),
            "dpr" => {
                let dpr = ["1", "2", "3", "4"].iter().position(|known| *known == value);
                let dpr = dpr.and_then(|index| u32::try_from(index + 1).ok());
                fields.dpr = Some(dpr.ok_or_else(|| format!("dpr \"{value}\" is not 1 to 4"))?);
            }
            VERSION => fields.version = Some(value.trim_matches('"').to_owned()),
            "download" => fields.download = Some(file_name(value)?),
            // They were verified before.
            EXPIRES | SIGNATURE => fields.is_signed = true,
            _ => {
                let most = bounds.quality;
                let quality = value.parse::<u8>().ok().filter(|quality| (1..=most).contains(quality));
                let wrong = || format!("quality \"{value}\" is not 1 to {most} (api.max_quality)");
                fields.quality = Some(quality.filter(|_| !value.starts_with('+')).ok_or_else(wrong)?);
            }
        }
    }
    Ok(fields)
}

fn file_name(text: &str) -> Result<String, String> {
    let is_illegal = |c: char| c.is_control() || matches!(c, '/' | '\\');
    if text.chars().any(is_illegal) || text.chars().count() > LONGEST_FILE_NAME {
        return Err(format!(
            "download \"{text}\" is no file name: up to {LONGEST_FILE_NAME} characters without slashes and control characters"
        ));
    }
    Ok(text.to_owned())
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
        let fields = parsed("key=a.jpg&scaling=fast").unwrap();
        assert!(fields.has_spec() && fields.over(Spec::default()).scaling == Scaling::Fast);
        let fields = parsed("key=a.jpg&gravity=smart&focal=0.25,1&sharpen=30&animate=true").unwrap();
        let spec = fields.over(Spec::default());
        assert_eq!((spec.gravity, spec.sharpen, spec.animate), (Gravity::Smart, 30, true));
        assert_eq!(spec.focal.map(|focal| focal.to_string()).as_deref(), Some("0.25,1"));
        let animated = Spec { animate: true, ..Spec::default() };
        assert!(!parsed("format=jpeg").unwrap().over(animated.clone()).animate);
        assert!(parsed("format=webp").unwrap().over(animated).animate);
        for wrong in ["sharpen=101", "sharpen=+1", "focal=2,0", "animate=yes"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
        let fields = parsed("key=a+b%2Bc.jpg").unwrap();
        assert_eq!(fields.key.unwrap().as_str(), "a b+c.jpg");
        let fields = parsed("key=a.jpg&bucket=in").unwrap();
        assert!(!fields.has_spec() && fields.over(Spec::default()) == Spec::default());
        assert_eq!(fields.bucket.as_deref(), Some("in"));
    }

    #[test]
    fn a_path_names_preset_and_key() {
        let of = |path| preset_path(path, "/dev1/myimage");
        assert_eq!(of("/dev1/myimage/card/a/b.jpg"), Some(("card", "a/b.jpg")));
        assert_eq!(of("/dev1/myimage/card//a"), Some(("card", "/a")));
        for other in
            ["/dev1/myimage", "/dev1/myimage/info", "/dev1/myimage/card/", "/dev1/myimage//a", "/x/y/z/a"]
        {
            assert_eq!(of(other), None, "{other}");
        }
        let mut fields = parsed("bucket=in").unwrap();
        fields.of_path("card", "a%20b+c.jpg").unwrap();
        assert_eq!(fields.key.unwrap().as_str(), "a b+c.jpg");
        for (query, key) in [("key=a", "a"), ("preset=card", "a"), ("", "%ff")] {
            assert!(parsed(query).unwrap().of_path("card", key).is_err(), "{query} {key}");
        }
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
            ("scaling=slow", "sharp"),
            ("key=%ff", "UTF-8"),
            ("key=", "empty"),
            ("dpr=5", "1 to 4"),
            ("dpr=1.5", "1 to 4"),
            ("v=1&v=1", "twice"),
            ("download=a/b", "file name"),
            ("download=a%0d%0ab", "file name"),
        ] {
            let error = parsed(query).unwrap_err();
            assert!(error.contains(part), "{query}: {error}");
        }
    }
}
