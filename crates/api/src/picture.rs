//! POST of an image: its thumbnail is the answer; with a key it is stored, too.

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use tintype_pipeline::{Location, Picture, store::Arrival};

use crate::{Api, Deadline, Host, answer, query::Query};

/// Makes a thumbnail of the bytes; with a key, the image is stored and its stored renditions are made, too.
pub(crate) async fn post<H: Host>(
    api: &Api<H>,
    query: Query,
    content_type: String,
    bytes: Bytes,
    deadline: Deadline,
) -> Response {
    let made = match query.key {
        None => api.host.render(bytes, query.spec, deadline).await.map(|made| {
            made.map(|(_, thumbnail)| Picture {
                content_type: thumbnail.format.media_type().to_owned(),
                width: thumbnail.width,
                height: thumbnail.height,
                bytes: thumbnail.bytes.into(),
            })
        }),
        Some(key) => {
            let at = Location { bucket: query.trigger.bucket.clone(), key };
            api.host.receive(Arrival { at, content_type, bytes }, query.spec, deadline).await
        }
    };
    match made {
        Err(refused) => answer::refused(refused),
        Ok(Err(failure)) => answer::failure(&failure),
        Ok(Ok(picture)) => answer(picture),
    }
}

fn answer(picture: Picture) -> Response {
    let mut response = Response::new(Body::from(picture.bytes));
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(&picture.content_type) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    headers.insert("x-tintype-width", picture.width.into());
    headers.insert("x-tintype-height", picture.height.into());
    response
}
