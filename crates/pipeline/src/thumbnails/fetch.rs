//! The first stage: what a source's thumbnails are to be, which of them are current, and the source's bytes.

use std::time::Instant;

use bytes::Bytes;
use tintype_engine::{Format, Header};

use super::{Progress, Thumbnails, missing, renderer::probe};
use crate::{
    budget::Reservation,
    fingerprint,
    outcome::{Failure, Ignored, Outcome},
    store::{Location, SourceVersion, Store, StoreError},
    target::{Target, check_collision, format_by_name, is_thumbnail, location, target},
    trigger::Trigger,
};

/// What is assumed of a source before it is read.
pub(super) struct Guess {
    /// Whether an extension is appended to a thumbnail's key depends on the source's format, which is known for
    /// sure only once the source has been read.
    format: Format,
    /// In bytes, where it is known.
    pub(super) size: Option<u64>,
}

impl Guess {
    pub(super) fn new(at: &Location, size: Option<u64>) -> Self {
        Self { format: format_by_name(at.key.as_str()), size }
    }
}

/// What came of reading.
pub(super) enum Fetched<'a> {
    /// There is nothing to render.
    Done(Outcome),
    /// The source is not what was assumed: everything begins again with what is known now.
    GuessedWrong,
    /// To be rendered.
    Source(Box<Source<'a>>),
}

/// A source with its bytes, and where its thumbnails go.
pub(super) struct Source<'a> {
    pub(super) bytes: Bytes,
    pub(super) header: Header,
    /// The memory that the bytes hold.
    pub(super) memory: Reservation,
    pub(super) placed: Placed<'a>,
}

/// Where the thumbnails of a version of a source go.
pub(super) struct Placed<'a> {
    pub(super) version: SourceVersion,
    /// How many times over the source was made of a thumbnail.
    pub(super) hops: u32,
    pub(super) targets: Vec<Target<'a>>,
    /// Those of the targets that are not current, by index.
    pub(super) stale: Vec<usize>,
}

impl Thumbnails {
    /// Looks at the destinations, then reads the source: whatever is written later is written over what was seen here.
    pub(super) async fn fetch<'a>(
        &self,
        store: &dyn Store,
        progress: &mut Progress,
        trigger: &'a Trigger,
        at: &Location,
        guess: &mut Guess,
    ) -> Result<Fetched<'a>, Failure> {
        let looking = Instant::now();
        let mut targets = Vec::with_capacity(trigger.renditions.len());
        for rendition in &trigger.renditions {
            targets.push(target(store, trigger, rendition, at, guess.format).await?);
        }
        if targets.iter().all(|target| target.stat.is_some()) || guess.size.is_none() {
            let source = store.head(at).await?.ok_or_else(|| missing(at))?;
            if targets.iter().all(|target| target.is_current(at, &source.etag)) {
                progress.stages.read += looking.elapsed();
                return Ok(up_to_date(progress, &targets));
            }
            guess.size = Some(source.size);
        }
        progress.stages.read += looking.elapsed();

        let limit = self.limits().source_bytes;
        let expected = guess.size.unwrap_or(limit).min(limit);
        let waiting = Instant::now();
        let memory = self.renderer.budget().source(expected).await;
        progress.stages.wait += waiting.elapsed();
        let reading = Instant::now();
        let read = store.get(at, expected).await;
        progress.stages.read += reading.elapsed();
        let source = match read {
            Err(StoreError::TooLarge { size, .. }) if size <= limit => {
                guess.size = Some(size);
                return Ok(Fetched::GuessedWrong);
            }
            Err(StoreError::TooLarge { size, .. }) => {
                return Err(StoreError::TooLarge { size, limit }.into());
            }
            other => other?.ok_or_else(|| missing(at))?,
        };
        progress.source_bytes = source.stat.size;
        if is_thumbnail(store, trigger, at, &source.stat).await? {
            return Ok(Fetched::Done(Outcome::Ignored(Ignored::Thumbnail)));
        }
        if source.bytes.is_empty() && at.key.as_str().ends_with('/') {
            return Ok(Fetched::Done(Outcome::Ignored(Ignored::FolderMarker)));
        }
        let header = probe(&source.bytes)?;
        if header.format != guess.format {
            guess.format = header.format;
            for target in &targets {
                if location(trigger, target.rendition, at, header.format)? != target.at {
                    return Ok(Fetched::GuessedWrong);
                }
            }
        }
        for target in &targets {
            check_collision(store, target, at).await?;
        }
        let is_stale = |index: &usize| !targets[*index].is_current(at, &source.stat.etag);
        let stale: Vec<usize> = (0..targets.len()).filter(is_stale).collect();
        if stale.is_empty() {
            return Ok(up_to_date(progress, &targets));
        }
        let hops = fingerprint::hops(&source.stat.metadata);
        let version = SourceVersion { at: at.clone(), etag: source.stat.etag };
        let placed = Placed { version, hops, targets, stale };
        Ok(Fetched::Source(Box::new(Source { bytes: source.bytes, header, memory, placed })))
    }
}

fn up_to_date(progress: &mut Progress, targets: &[Target<'_>]) -> Fetched<'static> {
    progress.renditions = targets.iter().filter_map(Target::report).collect();
    Fetched::Done(Outcome::UpToDate)
}
