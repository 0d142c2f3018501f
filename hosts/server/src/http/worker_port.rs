//! The HTTP port of `tintype worker`: its routes behind the same checks as the server's. Rates, quotas and the response
//! cache are a server's: workers share no counts, so a proxy in front of them has these.

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Instant};

use axum::{
    Router,
    http::{HeaderMap, Method, StatusCode, header},
    response::Response,
    routing::MethodRouter,
};
use hyper::body::Incoming;
use tintype_api::{Access, Cors, Gate, Route, RouteTable, message, preflight};
use tintype_telemetry::{metrics::Metric, requests::Endpoint};
use tintype_worker::Worker;
use tokio::sync::Semaphore;

use super::{
    Answered, Here, Request, Sender, access, admission, authorization::wrong_signature, bodies::Bodies, head,
    retry_later, routed,
};
use crate::{
    auth::{ApiKeys, Client, Clients, has_credentials},
    listen::DrainOnDrop,
    request_id::{self, RequestId},
    settings::Settings,
};

/// Requests that may be served at once, for each thread that renders.
const REQUESTS_PER_THREAD: usize = 64;

/// The port as a service; clones share it.
#[derive(Clone)]
pub struct WorkerPort(Arc<Inner>);

struct Inner {
    worker: Arc<Worker>,
    settings: Settings,
    clients: Clients,
    keys: ApiKeys,
    cors: Cors,
    gate: Gate,
    table: RouteTable<MethodRouter>,
    router: Router,
    bodies: Bodies,
    room: Semaphore,
}

impl WorkerPort {
    /// The port of a worker with `threads` that render.
    #[must_use]
    pub fn new(settings: &Settings, worker: Arc<Worker>, threads: usize) -> Self {
        let table = RouteTable::new(&settings.api.path(), worker.routes());
        let cors = Cors::new(&settings.api.cors_origins);
        let unknown = cors.clone();
        let router = table.router().fallback(move |headers: HeaderMap| {
            let cors = unknown.clone();
            async move { cors.unknown(&headers).await }
        });
        Self(Arc::new(Inner {
            clients: Clients::new(settings),
            keys: ApiKeys::new(&settings.api.keys),
            settings: settings.clone(),
            worker,
            cors,
            gate: Gate::new(&settings.api),
            table,
            router,
            bodies: Bodies::default(),
            room: Semaphore::new(threads * REQUESTS_PER_THREAD),
        }))
    }
}

impl Inner {
    async fn answer(&self, mut request: Request) -> Response {
        let started = Instant::now();
        let here = self.table.at(request.uri().path());
        let name = format!("{} {}", request.method(), here.map_or("other", |place| place.metric()));
        let client = self.clients.client(&request);
        request.extensions_mut().insert(client);
        let is_logged = here.is_none_or(|place| place.route_or_first(request.method()).is_logged);
        let line = if is_logged { access::Line::begin(&request) } else { None };
        let response = self.guarded(here, client, request).await.unwrap_or_else(|refused| *refused);
        self.worker.metrics().request(Endpoint::Api, &name, response.status().as_u16(), started.elapsed());
        if let Some(line) = line {
            line.end(&response);
        }
        response
    }

    async fn guarded(&self, here: Here<'_>, client: Client, mut request: Request) -> Answered {
        let route = here.and_then(|place| place.route(request.method()));
        let let_in = |()| Sender::let_in(&self.gate, &self.settings, client, &request, route);
        let checked = head::check(&request).and_then(let_in);
        let Some(place) = here.filter(|place| place.is_of_api()) else {
            let sender = checked?;
            return self.authorized(route, sender, request).await;
        };
        let origin = self.cors.allowed(request.headers());
        let mut response = match (checked, request.method()) {
            (Err(refused), _) => *refused,
            (Ok(_), &Method::OPTIONS) => preflight(place.methods(), origin.is_some()),
            (Ok(sender), method) => {
                let route = place.route_or_first(method);
                if let Some(mut pass) = sender.pass {
                    // What somebody with a key may see is not for a cache that everybody shares.
                    pass.is_of_key = has_credentials(request.headers());
                    pass.is_public &= !pass.is_of_key;
                    request.extensions_mut().insert(pass);
                }
                self.authorized(Some(route), sender, request).await.unwrap_or_else(|refused| *refused)
            }
        };
        self.cors.mark(&mut response, origin);
        Ok(response)
    }

    async fn authorized(
        &self,
        route: Option<&Route<MethodRouter>>,
        sender: Sender,
        request: Request,
    ) -> Answered {
        if route.is_some_and(|route| route.access != Access::Anyone) {
            self.check_key(sender, request.headers())?;
        }
        // Before any of the body is read.
        self.worker.check_webhook(&request)?;
        let limits = route.map(|route| route.limits).unwrap_or_default();
        let throttle = || self.worker.metrics().add(Metric::Throttles, 1);
        let permit = self.room.try_acquire();
        let has_room = permit.is_ok();
        let admission = admission::Admission {
            api: &self.settings.api,
            bodies: &self.bodies,
            has_room: &|| has_room,
            count_throttled: &throttle,
        };
        Box::pin(admission::admit(&admission, limits, request, |request| routed(&self.router, request))).await
    }

    /// Programs of this machine need no key, nor does anybody where the operator has opened a port without keys, nor for
    /// what `api.public` allows.
    fn check_key(&self, sender: Sender, headers: &HeaderMap) -> Result<(), Box<Response>> {
        let Sender { client, pass } = sender;
        let is_public = pass.is_some_and(|pass| pass.is_public) && !has_credentials(headers);
        if is_public || client.is_trusted || client.is_guest || self.keys.principal(headers).is_some() {
            return Ok(());
        }
        self.keys.count_wrong(client, headers).map_err(|error| {
            retry_later(message(StatusCode::TOO_MANY_REQUESTS, error.to_string()), error.0)
        })?;
        if pass.is_some() && self.gate.asks_for_signatures() {
            return Err(Box::new(wrong_signature()));
        }
        let words = match self.settings.api.keys.is_empty() {
            // API Gateway's.
            false => "Forbidden",
            true => {
                "requests need an API key here, and the settings have none: add an [[api.key]] and send it as X-Api-Key"
            }
        };
        Err(Box::new(message(StatusCode::FORBIDDEN, words)))
    }
}

impl hyper::service::Service<http::Request<Incoming>> for WorkerPort {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        // A client that waits for 100 Continue has sent no body that would have to be read.
        let waits = request.headers().contains_key(header::EXPECT);
        let request =
            request.map(|body| if waits { DrainOnDrop::disabled(body) } else { DrainOnDrop::new(body) });
        let port = self.0.clone();
        Box::pin(request_id::serve(RequestId::new(), async move { Ok(port.answer(request).await) }))
    }
}
