//! `/download`: an object's bytes, as a file to be saved.

use std::io;

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderValue, Method, header},
    response::{IntoResponse as _, Response},
};
use futures::stream;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use tintype_api::Permission;
use tokio::sync::mpsc;

use super::{Admin, Fields, Refusal, Request};
use crate::auth::{Action, caller};

/// Chunks on their way from the disk.
const CHUNKS: usize = 4;

/// One object.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DownloadRequest {
    /// Its bucket; none: that of the first trigger.
    bucket: Option<String>,
    /// Its key.
    key: String,
}

/// Answered as bytes.
impl Request for DownloadRequest {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/download";
    const PERMISSION: Permission = Permission::Read;
    type Answer = ();
}

pub(super) async fn download(
    State(admin): State<Admin>,
    Fields(request): Fields<DownloadRequest>,
) -> Result<Response, Refusal> {
    let at = admin.location(request.bucket.as_deref(), &request.key)?;
    caller::authorize(Action::GetObject, &at).map_err(Refusal::forbidden)?;
    let (wanted, name) = (at.clone(), saved_as(&request.key));
    let object = admin.blocking(move |admin| Ok(admin.parts.store.objects.open(&wanted)?)).await?;
    let Some(object) = object else { return Err(Refusal::not_found(format!("{at} does not exist"))) };
    let size = object.record.size;
    let (chunks, coming) = mpsc::channel::<io::Result<Bytes>>(CHUNKS);
    tokio::task::spawn_blocking(move || {
        let mut is_wanted = true;
        let read = object.read_all(|chunk| {
            // Whoever went away needs no more of it.
            is_wanted = is_wanted && chunks.blocking_send(Ok(Bytes::copy_from_slice(chunk))).is_ok();
            if is_wanted { Ok(()) } else { Err(io::Error::from(io::ErrorKind::BrokenPipe).into()) }
        });
        if let (Err(fault), true) = (read, is_wanted) {
            // The connection breaks: what has been sent is not the whole object.
            let _ = chunks.blocking_send(Err(io::Error::other(fault.to_string())));
        }
    });
    let body = stream::unfold(coming, |mut coming| async { Some((coming.recv().await?, coming)) });
    let mut response = Body::from_stream(body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// A file's name after the last slash of its key.
/// Source: RFC 6266, section 4.3; RFC 8187, section 3.2.1.
fn saved_as(key: &str) -> String {
    const SAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
    let name = key.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    format!("attachment; filename*=UTF-8''{}", utf8_percent_encode(name, SAFE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_name_of_its_key() {
        assert_eq!(saved_as("raw/a b\"\r\nü.jpg"), "attachment; filename*=UTF-8''a%20b%22%0D%0A%C3%BC.jpg");
    }
}
