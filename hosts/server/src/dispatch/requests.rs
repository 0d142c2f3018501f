//! Requests that wait for the function's answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use futures::FutureExt as _;
use tintype_api::{Deadline, HostResult, Refused};
use tintype_engine::{Header, Spec, Thumbnail};
use tintype_pipeline::{
    Call, Failure, Inspection, Location, Outcome, Reason, RenderedImage, Report, Stop,
    clock::now_ms,
    event::Record,
    store::{Arrival, Stat},
    trigger::Trigger,
};
use tokio::sync::oneshot;

use super::{
    Dispatcher, Shared,
    attempt::{Attempt, LogMode, Subject},
    log,
};
use crate::{
    history::Entry,
    request_id,
    storage::{ArrivingStore, Cause, DiskPort},
};

/// S3's name for an image that comes by POST.
const POSTED: &str = "ObjectCreated:Post";

impl Dispatcher {
    /// Handles one record and waits for what becomes of it.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn invoke(&self, record: Record, deadline: Deadline) -> Result<Report, Refused> {
        let (request_id, cause) = (request_id::current(), record.name.clone());
        let at = Location { bucket: record.bucket.clone(), key: record.key.clone() };
        self.request(
            deadline,
            Subject::Record,
            LogMode::Own,
            Some(at.clone()),
            move |shared, stop| async move {
                let triggers = shared.store.storage().notifications.triggers();
                let call = Call { triggers: &triggers, stop: &stop };
                let report = shared.thumbnails.handle(call, &shared.store, &record).await;
                shared.history.report(&report, None);
                let entry = Entry { request_id, cause, ..Entry::new(&report, &at, now_ms()) };
                log::ended(&shared.function, &shared.history, entry);
                report
            },
        )
        .await
    }

    /// Renders bytes that are in no bucket.
    ///
    /// # Errors
    /// See [`Refused`]; inside, what is wrong with the image.
    pub async fn render(
        &self,
        bytes: Bytes,
        spec: Spec,
        deadline: Deadline,
    ) -> HostResult<(Header, Thumbnail)> {
        self.request(deadline, Subject::Image, LogMode::All("Render"), None, move |shared, stop| async move {
            let (header, thumbnail, _) = shared.thumbnails.render(&stop, bytes, &spec).await?;
            Ok((header, thumbnail))
        })
        .await
    }

    /// Renders an object without storing the result.
    ///
    /// # Errors
    /// See [`Refused`]; inside, why it could not be rendered.
    pub async fn render_object(
        &self,
        at: Location,
        spec: Spec,
        deadline: Deadline,
    ) -> HostResult<(Stat, Thumbnail)> {
        self.request(
            deadline,
            Subject::Image,
            LogMode::All("RenderObject"),
            Some(at.clone()),
            move |shared, stop| async move {
                shared.thumbnails.render_object(&stop, &shared.store, &at, &spec).await
            },
        )
        .await
    }

    /// Looks at an object and at the thumbnails that a trigger makes of it.
    ///
    /// # Errors
    /// See [`Refused`]; inside, why it could not be looked at.
    pub async fn inspect(
        &self,
        at: Location,
        trigger: Trigger,
        deadline: Deadline,
    ) -> HostResult<Inspection> {
        self.request(
            deadline,
            Subject::Image,
            LogMode::All("Inspect"),
            Some(at.clone()),
            move |shared, stop| async move {
                shared.thumbnails.inspect(&stop, &shared.store, &at, &trigger).await
            },
        )
        .await
    }

    /// Stores an image with its thumbnails and returns one of `spec`. What is refused leaves nothing behind,
    /// neither an object nor a result.
    ///
    /// # Errors
    /// See [`Refused`]; inside, why it is refused.
    pub async fn receive(
        &self,
        arrival: Arrival,
        spec: Spec,
        deadline: Deadline,
    ) -> HostResult<RenderedImage> {
        let (request_id, at) = (request_id::current(), arrival.at.clone());
        self.request(
            deadline,
            Subject::Image,
            LogMode::Failed("Receive"),
            Some(at),
            move |shared, stop| async move {
                let cause = Cause::new(POSTED, request_id.clone());
                let store = ArrivingStore::new(shared.store.clone(), arrival.clone(), cause);
                let triggers = shared.store.storage().notifications.triggers();
                let call = Call { triggers: &triggers, stop: &stop };
                let received = shared.thumbnails.receive(call, &store, &arrival, &spec).await;
                store.close().await;
                let (report, image) = received?;
                shared.history.report(&report, None);
                let entry =
                    Entry { request_id, cause: POSTED.into(), ..Entry::new(&report, &arrival.at, now_ms()) };
                log::ended(&shared.function, &shared.history, entry);
                Ok(image)
            },
        )
        .await
    }

    /// Has a worker do `work`, about the object `at`: it ends at the deadline, or when nobody waits for it any more, and is
    /// counted and logged however it ends. The caller enforces the deadline: work that does not end by itself is waited for.
    async fn request<T, F>(
        &self,
        deadline: Deadline,
        subject: Subject,
        mode: LogMode,
        at: Option<Location>,
        work: impl FnOnce(Arc<Shared>, Stop) -> F + Send + 'static,
    ) -> Result<T, Refused>
    where
        T: Failing + Send + 'static,
        F: Future<Output = T> + Send,
    {
        let request_id = request_id::current();
        let refused = || self.shared.history.throttled();
        self.on_worker(deadline, refused, move |shared, stop| async move {
            log::start(&request_id, at.as_ref(), 1);
            let attempt = Attempt::begin(&shared.history, subject);
            let result = work(shared.clone(), stop).await;
            match (mode, result.failure()) {
                (LogMode::All(name), failure) | (LogMode::Failed(name), failure @ Some(_)) => {
                    log::called(&shared.function, request_id, name, attempt.elapsed(), failure);
                }
                (LogMode::Own, _) | (LogMode::Failed(_), None) => {}
            }
            attempt.ended(result.has_failed());
            result
        })
        .await
    }

    /// Renders an object for a page of the console: neither counted nor logged, as nobody called the function.
    ///
    /// # Errors
    /// See [`Refused`]; inside, why it could not be rendered.
    pub async fn preview(&self, at: Location, spec: Spec, deadline: Deadline) -> HostResult<Thumbnail> {
        self.on_worker(
            deadline,
            || (),
            move |shared, stop| async move {
                // Whoever looks at it may read it, whatever the function may.
                let store = DiskPort::new(shared.store.storage().clone());
                Ok(shared.thumbnails.render_object(&stop, &store, &at, &spec).await?.1)
            },
        )
        .await
    }

    /// Renders an object that is to be described: neither counted nor logged, with the function's rights. Where no worker
    /// began it in time it was throttled.
    ///
    /// # Errors
    /// See [`Refused`]; inside, why it could not be rendered.
    pub async fn render_to_describe(
        &self,
        at: Location,
        spec: Spec,
        deadline: Deadline,
    ) -> Result<Result<(Stat, Thumbnail), Failure>, Refused> {
        let is_begun = Arc::new(AtomicBool::new(false));
        let begins = is_begun.clone();
        let rendered = self
            .on_worker(
                deadline,
                || (),
                move |shared, stop| async move {
                    begins.store(true, Ordering::Relaxed);
                    shared.thumbnails.render_object(&stop, &shared.store, &at, &spec).await
                },
            )
            .await;
        match rendered {
            Err(Refused::TimedOut) if !is_begun.load(Ordering::Relaxed) => Err(Refused::Throttled),
            other => other,
        }
    }

    /// Has a worker do `work`, with a bound on how many wait. It ends at the deadline, or when nobody waits for it.
    async fn on_worker<T, F>(
        &self,
        deadline: Deadline,
        refused: impl FnOnce(),
        work: impl FnOnce(Arc<Shared>, Stop) -> F + Send + 'static,
    ) -> Result<T, Refused>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send,
    {
        let Ok(waiting) = self.waiting.clone().try_acquire_owned() else {
            refused();
            return Err(Refused::Throttled);
        };
        let abandoned = self.shared.stopping.child_token();
        let stop = Stop::new(abandoned.clone()).by(deadline.0);
        // Whoever stops waiting, at the time-out or because the client went away, stops the work.
        let _abandon = abandoned.drop_guard();
        let shared = self.shared.clone();
        let (answer, answered) = oneshot::channel();
        let task = async move {
            let _waiting = waiting;
            if stop.is_due() {
                return;
            }
            // Nobody may wait any more.
            let _ = answer.send(work(shared, stop).await);
        };
        let Some(_place) = self.shared.requests.push(task.boxed()) else {
            return Err(Refused::ShuttingDown);
        };
        match answered.await {
            Ok(result) => Ok(result),
            // It was not begun: too late, or because of the end. Or it panicked, which is in the log.
            Err(_) if Instant::now() < deadline.0 => Err(Refused::ShuttingDown),
            Err(_) => Err(Refused::TimedOut),
        }
    }
}

/// Whether a result counts as an error.
pub(super) trait Failing {
    fn has_failed(&self) -> bool;
    /// Why there is no result, whoever is to blame.
    fn failure(&self) -> Option<&Failure>;
}

impl Failing for Report {
    fn has_failed(&self) -> bool {
        self.failure().is_some()
    }

    fn failure(&self) -> Option<&Failure> {
        match &self.outcome {
            Outcome::Failed(failure) => Some(failure),
            _ => None,
        }
    }
}

impl<T> Failing for Result<T, Failure> {
    fn has_failed(&self) -> bool {
        // An image the client got wrong is an answer, not an error of the function.
        self.as_ref()
            .is_err_and(|failure| !failure.reason.is_permanent() || failure.reason == Reason::Internal)
    }

    fn failure(&self) -> Option<&Failure> {
        self.as_ref().err()
    }
}
