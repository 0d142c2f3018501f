//! An image that is stored together with its thumbnails, or not at all.

use bytes::Bytes;
use tintype_engine::Spec;

use crate::{
    event::{Kind, Record},
    fingerprint::{HEIGHT, RECIPE_FINGERPRINT, WIDTH, fingerprint},
    outcome::{Failure, Outcome, Report},
    store::{Arrival, Put, Store},
    thumbnails::{Call, Thumbnails},
};

/// A thumbnail that is returned to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedImage {
    /// Its media type.
    pub content_type: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The encoded file.
    pub bytes: Bytes,
}

impl RenderedImage {
    fn of(put: &Put) -> Self {
        let side = |name| put.metadata.get(name).and_then(|text| text.parse().ok()).unwrap_or(0);
        Self {
            content_type: put.content_type.clone(),
            width: side(WIDTH),
            height: side(HEIGHT),
            bytes: put.bytes.clone(),
        }
    }
}

/// The record of an arrival.
fn record(arrival: &Arrival) -> Record {
    let size = Some(arrival.bytes.len() as u64);
    Record { size, ..Record::new(Kind::Created, "ObjectCreated:Post", arrival.at.clone()) }
}

impl Thumbnails {
    /// Stores an arrival with its thumbnails, and returns the one that `spec` describes. `store` returns the arrival as
    /// if it were stored, and writes it with its first [`Store::put_all`].
    ///
    /// # Errors
    /// The reason it is refused, such as an invalid image or a taken thumbnail name: then nothing was stored. Or the
    /// store failed.
    pub async fn receive(
        &self,
        call: Call<'_>,
        store: &dyn Store,
        arrival: &Arrival,
        spec: &Spec,
    ) -> Result<(Report, RenderedImage), Failure> {
        let record = record(arrival);
        let trigger = call.triggers.iter().find(|trigger| {
            trigger.matches(&record.bucket, record.key.as_str()) && trigger.wants(record.kind)
        });
        // The requested thumbnail is usually one of the stored renditions: then it is rendered once for both.
        let is_stored =
            trigger.is_some_and(|trigger| trigger.renditions.iter().any(|rendition| rendition.spec == *spec));
        let mut answer = match is_stored {
            true => None,
            false => Some(self.render_image(call, arrival, spec).await?),
        };
        let (report, puts) = self.handle_and_return(call, store, &record).await;
        match &report.outcome {
            Outcome::Failed(failure) => return Err(failure.clone()),
            Outcome::Rendered => {
                let requested = fingerprint(spec);
                let of_spec = |put: &&Put| put.metadata.get(RECIPE_FINGERPRINT) == Some(&requested);
                answer = answer.or_else(|| puts.iter().find(of_spec).map(RenderedImage::of));
            }
            Outcome::UpToDate | Outcome::Removed | Outcome::Ignored(_) => {
                if answer.is_none() {
                    answer = Some(self.render_image(call, arrival, spec).await?);
                }
                // No thumbnails: this writes the arrival alone.
                store.put_all(Vec::new(), None).await?;
            }
        }
        // The requested rendition may have been among those that were up to date.
        let answer = match answer {
            Some(answer) => answer,
            None => self.render_image(call, arrival, spec).await?,
        };
        Ok((report, answer))
    }

    async fn render_image(
        &self,
        call: Call<'_>,
        arrival: &Arrival,
        spec: &Spec,
    ) -> Result<RenderedImage, Failure> {
        let (_, thumbnail, _) = self.render(call.stop, arrival.bytes.clone(), spec).await?;
        Ok(RenderedImage {
            content_type: thumbnail.format.media_type().to_owned(),
            width: thumbnail.width,
            height: thumbnail.height,
            bytes: thumbnail.bytes.into(),
        })
    }
}
