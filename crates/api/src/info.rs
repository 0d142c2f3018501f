//! GET of `/info`: what an image is, what to show before it has come, and how its thumbnails stand.

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tintype_pipeline::{Inspection, Location, inspect::RenditionStatus};

use crate::{
    Api, Deadline, Host,
    answer::{self, message},
    conditions::http_date,
    openapi::{BucketQuery, Info, KeyQuery},
    query::Query,
    refusals::OfInfo,
    routes::INFO,
};

#[utoipa::path(
    get,
    path = "",
    operation_id = "describeImage",
    params(KeyQuery, BucketQuery),
    responses(
        (status = 200, body = Info, description = "What the image is, and how its thumbnails stand."),
        OfInfo,
    )
)]
pub(crate) async fn get<H: Host>(State(api): State<Api<H>>, request: Request) -> Response {
    let (at, query) = match query(&api, &request) {
        Ok(parsed) => parsed,
        Err(response) => return *response,
    };
    match api.host.inspect(at.clone(), query.trigger.clone(), Deadline::of(&request)).await {
        Err(refused) => answer::refused(refused),
        Ok(Err(failure)) => answer::failure(&failure),
        Ok(Ok(inspection)) => answer::json(StatusCode::OK, &told(&at, &inspection)),
    }
}

fn query<H: Host>(api: &Api<H>, request: &Request) -> Result<(Location, Query), Box<Response>> {
    let query = Query::of(request, &api.config, api.host.triggers())?;
    if query.asks {
        let words = format!("{INFO} takes the query fields \"key\" and \"bucket\" alone");
        return Err(Box::new(message(StatusCode::BAD_REQUEST, words)));
    }
    Ok((query.location()?, query))
}

fn told(at: &Location, inspection: &Inspection) -> Value {
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
    let mut told = json!({
        "bucket": status.at.bucket,
        "key": status.at.key.as_str(),
        "state": match (&status.found, status.is_current) {
            (None, _) => "missing",
            (Some(_), false) => "stale",
            (Some(_), true) => "current",
        },
    });
    if let Some(found) = &status.found {
        told["width"] = found.width.into();
        told["height"] = found.height.into();
        told["bytes"] = found.bytes.into();
        told["etag"] = found.etag.clone().into();
    }
    told
}
