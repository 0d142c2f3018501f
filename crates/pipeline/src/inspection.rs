//! The properties of an object in a source bucket, and the status of its thumbnails.

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

/// The status of one thumbnail.
#[derive(Debug, Clone)]
pub struct RenditionStatus {
    /// Its location.
    pub at: Location,
    /// The object there.
    pub found: Option<RenditionReport>,
    /// Whether that was rendered from this version of the source by the current recipe.
    pub is_current: bool,
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
            renditions.push(RenditionStatus {
                found: target.report(),
                is_current: target.is_current(at, &source.stat.etag),
                at: target.at,
            });
        }
        Ok(Inspection { stat: source.stat, header, placeholder: thumbnail.placeholder, renditions })
    }
}
