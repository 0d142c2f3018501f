//! An image that is to be stored together with its thumbnails: all of it, or nothing where it is refused.

use bytes::Bytes;
use tintype_engine::Spec;

use crate::{
    event::{Kind, Record},
    fingerprint::{HEIGHT, RECIPE_FINGERPRINT, WIDTH, fingerprint},
    outcome::{Failure, Outcome, Report},
    store::{Arrival, Put, Store},
    thumbnails::{Call, Thumbnails},
};

/// A thumbnail that is returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Its media type.
    pub content_type: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The encoded file.
    pub bytes: Bytes,
}

impl Picture {
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

/// The record that asks for the thumbnails of an arrival.
fn record(arrival: &Arrival) -> Record {
    let size = Some(arrival.bytes.len() as u64);
    Record { size, ..Record::new(Kind::Created, "ObjectCreated:Post", arrival.at.clone()) }
}

impl Thumbnails {
    /// Stores an arrival with its thumbnails, and returns the one that `spec` describes. `store` holds the
    /// arrival as if it had been stored, and its first [`Store::put_all`] writes it.
    ///
    /// # Errors
    /// Why it is refused, such as that it is no image or that its thumbnail's name is taken: then nothing
    /// was stored. Or the store failed.
    pub async fn receive(
        &self,
        call: Call<'_>,
        store: &dyn Store,
        arrival: &Arrival,
        spec: &Spec,
    ) -> Result<(Report, Picture), Failure> {
        let record = record(arrival);
        let trigger = call.triggers.iter().find(|trigger| {
            trigger.matches(&record.bucket, record.key.as_str()) && trigger.wants(record.kind)
        });
        // The thumbnail asked for is mostly one of those that are stored: then it is rendered once for both.
        let is_stored =
            trigger.is_some_and(|trigger| trigger.renditions.iter().any(|rendition| rendition.spec == *spec));
        let mut answer = match is_stored {
            true => None,
            false => Some(self.picture(call, arrival, spec).await?),
        };
        let (report, made) = self.handle_and_return(call, store, &record).await;
        match &report.outcome {
            Outcome::Failed(failure) => return Err(failure.clone()),
            Outcome::Made => {
                let wanted = fingerprint(spec);
                let of_spec = |put: &&Put| put.metadata.get(RECIPE_FINGERPRINT) == Some(&wanted);
                answer = answer.or_else(|| made.iter().find(of_spec).map(Picture::of));
            }
            Outcome::UpToDate | Outcome::Removed | Outcome::Ignored(_) => {
                if answer.is_none() {
                    answer = Some(self.picture(call, arrival, spec).await?);
                }
                // There was nothing to write with it.
                store.put_all(Vec::new(), None).await?;
            }
        }
        // Of several renditions some may have been up to date, and this one among them.
        let answer = match answer {
            Some(answer) => answer,
            None => self.picture(call, arrival, spec).await?,
        };
        Ok((report, answer))
    }

    async fn picture(&self, call: Call<'_>, arrival: &Arrival, spec: &Spec) -> Result<Picture, Failure> {
        let (_, thumbnail, _) = self.render(call.stop, arrival.bytes.clone(), spec).await?;
        Ok(Picture {
            content_type: thumbnail.format.media_type().to_owned(),
            width: thumbnail.width,
            height: thumbnail.height,
            bytes: thumbnail.bytes.into(),
        })
    }
}
