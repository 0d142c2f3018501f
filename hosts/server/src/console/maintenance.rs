//! Sources without thumbnails and thumbnails without sources, page by page: what `tintype backfill` and
//! `tintype orphans` ask for.

use axum::{
    Form, Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use tintype_pipeline::Location;

use super::{Console, answers};
use crate::{
    request_id,
    storage::{Cause, Cursor},
};

/// One step, as a form has it: what is meant, and where the step before said to go on.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Step {
    prefix: String,
    /// Look only.
    dry_run: bool,
    /// Remove what is found.
    delete: bool,
    after_bucket: String,
    after_key: String,
}

impl Step {
    fn after(&self) -> Option<Cursor> {
        (!self.after_bucket.is_empty()).then(|| (self.after_bucket.clone(), self.after_key.clone()))
    }
}

fn cause(event: &'static str) -> Cause {
    Cause { event, request_id: request_id::current() }
}

fn next(cursor: Option<Cursor>) -> Value {
    cursor.map_or(Value::Null, |(bucket, key)| json!({"after_bucket": bucket, "after_key": key}))
}

fn place(at: &Location) -> Value {
    json!({"bucket": at.bucket, "key": at.key.as_str()})
}

/// Queues the next sources without a current thumbnail.
pub(super) async fn backfill(State(console): State<Console>, Form(step): Form<Step>) -> Response {
    let cause = cause("ObjectCreated:Backfill");
    let done = answers::blocking(&console, move |inner| {
        let done = inner.store.backfill.page(&step.prefix, step.after(), step.dry_run, cause)?;
        Ok(json!({
            "stale": done.stale.iter().map(place).collect::<Vec<_>>(),
            "current": done.current,
            "waiting": done.waiting,
            "givenUp": done.dead_lettered,
            "next": next(done.next),
        }))
    });
    done.await.map_or_else(|problem| *problem, |answer| Json(answer).into_response())
}

/// Finds the next thumbnails whose source is gone, and removes them if that is wanted.
pub(super) async fn orphans(State(console): State<Console>, Form(step): Form<Step>) -> Response {
    let cause = cause("ObjectRemoved:Delete");
    let done = answers::blocking(&console, move |inner| {
        let (orphans, cursor) = inner.store.backfill.orphans(&step.prefix, step.after())?;
        let listed: Vec<_> = orphans
            .iter()
            .map(|orphan| json!({"thumbnail": place(&orphan.at), "source": place(&orphan.source)}))
            .collect();
        let removed = if step.delete { inner.store.backfill.remove_orphans(orphans, &cause)? } else { 0 };
        Ok(json!({"orphans": listed, "removed": removed, "next": next(cursor)}))
    });
    done.await.map_or_else(|problem| *problem, |answer| Json(answer).into_response())
}
