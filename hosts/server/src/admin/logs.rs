//! `/logs`: how attempts ended, as JSON lines in Lambda's form; the past ones, and on request those to come.

use std::{
    collections::{BTreeSet, HashSet},
    convert::Infallible,
    future::ready,
};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{Method, header},
    response::{IntoResponse as _, Response},
};
use futures::{StreamExt as _, future::Either, stream};
use serde::{Deserialize, Serialize};
use tintype_api::Permission;

use super::{Admin, Fields, Refusal, Request, visible_rows};
use crate::{
    auth::Visibility,
    history::{Entry, ReportLine, Search},
};

/// The most past lines.
const MAX_LINES: usize = 10_000;
/// Past lines unless a number is given.
const DEFAULT_LINES: usize = 100;

/// Lines about the attempts that meet every condition given.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogsRequest {
    /// Continues with attempts to come.
    pub follow: bool,
    /// Of this key, in any bucket that a trigger watches.
    pub key: Option<String>,
    /// Only of attempts that failed.
    pub failed: bool,
    /// The number of past lines.
    pub last: Option<usize>,
}

/// Answered as a stream of these, one a line.
impl Request for LogsRequest {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/logs";
    const PERMISSION: Permission = Permission::Read;
    type Answer = ReportLine;
}

impl LogsRequest {
    fn matches(&self, entry: &Entry) -> bool {
        (!self.failed || entry.has_failed()) && self.key.as_ref().is_none_or(|key| *key == entry.key)
    }

    /// Past attempts, latest first.
    fn past(&self, admin: &Admin) -> Result<Vec<Entry>, Refusal> {
        let limit = self.last.unwrap_or(DEFAULT_LINES).min(MAX_LINES);
        let Some(recorder) = admin.parts.history.recorder() else { return Ok(Vec::new()) };
        let visibility = Visibility::current();
        let Some(key) = &self.key else {
            if visibility.is_whole() {
                return Ok(recorder.search(limit, &Search { object: None, failed: self.failed })?);
            }
            // Who sees few of very many does not have all of them read: older ones are found by their key.
            let shows = visibility.shows_keys();
            let is_wanted = |entry: &Entry| self.matches(entry) && shows(&entry.bucket, &entry.key);
            return Ok(visible_rows::entries(&visibility, recorder.latest_and_packed(limit, is_wanted)?));
        };
        let triggers = admin.triggers();
        let buckets: BTreeSet<&str> = triggers.iter().map(|trigger| trigger.bucket.as_str()).collect();
        let mut past = Vec::new();
        for bucket in buckets.into_iter().filter(|bucket| visibility.shows_key(bucket, key)) {
            past.extend(
                recorder.search(limit, &Search { object: Some((bucket, key)), failed: self.failed })?,
            );
        }
        past.sort_by_key(|entry| std::cmp::Reverse(entry.ended_ms));
        past.truncate(limit);
        Ok(visible_rows::entries(&visibility, past))
    }
}

/// What distinguishes one attempt from another.
fn identity(entry: &Entry) -> (i64, String, String, u32) {
    (entry.ended_ms, entry.request_id.clone(), entry.key.clone(), entry.attempt)
}

pub(super) async fn lines(
    State(admin): State<Admin>,
    Fields(request): Fields<LogsRequest>,
) -> Result<Response, Refusal> {
    // Ends with the right to them. Subscribed before the past is read, so that no attempt falls between.
    let coming = match request.follow {
        true => Either::Left(admin.follow_results(LogsRequest::PATH)?),
        false => Either::Right(stream::empty()),
    };
    let reading = request.clone();
    let past = admin.blocking(move |admin| reading.past(admin)).await?;
    // What ended after the subscription and before the reading is in both.
    let in_both: HashSet<_> = past.iter().map(identity).collect();
    let function = admin.parts.settings.function.clone();
    let line = move |entry: &Entry| {
        let line = ReportLine::new(entry, &function.name, function.memory_mb);
        Ok::<_, Infallible>(Bytes::from(format!("{line}\n")))
    };
    let lines: Vec<_> = past.iter().rev().map(&line).collect();
    let coming = coming.filter_map(move |entry| {
        let is_new = request.matches(&entry) && !in_both.contains(&identity(&entry));
        ready(is_new.then(|| line(&entry)))
    });
    let body = Body::from_stream(stream::iter(lines).chain(coming));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}
