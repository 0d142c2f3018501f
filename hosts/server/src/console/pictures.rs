//! An object's bytes as a picture, for the page to show.

use axum::{
    body::Bytes,
    extract::{Query, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use tintype_api::message;
use tintype_pipeline::{Location, ObjectKey};
use tokio::sync::OwnedSemaphorePermit;

use super::{Console, answers};

/// A request waits this long for its turn.
const LONGEST_WAIT: std::time::Duration = std::time::Duration::from_secs(10);
/// Larger ones are not shown.
const MOST_BYTES: u64 = 32 << 20;

/// Names an object.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Place {
    #[serde(default)]
    pub(super) bucket: String,
    #[serde(default)]
    pub(super) key: String,
}

impl Place {
    /// The object, in the default trigger's bucket if none is named.
    pub(super) fn location(&self, console: &Console) -> Result<Location, String> {
        let first = console.inner.settings.default_trigger().map(|trigger| trigger.bucket.clone());
        let bucket = match self.bucket.as_str() {
            "" => first.ok_or("the settings have no trigger; name a bucket")?,
            bucket => bucket.to_owned(),
        };
        Ok(Location { bucket, key: ObjectKey::new(&self.key)? })
    }
}

/// A picture in memory, and the right to have it there.
struct Held {
    bytes: Vec<u8>,
    _turn: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Only what is a picture by its content is answered, and never as anything that could run.
pub(super) async fn picture(State(console): State<Console>, Query(place): Query<Place>) -> Response {
    let at = match place.location(&console) {
        Ok(at) => at,
        Err(words) => return message(StatusCode::BAD_REQUEST, words),
    };
    // Whoever reads slowly holds a turn for long, but nobody waits for long.
    let turn = tokio::time::timeout(LONGEST_WAIT, console.inner.pictures.clone().acquire_owned()).await;
    let Ok(Ok(turn)) = turn else {
        return message(StatusCode::SERVICE_UNAVAILABLE, "too many pictures are being sent; ask again");
    };
    let read = answers::blocking(&console, move |inner| {
        let Some(object) = inner.store.objects.open(&at)? else { return Ok(None) };
        if object.record.size > MOST_BYTES {
            return Ok(None);
        }
        // It is given up with the bytes, wherever that is: here, or once they have been sent.
        Ok(Some(Bytes::from_owner(Held { bytes: object.bytes()?, _turn: turn })))
    });
    let bytes = match read.await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            return message(StatusCode::NOT_FOUND, "there is no such picture, or it is too large to show");
        }
        Err(problem) => return *problem,
    };
    let media_type = match tintype_engine::probe(&bytes) {
        Ok(header) => header.format.media_type(),
        Err(_) => return message(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the object is no picture"),
    };
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "private, max-age=300"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
        (header::CONTENT_DISPOSITION, "inline"),
    ];
    (headers, bytes).into_response()
}
