//! The properties of an object in a source bucket, and the status of its thumbnails.

use serde::{Deserialize, Serialize};
use tintype_engine::{Header, Placeholder, Size, Spec};

use crate::{
    outcome::{Failure, RenditionReport},
    stop::Stop,
    store::{Location, Stat, Store},
    target::target,
    thumbnails::Thumbnails,
    trigger::Trigger,
};

/// A source and its thumbnails.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The object.
    pub stat: Stat,
    /// The image, from its header.
    pub header: Header,
    /// What a page shows while the image loads.
    pub placeholder: Placeholder,
    /// Its thumbnails, one for each rendition of the trigger.
    pub renditions: Vec<RenditionStatus>,
}

/// The status of one thumbnail, or of all that a trigger renders from a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThumbnailStatus {
    /// Rendered from the source's current version by the current recipe.
    Current,
    /// Of an earlier version or recipe; of all: or deleted since.
    Stale,
    /// There is none, and no event that leads to one.
    Missing,
    /// The source's event waits or is under way.
    Pending,
    /// Rendering failed, and is not retried.
    Failed,
    /// None is wanted: no trigger matches the source, or the function ignored it.
    Ignored,
    /// There is no source.
    Unknown,
}

impl ThumbnailStatus {
    /// Its name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Stale => "stale",
            Self::Missing => "missing",
            Self::Pending => "pending",
            Self::Failed => "failed",
            Self::Ignored => "ignored",
            Self::Unknown => "unknown",
        }
    }
}

/// The status of one thumbnail.
#[derive(Debug, Clone)]
pub struct RenditionStatus {
    /// Its location.
    pub at: Location,
    /// The object there.
    pub found: Option<RenditionReport>,
    /// Current, stale or missing.
    pub status: ThumbnailStatus,
}

/// Large enough for a placeholder, and cheap.
const SIDE: Option<u32> = Some(64);

impl Thumbnails {
    /// Reads an object, and the status of the thumbnails that `trigger` renders from it. Writes nothing.
    ///
    /// # Errors
    /// The object does not exist or cannot be read, the image is invalid, or the call was stopped.
    pub async fn inspect(
        &self,
        stop: &Stop,
        store: &dyn Store,
        at: &Location,
        trigger: &Trigger,
    ) -> Result<Inspection, Failure> {
        let (source, memory) = self.read(stop, store, at).await?;
        let spec = Spec { size: Size { width: SIDE, height: SIDE }, ..Spec::default() };
        let (header, thumbnail, _) = self.render_admitted(stop, source.bytes, Some(memory), &spec).await?;
        let mut renditions = Vec::with_capacity(trigger.renditions.len());
        for rendition in &trigger.renditions {
            let target = target(store, trigger, rendition, at, header.format).await?;
            let found = target.report();
            let status = match &found {
                None => ThumbnailStatus::Missing,
                Some(_) if target.is_current_by(at, &source.stat) => ThumbnailStatus::Current,
                Some(_) => ThumbnailStatus::Stale,
            };
            renditions.push(RenditionStatus { at: target.at, found, status });
        }
        Ok(Inspection { stat: source.stat, header, placeholder: thumbnail.placeholder, renditions })
    }
}
