//! Lambda's environment variables, and the settings in them.
//! Source: AWS, "Defined runtime environment variables".

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use tintype_pipeline::settings::Sources;
use tintype_stores::s3::Connection;

use crate::settings::Settings;

/// The part of the function's memory for the program itself: code, stacks, connections, responses.
const PROGRAM_MB: u64 = 32;
/// The minimum memory of a Lambda function.
const LEAST_MB: u64 = 128;

/// The whole configuration of the host.
#[derive(Debug)]
pub struct Environment {
    /// The function's settings.
    pub settings: Settings,
    /// Endpoints and credentials of S3 and SQS.
    pub aws: Connection,
    /// The function's name on Lambda.
    pub function_name: String,
    /// Bytes for sources and renders together.
    pub memory_bytes: u64,
    /// The queue that permanent failures are sent to.
    pub dead_letter_queue: Option<String>,
    /// Whether the API may put images into the source bucket.
    pub accepts_uploads: bool,
    /// Whether each invocation logs its metrics for CloudWatch.
    pub custom_metrics: bool,
}

/// A layer's settings.
const LAYER: &str = "/opt/tintype.toml";
/// In bytes. The environment holds 4 KB in all.
const LARGEST_LAYER: u64 = 64 << 10;

/// The settings of a layer, if the function has one with settings.
///
/// # Errors
/// They cannot be read, or are too large.
pub fn layer() -> Result<Option<String>, String> {
    read_settings(LAYER.as_ref())
}

fn read_settings(path: &Path) -> Result<Option<String>, String> {
    let unreadable = |error: io::Error| format!("{}: {error}", path.display());
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(unreadable)?,
    };
    let mut text = String::new();
    file.take(LARGEST_LAYER + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > LARGEST_LAYER {
        return Err(format!("{}: settings of more than {LARGEST_LAYER} bytes", path.display()));
    }
    Ok(Some(text))
}

impl Environment {
    /// Reads the variables; `layer` are the settings of a layer.
    ///
    /// # Errors
    /// The first that is missing or unusable, and what to do.
    pub fn new(variables: Vec<(String, String)>, layer: Option<String>) -> Result<Self, String> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, value)| known == name && !value.is_empty());
            found.map(|(_, value)| value.clone())
        };
        let required = |name: &str| {
            variable(name).ok_or_else(|| {
                format!("environment variable {name} is missing; Lambda sets it, elsewhere set it by hand")
            })
        };
        let aws = Connection::from_environment(variable)?;
        let memory = required("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")?;
        let memory_mb: u64 = memory.parse().map_err(|_| {
            format!("environment variable AWS_LAMBDA_FUNCTION_MEMORY_SIZE: \"{memory}\" is no number of MB")
        })?;
        let memory_bytes = (memory_mb.max(LEAST_MB) - PROGRAM_MB) << 20;
        let function_name = required("AWS_LAMBDA_FUNCTION_NAME")?;
        let dead_letter_queue = variable("DEAD_LETTER_QUEUE_URL");
        let switch = |name: &str| match variable(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(format!("environment variable {name}: \"{other}\"; write true or false")),
        };
        let accepts_uploads = switch("API_UPLOADS")?;
        let custom_metrics = switch("CUSTOM_METRICS")?;

        let file = match (variable("TINTYPE_CONFIG"), layer) {
            (Some(_), Some(_)) => {
                return Err(format!(
                    "settings are both in the environment variable TINTYPE_CONFIG and in {LAYER}: remove one of them"
                ));
            }
            (Some(text), None) => Some(("environment variable TINTYPE_CONFIG".to_owned(), text)),
            (None, layer) => layer.map(|text| (LAYER.to_owned(), text)),
        };
        let mut settings = Settings::load(Sources { file, env: variables, flags: Vec::new() })
            .map_err(|error| error.to_string())?;
        bound(&mut settings, memory_bytes);
        Ok(Self {
            settings,
            aws,
            function_name,
            memory_bytes,
            dead_letter_queue,
            accepts_uploads,
            custom_metrics,
        })
    }
}

/// Bounds the settings by the function's memory: a quarter for the source, the rest for its render, which is also the
/// default of renders.
fn bound(settings: &mut Settings, memory_bytes: u64) {
    let renders = memory_bytes - memory_bytes / 4;
    let limits = &mut settings.limits;
    limits.source_bytes = limits.source_bytes.min(memory_bytes / 4);
    limits.memory_bytes =
        if settings.function.is_memory_given { limits.memory_bytes.min(renders) } else { renders };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(more: &[(&str, &str)]) -> Result<Environment, String> {
        with_layer(more, None)
    }

    fn with_layer(more: &[(&str, &str)], layer: Option<&str>) -> Result<Environment, String> {
        let base = [
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "very secret"),
            ("AWS_SESSION_TOKEN", "a token"),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_LAMBDA_FUNCTION_NAME", "Thumbnails"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
        ];
        // A repeated variable replaces the earlier one.
        let mut all: Vec<(String, String)> = Vec::new();
        for (name, value) in base.iter().chain(more) {
            all.retain(|(known, _)| known != name);
            all.push(((*name).to_owned(), (*value).to_owned()));
        }
        Environment::new(all, layer.map(str::to_owned))
    }

    #[test]
    fn settings_are_bounded_by_the_functions_memory() {
        let small = environment(&[("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")]).unwrap();
        assert_eq!(small.memory_bytes, 96 << 20);
        assert_eq!(small.settings.limits.source_bytes, 24 << 20);
        assert_eq!(small.settings.limits.memory_bytes, 72 << 20);
        let large = environment(&[("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "10240")]).unwrap();
        assert_eq!(large.settings.limits.source_bytes, 100 << 20, "the settings' own");
        assert_eq!(large.settings.limits.memory_bytes, (10_208 << 20) / 4 * 3, "all of the rest");
        let both = [("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "10240"), ("TINTYPE_FUNCTION__MEMORY_MB", "512")];
        let bound = environment(&both).unwrap();
        assert_eq!(bound.settings.limits.memory_bytes, 512 << 20, "the settings' own");
    }

    #[test]
    fn the_reference_variables_and_a_whole_file_of_settings() {
        let whole = "[[trigger]]\nbucket = \"photos-raw\"\nprefix = \"raw/\"\n[[trigger.rendition]]\nsize = \"64x64\"";
        let settings =
            environment(&[("TINTYPE_CONFIG", whole), ("SOURCE_BUCKET", "photos-in")]).unwrap().settings;
        let trigger = &settings.triggers[0];
        assert_eq!((trigger.bucket.as_str(), trigger.prefix.as_str()), ("photos-in", "raw/"));
        assert_eq!(trigger.renditions[0].spec.size.to_string(), "64x64");
        // The template leaves unset parameters empty: the file's value holds.
        let settings = environment(&[("TINTYPE_CONFIG", whole), ("THUMBNAIL_SIZE", "")]).unwrap().settings;
        assert_eq!(settings.triggers[0].renditions[0].spec.size.to_string(), "64x64");
        let error = environment(&[("TINTYPE_FUNCTION__TIMEOUT", "3")]).unwrap_err();
        assert!(error.contains("function.timeout_s"), "{error}");
    }

    #[test]
    fn settings_of_a_layer() {
        let whole = "[[trigger]]\n[[trigger.rendition]]\nsize = \"64x64\"";
        let settings = with_layer(&[("SOURCE_BUCKET", "photos-in")], Some(whole)).unwrap().settings;
        assert_eq!(settings.triggers[0].renditions[0].spec.size.to_string(), "64x64");
        let error = with_layer(&[], Some("[api]\nstages = 1")).unwrap_err();
        assert!(error.starts_with("/opt/tintype.toml: "), "{error}");
        let error = with_layer(&[("TINTYPE_CONFIG", whole)], Some(whole)).unwrap_err();
        assert!(error.contains("remove one of them"), "{error}");
    }

    #[test]
    fn a_layers_file_is_bounded() {
        let path = std::env::temp_dir().join(format!("tintype-layer-{}.toml", std::process::id()));
        assert_eq!(read_settings(&path), Ok(None));
        std::fs::write(&path, "a".repeat(64 << 10)).unwrap();
        assert_eq!(read_settings(&path).map(|text| text.map(|text| text.len())), Ok(Some(64 << 10)));
        std::fs::write(&path, "a".repeat((64 << 10) + 1)).unwrap();
        assert!(read_settings(&path).unwrap_err().contains("more than 65536 bytes"));
        std::fs::write(&path, b"\xff").unwrap();
        assert!(read_settings(&path).is_err());
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn uploads_and_metrics_are_off_unless_switched_on() {
        let plain = environment(&[]).unwrap();
        assert!(!plain.accepts_uploads && !plain.custom_metrics);
        let both = environment(&[("API_UPLOADS", "true"), ("CUSTOM_METRICS", "true")]).unwrap();
        assert!(both.accepts_uploads && both.custom_metrics);
        assert!(environment(&[("API_UPLOADS", "yes")]).unwrap_err().contains("write true or false"));
    }

    #[test]
    fn the_missing_variable_is_named() {
        let error = environment(&[("AWS_ACCESS_KEY_ID", "")]).unwrap_err();
        assert!(error.contains("AWS_ACCESS_KEY_ID"), "{error}");
        let error = environment(&[("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "much")]).unwrap_err();
        assert!(error.contains("no number of MB"), "{error}");
    }

    #[test]
    fn secrets_are_not_printed() {
        let printed = format!("{:?}", environment(&[]).unwrap());
        assert!(!printed.contains("very secret") && !printed.contains("a token"), "{printed}");
        assert!(printed.contains("AKIDEXAMPLE"));
    }
}
