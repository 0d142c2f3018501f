//! The API's routes. A route is added here: a row, and a handler for its action.

use axum::{
    http::Method,
    routing::{MethodFilter, MethodRouter, on},
};
use utoipa::OpenApi;

use crate::{
    Api, Host, info, invoke, openapi, presets,
    route_table::{Access, BodyLimit, Route, RouteLimits, RoutePath},
    thumbnail, uploads,
};

/// What a route of the API does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Answers a thumbnail.
    GetThumbnail,
    /// Answers a thumbnail's head.
    HeadThumbnail,
    /// Answers a preset's image.
    GetPreset,
    /// Answers the head of a preset's image.
    HeadPreset,
    /// Renders thumbnails of keys, records or an image.
    RenderThumbnails,
    /// Answers what an image is.
    DescribeImage,
    /// Answers a form for an upload.
    MakeUploadForm,
    /// Answers the description of the API.
    DescribeApi,
}

/// The part of the description that a handler's annotation says.
macro_rules! described {
    ($($handler:tt)+) => {{
        #[derive(OpenApi)]
        #[openapi(paths($($handler)+))]
        struct Part;
        Some(Part::openapi)
    }};
}

const LIMITS: RouteLimits = RouteLimits { body: BodyLimit::Image, is_timed: true, needs_worker: false };

fn api(method: Method, path: RoutePath, action: Action) -> Route<Action> {
    Route { limits: LIMITS, ..Route::new(method, path, Access::ApiKey, action) }
}

/// A route that answers images.
fn image(method: Method, path: RoutePath, action: Action) -> Route<Action> {
    Route { is_cached: true, is_image: true, ..api(method, path, action) }
}

/// The API's routes.
#[must_use]
pub fn rows() -> Vec<Route<Action>> {
    vec![
        Route {
            description: described!(crate::thumbnail::get),
            ..image(Method::GET, RoutePath::Resource(""), Action::GetThumbnail)
        },
        Route {
            description: described!(crate::thumbnail::head),
            ..image(Method::HEAD, RoutePath::Resource(""), Action::HeadThumbnail)
        },
        Route {
            description: described!(crate::presets::get),
            ..image(Method::GET, RoutePath::Resource(PRESET), Action::GetPreset)
        },
        Route {
            description: described!(crate::presets::head),
            ..image(Method::HEAD, RoutePath::Resource(PRESET), Action::HeadPreset)
        },
        Route {
            limits: RouteLimits { needs_worker: true, ..LIMITS },
            description: described!(crate::invoke::post),
            ..api(Method::POST, RoutePath::Resource(""), Action::RenderThumbnails)
        },
        Route {
            description: described!(crate::info::get),
            ..api(Method::GET, RoutePath::Resource(INFO), Action::DescribeImage)
        },
        Route {
            description: described!(crate::uploads::post),
            ..api(Method::POST, RoutePath::Resource(UPLOADS), Action::MakeUploadForm)
        },
        api(Method::GET, RoutePath::Root("/openapi.json"), Action::DescribeApi),
    ]
}

/// Below the resource: the image of a key by a preset.
pub(crate) const PRESET: &str = "/{preset}/{*key}";
/// First parts of paths below the resource that no preset may be named: those of routes, and such as routes may have.
pub(crate) const RESERVED: [&str; 12] = [
    "alt", "events", "info", "jobs", "openapi", "presets", "results", "search", "similar", "uploads",
    "webhook", "ws",
];
/// Below the resource: what an image is. Answers and messages name it.
pub(crate) const INFO: &str = "/info";
/// Below the resource: forms for uploads. Answers and messages name it.
pub const UPLOADS: &str = "/uploads";

/// The handler of an action.
fn handler<H: Host>(action: Action, methods: MethodFilter, api: Api<H>) -> MethodRouter {
    match action {
        Action::GetThumbnail => on(methods, thumbnail::get::<H>),
        Action::HeadThumbnail => on(methods, thumbnail::head::<H>),
        Action::GetPreset => on(methods, presets::get::<H>),
        Action::HeadPreset => on(methods, presets::head::<H>),
        Action::RenderThumbnails => on(methods, invoke::post::<H>),
        Action::DescribeImage => on(methods, info::get::<H>),
        Action::MakeUploadForm => on(methods, uploads::post::<H>),
        Action::DescribeApi => on(methods, openapi::get::<H>),
    }
    .with_state(api)
}

/// The API's routes with their handlers.
pub(crate) fn served<H: Host>(api: &Api<H>) -> Vec<Route<MethodRouter>> {
    let serve = |route: Route<Action>| {
        // Every method in the table is one that the filter knows.
        let methods = MethodFilter::try_from(route.method.clone()).unwrap_or(MethodFilter::GET);
        route.map(|action| handler(action, methods, api.clone()))
    };
    rows().into_iter().map(serve).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_parts_of_routes_are_reserved() {
        for route in rows() {
            let RoutePath::Resource(path) = route.path else { continue };
            let first = path.split('/').nth(1).unwrap_or_default();
            assert!(first.is_empty() || first.starts_with('{') || RESERVED.contains(&first), "{path}");
        }
    }

    #[test]
    fn descriptions_are_of_the_methods_in_the_table() {
        for route in rows() {
            let Some(description) = route.description else { continue };
            let part = serde_json::to_value(description()).unwrap();
            let operations = part["paths"][""].as_object().unwrap();
            let methods: Vec<_> = operations.keys().collect();
            assert_eq!(methods, [&route.method.as_str().to_lowercase()]);
        }
    }
}
