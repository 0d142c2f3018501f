//! `/summary`: the few numbers that matter now.

use axum::http::Method;
use serde::{Deserialize, Serialize};
use tintype_api::Permission;
use tintype_pipeline::clock::now_ms;
use tintype_telemetry::metrics::Metric;

use super::{
    Admin, Handle, Refusal, Request, Statistic,
    metrics::{refusal, rounded},
};
use crate::history::Period;

/// What is counted is of so many seconds.
const SECONDS: i64 = 3600;

/// The numbers now.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SummaryRequest {}

/// The numbers; `None` where one cannot be read, or nothing was measured.
#[derive(Debug, Serialize, Deserialize)]
pub struct Summary {
    /// Sources rendered in the last hour.
    pub rendered: u64,
    /// From the acknowledgement of an upload to its readable thumbnail in milliseconds: 95 % took no longer, in the last
    /// hour.
    pub latency_p95_ms: Option<f64>,
    /// Failed attempts of the last hour.
    pub failed: u64,
    /// Events waiting or under way.
    pub waiting: Option<u64>,
    /// Dead letters stored.
    pub dead_letters: Option<u64>,
    /// The memory of the process.
    pub memory_bytes: Option<u64>,
    /// Free on the volume of the data folder.
    pub disk_free_bytes: Option<u64>,
    /// The volume's size.
    pub disk_total_bytes: Option<u64>,
    /// Whether so little is free that uploads are refused.
    pub is_disk_full: bool,
}

impl Request for SummaryRequest {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/summary";
    const PERMISSION: Permission = Permission::Read;
    type Answer = Summary;
}

impl Handle for SummaryRequest {
    fn handle(self, admin: &Admin) -> Result<Summary, Refusal> {
        let end_s = now_ms() / 1000 + 1;
        let period = Period::new(end_s - SECONDS, end_s, 60).map_err(refusal)?;
        let metrics = vec![Metric::Made, Metric::Failed, Metric::UploadToThumbnail];
        let measured = admin.measurements(metrics, period)?;
        let (free, total) = (admin.value(Metric::DiskFree), admin.value(Metric::DiskTotal));
        let latency = Metric::UploadToThumbnail;
        Ok(Summary {
            rendered: measured.total(Metric::Made).sum,
            latency_p95_ms: Statistic::Percentile(95.0).of(latency, measured.total(latency)).map(rounded),
            failed: measured.total(Metric::Failed).sum,
            waiting: admin.value(Metric::QueueDepth),
            dead_letters: admin.value(Metric::DeadLetters),
            memory_bytes: admin.value(Metric::MemoryUsed),
            disk_free_bytes: free,
            disk_total_bytes: total,
            is_disk_full: free.zip(total).is_some_and(|(free, total)| Admin::is_disk_full(free, total)),
        })
    }
}
