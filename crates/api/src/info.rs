//! GET of `/info`: an image's properties, its placeholder, and the status of its thumbnails.

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use tintype_pipeline::{Inspection, Location, inspection::RenditionStatus, trigger::default_trigger};

use crate::{
    Api, Deadline, Host,
    answer::{self, message},
    conditions::http_date,
    image_url::{ImageUrl, at_each_density, srcset},
    openapi::{BucketQuery, Info, KeyQuery},
    query::{Query, VERSION},
    refusals::InfoRefusals,
    routes::INFO,
    settings::Preset,
};

#[utoipa::path(
    get,
    path = "",
    operation_id = "describeImage",
    params(KeyQuery, BucketQuery),
    responses(
        (status = 200, body = Info, description = "What the image is, and the status of its thumbnails."),
        InfoRefusals,
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
        Ok(Ok(inspection)) => {
            let mut json = description(&at, &inspection);
            json["srcset"] = srcsets(&api, &at, &inspection.stat.etag).into();
            if let Some(first) = inspection.renditions.first() {
                let alt = api.host.alt_text(first.at.clone()).await;
                if !alt.is_empty() {
                    json["alt"] = json!(alt);
                }
            }
            answer::json(StatusCode::OK, &json)
        }
    }
}

fn query<H: Host>(api: &Api<H>, request: &Request) -> Result<(Location, Query), Box<Response>> {
    let query = Query::of(request.uri(), &api.config, &api.host)?;
    query.delivery.refuse()?;
    if query.has_spec {
        let text = format!("{INFO} takes the query fields \"key\" and \"bucket\" alone");
        return Err(Box::new(message(StatusCode::BAD_REQUEST, text)));
    }
    Ok((query.location()?, query))
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

/// The `srcset` of each preset, for this version of the image.
fn srcsets<H: Host>(api: &Api<H>, at: &Location, etag: &str) -> Map<String, Value> {
    let triggers = api.host.triggers();
    // Where callers differ in what they may read, the default of whoever gets the image may be another.
    let is_default = api.host.audience().is_some()
        && default_trigger(&triggers).is_some_and(|trigger| trigger.bucket == at.bucket);
    let of_preset = |preset: &Preset| {
        let mut url = ImageUrl::of_preset(&api.config.path, &preset.name, at.key.as_str());
        if !is_default {
            url = url.with("bucket", at.bucket.as_str());
        }
        let url = url.with(VERSION, etag);
        let candidates = at_each_density(preset, &url).map(|(url, dpr)| (url.unsigned(), dpr));
        (preset.name.clone(), srcset(candidates).into())
    };
    api.config.presets.iter().map(of_preset).collect()
}

fn rendition(status: &RenditionStatus) -> Value {
    let mut json = json!({
        "bucket": status.at.bucket,
        "key": status.at.key.as_str(),
        "state": status.status.name(),
    });
    if let Some(found) = &status.found {
        json["width"] = found.width.into();
        json["height"] = found.height.into();
        json["bytes"] = found.bytes.into();
        json["etag"] = found.etag.clone().into();
    }
    json
}
