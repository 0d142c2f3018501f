//! The HTTP port: the API's routes behind what API Gateway does on AWS (keys, quotas, throttling, cache,
//! time-outs), and the server's own routes. This file says in which order.

mod access;
mod admission;
mod authorization;
mod bodies;
mod cache;
mod head;
mod host;
mod live;
mod origins;
mod readiness;
mod routes;
mod search;
mod throttle;
mod usage_plans;
mod worker_port;
mod wrong_port;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
    routing::MethodRouter,
};
use hyper::body::Incoming;
pub use live::Live;
use tintype_api::{Cors, Gate, Pass, Place, Route, RouteLimits, RouteTable, message, preflight};
use tower::ServiceExt as _;
use usage_plans::Exceeded;
pub use worker_port::WorkerPort;

use crate::{
    auth::{Authenticator, Authorizer, Caller, Client, KeyVerifier, Principal, Sessions, caller},
    dispatch::Dispatcher,
    history::{History, RouteNames},
    listen::DrainOnDrop,
    rendered_cache::RenderedCache,
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
    /// Verifies access keys, with which upload forms are signed, too.
    pub verifier: Arc<KeyVerifier>,
    /// Logins at the console.
    pub sessions: Arc<Sessions>,
    /// Decides who may do what.
    pub authorizer: Authorizer,
    /// What was rendered for requests.
    pub rendered: Arc<RenderedCache>,
}

struct Inner {
    settings: Settings,
    parts: Parts,
    /// The rate of all requests together.
    account: Arc<throttle::TokenBucket>,
    routes: throttle::Routes,
    usage_plans: usage_plans::UsagePlans,
    authenticator: Authenticator,
    cache: Arc<cache::Cache>,
    bodies: bodies::Bodies,
    readiness: Arc<readiness::Readiness>,
    cors: Cors,
    gate: Gate,
}

impl HttpApi {
    /// The port over the server's parts; `before`, under the earlier settings, hands on its counts and cache.
    #[must_use]
    pub fn new(settings: Settings, parts: Parts, before: Option<&Self>) -> Self {
        let api = &settings.api;
        let before = before.map(|before| &*before.inner);
        Self {
            inner: Arc::new(Inner {
                account: throttle::TokenBucket::continued(
                    api.rate,
                    api.burst,
                    before.map(|before| &before.account),
                ),
                routes: throttle::Routes::new(api, before.map(|before| &before.routes)),
                usage_plans: usage_plans::UsagePlans::new(
                    &api.keys,
                    before.map(|before| &before.usage_plans),
                ),
                authenticator: Authenticator::new(&settings, parts.verifier.clone(), parts.sessions.clone()),
                cache: cache::Cache::continued(
                    api,
                    before.map(|before| (&before.settings.api, &before.cache)),
                ),
                bodies: before.map_or_else(bodies::Bodies::default, |before| before.bodies.clone()),
                readiness: before.map_or_else(Arc::default, |before| before.readiness.clone()),
                cors: Cors::new(&api.cors_origins),
                gate: Gate::new(api),
                settings,
                parts,
            }),
        }
    }
}

/// The route table with the routes behind it: the steps of a request, in their order.
struct Steps {
    inner: Arc<Inner>,
    table: RouteTable<MethodRouter>,
    router: Router,
    /// The names that requests are counted under: of each place of the table, and last of what is not there.
    names: Vec<RouteNames>,
}

/// Who sends a request, as far as its head shows, and of one for an image, whether it needs a key.
#[derive(Debug, Clone, Copy)]
struct Sender {
    client: Client,
    pass: Option<Pass>,
}

impl Sender {
    /// Whether a page of another origin may cause the request, and of one for an image, whether it needs a key. What a page
    /// may not cause as a program of this machine it may as anybody, if that needs no key.
    fn let_in(
        gate: &Gate,
        settings: &Settings,
        client: Client,
        request: &Request,
        route: Option<&Route<MethodRouter>>,
    ) -> Result<Self, Box<Response>> {
        let is_image = route.is_some_and(|route| route.is_image);
        let pass = if is_image { Some(gate.pass(request)) } else { None };
        let pass = pass.transpose().map_err(|_| Box::new(authorization::wrong_signature()))?;
        match origins::check(settings, client, request, route) {
            Ok(()) => Ok(Self { client, pass }),
            Err(_) if pass.is_some_and(|pass| pass.is_public) => {
                Ok(Self { client: Client { is_trusted: false, ..client }, pass })
            }
            Err(refused) => Err(refused),
        }
    }
}

/// A route and its path in the table.
#[derive(Clone, Copy)]
struct Target<'a> {
    route: &'a Route<MethodRouter>,
    path: &'a str,
}

/// A place of the table.
type Here<'a> = Option<&'a Place<MethodRouter>>;

impl Steps {
    /// Over the API's routes, this server's own, and the console's.
    fn new(http: &HttpApi, console: Vec<Route<MethodRouter>>) -> Self {
        let rows = http.api_routes().into_iter().chain(http.own_routes()).chain(console);
        let table = RouteTable::new(&http.inner.settings.api.path(), rows);
        let cors = http.inner.cors.clone();
        // What is not there is refused in a way that pages of allowed origins may read.
        let router = table.router().fallback(move |headers: HeaderMap| {
            let cors = cors.clone();
            async move { cors.unknown(&headers).await }
        });
        let metrics = table.places().iter().map(Place::metric).chain(["other"]);
        let names = metrics.map(RouteNames::new).collect();
        Self { inner: http.inner.clone(), table, router, names }
    }

    /// The name that a request is counted under.
    fn route_name(&self, method: &Method, path: &str) -> Arc<str> {
        let other = self.names.len() - 1;
        self.names[self.table.find(path).unwrap_or(other)].of(method)
    }

    /// Names the sender, answers, and writes the log line.
    async fn answer(&self, mut request: Request) -> Response {
        let here = self.table.at(request.uri().path());
        let client = self.inner.authenticator.client(&request);
        request.extensions_mut().insert(client);
        let is_logged = here.is_none_or(|place| place.route_or_first(request.method()).is_logged);
        let line = if is_logged { access::Line::begin(&request) } else { None };
        let response = self.guarded(here, client, request).await.unwrap_or_else(|refused| *refused);
        if let Some(line) = line {
            line.end(&response);
        }
        response
    }

    /// The head, what pages of other origins may; then the API's steps, or whether the sender may, and this server's.
    async fn guarded(&self, here: Here<'_>, client: Client, request: Request) -> Answered {
        let route = here.and_then(|place| place.route(request.method()));
        let Inner { gate, settings, .. } = &*self.inner;
        let let_in = |()| Sender::let_in(gate, settings, client, &request, route);
        let checked = head::check(&request).and_then(let_in);
        if let Some(place) = here
            && place.is_of_api()
        {
            return Ok(self.across_origins(place, request, checked).await);
        }
        wrong_port::check(settings, &request)?;
        let Sender { client, pass } = checked?;
        let caller = match route {
            Some(route) => Some(authorization::authorize(&self.inner, route.access, client, &request, pass)?),
            None => None,
        };
        let limits =
            here.map_or_else(RouteLimits::default, |place| place.route_or_first(request.method()).limits);
        // Boxed, here and below: the future of a request is to be small for the answers that are cached.
        let admitted = Box::pin(self.admitted(limits, request));
        match caller {
            Some(caller) => caller::serve(caller, admitted).await,
            None => admitted.await,
        }
    }

    /// Preflights, and the headers of CORS on every answer, refusals too.
    async fn across_origins(
        &self,
        place: &Place<MethodRouter>,
        request: Request,
        checked: Result<Sender, Box<Response>>,
    ) -> Response {
        let cors = &self.inner.cors;
        let origin = cors.allowed(request.headers());
        let mut response = match (checked, request.method()) {
            (Err(refused), _) => *refused,
            (Ok(_), &Method::OPTIONS) => preflight(place.methods(), origin.is_some()),
            (Ok(sender), method) => {
                let route = place.route_or_first(method);
                let at = Target { route, path: place.path() };
                self.authorized(at, sender, request).await.unwrap_or_else(|refused| *refused)
            }
        };
        cors.mark(&mut response, origin);
        response
    }

    /// Whether the sender may call; of an API key also how often, and how much a day.
    async fn authorized(&self, at: Target<'_>, sender: Sender, mut request: Request) -> Answered {
        let Inner { usage_plans, parts, .. } = &*self.inner;
        let history = &parts.history;
        let Sender { client, pass } = sender;
        let caller = authorization::authorize(&self.inner, at.route.access, client, &request, pass)?;
        if let Some(mut pass) = pass {
            // What somebody with a key may see is not for everybody, nor for a cache that everybody shares.
            pass.is_public &= matches!(caller.principal, Principal::Public | Principal::Guest);
            pass.is_of_key = matches!(caller.principal, Principal::AccessKey(_) | Principal::ApiKey(_));
            request.extensions_mut().insert(pass);
        }
        let Principal::ApiKey(name) = &caller.principal else {
            return self.within_rates(at, request, caller).await;
        };
        // API Gateway's words, each.
        let counted = usage_plans.take(name, history.usage()).map_err(|exceeded| match exceeded {
            Exceeded::Rate(wait) => throttled(history, "Too Many Requests", wait),
            Exceeded::Quota(wait) => throttled(history, "Limit Exceeded", wait),
        })?;
        let within_rates = self.within_rates(at, request, caller.clone());
        let mut response = within_rates.await.unwrap_or_else(|refused| *refused);
        counted.settle(&mut response);
        Ok(response)
    }

    /// The rates of the route and of the account.
    async fn within_rates(&self, at: Target<'_>, request: Request, caller: Arc<Caller>) -> Answered {
        let inner = &self.inner;
        let taken = inner.routes.take(request.method(), at.path).and_then(|()| inner.account.take());
        taken.map_err(|wait| throttled(&inner.parts.history, "Too Many Requests", wait))?;
        self.cached_or_answered(at.route, request, caller).await
    }

    /// A cached answer, or admission and the routes.
    async fn cached_or_answered(
        &self,
        route: &Route<MethodRouter>,
        request: Request,
        caller: Arc<Caller>,
    ) -> Answered {
        let Inner { cache, parts, .. } = &*self.inner;
        // Whose rights are by object is not answered what another was.
        let may_share = route.is_cached && !caller.is_limited();
        let lookup = if may_share { cache.lookup(&request, &parts.store) } else { None };
        if let Some(lookup) = &lookup
            && let Some(cached) = cache.answer(lookup, request.headers(), &parts.store, &caller).await
        {
            return Ok(cached);
        }
        let admitted = Box::pin(self.admitted(route.limits, request));
        let response = caller::serve(caller, admitted).await?;
        match lookup {
            Some(lookup) => Ok(cache.insert(lookup, response).await),
            None => Ok(response),
        }
    }

    /// Admission, and the routes.
    async fn admitted(&self, limits: RouteLimits, request: Request) -> Answered {
        let Inner { settings, bodies, parts, .. } = &*self.inner;
        let admission = admission::Admission {
            api: &settings.api,
            bodies,
            has_room: &|| parts.dispatcher.has_room(),
            count_throttled: &|| parts.history.throttled(),
        };
        admission::admit(&admission, limits, request, |request| routed(&self.router, request)).await
    }
}

async fn routed(routes: &Router, request: http::Request<Body>) -> Response {
    match routes.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// 429 in API Gateway's words, with when to try again.
fn throttled(history: &History, words: &str, wait: Duration) -> Box<Response> {
    history.throttled();
    retry_later(message(StatusCode::TOO_MANY_REQUESTS, words), wait)
}

/// The refusal with when to try again.
fn retry_later(mut response: Response, wait: Duration) -> Box<Response> {
    let seconds = wait.as_secs_f64().ceil().max(1.0);
    if let Ok(value) = HeaderValue::from_str(&format!("{seconds:.0}")) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    Box::new(response)
}

/// After a body that was not read whole the connection cannot be used again.
fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
