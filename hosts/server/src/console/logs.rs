//! `/logs`: what became of attempts as JSON lines in Lambda's form; the past, and on request what comes.

use std::{
    collections::{BTreeSet, HashSet},
    convert::Infallible,
};

use axum::{
    body::{Body, Bytes},
    extract::{Query, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures::{StreamExt as _, stream};
use tintype_api::message;

use super::{Console, answers};
use crate::history::{Entry, Search, report_line};

/// Lines of the past, at most.
const MOST: usize = 10_000;

/// What is asked for.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    /// Go on with what comes.
    follow: bool,
    /// Of this key only.
    key: Option<String>,
    /// Failed ones only.
    failed: bool,
    /// Lines of the past.
    last: Option<usize>,
}

impl Asked {
    fn takes(&self, entry: &Entry) -> bool {
        (!self.failed || entry.has_failed()) && self.key.as_ref().is_none_or(|key| *key == entry.key)
    }
}

/// What tells one attempt from another.
fn same(entry: &Entry) -> (i64, String, String, u32) {
    (entry.ended_ms, entry.request_id.clone(), entry.key.clone(), entry.attempt)
}

pub(super) async fn lines(State(console): State<Console>, Query(asked): Query<Asked>) -> Response {
    // Followed before the past is read, so that nothing falls between them.
    let follower = match asked.follow {
        true => match console.inner.history.result_stream().subscribe() {
            Some(follower) => Some(follower),
            None => {
                return message(StatusCode::SERVICE_UNAVAILABLE, "too many follow already; try again");
            }
        },
        false => None,
    };
    let most = asked.last.unwrap_or(100).min(MOST);
    let asked = std::sync::Arc::new(asked);
    let wanted = asked.clone();
    let past = answers::blocking(&console, move |inner| {
        let Some(recorder) = inner.history.recorder() else { return Ok(Vec::new()) };
        let Some(key) = &wanted.key else {
            // Failures may lie far back; what became of all is what became of the latest.
            let search = Search { object: None, failed: wanted.failed };
            return Ok(recorder.search(most, &search)?);
        };
        let triggers = inner.store.notifications.triggers();
        let buckets: BTreeSet<&str> = triggers.iter().map(|trigger| trigger.bucket.as_str()).collect();
        let mut past = Vec::new();
        for bucket in buckets {
            let search = Search { object: Some((bucket, key)), failed: wanted.failed };
            past.extend(recorder.search(most, &search)?);
        }
        past.sort_by_key(|entry| std::cmp::Reverse(entry.ended_ms));
        past.truncate(most);
        Ok(past)
    });
    let past = match past.await {
        Ok(past) => past,
        Err(problem) => return *problem,
    };
    // What ended between following and reading is in both.
    let told: HashSet<_> = past.iter().map(same).collect();
    let (function, memory_mb) =
        (console.inner.settings.function.name.clone(), console.inner.settings.function.memory_mb);
    let line = move |entry: &Entry| {
        let line = report_line(entry, &function, memory_mb);
        Ok::<_, Infallible>(Bytes::from(format!("{line}\n")))
    };
    let shown: Vec<_> = past.iter().rev().map(&line).collect();
    let shown = stream::iter(shown);
    let body = match follower {
        None => Body::from_stream(shown),
        Some(follower) => {
            let coming = stream::unfold(
                (follower, asked, line, told),
                |(mut follower, asked, line, told)| async move {
                    loop {
                        let entry = follower.next().await?;
                        if asked.takes(&entry) && !told.contains(&same(&entry)) {
                            return Some((line(&entry), (follower, asked, line, told)));
                        }
                    }
                },
            );
            Body::from_stream(shown.chain(coming))
        }
    };
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}
