//! `tintype url`: the URL of an image, signed by a key of the settings.

use std::{io::Write as _, path::PathBuf, time::Duration};

use clap::Args;
use tintype_api::{
    Public,
    image_url::{ImageUrl, at_each_density, scaled, srcset},
    settings::{ApiSettings, Preset},
};
use tintype_engine::{Background, Fit, Focal, Gravity, OutputFormat, Scaling, Size};
use tintype_pipeline::{clock::now_ms, settings::Check, spelling};

use super::{Env, OK, SettingsArguments, WRONG_USAGE, output};

/// The densities of a `srcset` of a size.
const DENSITIES: [u32; 3] = [1, 2, 3];

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "\
The first [[api.signing_key]] of the settings signs. A URL by a preset needs no signature with api.public = \"presets\": without
a signing key, or with --unsigned, it is printed without one.

Examples:
  tintype url photo.jpg --preset card
  tintype url photo.jpg --size 800x600 --fit cover --expires 1h --base https://images.example
  tintype url photo.jpg --size 400 --srcset

Exit code: 0 printed, 2 wrong usage or settings.")]
pub(super) struct Url {
    /// The image's key in the source bucket
    key: String,
    /// A preset of the settings
    #[arg(long, value_name = "NAME", conflicts_with_all = ["size", "fit", "format", "quality", "gravity", "background", "scaling", "sharpen", "focal", "animate"])]
    preset: Option<String>,
    /// The device pixel ratio, with --preset
    #[arg(long, value_name = "N", requires = "preset", conflicts_with = "srcset", value_parser = clap::value_parser!(u32).range(1..=4))]
    dpr: Option<u32>,
    /// A box: width ("256"), height ("x200") or both ("400x300")
    #[arg(long)]
    size: Option<Size>,
    /// inside, cover, contain or fill
    #[arg(long)]
    fit: Option<Fit>,
    /// same, jpeg, png, webp, avif or gif
    #[arg(long)]
    format: Option<OutputFormat>,
    /// JPEG, WebP and AVIF quality
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=100))]
    quality: Option<u8>,
    /// The part that `cover` retains: center, north, northeast, …, or smart (where the image draws attention)
    #[arg(long)]
    gravity: Option<Gravity>,
    /// The colour behind transparency: "ffffff", "ffffff80" or "transparent"
    #[arg(long)]
    background: Option<Background>,
    /// How large JPEGs are reduced while they are decoded: sharp or fast
    #[arg(long)]
    scaling: Option<Scaling>,
    /// How much edges are sharpened, 0 to 100
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=100))]
    sharpen: Option<u8>,
    /// The point that `cover` shows: shares of width and height, as in "0.4,0.3"
    #[arg(long, value_name = "X,Y")]
    focal: Option<Focal>,
    /// An animated image as an animation, in WebP or GIF
    #[arg(long)]
    animate: bool,
    /// The source bucket, where it is not the first trigger's
    #[arg(long)]
    bucket: Option<String>,
    /// How long the URL is valid
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = duration, conflicts_with = "unsigned")]
    expires: Duration,
    /// Without a signature
    #[arg(long)]
    unsigned: bool,
    /// The ETag of the image's version: while it is current, the image may be cached for ever
    #[arg(long, value_name = "ETAG")]
    source_version: Option<String>,
    /// Has browsers save the image, under this name or its key's
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    download: Option<String>,
    /// Print the value of an img element's srcset: the image for displays of several densities
    #[arg(long)]
    srcset: bool,
    /// Print whole URLs, below this one
    #[arg(long, value_name = "URL", value_parser = base)]
    base: Option<String>,
    /// Settings file [default: tintype.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let span = Check::default().duration("expires", text).map_err(|error| error.message)?;
    // Expiry is in whole seconds.
    if span < Duration::from_secs(1) { Err("write at least 1s".into()) } else { Ok(span) }
}

fn base(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['?', '#', ' ']) => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err("write scheme and host, like \"https://images.example\"".into()),
    }
}

impl Url {
    pub(super) fn run(self, env: &Env) -> anyhow::Result<u8> {
        let settings =
            SettingsArguments { config: self.config.clone(), data: None, s3: None, http: None }.load(env)?;
        match self.text(&settings.api) {
            Ok(text) => {
                // A closed pipe is no error.
                let _ = writeln!(std::io::stdout(), "{text}");
                Ok(OK)
            }
            Err(error) => {
                output::error(error);
                Ok(WRONG_USAGE)
            }
        }
    }

    /// What is printed.
    fn text(&self, api: &ApiSettings) -> Result<String, String> {
        let signer = api.signing_keys.first().filter(|_| !self.unsigned);
        let preset = self.preset.as_deref().map(|name| preset(api, name)).transpose()?;
        let needed = if preset.is_some() { Public::Presets } else { Public::All };
        if signer.is_none() && api.public < needed {
            return Err(match self.unsigned {
                true => format!(
                    "without a signature this URL needs a key: set api.public = \"{needed}\", or sign it"
                ),
                false => {
                    "the settings have no key that signs: add an [[api.signing_key]] with a name and a secret"
                        .into()
                }
            });
        }
        if signer.is_some() && api.public < needed.min(Public::Signed) {
            output::error(format_args!(
                "the URL is signed, but needs a key all the same: set api.public = \"{}\"",
                needed.min(Public::Signed)
            ));
        }
        let seconds = i64::try_from(self.expires.as_secs()).unwrap_or(i64::MAX);
        let expires_s = now_ms().div_euclid(1000).saturating_add(seconds);
        let printed = |url: &ImageUrl| {
            let url = match signer {
                Some(key) => url.signed(key, expires_s),
                None => url.unsigned(),
            };
            format!("{}{url}", self.base.as_deref().unwrap_or_default())
        };
        let candidates = match preset {
            Some(preset) => self.of_preset(api, preset)?,
            None => self.of_size(api)?,
        };
        if self.srcset {
            return Ok(srcset(candidates.iter().map(|(url, dpr)| (printed(url), *dpr))));
        }
        Ok(candidates.first().map(|(url, _)| printed(url)).unwrap_or_default())
    }

    fn of_preset(&self, api: &ApiSettings, preset: &Preset) -> Result<Vec<(ImageUrl, u32)>, String> {
        let url = self.with_common(ImageUrl::of_preset(&api.path(), &preset.name, &self.key));
        let Some(dpr) = self.dpr else { return Ok(at_each_density(preset, &url).collect()) };
        let found = at_each_density(preset, &url).find(|(_, offered)| *offered == dpr);
        found
            .map(|candidate| vec![candidate])
            .ok_or_else(|| format!("--dpr {dpr}: the preset's max_dpr is {}", preset.max_dpr))
    }

    fn of_size(&self, api: &ApiSettings) -> Result<Vec<(ImageUrl, u32)>, String> {
        if let Some(quality) = self.quality.filter(|quality| *quality > api.max_quality) {
            return Err(format!("--quality {quality} is more than {} (api.max_quality)", api.max_quality));
        }
        let mut url = self.with_common(ImageUrl::of_key(&api.path(), &self.key));
        let text = |value: Option<String>, name: &str, url: ImageUrl| match value {
            Some(value) => url.with(name, value),
            None => url,
        };
        url = text(self.fit.map(|fit| fit.to_string()), "fit", url);
        url = text(self.format.map(|format| format.to_string()), "format", url);
        url = text(self.quality.map(|quality| quality.to_string()), "quality", url);
        url = text(self.gravity.map(|gravity| gravity.to_string()), "gravity", url);
        url = text(self.background.map(|background| background.to_string()), "background", url);
        url = text(self.scaling.map(|scaling| scaling.to_string()), "scaling", url);
        url = text(self.sharpen.map(|sharpen| sharpen.to_string()), "sharpen", url);
        url = text(self.focal.map(|focal| focal.to_string()), "focal", url);
        url = text(self.animate.then(|| "true".to_owned()), "animate", url);
        let Some(size) = self.size else {
            return match self.srcset {
                true => Err(
                    "--srcset needs --size or --preset: the image is to have another size for each density"
                        .into(),
                ),
                false => Ok(vec![(url, 1)]),
            };
        };
        let at = |dpr| {
            scaled(size, dpr, api.max_side).map(|size| (url.clone().with("size", size.to_string()), dpr))
        };
        let candidates: Vec<_> = DENSITIES.into_iter().filter_map(at).collect();
        if candidates.is_empty() {
            return Err(format!("--size {size} is larger than {} on a side (api.max_side)", api.max_side));
        }
        Ok(candidates)
    }

    /// With the parameters of both kinds.
    fn with_common(&self, mut url: ImageUrl) -> ImageUrl {
        for (name, value) in
            [("bucket", &self.bucket), ("v", &self.source_version), ("download", &self.download)]
        {
            if let Some(value) = value {
                url = url.with(name, value.trim_matches('"'));
            }
        }
        url
    }
}

fn preset<'a>(api: &'a ApiSettings, name: &str) -> Result<&'a Preset, String> {
    api.presets.iter().find(|preset| preset.name == name).ok_or_else(|| {
        match spelling::nearest(name, api.presets.iter().map(|preset| preset.name.as_str())) {
            Some(nearest) => format!("there is no preset \"{name}\"; did you mean \"{nearest}\"?"),
            None => "the settings have no preset: add a [[preset]]".into(),
        }
    })
}
