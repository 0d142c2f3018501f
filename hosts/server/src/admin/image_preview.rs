//! `/picture`: an object's bytes, if they are an image, for the console to show.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::State,
    http::{Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use tintype_api::Permission;
use tokio::sync::OwnedSemaphorePermit;

use super::{Admin, Fields, Refusal, Request};
use crate::auth::{Action, caller};

/// Images in memory at once, until they have been sent.
pub(super) const PREVIEWS: usize = 8;
/// A request waits this long for one of them.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Larger ones are refused.
const MAX_BYTES: u64 = 32 << 20;

/// One object.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ImagePreviewRequest {
    /// Its bucket; none: that of the first trigger.
    bucket: Option<String>,
    /// Its key.
    key: String,
    /// Differs by version, for the browser's cache.
    v: Option<String>,
}

/// Answered as bytes.
impl Request for ImagePreviewRequest {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/picture";
    const PERMISSION: Permission = Permission::Read;
    type Answer = ();
}

/// An image in memory, and the permit to have it there.
struct Preview {
    bytes: Vec<u8>,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Preview {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Only what is an image by its content is answered, and never as anything that could run.
pub(super) async fn image(
    State(admin): State<Admin>,
    Fields(request): Fields<ImagePreviewRequest>,
) -> Result<Response, Refusal> {
    let at = admin.location(request.bucket.as_deref(), &request.key)?;
    caller::authorize(Action::GetObject, &at).map_err(Refusal::forbidden)?;
    // Whoever reads slowly holds a permit for long, but nobody waits for long.
    let permit = tokio::time::timeout(LONGEST_WAIT, admin.parts.previews.clone().acquire_owned()).await;
    let Ok(Ok(permit)) = permit else {
        return Err(Refusal::unavailable("too many images are being sent; try again"));
    };
    let bytes = admin.blocking(move |admin| {
        let object = admin.parts.store.objects.open(&at)?;
        let Some(object) = object.filter(|object| object.record.size <= MAX_BYTES) else {
            return Err(Refusal::not_found("there is no such image, or it is too large to show"));
        };
        // The permit is released with the bytes: here, or once they have been sent.
        Ok(Bytes::from_owner(Preview { bytes: object.bytes()?, _permit: permit }))
    });
    let bytes = bytes.await?;
    // A drawing may hold scripts.
    let image = tintype_engine::probe(&bytes).ok().filter(|image| !image.format.is_vector());
    let Some(image) = image else {
        let message = "the object is no image".into();
        return Err(Refusal { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, message });
    };
    let headers = [
        (header::CONTENT_TYPE, image.format.media_type()),
        (header::CACHE_CONTROL, "private, max-age=300"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
        (header::CONTENT_DISPOSITION, "inline"),
    ];
    Ok((headers, bytes).into_response())
}
