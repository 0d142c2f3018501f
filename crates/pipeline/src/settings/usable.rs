//! The settings as the program uses them: typed, validated, every value present.

use std::{path::PathBuf, str::FromStr, time::Duration};

use tintype_engine::{Limits, OutputFormat, Spec};

use super::{
    SettingsError,
    api::{self, Api},
    listen::{self, Listen},
    merge::Origins,
    units, written,
};
use crate::{
    naming::KeyTemplate,
    trigger::{Rendition, Trigger},
};

/// The data folder where none is named.
pub const DEFAULT_DATA: &str = "./tintype-data";

/// Everything the program needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data folder.
    pub data: PathBuf,
    /// Whether the serving process gives up what it does not need.
    pub sandbox: Sandbox,
    /// Where to listen.
    pub listen: Listen,
    /// The function's bounds and retries.
    pub function: Function,
    /// Bounds on one picture.
    pub limits: Limits,
    /// What to watch and what to make.
    pub triggers: Vec<Trigger>,
    /// When dead letters are dropped.
    pub dead_letters: DeadLetters,
    /// The HTTP API.
    pub api: Api,
    /// Logging.
    pub logs: Logs,
}

impl Settings {
    /// Whether a request from this machine may need no credentials: once there are keys or proxies to name, somebody
    /// else is meant to call, and a proxy on this machine cannot be told from its users.
    #[must_use]
    pub fn trusts_loopback(&self) -> bool {
        self.listen.trust_loopback && self.listen.trusted_proxies.is_empty() && self.api.keys.is_empty()
    }
}

/// Whether the serving process gives up what it does not need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sandbox {
    /// As far as the kernel can.
    Auto,
    /// Not at all.
    Off,
    /// Wholly, or it does not start.
    Require,
}

/// When dead letters are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadLetters {
    /// Once they are older than this.
    pub max_age: Duration,
    /// The oldest, once there are more than this.
    pub max_count: u64,
}

/// The function's bounds and retries.
#[derive(Debug, Clone)]
pub struct Function {
    /// Its name, as in metrics, logs and ARNs.
    pub name: String,
    /// Bound on one render, in MiB.
    pub memory_mb: u64,
    /// Whether that bound was written; Lambda's own memory stands for it where it was not.
    pub is_memory_given: bool,
    /// Bound on all renders at once, in MiB; 0: a quarter of the machine's.
    pub total_memory_mb: u64,
    /// An attempt is stopped after this long.
    pub timeout: Duration,
    /// Attempts at once; 0: one a core.
    pub concurrency: usize,
    /// Retries after the first attempt, 0 to 2.
    pub retries: u32,
    /// Wait before each retry; the last one repeats.
    pub retry_delays: Vec<Duration>,
    /// An event older than this becomes a dead letter instead of another attempt.
    pub max_event_age: Duration,
}

/// Logging.
#[derive(Debug, Clone)]
pub struct Logs {
    /// Filter, as `tracing` reads it.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
    /// Where an OpenTelemetry collector takes traces; none: nowhere.
    pub otlp: Option<String>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

pub(super) struct Check<'a> {
    origins: &'a Origins,
}

impl Check<'_> {
    pub(super) fn fail<T>(&self, setting: &str, message: impl std::fmt::Display) -> Result<T, SettingsError> {
        Err(SettingsError::new(self.origins.of(setting), format!("{setting}: {message}")))
    }

    fn parse<T: FromStr<Err = String>>(
        &self,
        setting: &str,
        text: Option<String>,
        default: T,
    ) -> Result<T, SettingsError> {
        text.map_or(Ok(default), |text| text.parse().or_else(|message: String| self.fail(setting, message)))
    }

    pub(super) fn bytes(
        &self,
        setting: &str,
        amount: Option<written::Amount>,
        default: u64,
    ) -> Result<u64, SettingsError> {
        match amount {
            None => Ok(default),
            Some(written::Amount::Number(number)) => Ok(number),
            Some(written::Amount::Text(text)) => units::bytes(&text).map_or_else(
                || {
                    self.fail(
                        setting,
                        format!("\"{text}\" is not an amount of bytes; write one like \"100 MiB\""),
                    )
                },
                Ok,
            ),
        }
    }

    fn duration(&self, setting: &str, text: &str) -> Result<Duration, SettingsError> {
        units::duration(text).map_or_else(
            || {
                self.fail(
                    setting,
                    format!("\"{text}\" is not a span of time; write one like \"10s\" or \"6h\""),
                )
            },
            Ok,
        )
    }

    pub(super) fn within<T: PartialOrd + std::fmt::Display>(
        &self,
        setting: &str,
        value: T,
        low: T,
        high: T,
    ) -> Result<T, SettingsError> {
        if value < low || value > high {
            return self.fail(setting, format!("{value} is out of range; write {low} to {high}"));
        }
        Ok(value)
    }
}

pub(super) fn validate(written: written::Written, origins: &Origins) -> Result<Settings, SettingsError> {
    let check = Check { origins };
    let function = function(&check, written.function)?;
    let triggers = written.trigger.unwrap_or_else(|| vec![written::Trigger::default()]);
    let triggers =
        triggers.into_iter().map(|written| trigger(&check, written)).collect::<Result<Vec<_>, _>>()?;
    crate::trigger::check_all(&triggers).or_else(|message| check.fail("trigger", message))?;
    Ok(Settings {
        data: written.data.unwrap_or_else(|| DEFAULT_DATA.into()).into(),
        sandbox: match written.sandbox.as_deref() {
            None | Some("auto") => Sandbox::Auto,
            Some("off") => Sandbox::Off,
            Some("require") => Sandbox::Require,
            Some(other) => {
                return check.fail("sandbox", format!("\"{other}\" is not auto, off or require"));
            }
        },
        listen: listen::validate(&check, written.listen)?,
        limits: limits(&check, written.limits, &function)?,
        function,
        triggers,
        dead_letters: dead_letters(&check, written.dead_letters)?,
        api: api::validate(&check, written.api)?,
        logs: Logs {
            level: written.logs.level.unwrap_or_else(|| "info".into()),
            format: match written.logs.format.as_deref() {
                None | Some("auto") => LogFormat::Auto,
                Some("json") => LogFormat::Json,
                Some("text") => LogFormat::Text,
                Some(other) => {
                    return check.fail("logs.format", format!("\"{other}\" is not auto, json or text"));
                }
            },
            otlp: match written.logs.otlp.as_deref() {
                None | Some("") => None,
                Some(url) if url.strip_prefix("http://").is_some_and(|rest| !rest.is_empty()) => {
                    Some(url.into())
                }
                Some(other) => {
                    let words = format!(
                        "\"{other}\" is no address of a collector; write one like \"http://127.0.0.1:4318\""
                    );
                    return check.fail("logs.otlp", words);
                }
            },
        },
    })
}

fn function(check: &Check<'_>, written: written::Function) -> Result<Function, SettingsError> {
    let total_memory_mb = written.total_memory_mb.unwrap_or(0);
    let for_renders = if total_memory_mb == 0 { u64::MAX } else { total_memory_mb - total_memory_mb / 4 };
    let is_memory_given = written.memory_mb.is_some();
    let memory_mb =
        check.within("function.memory_mb", written.memory_mb.unwrap_or(for_renders.min(512)), 64, 1 << 20)?;
    if memory_mb > for_renders {
        return check.fail(
            "function.total_memory_mb",
            format!(
                "of {total_memory_mb} three quarters are for renders and the rest for their sources, which is less \
                 than function.memory_mb, {memory_mb}; write at least {}",
                (memory_mb * 4).div_ceil(3)
            ),
        );
    }
    let retry_delays = match written.retry_delays {
        None => vec![Duration::from_secs(1), Duration::from_secs(10)],
        Some(delays) if delays.is_empty() => {
            return check.fail("function.retry_delays", "write at least one");
        }
        Some(delays) => delays
            .iter()
            .map(|delay| check.duration("function.retry_delays", delay))
            .collect::<Result<Vec<_>, _>>()?,
    };
    let max_event_age =
        check.duration("function.max_event_age", written.max_event_age.as_deref().unwrap_or("6h"))?;
    if !(Duration::from_secs(60)..=Duration::from_secs(6 * 3600)).contains(&max_event_age) {
        return check.fail("function.max_event_age", "out of range; write 60s to 6h, as on Lambda");
    }
    let name = written.name.unwrap_or_else(|| "Thumbnails".into());
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(legal) {
        return check.fail(
            "function.name",
            format!("\"{name}\" is no function name: 1 to 64 letters, digits, - and _"),
        );
    }
    Ok(Function {
        name,
        memory_mb,
        is_memory_given,
        total_memory_mb,
        timeout: Duration::from_secs(check.within(
            "function.timeout_s",
            written.timeout_s.unwrap_or(30),
            1,
            900,
        )?),
        concurrency: check.within("function.concurrency", written.concurrency.unwrap_or(0), 0, 1024)?
            as usize,
        retries: check.within("function.retries", written.retries.unwrap_or(2), 0, 2)?,
        retry_delays,
        max_event_age,
    })
}

fn dead_letters(check: &Check<'_>, written: written::DeadLetters) -> Result<DeadLetters, SettingsError> {
    let max_age = written.max_age.as_deref().unwrap_or("14d");
    let max_age = check.duration("dead_letters.max_age", max_age)?;
    if max_age < Duration::from_secs(60) {
        return check.fail("dead_letters.max_age", "out of range; write at least 60s");
    }
    let max_count = written.max_count.unwrap_or(100_000);
    let max_count = check.within("dead_letters.max_count", max_count, 1, 100_000_000)?;
    Ok(DeadLetters { max_age, max_count })
}

fn limits(check: &Check<'_>, written: written::Limits, function: &Function) -> Result<Limits, SettingsError> {
    let mut default = Limits::default();
    let for_sources = match function.total_memory_mb {
        0 => u64::MAX,
        total => total << 18,
    };
    default.source_bytes = default.source_bytes.min(for_sources);
    let source_bytes = check.bytes("limits.source_bytes", written.source_bytes, default.source_bytes)?;
    if source_bytes > for_sources {
        return check.fail(
            "limits.source_bytes",
            format!(
                "a quarter of function.total_memory_mb, {}, is for sources: write at most {for_sources} bytes here, \
                 or at least {} there",
                function.total_memory_mb,
                source_bytes.div_ceil(1 << 18)
            ),
        );
    }
    Ok(Limits {
        source_bytes,
        pixels: check.within("limits.pixels", written.pixels.unwrap_or(default.pixels), 1, 1 << 40)?,
        frames: check.within("limits.frames", written.frames.unwrap_or(default.frames), 1, u32::MAX)?,
        memory_bytes: function.memory_mb << 20,
        tolerant: written.tolerant.unwrap_or(default.tolerant),
        tolerant_share: check.within(
            "limits.tolerant_share",
            written.tolerant_share.unwrap_or(default.tolerant_share),
            0.0,
            1.0,
        )?,
    })
}

fn trigger(check: &Check<'_>, written: written::Trigger) -> Result<Trigger, SettingsError> {
    let bucket = |setting, name: Option<String>, default: &str| {
        let name = name.unwrap_or_else(|| default.to_owned());
        crate::trigger::check_bucket_name(&name).or_else(|message| check.fail(setting, message))?;
        Ok(name)
    };
    let renditions = written.rendition.unwrap_or_else(|| vec![written::Rendition::default()]);
    if renditions.is_empty() {
        return check.fail("trigger.rendition", "a trigger needs at least one rendition");
    }
    let suffixes = written.suffixes.unwrap_or_else(|| {
        [".jpg", ".jpeg", ".png", ".webp", ".gif", ".JPG", ".JPEG", ".PNG"].map(str::to_owned).to_vec()
    });
    if suffixes.iter().any(String::is_empty) {
        return check
            .fail("trigger.suffixes", "an empty suffix matches every key; write [] if that is meant");
    }
    Ok(Trigger {
        id: None,
        bucket: bucket("trigger.bucket", written.bucket, "input-product-images")?,
        prefix: written.prefix.unwrap_or_default(),
        suffixes,
        destination: bucket("trigger.destination", written.destination, "output-product-thumbnail")?,
        created: true,
        removed: written.mirror_deletes.unwrap_or(false),
        renditions: renditions
            .into_iter()
            .map(|written| rendition(check, written))
            .collect::<Result<Vec<_>, _>>()?,
    })
}

fn rendition(check: &Check<'_>, written: written::Rendition) -> Result<Rendition, SettingsError> {
    let default = Spec::default();
    let quality = check.within("trigger.rendition.quality", written.quality.unwrap_or(80), 1, 100)?;
    let spec = Spec {
        size: check.parse("trigger.rendition.size", written.size, default.size)?,
        fit: check.parse("trigger.rendition.fit", written.fit, default.fit)?,
        enlarge: written.enlarge.unwrap_or(false),
        format: check.parse("trigger.rendition.format", written.format, OutputFormat::Same)?,
        quality: u8::try_from(quality).unwrap_or(default.quality),
        gravity: check.parse("trigger.rendition.gravity", written.gravity, default.gravity)?,
        background: check.parse("trigger.rendition.background", written.background, default.background)?,
        filter: check.parse("trigger.rendition.filter", written.filter, default.filter)?,
        effort: check.parse("trigger.rendition.effort", written.effort, default.effort)?,
    };
    let key: KeyTemplate = check.parse("trigger.rendition.key", written.key, KeyTemplate::default())?;
    key.check_size(spec.size).or_else(|message| check.fail("trigger.rendition.key", message))?;
    Ok(Rendition { key, spec })
}
