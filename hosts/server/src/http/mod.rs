//! The HTTP port: the API's routes behind what API HttpApi does on AWS (keys, quotas, throttling, cache,
//! time-outs), and the server's own routes. This file says in which order.

mod access;
mod admission;
mod bodies;
mod cache;
mod guard;
mod head;
mod host;
mod keys;
mod live;
mod readiness;
mod throttle;
mod trust;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
    routing::get,
};
use hyper::body::Incoming;
pub use live::Live;
use tintype_api::{Cors, message, preflight, unknown};
use tower::ServiceExt as _;

use crate::{
    auth::{Authenticator, Credentials},
    dispatch::Dispatcher,
    history::History,
    listen::{Client, DrainOnDrop},
    settings::Settings,
    storage::Storage,
};

/// A request as it comes from its connection.
type Request = http::Request<DrainOnDrop<Incoming>>;
/// An answer, or the refusal of one of the steps.
type Answered = Result<Response, Box<Response>>;

/// What answers requests under one version of the settings; cheap to clone.
#[derive(Clone)]
pub struct HttpApi {
    inner: Arc<Inner>,
}

/// The server's parts, which outlive a change of settings.
#[derive(Clone)]
pub struct Parts {
    /// The store.
    pub store: Arc<Storage>,
    /// Calls the function.
    pub dispatcher: Arc<Dispatcher>,
    /// Counts.
    pub history: Arc<History>,
    /// The key that upload forms are signed with.
    pub credentials: Credentials,
    /// Checks the root key of requests.
    pub authenticator: Arc<Authenticator>,
}

struct Inner {
    settings: Settings,
    parts: Parts,
    /// The rate of all requests together.
    account: Arc<throttle::TokenBucket>,
    routes: throttle::Routes,
    keys: keys::Keys,
    cache: Arc<cache::Cache>,
    bodies: bodies::Bodies,
    readiness: Arc<readiness::Readiness>,
    cors: Cors,
    /// The paths of the API.
    paths: [String; 4],
}

impl HttpApi {
    /// The http over the server's parts; `before`, under the settings before, hands on what was counted and kept.
    #[must_use]
    pub fn new(settings: Settings, parts: Parts, before: Option<&Self>) -> Self {
        let api = &settings.api;
        let before = before.map(|before| &*before.inner);
        let resource = format!("/{}/{}", api.stage, api.resource);
        let below = |path| format!("{resource}/{path}");
        Self {
            inner: Arc::new(Inner {
                account: throttle::TokenBucket::continued(
                    api.rate,
                    api.burst,
                    before.map(|before| &before.account),
                ),
                routes: throttle::Routes::new(api, before.map(|before| &before.routes)),
                keys: keys::Keys::new(&api.keys, before.map(|before| &before.keys)),
                cache: cache::Cache::continued(
                    api,
                    before.map(|before| (&before.settings.api, &before.cache)),
                ),
                bodies: before.map_or_else(bodies::Bodies::default, |before| before.bodies.clone()),
                readiness: before.map_or_else(Arc::default, |before| before.readiness.clone()),
                cors: Cors::new(&api.cors_origins),
                paths: [below("info"), below("uploads"), "/openapi.json".into(), resource],
                settings,
                parts,
            }),
        }
    }

    /// What the API's routes need; `None` without a trigger.
    fn config(&self) -> Option<tintype_api::Config> {
        let settings = &self.inner.settings;
        let trigger = settings.triggers.first()?.clone();
        Some(tintype_api::Config::new(&settings.api, settings.limits, trigger))
    }

    /// The API's routes.
    fn api(&self) -> Router {
        let description =
            Router::new().route("/openapi.json", get(openapi).fallback(unknown)).with_state(self.clone());
        self.config()
            .map(|config| tintype_api::router(self.clone(), config))
            .unwrap_or_default()
            .merge(description)
            .fallback(unknown)
    }

    /// This server's own routes, and the page's.
    fn own(&self, page: Router) -> Router {
        let cors = self.inner.cors.clone();
        Router::new()
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .with_state(self.clone())
            .merge(page)
            .method_not_allowed_fallback(unknown)
            // What is not there is refused in a way that pages of allowed origins may read.
            .fallback(move |headers: HeaderMap| {
                let cors = cors.clone();
                async move { cors.unknown(&headers).await }
            })
    }
}

/// The http with the routes behind it: the steps of a request, in their order.
struct Steps {
    inner: Arc<Inner>,
    api: Router,
    own: Router,
}

impl Steps {
    fn new(http: &HttpApi, page: Router) -> Self {
        Self { inner: http.inner.clone(), api: http.api(), own: http.own(page) }
    }

    /// Who asks; log line.
    async fn answer(&self, mut request: Request) -> Response {
        let client = trust::client(&self.inner.settings, &request);
        request.extensions_mut().insert(client);
        let line = access::Line::begin(&request);
        let response = self.guarded(client, request).await.unwrap_or_else(|refused| *refused);
        if let Some(line) = line {
            line.end(&response);
        }
        response
    }

    /// The head, who may call; then which side it is for.
    async fn guarded(&self, client: Client, request: Request) -> Answered {
        let welcome =
            head::check(&request).and_then(|()| guard::check(&self.inner.settings, client, &request));
        if self.inner.paths.iter().any(|path| path == request.uri().path()) {
            return Ok(self.across_origins(client, request, welcome).await);
        }
        welcome?;
        // Boxed, here and below: the future of a request is to be small for the answers that are kept.
        Ok(Box::pin(self.of_this_server(request)).await)
    }

    /// The server's own routes, whose bodies are short forms but for images dropped onto the page.
    async fn of_this_server(&self, request: Request) -> Response {
        if request.uri().path() == "/upload" {
            return routed(&self.own, request.map(Body::new)).await;
        }
        match admission::short(&self.inner, request).await {
            Ok(request) => routed(&self.own, request).await,
            Err(refused) => *refused,
        }
    }

    /// Preflights, and marks on whatever comes from further inside and on what turned the request away.
    async fn across_origins(
        &self,
        client: Client,
        request: Request,
        welcome: Result<(), Box<Response>>,
    ) -> Response {
        let cors = &self.inner.cors;
        let origin = cors.allowed(request.headers());
        let mut response = match (welcome, request.method()) {
            (Err(refused), _) => *refused,
            (Ok(()), &Method::OPTIONS) => preflight(request.uri().path(), origin.is_some()),
            (Ok(()), _) => self.opened(client, request).await.unwrap_or_else(|refused| *refused),
        };
        cors.mark(&mut response, origin);
        response
    }

    /// Who may call: whoever is trusted, whoever sends an API key, within its rate and quota, and programs that send the
    /// root key.
    async fn opened(&self, client: Client, request: Request) -> Answered {
        let Inner { settings, keys, parts, .. } = &*self.inner;
        let history = &parts.history;
        let opened = match trust::is_closed(settings, client, &request) {
            true => Err(keys::Closed::Unknown),
            false => keys.open(request.headers(), history.usage()),
        };
        let key = match opened {
            Ok(key) => key,
            Err(keys::Closed::Unknown) => {
                // Browsers send the root key that they were given for the console with requests of foreign pages, too.
                let headers = request.headers();
                if trust::is_of_a_browser(headers) || !Box::pin(parts.authenticator.admits(headers)).await {
                    return Err(Box::new(trust::refusal(settings, headers)));
                }
                None
            }
            // API HttpApi's words, each.
            Err(keys::Closed::TooFast(wait)) => {
                return Err(throttled(history, "Too Many Requests", wait));
            }
            Err(keys::Closed::UsedUp(wait)) => return Err(throttled(history, "Limit Exceeded", wait)),
        };
        let mut response = self.within_rates(request).await.unwrap_or_else(|refused| *refused);
        if let Some(key) = key {
            key.mark(&mut response);
        }
        Ok(response)
    }

    /// The rates of the route and of the account.
    async fn within_rates(&self, request: Request) -> Answered {
        let inner = &self.inner;
        let taken = inner.routes.take(&request).and_then(|()| inner.account.take());
        taken.map_err(|wait| throttled(&inner.parts.history, "Too Many Requests", wait))?;
        self.kept_or_made(request).await
    }

    /// A kept answer, or admission and the routes.
    async fn kept_or_made(&self, request: Request) -> Answered {
        let Inner { cache, parts, .. } = &*self.inner;
        let asked = cache.asked(&request, &parts.store);
        if let Some(asked) = &asked
            && let Some(kept) = cache.answer(asked, request.headers(), &parts.store).await
        {
            return Ok(kept);
        }
        let made = admission::admit(&self.inner, request, |request| routed(&self.api, request));
        let response = Box::pin(made).await?;
        match asked {
            Some(asked) => Ok(cache.keep(asked, response).await),
            None => Ok(response),
        }
    }
}

async fn routed(routes: &Router, request: http::Request<Body>) -> Response {
    match routes.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// 429 in API HttpApi's words, with when to come again.
fn throttled(history: &History, words: &str, wait: Duration) -> Box<Response> {
    history.throttled();
    let mut response = message(StatusCode::TOO_MANY_REQUESTS, words);
    let seconds = wait.as_secs_f64().ceil().max(1.0);
    if let Ok(value) = HeaderValue::from_str(&format!("{seconds:.0}")) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    Box::new(response)
}

/// A body that was not read whole leaves nothing to go on with on this connection.
fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The description of the API.
async fn openapi(State(http): State<HttpApi>) -> Response {
    let Some(config) = http.config() else { return unknown().await };
    let mut response = Response::new(tintype_api::description(&config).to_string().into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn healthz() -> Response {
    message(StatusCode::OK, "alive")
}

async fn readyz(State(http): State<HttpApi>) -> Response {
    let Inner { readiness, parts, .. } = &*http.inner;
    readiness.answer(&parts.store).await
}
