//! The first stage: the targets of a source, which of them are current, and the source's bytes.

use std::time::Instant;

use bytes::Bytes;
use tintype_engine::{Focal, Format, Header};

use super::{Progress, Thumbnails, missing, renderer::probe};
use crate::{
    budget::Reservation,
    fingerprint,
    outcome::{Failure, Ignored, Outcome},
    store::{Location, SourceVersion, Store, StoreError},
    target::{Target, check_collision, format_by_name, is_thumbnail, location, target},
    trigger::Trigger,
};

/// Assumptions about a source before it is read.
pub(super) struct Guess {
    /// There is no thumbnail yet: the destination is not looked at before it is written.
    pub(super) is_fresh: bool,
    /// Decides whether an extension is appended to a thumbnail's key; certain only once the source has been read.
    format: Format,
    /// In bytes, where it is known.
    pub(super) size: Option<u64>,
}

impl Guess {
    pub(super) fn new(at: &Location, size: Option<u64>) -> Self {
        Self { is_fresh: false, format: format_by_name(at.key.as_str()), size }
    }
}

/// The result of the first stage.
pub(super) enum Fetched<'a> {
    /// There is nothing to render.
    Done(Outcome),
    /// A guess was wrong and has been corrected: the stage starts again.
    GuessedWrong,
    /// To be rendered.
    Source(Box<Source<'a>>),
}

/// A source with its bytes and the placement of its thumbnails.
pub(super) struct Source<'a> {
    pub(super) bytes: Bytes,
    pub(super) header: Header,
    /// The memory that the bytes hold.
    pub(super) memory: Reservation,
    pub(super) placement: Placement<'a>,
}

/// Where the thumbnails of a source version are written.
pub(super) struct Placement<'a> {
    /// The destination was not looked at: nothing is known to be there.
    pub(super) is_fresh: bool,
    pub(super) version: SourceVersion,
    /// The hops of the source.
    pub(super) hops: u32,
    pub(super) targets: Vec<Target<'a>>,
    /// Those of the targets that are not current, by index.
    pub(super) stale: Vec<usize>,
    /// The focal point of the source for each of the targets that depends on it.
    pub(super) focals: Vec<Option<Focal>>,
}

impl Thumbnails {
    /// Checks the destinations, then reads the source: `commit` writes only over the versions seen here. For a fresh
    /// upload only the source is read: `commit` then writes only where nothing is.
    pub(super) async fn fetch<'a>(
        &self,
        store: &dyn Store,
        progress: &mut Progress,
        trigger: &'a Trigger,
        at: &Location,
        guess: &mut Guess,
    ) -> Result<Fetched<'a>, Failure> {
        let checking = Instant::now();
        let mut targets = Vec::with_capacity(trigger.renditions.len());
        for rendition in &trigger.renditions {
            targets.push(match guess.is_fresh {
                true => Target::unseen(trigger, rendition, at, guess.format)?,
                false => target(store, trigger, rendition, at, guess.format).await?,
            });
        }
        if targets.iter().all(|target| target.stat.is_some()) || guess.size.is_none() {
            let source = store.head(at).await?.ok_or_else(|| missing(at))?;
            if targets.iter().all(|target| target.is_current_by(at, &source)) {
                progress.stages.read += checking.elapsed();
                return Ok(Fetched::Done(up_to_date(progress, &targets)));
            }
            guess.size = Some(source.size);
        }
        progress.stages.read += checking.elapsed();

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
        let is_stale = |index: &usize| !targets[*index].is_current_by(at, &source.stat);
        let stale: Vec<usize> = (0..targets.len()).filter(is_stale).collect();
        if stale.is_empty() {
            return Ok(Fetched::Done(up_to_date(progress, &targets)));
        }
        let hops = fingerprint::hops(&source.stat.metadata);
        let focals =
            targets.iter().map(|target| fingerprint::focal(&target.rendition.spec, &source.stat.metadata));
        let focals = focals.collect();
        let version = SourceVersion { at: at.clone(), etag: source.stat.etag };
        let placement = Placement { is_fresh: guess.is_fresh, version, hops, targets, stale, focals };
        Ok(Fetched::Source(Box::new(Source { bytes: source.bytes, header, memory, placement })))
    }
}

pub(super) fn up_to_date(progress: &mut Progress, targets: &[Target<'_>]) -> Outcome {
    progress.renditions = targets.iter().filter_map(Target::report).collect();
    Outcome::UpToDate
}
