//! `/results`: how the latest attempts ended; and the same as a stream.

use std::{sync::Arc, time::Duration};

use axum::http::{Method, StatusCode};
use futures::{Stream, stream};
use serde::{Deserialize, Serialize};
use tintype_api::Permission;

use super::{Admin, Handle, Refusal, Request, visible_rows};
use crate::{
    auth::{Action, Visibility, caller},
    history::Entry,
};

/// Results in one answer, unless fewer are asked for.
const MAX_RESULTS: usize = 30;
/// Whether a follower still may is asked this often, besides before each result.
const CHECK: Duration = Duration::from_secs(2);

/// The latest results that meet every condition given.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResultsRequest {
    /// Only these.
    pub only: Option<Only>,
    /// Of keys that hold this text.
    pub text: Option<String>,
    /// The most to be answered.
    pub last: Option<usize>,
}

/// A class of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Only {
    /// Failed attempts.
    Failed,
}

/// Results.
#[derive(Debug, Serialize, Deserialize)]
pub struct Results {
    /// Latest first.
    pub results: Vec<Entry>,
}

impl ResultsRequest {
    /// Whether a result meets the conditions.
    #[must_use]
    pub fn matches(&self, entry: &Entry) -> bool {
        (self.only.is_none() || entry.has_failed())
            && self.text.as_ref().is_none_or(|text| entry.key.contains(text.as_str()))
    }

    /// Whether there are conditions.
    #[must_use]
    pub const fn is_filtered(&self) -> bool {
        self.only.is_some() || self.text.is_some()
    }
}

impl Request for ResultsRequest {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/results";
    const PERMISSION: Permission = Permission::Read;
    type Answer = Results;
}

impl Handle for ResultsRequest {
    fn handle(self, admin: &Admin) -> Result<Results, Refusal> {
        let limit = self.last.unwrap_or(MAX_RESULTS).min(MAX_RESULTS);
        let visibility = Visibility::current();
        let shows = visibility.shows_keys();
        let is_wanted = |entry: &Entry| self.matches(entry) && shows(&entry.bucket, &entry.key);
        let results = match admin.parts.history.recorder() {
            Some(recorder) => recorder.latest(limit, is_wanted)?,
            None => Vec::new(),
        };
        Ok(Results { results: visible_rows::entries(&visibility, results) })
    }
}

impl Admin {
    /// Results from now on that whom the current task serves sees, for a route. It ends where its reader falls behind, when the server shuts down, and as soon as
    /// whom the current task serves may use the route no more: its key was removed, or has lost the right.
    ///
    /// # Errors
    /// It serves nobody who is known, there are too many such streams, or the server is shutting down.
    pub fn follow_results(
        &self,
        path: &'static str,
    ) -> Result<impl Stream<Item = Arc<Entry>> + Send + 'static + use<>, Refusal> {
        let caller = caller::current().ok_or_else(|| Refusal {
            status: StatusCode::FORBIDDEN,
            message: "it is not known who sends the request".into(),
        })?;
        let visibility = Visibility::of(caller.clone());
        let may = move || caller.still_may(Action::Read, path);
        let subscription = self.parts.history.result_stream().subscribe().ok_or_else(|| {
            Refusal::unavailable(
                "too many follow the results already, or the server is shutting down; try again",
            )
        })?;
        let state = (subscription, may, visibility);
        Ok(stream::unfold(state, |(mut subscription, may, visibility)| async move {
            loop {
                let next = tokio::time::timeout(CHECK, subscription.next()).await;
                if !may() {
                    return None;
                }
                let Ok(ended) = next else { continue };
                if let Some(entry) = visible_rows::entry(&visibility, ended?) {
                    return Some((entry, (subscription, may, visibility)));
                }
            }
        }))
    }
}
