//! The function: a record in, thumbnails out, an outcome back. One record goes through three stages:
//! `fetch` (async), `render` (a plain function on a CPU thread), `commit` (async).

mod commit;
mod fetch;
mod on_demand;
mod render;
mod renderer;
mod stopwatch;

use std::{io, sync::Arc, time::Instant};

use fetch::{Fetched, Guess};
use tintype_engine::{ForeignDecoder, Limits};

use crate::{
    Step,
    budget::MemoryBudget,
    cpu::Cpu,
    delivery::{Committed, Conclusion, Delivery},
    disposition::{Disposition, RetryPolicy},
    event::{Kind, Record},
    outcome::{Failure, Ignored, Outcome, Reason, RenditionReport, Report, Stages},
    stop::Stop,
    store::{Location, Put, SourceVersion, Store, StoreError},
    target::remove,
    trigger::Trigger,
};

pub use renderer::{Renderer, probe};

/// Rounds against other writers of the same thumbnail before an attempt fails as contended.
const MAX_ROUNDS: u32 = 16;

/// The function, ready to be called any number of times at once.
pub struct Thumbnails {
    renderer: Renderer,
    cpu: Cpu,
    steps: Vec<Arc<dyn Step>>,
}

/// The context of one call.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The triggers in force.
    pub triggers: &'a [Trigger],
    /// When to stop.
    pub stop: &'a Stop,
}

/// How an attempt at an event ended.
#[derive(Debug)]
#[must_use = "its event is settled by `settle`"]
pub struct Attempt {
    /// The report of its record.
    pub report: Report,
    /// How the event is settled.
    pub disposition: Disposition,
    settlement: Settlement,
}

#[derive(Debug)]
enum Settlement {
    /// Done or failed together with the thumbnails.
    WithPuts(Result<(), StoreError>),
    /// Outstanding.
    Open(Conclusion),
}

impl Attempt {
    /// Settles the event, unless that was done with the thumbnails.
    ///
    /// # Errors
    /// The source cannot be written; the event is then delivered again.
    pub async fn settle(&self, delivery: &mut dyn Delivery) -> Result<(), StoreError> {
        match &self.settlement {
            Settlement::WithPuts(settled) => settled.clone(),
            Settlement::Open(conclusion) => delivery.settle(conclusion.clone()).await,
        }
    }
}

/// A call in progress.
struct Run<'a, 'd> {
    call: Call<'a>,
    store: &'a dyn Store,
    /// Settled with the thumbnails, if the call is for an event.
    delivery: Option<&'d mut dyn Delivery>,
    settled: Option<Result<(), StoreError>>,
    progress: Progress,
}

/// Collected for the report, whatever the outcome.
#[derive(Default)]
struct Progress {
    renditions: Vec<RenditionReport>,
    source_bytes: u64,
    stages: Stages,
    /// What was written.
    puts: Vec<Put>,
}

impl std::fmt::Debug for Thumbnails {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Thumbnails").field("limits", self.limits()).finish_non_exhaustive()
    }
}

impl Thumbnails {
    /// The function with its bounds; `total_memory_bytes` is shared by all calls. Renders run on `threads` dedicated
    /// threads, so calls may be polled anywhere.
    ///
    /// # Errors
    /// The system refuses another thread.
    pub fn new(limits: Limits, total_memory_bytes: u64, threads: usize) -> io::Result<Self> {
        Ok(Self::with(Cpu::threads(threads)?, limits, total_memory_bytes))
    }

    /// For a host that polls each call on a thread that may compute: renders run on the polling thread. The host bounds
    /// the number of calls.
    #[must_use]
    pub fn on_polling_threads(limits: Limits, total_memory_bytes: u64) -> Self {
        Self::with(Cpu::polling(), limits, total_memory_bytes)
    }

    fn with(cpu: Cpu, limits: Limits, total_memory_bytes: u64) -> Self {
        Self {
            renderer: Renderer::new(limits, MemoryBudget::new(total_memory_bytes)),
            cpu,
            steps: Vec::new(),
        }
    }

    /// Has decoders of other projects run elsewhere than on the threads that render.
    #[must_use]
    pub fn with_foreign_decoder(mut self, foreign: Arc<dyn ForeignDecoder>) -> Self {
        self.renderer = self.renderer.with_foreign_decoder(foreign);
        self
    }

    /// Adds a step that follows every commit of renditions.
    #[must_use]
    pub fn with_step(mut self, step: Arc<dyn Step>) -> Self {
        self.steps.push(step);
        self
    }

    /// Bytes admitted now, of sources and of renders.
    #[must_use]
    pub fn memory_admitted(&self) -> (u64, u64) {
        self.renderer.budget().used()
    }

    /// Waits until no thread renders, including renders of abandoned calls.
    pub async fn idle(&self) {
        self.cpu.idle().await;
    }

    /// The bounds on one image.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        self.renderer.limits()
    }

    /// Handles one record outside any queue. No step follows, since there is no queue for its event.
    pub async fn handle(&self, call: Call<'_>, store: &dyn Store, record: &Record) -> Report {
        self.handle_and_return(call, store, record).await.0
    }

    /// Handles one record outside any queue; returns the objects written, too.
    pub(crate) async fn handle_and_return(
        &self,
        call: Call<'_>,
        store: &dyn Store,
        record: &Record,
    ) -> (Report, Vec<Put>) {
        let mut run = Run { call, store, delivery: None, settled: None, progress: Progress::default() };
        let report = self.report(&mut run, record).await;
        (report, run.progress.puts)
    }

    /// One attempt at the event of a delivery. Where there are thumbnails to write, the event is settled with them;
    /// otherwise [`Attempt::settle`] does it.
    pub async fn attempt(
        &self,
        call: Call<'_>,
        policy: &RetryPolicy,
        store: &dyn Store,
        delivery: &mut dyn Delivery,
    ) -> Attempt {
        let record = delivery.record().cloned().map_err(str::to_owned);
        let (report, settled) = match &record {
            Err(message) => (Report::bad_event(message.clone()), None),
            Ok(record) => {
                let progress = Progress::default();
                let mut run = Run { call, store, delivery: Some(&mut *delivery), settled: None, progress };
                let report = self.report(&mut run, record).await;
                (report, run.settled)
            }
        };
        let disposition =
            Disposition::of(&report.outcome, delivery.attempts(), policy, call.stop.is_cancelled());
        let settlement = if let Some(settled) = settled {
            Settlement::WithPuts(settled)
        } else {
            let renditions = report.renditions.iter().map(|rendition| rendition.at.clone()).collect();
            // An earlier attempt may have ended between its commit and the settlement.
            let steps = match (&report.outcome, &record) {
                (Outcome::UpToDate, Ok(record)) => self.follow_ups(record),
                _ => Vec::new(),
            };
            Settlement::Open(Conclusion { disposition, outcome: report.outcome.clone(), renditions, steps })
        };
        Attempt { report, disposition, settlement }
    }

    async fn report(&self, run: &mut Run<'_, '_>, record: &Record) -> Report {
        let started = Instant::now();
        let at = Location { bucket: record.bucket.clone(), key: record.key.clone() };
        let outcome = self.outcome(run, record, &at).await.unwrap_or_else(Outcome::Failed);
        Report {
            source: Some(at),
            outcome,
            renditions: std::mem::take(&mut run.progress.renditions),
            source_bytes: run.progress.source_bytes,
            stages: run.progress.stages,
            total: started.elapsed(),
        }
    }

    async fn outcome(
        &self,
        run: &mut Run<'_, '_>,
        record: &Record,
        at: &Location,
    ) -> Result<Outcome, Failure> {
        let key = record.key.as_str();
        let triggers = run.call.triggers;
        let trigger =
            triggers.iter().find(|trigger| trigger.matches(&at.bucket, key) && trigger.wants(record.kind));
        let Some(trigger) = trigger else {
            let is_other = record.kind == Kind::Other;
            return Ok(Outcome::Ignored(if is_other { Ignored::EventType } else { Ignored::NoTrigger }));
        };
        match record.kind {
            Kind::Created => self.created(run, trigger, record, at).await,
            Kind::Removed => self.removed(run, trigger, record, at).await,
            Kind::Step(name) => self.step(run.call.stop, run.store, name, record).await,
            Kind::Other => Ok(Outcome::Ignored(Ignored::EventType)),
        }
    }

    async fn created(
        &self,
        run: &mut Run<'_, '_>,
        trigger: &Trigger,
        record: &Record,
        at: &Location,
    ) -> Result<Outcome, Failure> {
        let rendered = self.rounds(run, trigger, record, at, record.size).await;
        if trigger.removed && rendered.as_ref().is_err_and(|failure| failure.reason == Reason::Missing) {
            // An earlier attempt may have ended between its write and the check of the source.
            remove(run.store, trigger, at).await?;
            if run.store.head(at).await?.is_some() {
                return self.rounds(run, trigger, record, at, None).await;
            }
        }
        rendered
    }

    async fn removed(
        &self,
        run: &mut Run<'_, '_>,
        trigger: &Trigger,
        record: &Record,
        at: &Location,
    ) -> Result<Outcome, Failure> {
        if run.store.head(at).await?.is_none() {
            remove(run.store, trigger, at).await?;
            if run.store.head(at).await?.is_none() {
                return Ok(Outcome::Removed);
            }
        }
        // The source exists again. Its own event may have found the thumbnails current just before they were removed,
        // by this attempt or an earlier one.
        if !trigger.created {
            return Ok(Outcome::Ignored(Ignored::NothingToRemove));
        }
        match self.rounds(run, trigger, record, at, None).await {
            Ok(Outcome::UpToDate) => Ok(Outcome::Ignored(Ignored::NothingToRemove)),
            // Its failure is reported for its own event.
            Err(failure) if failure.reason.is_permanent() => Ok(Outcome::Ignored(Ignored::NothingToRemove)),
            other => other,
        }
    }

    async fn step(
        &self,
        stop: &Stop,
        store: &dyn Store,
        name: &str,
        record: &Record,
    ) -> Result<Outcome, Failure> {
        let step = self.steps.iter().find(|step| step.name() == name).ok_or_else(|| {
            Failure::new(Reason::BadEvent, format!("there is no step \"{name}\" in this program"))
        })?;
        stop.bound(step.run(store, record)).await.ok_or_else(stopped)?
    }

    /// Newest version wins: the destination is checked before the source is read, and written only if both are
    /// unchanged; otherwise the round is repeated with the current source.
    async fn rounds(
        &self,
        run: &mut Run<'_, '_>,
        trigger: &Trigger,
        record: &Record,
        at: &Location,
        size: Option<u64>,
    ) -> Result<Outcome, Failure> {
        let mut guess = Guess::new(at, size);
        guess.is_fresh = size.is_some()
            && record.is_upload()
            && run.delivery.as_ref().is_some_and(|delivery| delivery.is_first());
        for _ in 0..MAX_ROUNDS {
            let stop = run.call.stop;
            let fetching = self.fetch(run.store, &mut run.progress, trigger, at, &mut guess);
            let source = match stop.bound(fetching).await.ok_or_else(stopped)?? {
                Fetched::Done(outcome) => return Ok(outcome),
                Fetched::GuessedWrong => continue,
                Fetched::Source(source) => *source,
            };
            let admitted = self.admitted(source, stop, &mut run.progress.stages).await?;
            if let Some(delivery) = &mut run.delivery {
                delivery.extend().await?;
            }
            let (thumbnails, placement) = self.rendered(admitted, stop, &mut run.progress.stages).await?;
            let steps = self.follow_ups(record);
            if let Some(outcome) = run.commit(trigger, at, placement, thumbnails, steps).await? {
                return Ok(outcome);
            }
            (guess.size, guess.is_fresh) = (None, false);
        }
        Err(contended(at))
    }

    /// The events of the steps that follow a commit. Nothing follows a step.
    fn follow_ups(&self, record: &Record) -> Vec<Record> {
        if matches!(record.kind, Kind::Step(_)) {
            return Vec::new();
        }
        let steps = self.steps.iter().map(|step| step.name());
        steps
            .map(|name| Record { kind: Kind::Step(name), name: format!("Step:{name}"), ..record.clone() })
            .collect()
    }
}

impl Run<'_, '_> {
    /// Writes thumbnails, together with the settlement of their event if there is one; with `source`, only if that is
    /// still its version.
    async fn write(
        &mut self,
        puts: Vec<Put>,
        source: Option<&SourceVersion>,
        steps: Vec<Record>,
    ) -> Result<Vec<String>, StoreError> {
        let Some(delivery) = &mut self.delivery else { return self.store.put_all(puts, source).await };
        let renditions = puts.iter().map(|put| put.at.clone()).collect();
        let conclusion =
            Conclusion { disposition: Disposition::Ack, outcome: Outcome::Rendered, renditions, steps };
        let Committed { etags, settled } = delivery.commit(self.store, puts, source, conclusion).await?;
        self.settled = Some(settled);
        Ok(etags)
    }
}

fn contended(at: &Location) -> Failure {
    let message = format!(
        "{at} or its thumbnail was changed by other writers {MAX_ROUNDS} times in a row; it will be retried"
    );
    Failure::new(Reason::Contended, message)
}

pub(crate) fn missing(at: &Location) -> Failure {
    Failure::new(
        Reason::Missing,
        format!(
            "{at} does not exist: it was deleted before the function read it, or never uploaded; upload it (again) if its thumbnail is wanted"
        ),
    )
}

pub(crate) fn stopped() -> Failure {
    Failure::new(
        Reason::Stopped,
        "the function was stopped (time-out or shutdown) before the image was rendered; it can be retried",
    )
}
