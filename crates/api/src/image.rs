//! POST of an image: returns its thumbnail; with a key it is stored, too.

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use tintype_pipeline::{Location, RenderedImage, store::Arrival};

use crate::{Api, Deadline, Host, answer, query::Query};

/// Renders a thumbnail of the bytes; with a key, the image and its renditions are stored, too.
pub(crate) async fn post<H: Host>(
    api: &Api<H>,
    query: Query,
    content_type: String,
    bytes: Bytes,
    deadline: Deadline,
) -> Response {
    let result = match query.key {
        None => api.host.render(bytes, query.spec, deadline).await.map(|rendered| {
            rendered.map(|(_, thumbnail)| RenderedImage {
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
    match result {
        Err(refused) => answer::refused(refused),
        Ok(Err(failure)) => answer::failure(&failure),
        Ok(Ok(image)) => response(image),
    }
}

fn response(image: RenderedImage) -> Response {
    let mut response = Response::new(Body::from(image.bytes));
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(&image.content_type) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    headers.insert("x-tintype-width", image.width.into());
    headers.insert("x-tintype-height", image.height.into());
    response
}
