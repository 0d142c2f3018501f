//! `/backfills`: a backfill that the server does by itself, page by page, with its progress; it can be paused and cancelled.
//! A restart ends it: what it has queued stays queued.

use std::{
    ops::RangeInclusive,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
};

use axum::http::Method;
use serde::{Deserialize, Serialize};
use tintype_api::Permission;
use tintype_pipeline::{Reason, clock::now_ms};

use super::{Admin, Entry, Handle, Refusal, Request, Settlement};
use crate::{
    auth::Visibility,
    queue::Queue,
    request_id,
    storage::{Cause, Storage},
};

/// How far a backfill is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackfillProgress {
    /// The request that began it: its events have the same.
    pub id: String,
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
    /// Of those that were queued, how many have been rendered.
    pub rendered: u64,
    /// … have failed for good, or were ignored.
    pub failed: u64,
    /// … were replaced or removed before their turn came; known once all have ended.
    pub superseded: u64,
    /// Whether all that were queued have ended.
    pub is_settled: bool,
    /// Milliseconds since 1970.
    pub started_ms: i64,
    /// When it ended; `None`: it has not.
    pub ended_ms: Option<i64>,
    /// Why it failed.
    pub error: Option<String>,
}

/// What a backfill does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackfillState {
    /// It looks at sources.
    #[default]
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

/// The cause of an event that was a dead letter.
const REDRIVE: &str = "ObjectCreated:Redrive";

/// The backfill that this server began last.
#[derive(Debug, Default)]
pub(super) struct BackfillJob {
    last: Mutex<Option<BackfillProgress>>,
    open: Mutex<Open>,
    changed: Condvar,
}

/// What the last backfill has not ended.
#[derive(Debug, Default)]
struct Open {
    /// Whether its thread looks at sources still: one that was cancelled ends the page that it is at.
    is_looking: bool,
    /// Its events that may not have ended have ids from the first to the last of these.
    ids: Option<RangeInclusive<u64>>,
}

impl BackfillJob {
    fn last(&self) -> MutexGuard<'_, Option<BackfillProgress>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far it is. Blocks on the ledger.
    pub(super) fn progress(&self, queue: &Queue) -> Result<Option<BackfillProgress>, Refusal> {
        // Held first, so that nobody begins another meanwhile.
        let mut open = self.open();
        let Some(before) = self.last().clone() else { return Ok(None) };
        if before.state.is_open() || open.is_looking || before.is_settled {
            return Ok(Some(before));
        }
        let first = match &open.ids {
            Some(ids) => queue.first_open(ids.clone(), &before.id)?,
            None => None,
        };
        open.ids = first.zip(open.ids.take()).map(|(first, ids)| first..=*ids.end());
        if open.ids.is_none() {
            self.note(&before.id, |progress| {
                progress.is_settled = true;
                progress.superseded = progress.queued.saturating_sub(progress.rendered + progress.failed);
            });
        }
        Ok(self.last().clone())
    }

    /// Counts the end of one of its events.
    pub(super) fn ended(&self, entry: &Entry) {
        if entry.next == Settlement::Retry {
            return;
        }
        self.note(&entry.request_id, |progress| {
            // What is redriven failed before, and was counted then.
            if entry.cause == REDRIVE {
                progress.failed = progress.failed.saturating_sub(1);
            }
            match entry.outcome.as_str() {
                "made" | "up_to_date" => progress.rendered += 1,
                // Removed meanwhile.
                "removed" => {}
                _ if entry.reason == Reason::Missing.name() => {}
                _ => progress.failed += 1,
            }
        });
    }

    /// Begins one, unless one is open.
    fn begin(&self, id: String, prefix: String) -> Result<(), Refusal> {
        let (mut open, mut last) = (self.open(), self.last());
        if last.as_ref().is_some_and(|last| last.state.is_open()) {
            return Err(Refusal::conflict("a backfill is under way; cancel it first, or wait for its end"));
        }
        *last = Some(BackfillProgress { id, prefix, started_ms: now_ms(), ..BackfillProgress::default() });
        *open = Open { is_looking: true, ids: None };
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

    /// Waits while it is paused; whether it is to go on, and no other was begun since.
    fn may_go_on(&self, id: &str) -> bool {
        let is = |last: &Option<BackfillProgress>, state| {
            last.as_ref().is_some_and(|last| last.id == id && last.state == state)
        };
        let last = self.changed.wait_while(self.last(), |last| is(last, BackfillState::Paused));
        is(&last.unwrap_or_else(PoisonError::into_inner), BackfillState::Running)
    }

    /// Whether it is the one that was begun last.
    fn is_last(&self, id: &str) -> bool {
        self.last().as_ref().is_some_and(|last| last.id == id)
    }

    /// Adds to what is known of it, unless another was begun since.
    fn note(&self, id: &str, note: impl FnOnce(&mut BackfillProgress)) {
        if let Some(progress) = self.last().as_mut().filter(|progress| progress.id == id) {
            note(progress);
        }
    }

    /// Adds to the ids of its events.
    fn note_events(&self, id: &str, events: &RangeInclusive<u64>) {
        let mut open = self.open();
        if self.is_last(id) {
            let ids = open.ids.take().unwrap_or_else(|| events.clone());
            open.ids = Some(*ids.start().min(events.start())..=*ids.end().max(events.end()));
        }
    }

    /// It looks at no more sources.
    fn looked(&self, id: &str) {
        let mut open = self.open();
        if self.is_last(id) {
            open.is_looking = false;
        }
    }

    /// Looks at every source, page by page; the store is held no longer than a page takes, so that a shutdown ends it.
    fn run(&self, store: &Weak<Storage>, prefix: &str, cause: &Cause) {
        self.look(store, prefix, cause);
        self.looked(&cause.request_id);
    }

    fn look(&self, store: &Weak<Storage>, prefix: &str, cause: &Cause) {
        let mut after = None;
        while self.may_go_on(&cause.request_id) {
            let Some(store) = store.upgrade() else { return };
            let page = match store.backfill.page(prefix, after, false, cause.clone()) {
                Ok(page) => page,
                Err(fault) => {
                    tracing::warn!(error = %fault, "a backfill ended");
                    self.note(&cause.request_id, |progress| {
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
            if let Some(events) = page.events {
                self.note_events(&cause.request_id, &events);
            }
            self.note(&cause.request_id, |progress| {
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
        let mut backfill = admin.parts.backfill_job.progress(&admin.parts.queue)?;
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
                let cause = Cause::new("ObjectCreated:Backfill", request_id::current());
                let id = cause.request_id.clone();
                job.begin(id.clone(), prefix.clone())?;
                let (job, store) = (job.clone(), Arc::downgrade(&admin.parts.store));
                let work = move || job.run(&store, &prefix, &cause);
                let started = std::thread::Builder::new().name("backfill".into()).spawn(work);
                started.inspect_err(|_| {
                    let job = &admin.parts.backfill_job;
                    let _ = job.set(&[BackfillState::Running], BackfillState::Failed);
                    job.looked(&id);
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

    fn job() -> BackfillJob {
        let job = BackfillJob::default();
        job.begin("id".into(), "raw/".into()).unwrap();
        job
    }

    #[test]
    fn one_is_open_at_a_time_and_ends_once() {
        let job = BackfillJob::default();
        let last = || job.last().clone().unwrap();
        assert!(job.set(&[BackfillState::Running], BackfillState::Paused).is_err());
        job.begin("1".into(), "raw/".into()).unwrap();
        assert!(job.begin("2".into(), String::new()).is_err());
        job.set(&[BackfillState::Running], BackfillState::Paused).unwrap();
        job.set(&[BackfillState::Paused], BackfillState::Running).unwrap();
        assert!(job.may_go_on("1"));
        job.set(&[BackfillState::Running], BackfillState::Cancelled).unwrap();
        assert!(!job.may_go_on("1") && last().ended_ms.is_some());
        assert!(job.set(&[BackfillState::Paused], BackfillState::Running).is_err());
        job.begin("3".into(), String::new()).unwrap();
        assert_eq!((last().state, last().id.as_str()), (BackfillState::Running, "3"));
        assert!(job.may_go_on("3") && !job.may_go_on("1"), "the thread of the one before ends");
    }

    #[test]
    fn only_the_ends_of_its_own_events_are_counted() {
        let job = job();
        let entry = Entry {
            request_id: "id".into(),
            outcome: "made".into(),
            next: Settlement::Done,
            ..Entry::without_object(&tintype_pipeline::Report::bad_event(String::new()), 0)
        };
        let failed = |reason: &str, next| Entry {
            outcome: "failed".into(),
            reason: reason.into(),
            next,
            ..entry.clone()
        };
        for entry in [
            entry.clone(),
            Entry { outcome: "up_to_date".into(), ..entry.clone() },
            Entry { outcome: "ignored".into(), ..entry.clone() },
            // An upload's beside it, an attempt that is not the last one, and what was removed meanwhile.
            Entry { request_id: "other".into(), ..entry.clone() },
            failed("unavailable", Settlement::Retry),
            failed("missing", Settlement::Done),
            failed("malformed", Settlement::DeadLetter),
        ] {
            job.ended(&entry);
        }
        let counted = || job.last().clone().map(|progress| (progress.rendered, progress.failed)).unwrap();
        assert_eq!(counted(), (2, 2));
        job.ended(&Entry { outcome: "removed".into(), ..entry.clone() });
        assert_eq!(counted(), (2, 2));
        // The dead letter is redriven.
        job.ended(&Entry { cause: REDRIVE.into(), ..failed("malformed", Settlement::DeadLetter) });
        assert_eq!(counted(), (2, 2));
        job.ended(&Entry { cause: REDRIVE.into(), ..entry.clone() });
        assert_eq!(counted(), (3, 1));
    }

    #[test]
    fn its_events_are_of_all_its_pages() {
        let job = job();
        job.note_events("id", &(3..=7));
        job.note_events("id", &(12..=12));
        job.note_events("id", &(5..=6));
        assert_eq!(job.open().ids, Some(3..=12));
        job.set(&[BackfillState::Running], BackfillState::Cancelled).unwrap();
        assert!(job.open().is_looking, "at the last page");
        job.begin("next".into(), String::new()).unwrap();
        job.note_events("id", &(13..=13));
        job.looked("id");
        assert!(job.open().ids.is_none() && job.open().is_looking, "another has events of its own");
        job.looked("next");
        assert!(!job.open().is_looking);
    }
}
