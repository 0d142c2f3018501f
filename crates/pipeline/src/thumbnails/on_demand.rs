//! Thumbnails that are returned and not stored.

use bytes::Bytes;
use tintype_engine::{Header, Spec, Thumbnail};

use super::{MAX_ROUNDS, Thumbnails, contended, missing, probe, stopped};
use crate::{
    budget::Reservation,
    fingerprint::focal,
    outcome::{Failure, Reason, Stages},
    stop::Stop,
    store::{Location, Object, Stat, Store, StoreError},
};

impl Thumbnails {
    /// Renders bytes of the request.
    ///
    /// # Errors
    /// The image is invalid, or the call was stopped.
    pub async fn render(
        &self,
        stop: &Stop,
        bytes: Bytes,
        spec: &Spec,
    ) -> Result<(Header, Thumbnail, Stages), Failure> {
        self.render_admitted(stop, bytes, None, spec).await
    }

    /// Renders an object of a store.
    ///
    /// # Errors
    /// The object does not exist or cannot be read, the image is invalid, or the call was stopped.
    pub async fn render_object(
        &self,
        stop: &Stop,
        store: &dyn Store,
        at: &Location,
        spec: &Spec,
    ) -> Result<(Stat, Thumbnail), Failure> {
        let (source, memory) = self.read(stop, store, at).await?;
        let focal = spec.focal.or_else(|| focal(spec, &source.stat.metadata));
        let spec = Spec { focal, ..spec.clone() };
        let (_, thumbnail, _) = self.render_admitted(stop, source.bytes, Some(memory), &spec).await?;
        Ok((source.stat, thumbnail))
    }

    /// Reads an object once there is memory for it.
    pub(crate) async fn read(
        &self,
        stop: &Stop,
        store: &dyn Store,
        at: &Location,
    ) -> Result<(Object, Reservation), Failure> {
        let limit = self.limits().source_bytes;
        let reading = async {
            for _ in 0..MAX_ROUNDS {
                let stat = store.head(at).await?.ok_or_else(|| missing(at))?;
                if stat.size > limit {
                    return Err(StoreError::TooLarge { size: stat.size, limit }.into());
                }
                let memory = self.renderer.budget().source(stat.size).await;
                match store.get(at, stat.size.max(1)).await {
                    Ok(None) => return Err(missing(at)),
                    Ok(Some(source)) => return Ok((source, memory)),
                    // Replaced by a larger one since its HEAD: repeat.
                    Err(StoreError::TooLarge { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(contended(at))
        };
        stop.bound(reading).await.ok_or_else(stopped)?
    }

    pub(crate) async fn render_admitted(
        &self,
        stop: &Stop,
        bytes: Bytes,
        memory: Option<Reservation>,
        spec: &Spec,
    ) -> Result<(Header, Thumbnail, Stages), Failure> {
        let header = probe(&bytes)?;
        let mut stages = Stages::default();
        let specs = vec![spec.clone()];
        let of_render = self.admit(&header, bytes.len(), &specs, stop, &mut stages).await?;
        let rendering = self.compute(bytes, specs, (memory, of_render), stop, &mut stages);
        let nothing = || Failure::new(Reason::Internal, "the engine returned nothing");
        let thumbnail = rendering.await?.pop().ok_or_else(nothing)?;
        Ok((header, thumbnail, stages))
    }
}
