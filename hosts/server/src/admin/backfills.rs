//! `/backfills`: a backfill that the server does by itself, page by page, with its progress; it can be paused and cancelled.
//! A restart ends it: what it has queued stays queued.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use axum::http::Method;
use serde::{Deserialize, Serialize};
use tintype_api::Permission;
use tintype_pipeline::clock::now_ms;

use super::{Admin, Handle, Refusal, Request};
use crate::{
    auth::Visibility,
    request_id,
    storage::{Cause, Storage},
};

/// How far a backfill is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillProgress {
    /// Only of keys that begin so; for whoever sees everything.
    pub prefix: String,
    /// What it does.
    pub state: BackfillState,
    /// Sources looked at.
    pub looked_at: u64,
    /// Of these, how many were without a current thumbnail and are queued now.
    pub queued: u64,
    /// … have current thumbnails.
    pub current: u64,
    /// … had an event that waits already.
    pub waiting: u64,
    /// … are dead letters.
    pub dead_lettered: u64,
    /// Milliseconds since 1970.
    pub started_ms: i64,
    /// When it ended; `None`: it has not.
    pub ended_ms: Option<i64>,
    /// Why it failed.
    pub error: Option<String>,
}

/// What a backfill does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackfillState {
    /// It looks at sources.
    Running,
    /// It waits to be resumed.
    Paused,
    /// It was cancelled.
    Cancelled,
    /// It has looked at every source.
    Done,
    /// A fault ended it.
    Failed,
}

impl BackfillState {
    /// Its name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Cancelled => "cancelled",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// Whether it may go on.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// The backfill that this server began last.
#[derive(Debug, Default)]
pub(super) struct BackfillJob {
    last: Mutex<Option<BackfillProgress>>,
    changed: Condvar,
}

impl BackfillJob {
    fn last(&self) -> MutexGuard<'_, Option<BackfillProgress>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn progress(&self) -> Option<BackfillProgress> {
        self.last().clone()
    }

    /// Begins one, unless one is open.
    fn begin(&self, prefix: String) -> Result<(), Refusal> {
        let mut last = self.last();
        if last.as_ref().is_some_and(|last| last.state.is_open()) {
            return Err(Refusal::conflict("a backfill is under way; cancel it first, or wait for its end"));
        }
        *last = Some(BackfillProgress {
            prefix,
            state: BackfillState::Running,
            looked_at: 0,
            queued: 0,
            current: 0,
            waiting: 0,
            dead_lettered: 0,
            started_ms: now_ms(),
            ended_ms: None,
            error: None,
        });
        Ok(())
    }

    /// Has it go on in another state.
    fn set(&self, from: &[BackfillState], to: BackfillState) -> Result<(), Refusal> {
        let mut last = self.last();
        let Some(progress) = last.as_mut().filter(|progress| from.contains(&progress.state)) else {
            return Err(Refusal::conflict(
                "there is no such backfill now; GET /backfills shows the last one",
            ));
        };
        progress.state = to;
        if !to.is_open() {
            progress.ended_ms = Some(now_ms());
        }
        self.changed.notify_all();
        Ok(())
    }

    /// Waits while it is paused; whether it is to go on.
    fn may_go_on(&self) -> bool {
        let is_paused = |last: &mut Option<BackfillProgress>| {
            last.as_ref().is_some_and(|last| last.state == BackfillState::Paused)
        };
        let last = self.changed.wait_while(self.last(), is_paused).unwrap_or_else(PoisonError::into_inner);
        last.as_ref().is_some_and(|last| last.state == BackfillState::Running)
    }

    /// Adds to what is known of it.
    fn note(&self, note: impl FnOnce(&mut BackfillProgress)) {
        if let Some(progress) = self.last().as_mut() {
            note(progress);
        }
    }

    /// Looks at every source, page by page; the store is held no longer than a page takes, so that a shutdown ends it.
    fn run(&self, store: &Weak<Storage>, prefix: &str, cause: &Cause) {
        let mut after = None;
        while self.may_go_on() {
            let Some(store) = store.upgrade() else { return };
            let page = match store.backfill.page(prefix, after, false, cause.clone()) {
                Ok(page) => page,
                Err(fault) => {
                    tracing::warn!(error = %fault, "a backfill ended");
                    self.note(|progress| {
                        progress.error = Some(fault.to_string());
                        progress.state = BackfillState::Failed;
                        progress.ended_ms = Some(now_ms());
                    });
                    return;
                }
            };
            let queued = page.stale.len() as u64;
            after = page.next;
            let is_last = after.is_none();
            self.note(|progress| {
                progress.looked_at += queued + page.current + page.waiting + page.dead_lettered;
                progress.queued += queued;
                progress.current += page.current;
                progress.waiting += page.waiting;
                progress.dead_lettered += page.dead_lettered;
                if is_last && progress.state.is_open() {
                    progress.state = BackfillState::Done;
                    progress.ended_ms = Some(now_ms());
                }
            });
            if is_last {
                return;
            }
        }
    }
}

/// The backfill that was begun last.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackfillsRequest {}

/// What it is at.
#[derive(Debug, Serialize, Deserialize)]
pub struct BackfillsAnswer {
    /// `None`: there was none since the start.
    pub backfill: Option<BackfillProgress>,
}

/// Begins a backfill, or changes the one that is under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackfillActionRequest {
    /// What is done.
    pub action: BackfillAction,
    /// Of a new one: only of keys that begin so.
    #[serde(default)]
    pub prefix: Option<String>,
}

/// What is done with a backfill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackfillAction {
    /// It begins.
    Start,
    /// It waits after the page that it is at.
    Pause,
    /// It goes on.
    Resume,
    /// It ends after the page that it is at.
    Cancel,
}

impl Request for BackfillsRequest {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/backfills";
    const PERMISSION: Permission = Permission::Read;
    type Answer = BackfillsAnswer;
}

impl Handle for BackfillsRequest {
    fn handle(self, admin: &Admin) -> Result<BackfillsAnswer, Refusal> {
        // Its prefix is the beginning of somebody's keys, and its error may name one.
        let mut backfill = admin.parts.backfill_job.progress();
        if !Visibility::current().is_whole()
            && let Some(progress) = &mut backfill
        {
            progress.prefix.clear();
            progress.error = progress.error.as_ref().map(|_| "an operator sees why".to_owned());
        }
        Ok(BackfillsAnswer { backfill })
    }
}

impl Request for BackfillActionRequest {
    const METHOD: Method = Method::POST;
    const PATH: &'static str = BackfillsRequest::PATH;
    const PERMISSION: Permission = Permission::Admin;
    type Answer = BackfillsAnswer;
}

impl Handle for BackfillActionRequest {
    fn handle(self, admin: &Admin) -> Result<BackfillsAnswer, Refusal> {
        let job = &admin.parts.backfill_job;
        match self.action {
            BackfillAction::Start => {
                let prefix = self.prefix.unwrap_or_default();
                job.begin(prefix.clone())?;
                let (job, store) = (job.clone(), Arc::downgrade(&admin.parts.store));
                let cause = Cause::new("ObjectCreated:Backfill", request_id::current());
                let work = move || job.run(&store, &prefix, &cause);
                let started = std::thread::Builder::new().name("backfill".into()).spawn(work);
                started.inspect_err(|_| {
                    let _ = admin.parts.backfill_job.set(&[BackfillState::Running], BackfillState::Failed);
                })?;
            }
            BackfillAction::Pause => job.set(&[BackfillState::Running], BackfillState::Paused)?,
            BackfillAction::Resume => job.set(&[BackfillState::Paused], BackfillState::Running)?,
            BackfillAction::Cancel => {
                job.set(&[BackfillState::Running, BackfillState::Paused], BackfillState::Cancelled)?;
            }
        }
        BackfillsRequest {}.handle(admin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_open_at_a_time_and_ends_once() {
        let job = BackfillJob::default();
        let state = || job.progress().unwrap().state;
        assert!(job.set(&[BackfillState::Running], BackfillState::Paused).is_err());
        job.begin("raw/".into()).unwrap();
        assert!(job.begin(String::new()).is_err());
        job.set(&[BackfillState::Running], BackfillState::Paused).unwrap();
        job.set(&[BackfillState::Paused], BackfillState::Running).unwrap();
        assert!(job.may_go_on());
        job.set(&[BackfillState::Running], BackfillState::Cancelled).unwrap();
        assert!(!job.may_go_on() && job.progress().unwrap().ended_ms.is_some());
        assert!(job.set(&[BackfillState::Paused], BackfillState::Running).is_err());
        job.begin(String::new()).unwrap();
        assert_eq!(state(), BackfillState::Running);
    }
}
