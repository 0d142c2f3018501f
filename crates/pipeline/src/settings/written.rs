//! The settings as a person writes them: everything optional, nothing checked but its kind.

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Written {
    pub(super) data: Option<String>,
    pub(super) sandbox: Option<String>,
    pub(super) listen: Listen,
    pub(super) function: Function,
    pub(super) limits: Limits,
    pub(super) trigger: Option<Vec<Trigger>>,
    pub(super) dead_letters: DeadLetters,
    pub(super) api: Api,
    pub(super) logs: Logs,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Listen {
    pub(super) s3: Option<String>,
    pub(super) http: Option<String>,
    pub(super) tls_certificate: Option<String>,
    pub(super) tls_key: Option<String>,
    pub(super) trust_loopback: Option<bool>,
    pub(super) trusted_proxies: Option<Vec<String>>,
    pub(super) http_unix: Option<String>,
    pub(super) s3_unix: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Function {
    pub(super) name: Option<String>,
    pub(super) memory_mb: Option<u64>,
    pub(super) total_memory_mb: Option<u64>,
    pub(super) timeout_s: Option<u64>,
    pub(super) concurrency: Option<u32>,
    pub(super) retries: Option<u32>,
    pub(super) retry_delays: Option<Vec<String>>,
    pub(super) max_event_age: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DeadLetters {
    pub(super) max_age: Option<String>,
    pub(super) max_count: Option<u64>,
}

/// A number of bytes, bare or with a unit.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Amount {
    Number(u64),
    Text(String),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) source_bytes: Option<Amount>,
    pub(super) pixels: Option<u64>,
    pub(super) frames: Option<u32>,
    pub(super) tolerant: Option<bool>,
    pub(super) tolerant_share: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Trigger {
    pub(super) bucket: Option<String>,
    pub(super) prefix: Option<String>,
    pub(super) suffixes: Option<Vec<String>>,
    pub(super) destination: Option<String>,
    pub(super) mirror_deletes: Option<bool>,
    pub(super) rendition: Option<Vec<Rendition>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rendition {
    pub(super) key: Option<String>,
    pub(super) size: Option<String>,
    pub(super) fit: Option<String>,
    pub(super) enlarge: Option<bool>,
    pub(super) format: Option<String>,
    pub(super) quality: Option<u64>,
    pub(super) gravity: Option<String>,
    pub(super) background: Option<String>,
    pub(super) filter: Option<String>,
    pub(super) effort: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Api {
    pub(super) stage: Option<String>,
    pub(super) resource: Option<String>,
    pub(super) cors_origins: Option<Vec<String>>,
    pub(super) max_body: Option<Amount>,
    pub(super) timeout_s: Option<u64>,
    pub(super) rate: Option<u32>,
    pub(super) burst: Option<u32>,
    pub(super) cache_ttl_s: Option<u32>,
    pub(super) cache_bytes: Option<Amount>,
    pub(super) max_side: Option<u32>,
    pub(super) max_quality: Option<u8>,
    pub(super) s3_url: Option<String>,
    pub(super) key: Vec<ApiKey>,
    pub(super) route: Vec<ApiRoute>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiKey {
    pub(super) name: String,
    pub(super) key: String,
    pub(super) rate: Option<u32>,
    pub(super) burst: Option<u32>,
    pub(super) daily: Option<u64>,
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKey").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiRoute {
    pub(super) route: String,
    pub(super) rate: u32,
    pub(super) burst: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Logs {
    pub(super) level: Option<String>,
    pub(super) format: Option<String>,
    pub(super) otlp: Option<String>,
}
