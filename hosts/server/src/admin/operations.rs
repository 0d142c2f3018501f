//! `/operations`: what an operator looks at: queue, dead letters, memory, what is public, the settings in force.

use std::collections::BTreeMap;

use axum::http::Method;
use serde::{Deserialize, Serialize};
use tintype_api::Permission;
use tintype_telemetry::metrics::Metric;

use super::{
    Admin, AltTexts, AltTextsRequest, BackfillProgress, BackfillsRequest, DeadLettersRequest, Handle,
    Refusal, Request, Summary, SummaryRequest,
};
use crate::auth::Visibility;

/// The state of the server.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OperationsRequest {}

/// The state now; `None` where something cannot be read.
#[derive(Debug, Serialize, Deserialize)]
pub struct Operations {
    /// The numbers of the first page.
    pub summary: Summary,
    /// Age of the oldest event that waits or is under way, in milliseconds; maintenance does not count.
    pub oldest_event_ms: Option<u64>,
    /// Calls under way.
    pub running: Option<u64>,
    /// The most calls at once.
    pub workers: usize,
    /// Bytes admitted for sources.
    pub source_memory_bytes: Option<u64>,
    /// Bytes admitted for renders.
    pub render_memory_bytes: Option<u64>,
    /// How many dead letters there are of each reason.
    pub dead_letters: BTreeMap<String, usize>,
    /// The backfill that was begun last, as `/backfills` has it.
    pub backfill: Option<BackfillProgress>,
    /// Objects whose canned ACL is public.
    pub public_objects: u64,
    /// How describing images goes.
    pub alt_texts: AltTexts,
    /// Settings that are not left at their defaults, for whoever sees everything: they name buckets and keys.
    pub settings: Vec<SettingInForce>,
}

/// A setting that is not left at its default.
#[derive(Debug, Serialize, Deserialize)]
pub struct SettingInForce {
    /// Its path, such as `listen.s3`.
    pub name: String,
    /// Its value as TOML; of secrets only that there is one.
    pub value: String,
    /// The file, environment variable or flag that it was written in last.
    pub origin: String,
}

impl Request for OperationsRequest {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/operations";
    const PERMISSION: Permission = Permission::Read;
    type Answer = Operations;
}

impl Handle for OperationsRequest {
    fn handle(self, admin: &Admin) -> Result<Operations, Refusal> {
        // First: it reads the gauges.
        let summary = SummaryRequest::default().handle(admin)?;
        let settings = &admin.parts.settings;
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let is_whole = Visibility::current().is_whole();
        let in_force = settings.written.iter().filter(|_| is_whole).map(|written| SettingInForce {
            name: written.name.clone(),
            value: shortened(&written.value),
            origin: written.origin.clone(),
        });
        Ok(Operations {
            oldest_event_ms: admin.value(Metric::QueueAge).map(|micros| micros / 1000),
            running: admin.value(Metric::ConcurrentExecutions),
            workers: if settings.function.concurrency == 0 { cores() } else { settings.function.concurrency },
            source_memory_bytes: admin.value(Metric::SourceMemory),
            render_memory_bytes: admin.value(Metric::RenderMemory),
            dead_letters: DeadLettersRequest::default().summary(admin, 0)?.by_reason,
            backfill: BackfillsRequest::default().handle(admin)?.backfill,
            public_objects: admin.parts.store.objects.public_count()?,
            alt_texts: AltTextsRequest::default().handle(admin)?,
            settings: in_force.collect(),
            summary,
        })
    }
}

/// Characters that are shown of a value with an image in it.
const SHOWN_OF_IMAGE: usize = 60;

/// A value as it is shown: of an image in a data URL its beginning and length.
fn shortened(value: &str) -> String {
    match value.char_indices().nth(SHOWN_OF_IMAGE) {
        Some((end, _)) if value.contains("data:image/") => {
            format!("{}\u{2026} ({} bytes)", &value[..end], value.len())
        }
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_in_settings_are_shortened() {
        let image = format!("\"data:image/png;base64,{}\"", "A".repeat(5000));
        let shown = shortened(&image);
        assert!(
            shown.starts_with("\"data:image/png;base64,AAA") && shown.ends_with("(5024 bytes)"),
            "{shown}"
        );
        assert!(shown.len() < 100);
        for same in ["\"data:image/png;base64,AA\"".to_owned(), format!("\"{}\"", "a".repeat(5000))] {
            assert_eq!(shortened(&same), same);
        }
    }
}
