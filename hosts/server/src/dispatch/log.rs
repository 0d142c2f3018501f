//! What is logged, shown and stored of each call.

use std::time::Duration;

use tintype_pipeline::{Failure, Outcome, Report, clock::now_ms, store::Location};

use crate::{
    history::{self, Entry, History, ReportLine},
    queue::IgnoredUpload,
};

/// The function as log lines name it.
#[derive(Debug, Clone)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) memory_mb: u64,
}

/// Logs when an attempt began; on a terminal only its end is shown.
pub(super) fn start(request_id: &str, at: Option<&Location>, attempt: u32) {
    let line = || history::start_line(now_ms(), request_id, at, attempt);
    tracing::info!(target: "platform.start", json = line());
}

/// Logs an upload that no trigger takes, with why.
pub(super) fn ignored(IgnoredUpload { at, why, request_id }: &IgnoredUpload) {
    tracing::info!(request_id, bucket = at.bucket, key = at.key.as_str(), "upload ignored: {why}");
}

/// Logs a call that is about no record, such as an image that is returned: it leaves no result to be stored.
pub(super) fn called(
    function: &Function,
    request_id: String,
    name: &str,
    took: Duration,
    failure: Option<&Failure>,
) {
    let outcome = failure.map_or(Outcome::Rendered, |failure| Outcome::Failed(failure.clone()));
    let report = Report { outcome, total: took, ..Report::bad_event(String::new()) };
    let entry = Entry { request_id, cause: name.to_owned(), ..Entry::without_object(&report, now_ms()) };
    log(function, &entry);
}

/// Logs, shows and stores how an attempt ended.
pub(super) fn ended(function: &Function, history: &History, entry: Entry) {
    log(function, &entry);
    history.result(entry);
}

fn log(function: &Function, entry: &Entry) {
    let json = || ReportLine::new(entry, &function.name, function.memory_mb).to_string();
    let text = history::text_line(entry);
    if entry.has_failed() {
        tracing::warn!(target: "platform.report", json = json(), "{text}");
    } else {
        tracing::info!(target: "platform.report", json = json(), "{text}");
    }
}
