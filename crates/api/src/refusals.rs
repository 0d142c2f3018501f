//! Every status of a refusal with its meaning, and the statuses of each route.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses,
    openapi::{
        Content, ContentBuilder, HeaderBuilder, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder,
        schema::{SchemaType, Type},
    },
};

/// The meaning of each status.
const MEANINGS: [(u16, &str); 14] = [
    (400, "The request is malformed; the message says where."),
    (
        403,
        "The API key is missing or wrong, the origin is foreign, or the URL's signature is wrong or expired.",
    ),
    (404, "There is no such object or bucket, or no trigger matches it."),
    (406, "Accept takes no format there is."),
    (408, "The body came too slowly."),
    (409, "Another image's thumbnail has the name."),
    (413, "The body or the image is too large."),
    (415, "Not an image, or of a kind not read here."),
    (422, "The image is corrupt."),
    (429, "Too many requests, or the day's quota is used up."),
    (431, "The head has too many fields, or too long ones."),
    (500, "A fault."),
    (503, "The store cannot be used now, or the server is shutting down."),
    (504, "It took too long."),
];

fn refusals(without: &[u16], has_body: bool) -> BTreeMap<String, RefOr<Response>> {
    let listed = MEANINGS.iter().filter(|(status, _)| !without.contains(status));
    listed
        .map(|(status, meaning)| (status.to_string(), RefOr::T(refusal(*status, meaning, has_body))))
        .collect()
}

fn refusal(status: u16, meaning: &str, has_body: bool) -> Response {
    let mut response = ResponseBuilder::new().description(meaning);
    if has_body {
        response = response.content("application/json", message());
    }
    if status == 429 {
        let text = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
        response = response.header("Retry-After", HeaderBuilder::new().schema(Some(text)).build());
    }
    response.build()
}

fn message() -> Content {
    ContentBuilder::new().schema(Some(Ref::from_schema_name("Message"))).build()
}

macro_rules! routes {
    ($($(#[$doc:meta])* $name:ident: without $without:expr, has_body $has_body:expr;)+) => {
        $(
            $(#[$doc])*
            pub(crate) struct $name;

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    refusals(&$without, $has_body)
                }
            }
        )+
    };
}

routes! {
    /// Of GET of a thumbnail.
    GetRefusals: without [408], has_body true;
    /// Of HEAD of a thumbnail.
    HeadRefusals: without [408], has_body false;
    /// Of POST of keys and images.
    PostRefusals: without [406], has_body true;
    /// Of GET of an image's properties.
    InfoRefusals: without [406, 408, 409], has_body true;
    /// Of POST for an upload form.
    UploadsRefusals: without [404, 406, 409, 422], has_body true;
}
