//! The API's routes on this server, and the server's own. The console's rows are in its own table.

use axum::{
    extract::State,
    http::{Method, StatusCode},
    response::Response,
    routing::{MethodRouter, any, get},
};
use tintype_api::{Access, Config, Route, RoutePath, message, unknown};

use super::{HttpApi, search};

impl HttpApi {
    /// The API's routes. Without a trigger none has a handler.
    pub(super) fn api_routes(&self) -> Vec<Route<MethodRouter>> {
        let settings = &self.inner.settings;
        match settings.default_trigger() {
            Some(_) => tintype_api::routes(self.clone(), Config::new(&settings.api, settings.limits)),
            None => tintype_api::rows().into_iter().map(|row| row.map(|_| any(unknown))).collect(),
        }
    }

    /// This server's own routes; those that monitoring asks all the time are not logged.
    pub(super) fn own_routes(&self) -> [Route<MethodRouter>; 3] {
        let own = |path, handler: MethodRouter<Self>| Route {
            is_logged: false,
            ..Route::new(Method::GET, RoutePath::Root(path), Access::Anyone, handler.with_state(self.clone()))
        };
        [own("/healthz", get(healthz)), own("/readyz", get(readyz)), search::route(self)]
    }
}

async fn healthz() -> Response {
    message(StatusCode::OK, "alive")
}

async fn readyz(State(http): State<HttpApi>) -> Response {
    http.inner.readiness.answer(&http.inner.parts.store).await
}
