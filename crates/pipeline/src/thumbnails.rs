//! The Thumbnails function: a record in, thumbnails out, an outcome back.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use tintype_engine::{self as engine, Header, Limits, Scratch, Spec, Thumbnail};

use crate::{
    budget::{MemoryBudget, Reservation},
    event::{Kind, Record},
    fingerprint,
    outcome::{Failure, Ignored, Outcome, Reason, RenditionReport, Report, Stages},
    stopwatch,
    store::{Location, Put, SourceVersion, Stat, Store, StoreError},
    target::{Target, check_collision, format_by_name, is_thumbnail, location, put, remove, target},
    trigger::Trigger,
};

/// Rounds against other writers of the same thumbnail before giving up for now.
const MAX_ROUNDS: u32 = 16;

/// The function, ready to be called any number of times at once.
#[derive(Debug)]
pub struct Thumbnails {
    pub(crate) limits: Limits,
    pub(crate) budget: MemoryBudget,
}

/// What one call is given beside its record.
pub struct Call<'a> {
    /// The triggers in force.
    pub triggers: &'a [Trigger],
    /// Says when to give up: the time-out, a shutdown.
    pub stop: &'a (dyn Fn() -> bool + Sync),
    /// The calling thread's buffers.
    pub scratch: &'a mut Scratch,
}

/// What is learnt on the way, reported whatever the outcome.
#[derive(Default)]
struct Progress {
    renditions: Vec<RenditionReport>,
    source_bytes: u64,
    stages: Stages,
    /// What was written.
    made: Vec<Put>,
}

impl Thumbnails {
    /// The function with its bounds; `total_memory_bytes` bounds all calls at once.
    #[must_use]
    pub fn new(limits: Limits, total_memory_bytes: u64) -> Self {
        Self { limits, budget: MemoryBudget::new(total_memory_bytes) }
    }

    /// Bytes admitted now, of sources and of renders.
    #[must_use]
    pub fn memory_admitted(&self) -> (u64, u64) {
        self.budget.used()
    }

    /// The bounds on one picture.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Waits until a source of `bytes` that is in no store may be read; `None` once `stop` says so.
    pub fn admit_source(&self, bytes: u64, stop: &dyn Fn() -> bool) -> Option<Reservation<'_>> {
        self.budget.source(bytes, stop)
    }

    /// Handles one record. CPU-bound between the store's answers: call it on a thread of its own.
    pub async fn handle(&self, call: &mut Call<'_>, store: &impl Store, record: &Record) -> Report {
        self.handle_and_keep(call, store, record).await.0
    }

    /// Handles one record; answers what was written, too.
    pub(crate) async fn handle_and_keep(
        &self,
        call: &mut Call<'_>,
        store: &impl Store,
        record: &Record,
    ) -> (Report, Vec<Put>) {
        let started = Instant::now();
        let at = Location { bucket: record.bucket.clone(), key: record.key.clone() };
        let mut progress = Progress::default();
        let outcome =
            self.outcome(call, store, record, &at, &mut progress).await.unwrap_or_else(Outcome::Failed);
        let Progress { renditions, source_bytes, stages, made } = progress;
        let total = started.elapsed();
        (Report { source: Some(at), outcome, renditions, source_bytes, stages, total }, made)
    }

    async fn outcome(
        &self,
        call: &mut Call<'_>,
        store: &impl Store,
        record: &Record,
        at: &Location,
        progress: &mut Progress,
    ) -> Result<Outcome, Failure> {
        let key = record.key.as_str();
        let Some(trigger) = call
            .triggers
            .iter()
            .find(|trigger| trigger.matches(&at.bucket, key) && trigger.wants(record.kind))
        else {
            return Ok(Outcome::Ignored(Ignored::NoTrigger));
        };
        match record.kind {
            Kind::Created => {
                let made = self.make(call, store, trigger, at, record.size, progress).await;
                if trigger.removed && made.as_ref().is_err_and(|failure| failure.reason == Reason::Missing) {
                    // An attempt before this one may have ended between writing and seeing that the source
                    // is gone.
                    remove(store, trigger, at).await?;
                    if store.head(at).await?.is_some() {
                        return self.make(call, store, trigger, at, None, progress).await;
                    }
                }
                made
            }
            Kind::Removed => {
                if store.head(at).await?.is_none() {
                    remove(store, trigger, at).await?;
                    if store.head(at).await?.is_none() {
                        return Ok(Outcome::Removed);
                    }
                }
                self.put_back(call, store, trigger, at, progress).await
            }
        }
    }

    /// A removal whose source is there again. That one has an event of its own, which may have found the
    /// thumbnails current just before they were removed, by this attempt or by one that ended there.
    async fn put_back(
        &self,
        call: &mut Call<'_>,
        store: &impl Store,
        trigger: &Trigger,
        at: &Location,
        progress: &mut Progress,
    ) -> Result<Outcome, Failure> {
        if !trigger.created {
            return Ok(Outcome::Ignored(Ignored::NothingToRemove));
        }
        match self.make(call, store, trigger, at, None, progress).await {
            Ok(Outcome::UpToDate) => Ok(Outcome::Ignored(Ignored::NothingToRemove)),
            // What is wrong with it is told by its own event.
            Err(failure) if failure.reason.is_permanent() => Ok(Outcome::Ignored(Ignored::NothingToRemove)),
            other => other,
        }
    }

    /// Newest version wins: the destination is looked at before the source is read, and written only if
    /// it and the source are still as seen; otherwise everything begins again from the current source.
    async fn make(
        &self,
        call: &mut Call<'_>,
        store: &impl Store,
        trigger: &Trigger,
        at: &Location,
        size_hint: Option<u64>,
        progress: &mut Progress,
    ) -> Result<Outcome, Failure> {
        // Whether an extension is appended to a thumbnail's key depends on the source's format, which is
        // known for sure only once the source has been read.
        let mut format = format_by_name(at.key.as_str());
        let mut size = size_hint;
        for _ in 0..MAX_ROUNDS {
            if (call.stop)() {
                return Err(stopped("before the source was read"));
            }
            let reading = Instant::now();
            let mut targets = Vec::with_capacity(trigger.renditions.len());
            for rendition in &trigger.renditions {
                targets.push(target(store, trigger, rendition, at, format).await?);
            }
            if targets.iter().all(|target| target.stat.is_some()) || size.is_none() {
                let source = store.head(at).await?.ok_or_else(|| missing(at))?;
                if targets.iter().all(|target| target.is_current(at, &source.etag)) {
                    progress.stages.read += reading.elapsed();
                    progress.renditions = targets.iter().filter_map(Target::report).collect();
                    return Ok(Outcome::UpToDate);
                }
                size = Some(source.size);
            }
            progress.stages.read += reading.elapsed();

            let expected = size.unwrap_or(self.limits.source_bytes).min(self.limits.source_bytes);
            let waiting = Instant::now();
            let source_memory =
                self.budget.source(expected, call.stop).ok_or_else(|| stopped("waiting for memory"))?;
            progress.stages.wait += waiting.elapsed();
            let reading = Instant::now();
            let read = store.get(at, expected).await;
            progress.stages.read += reading.elapsed();
            let source = match read {
                Err(StoreError::TooLarge { size: actual, .. }) if actual <= self.limits.source_bytes => {
                    size = Some(actual);
                    continue;
                }
                Err(StoreError::TooLarge { size, .. }) => {
                    return Err(StoreError::TooLarge { size, limit: self.limits.source_bytes }.into());
                }
                other => other?.ok_or_else(|| missing(at))?,
            };
            progress.source_bytes = source.stat.size;
            if is_thumbnail(store, trigger, at, &source.stat).await? {
                return Ok(Outcome::Ignored(Ignored::Thumbnail));
            }
            if source.bytes.is_empty() && at.key.as_str().ends_with('/') {
                return Ok(Outcome::Ignored(Ignored::FolderMarker));
            }
            let header = probe(&source.bytes)?;
            if header.format != format {
                format = header.format;
                let named_alike = targets.iter().try_fold(true, |alike, target| {
                    Ok::<_, Failure>(alike && location(trigger, target.rendition, at, format)? == target.at)
                })?;
                if !named_alike {
                    continue;
                }
            }
            for target in &targets {
                check_collision(store, target, at).await?;
            }

            let stale: Vec<&Target<'_>> =
                targets.iter().filter(|target| !target.is_current(at, &source.stat.etag)).collect();
            if stale.is_empty() {
                progress.renditions = targets.iter().filter_map(Target::report).collect();
                return Ok(Outcome::UpToDate);
            }
            let specs: Vec<Spec> = stale.iter().map(|target| target.rendition.spec.clone()).collect();
            let thumbnails =
                self.render_header(call, &source.bytes, &header, &specs, &mut progress.stages)?;
            let hops = fingerprint::hops(&source.stat.metadata);
            let version = SourceVersion { at: at.clone(), etag: source.stat.etag };
            drop(source.bytes);
            drop(source_memory);

            let writing = Instant::now();
            let sides: Vec<_> =
                thumbnails.iter().map(|made| (made.width, made.height, made.bytes.len())).collect();
            let puts: Vec<Put> = stale
                .iter()
                .zip(thumbnails)
                .map(|(target, made)| put(target, made, &version, hops))
                .collect();
            progress.made.clone_from(&puts);
            let written = store.put_all(puts, Some(&version)).await;
            progress.stages.write += writing.elapsed();
            match written {
                Ok(etags) => {
                    progress.renditions = targets
                        .iter()
                        .filter_map(|target| {
                            let Some(index) = stale.iter().position(|stale| std::ptr::eq(*stale, target))
                            else {
                                return target.report();
                            };
                            let (width, height, bytes) = sides[index];
                            let etag = etags.get(index)?.clone();
                            Some(RenditionReport {
                                at: target.at.clone(),
                                width,
                                height,
                                bytes: bytes as u64,
                                etag,
                            })
                        })
                        .collect();
                    return Ok(Outcome::Made);
                }
                Err(StoreError::Conflict(_)) => {
                    // A store without transactions has written already, perhaps after the object was removed
                    // and that was mirrored.
                    if trigger.removed && store.head(at).await?.is_none() {
                        remove(store, trigger, at).await?;
                        if store.head(at).await?.is_none() {
                            return Ok(Outcome::Removed);
                        }
                    }
                    size = None;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(contended(at))
    }

    /// Renders bytes that are in no bucket.
    ///
    /// # Errors
    /// What is wrong with the picture, or that it was stopped.
    pub fn render(
        &self,
        call: &mut Call<'_>,
        bytes: &[u8],
        spec: &Spec,
    ) -> Result<(Header, Thumbnail, Stages), Failure> {
        let header = probe(bytes)?;
        let mut stages = Stages::default();
        let mut made = self.render_header(call, bytes, &header, std::slice::from_ref(spec), &mut stages)?;
        let thumbnail =
            made.pop().ok_or_else(|| Failure::new(Reason::Internal, "the engine made nothing"))?;
        Ok((header, thumbnail, stages))
    }

    /// Renders an object of a store, without storing the result.
    ///
    /// # Errors
    /// The object does not exist or cannot be read, what is wrong with the picture, or that it was stopped.
    pub async fn render_object(
        &self,
        call: &mut Call<'_>,
        store: &impl Store,
        at: &Location,
        spec: &Spec,
    ) -> Result<(Stat, Thumbnail), Failure> {
        let limit = self.limits.source_bytes;
        for _ in 0..MAX_ROUNDS {
            let known = store.head(at).await?.ok_or_else(|| missing(at))?;
            if known.size > limit {
                return Err(StoreError::TooLarge { size: known.size, limit }.into());
            }
            let memory =
                self.budget.source(known.size, call.stop).ok_or_else(|| stopped("waiting for memory"))?;
            match store.get(at, known.size.max(1)).await {
                Ok(None) => return Err(missing(at)),
                Ok(Some(source)) => {
                    let (_, thumbnail, _) = self.render(call, &source.bytes, spec)?;
                    drop(memory);
                    return Ok((source.stat, thumbnail));
                }
                // Replaced by a larger one since it was looked at: it is looked at again.
                Err(StoreError::TooLarge { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(contended(at))
    }

    fn render_header(
        &self,
        call: &mut Call<'_>,
        bytes: &[u8],
        header: &Header,
        specs: &[Spec],
        stages: &mut Stages,
    ) -> Result<Vec<Thumbnail>, Failure> {
        let waiting = Instant::now();
        let estimate = engine::estimate(header, specs).min(self.limits.memory_bytes);
        let memory = self.budget.render(estimate, call.stop).ok_or_else(|| stopped("waiting for memory"))?;
        stages.wait += waiting.elapsed();
        let result =
            guarded(|| stopwatch::render(bytes, specs, &self.limits, call.stop, call.scratch, stages));
        drop(memory);
        if result.as_ref().is_err_and(|failure| failure.reason == Reason::Internal) {
            *call.scratch = Scratch::default();
        }
        result
    }
}

/// The properties of an image, from its header alone; a panic in reading it is its error and nobody else's.
///
/// # Errors
/// What is wrong with it.
pub fn probe(bytes: &[u8]) -> Result<Header, Failure> {
    guarded(|| engine::probe(bytes))
}

/// Runs the engine: a panic in it is this picture's error and nobody else's.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, engine::Error>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => Ok(result?),
        Err(panic) => {
            let words = panic.downcast_ref::<&str>().copied().map(str::to_owned);
            let words = words.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Err(Failure::new(Reason::Internal, format!("the engine panicked on this picture: {words}")))
        }
    }
}

fn contended(at: &Location) -> Failure {
    let words = format!(
        "{at} or its thumbnail was changed by others {MAX_ROUNDS} times in a row; it will be tried again"
    );
    Failure::new(Reason::Contended, words)
}

pub(crate) fn missing(at: &Location) -> Failure {
    Failure::new(
        Reason::Missing,
        format!(
            "{at} does not exist: it was deleted before the function read it, or never uploaded; upload it (again) if its thumbnail is wanted"
        ),
    )
}

pub(crate) fn stopped(place: &str) -> Failure {
    Failure::new(
        Reason::Stopped,
        format!("the function was stopped (time-out or shutdown) {place}; it can be tried again"),
    )
}
