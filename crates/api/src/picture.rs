//! POST of an image: its thumbnail is the answer; with a key it is stored, too.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use tintype_engine::Thumbnail;
use tintype_function::{Failure, ObjectKey, Outcome, Report};

use crate::{Api, Host, Refused, answer, query::Query};

/// Makes a thumbnail of the bytes; with a key, the image is stored and its stored renditions are made too.
pub(crate) async fn post<H: Host>(
    api: &Api<H>,
    query: Query,
    content_type: String,
    bytes: Bytes,
) -> Response {
    // Rendered first: nothing is stored of what is no picture.
    let thumbnail = match api.host.render(bytes.clone(), query.spec).await {
        Err(refused) => return answer::refused(refused),
        Ok(Err(failure)) => return answer::failure(&failure),
        Ok(Ok((_, thumbnail))) => thumbnail,
    };
    let Some(key) = query.key else { return answer(StatusCode::OK, thumbnail) };
    match store(api, key, content_type, bytes).await {
        Ok(None) => answer(StatusCode::OK, thumbnail),
        // It is stored and its event is queued: its renditions follow.
        Ok(Some(_)) => answer(StatusCode::ACCEPTED, thumbnail),
        Err(failure) => answer::failure(&failure),
    }
}

/// Stores the image and makes its renditions; answers why they are not made yet.
async fn store<H: Host>(
    api: &Api<H>,
    key: ObjectKey,
    content_type: String,
    bytes: Bytes,
) -> Result<Option<Refused>, Failure> {
    let record = api.config.record(key.clone(), "Post");
    api.host.upload(key, content_type, bytes).await?;
    match api.host.invoke(record).await {
        Err(refused) => Ok(Some(refused)),
        Ok(Report { outcome: Outcome::Failed(failure), .. }) => Err(failure),
        Ok(_) => Ok(None),
    }
}

fn answer(status: StatusCode, thumbnail: Thumbnail) -> Response {
    let mut response = Response::new(Body::from(thumbnail.bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(thumbnail.format.media_type()));
    headers.insert("x-tintype-width", thumbnail.width.into());
    headers.insert("x-tintype-height", thumbnail.height.into());
    response
}
