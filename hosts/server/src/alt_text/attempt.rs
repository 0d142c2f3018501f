//! An attempt at one event: what it is about, a rendition of it, the model's answer, the sidecar.

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use tintype_alt_text::{Day, Failure, Sidecar, Tokens, Wait, budget::dollars, fingerprint};
use tintype_api::{Deadline, Refused};
use tintype_engine::{OutputFormat, Size, Spec};
use tintype_pipeline::{Reason, clock::now_ms};

use super::runner::Runner;
use crate::{
    queue::{Described, EventRecord},
    storage::{ObjectAccess, Present, StoreFault, Subject},
};

/// The longest side of what is sent, in pixels.
const SIDE: u32 = 768;
/// While the function has events to work on: looked at again after this, for at most so long.
const BUSY: Duration = Duration::from_millis(250);
const LONGEST_BUSY_MS: i64 = 60_000;
/// After a fault of the disk, and where no worker takes the render.
const LATER: Duration = Duration::from_secs(2);

/// After a description that could not be stored.
const UNSTORED: Duration = Duration::from_secs(60);

/// How an attempt ended.
pub(super) enum Verdict {
    /// Its event is settled, is tried again by its own time, or is a dead letter. The provider answered, if it was asked.
    Settled {
        /// Whether the provider answered.
        answered: bool,
    },
    /// It was not begun.
    NotNow(Duration),
    /// A budget is used up.
    OutOf(Wait),
    /// The provider has not answered in time; the event is as it was.
    Silent {
        /// In words.
        message: String,
        /// What may have been used up.
        used: Day,
    },
    /// The provider takes nothing now.
    Away {
        /// Why.
        message: String,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
        /// What was used up all the same.
        used: Day,
    },
}

const DONE: Verdict = Verdict::Settled { answered: false };

/// What is sent: never the source, and nothing of its metadata.
fn rendition() -> Spec {
    Spec {
        size: Size { width: Some(SIDE), height: Some(SIDE) },
        format: OutputFormat::Jpeg,
        ..Spec::default()
    }
}

impl Runner {
    pub(super) async fn attempt(self: &Arc<Self>, event: &EventRecord) -> Verdict {
        let subject = match self.subject(event).await {
            Ok(Some(subject)) => subject,
            Ok(None) => return self.settle(event, Day::default(), false).await,
            Err(verdict) => return verdict,
        };
        let unstored = self.unstored.lock().unwrap_or_else(PoisonError::into_inner).remove(&event.id);
        if let Some((sidecar, used)) = unstored
            && sidecar.source.as_ref().is_some_and(|source| source.etag == subject.etag)
        {
            // The provider was not asked.
            return match self.store(event, subject, sidecar, used).await {
                Verdict::Settled { .. } => DONE,
                other => other,
            };
        }
        let begun = self.budget.lock().unwrap_or_else(PoisonError::into_inner).begin(now_ms());
        if let Err(wait) = begun {
            return Verdict::OutOf(wait);
        }
        let (verdict, used) = self.described(event, subject).await;
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).ended(now_ms(), used);
        verdict
    }

    /// What the event is about, if that is to be described now.
    async fn subject(self: &Arc<Self>, event: &EventRecord) -> Result<Option<Subject>, Verdict> {
        let (me, event) = (self.clone(), event.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let is_fresh = now_ms().saturating_sub(event.queued_ms) < LONGEST_BUSY_MS;
            // Thumbnails go first: rendering what is sent takes a worker.
            if is_fresh && me.queue.is_busy()? {
                return Ok::<_, StoreFault>(Err(Verdict::NotNow(BUSY)));
            }
            let Some(subject) = me.store.alt_texts.subject(&me.store.backfill, &event)? else {
                return Ok(Ok(None));
            };
            // As where a description is stored: the function's rights decide.
            let may_write = me.store.function_guard.check(ObjectAccess::Write, &subject.sidecar).is_ok();
            if may_write && me.store.alt_texts.bring_along(&subject)? {
                return Ok(Ok(None));
            }
            let wanted = fingerprint(me.describer.settings(), &subject.etag);
            let is_wanted = match &subject.present {
                Present::Nothing => true,
                Present::Described { fingerprint, .. } => *fingerprint != wanted,
                Present::Edited { .. } => false,
            };
            Ok(Ok(is_wanted.then_some(subject)))
        });
        match looked.await {
            Ok(Ok(looked)) => looked,
            Ok(Err(error)) => {
                tracing::warn!(%error, "an image that waits to be described could not be looked at");
                Err(Verdict::NotNow(LATER))
            }
            Err(_) => Err(Verdict::NotNow(LATER)),
        }
    }

    async fn described(self: &Arc<Self>, event: &EventRecord, subject: Subject) -> (Verdict, Day) {
        let nothing = Day::default();
        if let Err(why) = self.store.function_guard.check(ObjectAccess::Write, &subject.sidecar) {
            return (self.failed(event, why, nothing).await, nothing);
        }
        let rendered = {
            let _one = self.rendering.lock().await;
            let deadline = Deadline::after(self.render_timeout);
            self.dispatcher.render_to_describe(subject.source.clone(), rendition(), deadline).await
        };
        let image = match rendered {
            Err(Refused::TimedOut) => {
                let why = "what is sent to the model was not rendered within function.timeout_s".to_owned();
                return (self.failed(event, why, nothing).await, nothing);
            }
            Err(Refused::Throttled | Refused::ShuttingDown) => return (Verdict::NotNow(LATER), nothing),
            Ok(Err(failure)) if failure.reason == Reason::Missing => {
                return (self.settle(event, nothing, false).await, nothing);
            }
            Ok(Err(failure)) => {
                let why = format!("what is sent to the model cannot be rendered: {}", failure.message);
                return (self.failed(event, why, nothing).await, nothing);
            }
            // Another version has an event of its own.
            Ok(Ok((stat, _))) if stat.etag != subject.etag => {
                return (self.settle(event, nothing, false).await, nothing);
            }
            Ok(Ok((_, thumbnail))) => thumbnail.bytes,
        };
        let began = Instant::now();
        match self.describer.describe(&image).await {
            Ok(description) => {
                let used =
                    Day { requests: description.requests.into(), described: 1, tokens: description.tokens };
                let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                let sidecar = Sidecar::described(
                    self.describer.settings(),
                    self.describer.provider(),
                    subject.entry(),
                    description,
                    milliseconds,
                    now_ms(),
                );
                self.count(true, used);
                (self.store(event, subject, sidecar, used).await, used)
            }
            Err(Failure::Image { message, tokens, requests }) => {
                let used = Day { requests: requests.into(), described: 0, tokens };
                (self.failed(event, message, used).await, used)
            }
            Err(Failure::Silent { message, tokens, requests }) => {
                let used = Day { requests: requests.into(), described: 0, tokens };
                (Verdict::Silent { message, used }, used)
            }
            Err(Failure::Provider { message, retry_after, tokens }) => {
                let requests = u64::from(tokens != Tokens::default());
                let used = Day { requests, described: 0, tokens };
                (Verdict::Away { message, retry_after, used }, used)
            }
        }
    }

    async fn store(
        self: &Arc<Self>,
        event: &EventRecord,
        subject: Subject,
        sidecar: Sidecar,
        used: Day,
    ) -> Verdict {
        let me = self.clone();
        let described = Described { event: event.clone(), used };
        let object = subject.source.clone();
        let written = sidecar.clone();
        let stored = tokio::task::spawn_blocking(move || {
            let fingerprint = fingerprint(me.describer.settings(), &subject.etag);
            me.store.alt_texts.store(&subject, &sidecar, &fingerprint, described)
        });
        let stored = stored.await;
        if !matches!(stored, Ok(Ok(_))) {
            // It is stored by the event's next attempt, without asking again.
            let mut unstored = self.unstored.lock().unwrap_or_else(PoisonError::into_inner);
            unstored.insert(event.id, (written, used));
        }
        match stored {
            Ok(Ok(is_stored)) => {
                tracing::info!(
                    %object,
                    request_id = event.request_id,
                    tokens = used.tokens.total(),
                    is_stored,
                    "the image was described"
                );
                Verdict::Settled { answered: true }
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, %object, "a description could not be stored; it is tried again");
                Verdict::NotNow(UNSTORED)
            }
            Err(_) => Verdict::NotNow(LATER),
        }
    }

    /// Ends an event about which nothing is left to do.
    async fn settle(self: &Arc<Self>, event: &EventRecord, used: Day, answered: bool) -> Verdict {
        let (me, described) = (self.clone(), Described { event: event.clone(), used });
        let settled = tokio::task::spawn_blocking(move || me.store.alt_texts.queue.settle(described));
        match settled.await {
            Ok(Ok(())) => Verdict::Settled { answered },
            Ok(Err(error)) => {
                tracing::warn!(%error, "an event of alt text could not be settled");
                Verdict::NotNow(LATER)
            }
            Err(_) => Verdict::NotNow(LATER),
        }
    }

    /// Has an event tried again, or makes it a dead letter.
    pub(super) async fn failed(self: &Arc<Self>, event: &EventRecord, message: String, used: Day) -> Verdict {
        self.count(false, used);
        let is_last = event.failed >= self.policy.retries;
        let (bucket, key) = (&event.bucket, &event.key);
        tracing::warn!(bucket, key, why = message, is_last, "an image could not be described");
        let (me, described) = (self.clone(), Described { event: event.clone(), used });
        let delay = self.policy.delay(event.failed);
        let settled = tokio::task::spawn_blocking(move || {
            let queue = &me.store.alt_texts.queue;
            if !is_last {
                return queue.retry(described, delay, message, true);
            }
            me.history.event_dropped();
            queue.dead_letter(described, message)
        });
        match settled.await {
            Ok(Ok(())) => Verdict::Settled { answered: used.requests > 0 },
            Ok(Err(error)) => {
                tracing::warn!(%error, "an event of alt text could not be settled");
                Verdict::NotNow(LATER)
            }
            Err(_) => DONE,
        }
    }

    /// Counts an attempt that asked the model.
    pub(super) fn count(&self, is_described: bool, used: Day) {
        let cost = dollars(used.tokens, self.describer.settings().price);
        self.history.described(is_described, used.tokens, cost);
    }
}
