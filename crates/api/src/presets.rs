//! GET and HEAD of `/{preset}/{key}`: an image of the source bucket by a preset, as pages name it.

use axum::{
    extract::{Request, State},
    response::Response,
};

use crate::{
    Api, Host,
    openapi::{BucketQuery, DeliveryQuery, DprQuery, Message},
    refusals::{GetRefusals, HeadRefusals},
    thumbnail,
};

#[utoipa::path(
    get,
    path = "",
    operation_id = "getPreset",
    params(
        ("preset" = String, Path, description = "The preset's name."),
        ("key" = String, Path, description = "The object's key in the source bucket, with its slashes."),
        BucketQuery,
        DprQuery,
        DeliveryQuery,
        ("Accept" = inline(Option<String>), Header, description = "With a preset of format auto: image/webp has WebP returned, image/avif AVIF where the preset allows it."),
        ("If-None-Match" = inline(Option<String>), Header, description = "ETags the client has."),
        ("Range" = inline(Option<String>), Header, description = "A part of the bytes.")
    ),
    responses(
        (status = 200, description = "The image, rendered if it is missing.", headers(("ETag" = String), ("Cache-Control" = String)), content((String = "image/jpeg"), (String = "image/png"), (String = "image/webp"), (String = "image/avif"), (String = "image/gif"))),
        (status = 206, description = "A part of it.", content((String = "image/jpeg"), (String = "image/png"), (String = "image/webp"), (String = "image/avif"), (String = "image/gif"))),
        (status = 304, description = "The client has it."),
        (status = 416, body = Message, description = "The range begins behind its end."),
        GetRefusals,
    )
)]
pub(crate) async fn get<H: Host>(State(api): State<Api<H>>, request: Request) -> Response {
    thumbnail::answer(&api, request).await
}

#[utoipa::path(
    head,
    path = "",
    operation_id = "headPreset",
    params(
        ("preset" = String, Path, description = "The preset's name."),
        ("key" = String, Path, description = "The object's key in the source bucket, with its slashes."),
        BucketQuery,
        DprQuery,
        DeliveryQuery,
        ("Accept" = inline(Option<String>), Header, description = "With a preset of format auto: image/webp has WebP returned, image/avif AVIF where the preset allows it."),
        ("If-None-Match" = inline(Option<String>), Header, description = "ETags the client has.")
    ),
    responses(
        (status = 200, description = "The image, rendered if it is missing.", headers(("ETag" = String), ("Cache-Control" = String))),
        (status = 304, description = "The client has it."),
        HeadRefusals,
    )
)]
/// The headers of GET, without its body.
pub(crate) async fn head<H: Host>(State(api): State<Api<H>>, request: Request) -> Response {
    thumbnail::answer(&api, request).await
}
