//! GET of `/info`: an image's properties, its placeholder, and the status of its thumbnails.

use axum::{extract::Request, http::StatusCode, response::Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tintype_pipeline::{Inspection, Location, inspection::RenditionStatus};

use crate::{
    Api, Host,
    answer::{self, message},
    conditions::http_date,
    openapi::{Info, KeyQuery},
    query::Query,
    refusals::InfoRefusals,
};

#[utoipa::path(
    get,
    path = "/info",
    operation_id = "describeImage",
    params(KeyQuery),
    responses(
        (status = 200, body = Info, description = "What the image is, and the status of its thumbnails."),
        InfoRefusals,
    )
)]
pub(crate) async fn get<H: Host>(api: &Api<H>, request: Request) -> Response {
    let found = match Query::of(&request, &api.config).and_then(|query| {
        if query.has_spec {
            let text = "/info takes the query field \"key\" alone";
            return Err(Box::new(message(StatusCode::BAD_REQUEST, text)));
        }
        query.location(&api.config)
    }) {
        Err(response) => return *response,
        Ok(at) => api.host.inspect(at.clone()).await.map(|inspected| (at, inspected)),
    };
    match found {
        Err(refused) => answer::refused(refused),
        Ok((_, Err(failure))) => answer::failure(&failure),
        Ok((at, Ok(inspection))) => answer::json(StatusCode::OK, &description(&at, &inspection)),
    }
}

fn description(at: &Location, inspection: &Inspection) -> Value {
    let Inspection { stat, header, placeholder, renditions } = inspection;
    let (width, height) = header.upright();
    let [r, g, b] = placeholder.colour;
    json!({
        "source": {"bucket": at.bucket, "key": at.key.as_str()},
        "etag": stat.etag,
        "bytes": stat.size,
        "modified": http_date(stat.modified_ms.div_euclid(1000)),
        "format": header.format.name(),
        "width": width,
        "height": height,
        "orientation": header.orientation.exif(),
        "animated": header.animated,
        "thumbhash": STANDARD.encode(&placeholder.thumb_hash),
        "colour": format!("#{r:02x}{g:02x}{b:02x}"),
        "renditions": renditions.iter().map(rendition).collect::<Vec<_>>(),
    })
}

fn rendition(status: &RenditionStatus) -> Value {
    let mut json = json!({
        "bucket": status.at.bucket,
        "key": status.at.key.as_str(),
        "state": match (&status.found, status.is_current) {
            (None, _) => "missing",
            (Some(_), false) => "stale",
            (Some(_), true) => "current",
        },
    });
    if let Some(found) = &status.found {
        json["width"] = found.width.into();
        json["height"] = found.height.into();
        json["bytes"] = found.bytes.into();
        json["etag"] = found.etag.clone().into();
    }
    json
}
