//! The route table of the HTTP port: one row a route, with everything a host needs to know of it. Routers, admission,
//! cross-origin answers, the names that requests are counted under and the description are built from it.

use axum::{
    Router,
    http::{HeaderValue, Method},
    routing::{MethodFilter, MethodRouter, any},
};
use utoipa::openapi::OpenApi;

use crate::cors::unknown;

/// Where a route is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoutePath {
    /// Below the API's resource, `/{stage}/{resource}`; empty: the resource itself.
    Resource(&'static str),
    /// A path of its own.
    Root(&'static str),
}

impl RoutePath {
    /// The whole path, in axum's syntax; `resource` is the API's.
    #[must_use]
    pub fn below(self, resource: &str) -> String {
        match self {
            Self::Resource(path) => format!("{resource}{path}"),
            Self::Root(path) => path.to_owned(),
        }
    }
}

/// Who is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Whoever reaches the port.
    Anyone,
    /// Who sends an API key or the root key, and programs of this machine where it is trusted.
    ApiKey,
    /// Who is logged in at the console or sends the root key and may do this, and programs of this machine where it is
    /// trusted.
    Login(Permission),
}

/// What a route of the console needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// It only shows.
    Read,
    /// It stores images.
    Write,
    /// It changes what the server does or has stored.
    Admin,
    /// It changes who may do what.
    Keys,
}

/// What a body may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyLimit {
    /// A form: 1 MiB, read whole before the handler begins.
    #[default]
    Form,
    /// An image: the setting `api.max_body`, read whole before the handler begins.
    Image,
    /// The handler reads it from the connection and bounds it.
    Streamed,
}

impl BodyLimit {
    /// Bytes of the longest form; the longest names 10,000 dead letters.
    pub const FORM: u64 = 1 << 20;
}

/// What a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RouteLimits {
    /// What its body may have.
    pub body: BodyLimit,
    /// Whether it is answered 504 after the setting `api.timeout_s`.
    pub is_timed: bool,
    /// Whether it waits for a worker, so that it is refused while too many do.
    pub needs_worker: bool,
}

/// One route: a method at a path. `H` is what answers it. GET answers HEAD, too, where HEAD has no row.
#[derive(Debug, Clone)]
pub struct Route<H> {
    /// Its method.
    pub method: Method,
    /// Its path.
    pub path: RoutePath,
    /// What answers it.
    pub handler: H,
    /// The name of its path in metrics; `None`: the path.
    pub metric: Option<&'static str>,
    /// Who is answered.
    pub access: Access,
    /// What a request may take.
    pub limits: RouteLimits,
    /// Whether the host may cache its answers.
    pub is_cached: bool,
    /// Whether it answers an image, which needs no key where the setting `api.public` says so.
    pub is_image: bool,
    /// Whether its requests are in the access log.
    pub is_logged: bool,
    /// Whether pages of other sites may link to it where no credentials are needed.
    pub is_linkable: bool,
    /// Its part of the description; `None`: it has none.
    pub description: Option<fn() -> OpenApi>,
}

impl<H> Route<H> {
    /// A route with a short body and nothing more.
    #[must_use]
    pub const fn new(method: Method, path: RoutePath, access: Access, handler: H) -> Self {
        Self {
            method,
            path,
            handler,
            metric: None,
            access,
            limits: RouteLimits { body: BodyLimit::Form, is_timed: false, needs_worker: false },
            is_cached: false,
            is_image: false,
            is_logged: true,
            is_linkable: false,
            description: None,
        }
    }

    /// The same, answered by something else.
    pub fn map<B>(self, with: impl FnOnce(H) -> B) -> Route<B> {
        Route {
            method: self.method,
            path: self.path,
            handler: with(self.handler),
            metric: self.metric,
            access: self.access,
            limits: self.limits,
            is_cached: self.is_cached,
            is_image: self.is_image,
            is_logged: self.is_logged,
            is_linkable: self.is_linkable,
            description: self.description,
        }
    }
}

/// The routes of one path.
#[derive(Debug, Clone)]
pub struct Place<H> {
    path: String,
    routes: Vec<Route<H>>,
    methods: HeaderValue,
}

impl<H> Place<H> {
    /// The name of the path in metrics.
    #[must_use]
    pub fn metric(&self) -> &str {
        self.routes.iter().find_map(|route| route.metric).unwrap_or(&self.path)
    }

    /// The path, in axum's syntax.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The route of a method, if there is one.
    pub fn route(&self, method: &Method) -> Option<&Route<H>> {
        let of = |method: &Method| self.routes.iter().find(|route| route.method == method);
        of(method).or_else(|| if method == Method::HEAD { of(&Method::GET) } else { None })
    }

    /// The route of a method, or the first: what holds of a request that is refused for its method.
    pub fn route_or_first(&self, method: &Method) -> &Route<H> {
        self.route(method).unwrap_or(&self.routes[0])
    }

    /// Whether the routes are the API's, which need an API key.
    pub fn is_of_api(&self) -> bool {
        self.routes[0].access == Access::ApiKey
    }

    /// The methods there are, with OPTIONS, as `Allow` lists them.
    pub fn methods(&self) -> HeaderValue {
        self.methods.clone()
    }
}

/// Routes, found by path and method.
#[derive(Debug, Clone)]
pub struct RouteTable<H> {
    places: Vec<Place<H>>,
    by_path: matchit::Router<usize>,
}

impl<H> RouteTable<H> {
    /// The table of these routes, the API's first; `resource` is its path.
    ///
    /// # Panics
    /// Two paths contradict each other: a fault of the program.
    pub fn new(resource: &str, routes: impl IntoIterator<Item = Route<H>>) -> Self {
        let mut table = Self { places: Vec::new(), by_path: matchit::Router::new() };
        for route in routes {
            let path = route.path.below(resource);
            let known = table.places.iter_mut().find(|place| place.path == path);
            if let Some(place) = known {
                // The settings may give the API a path that the console has, too: the first one has it.
                if place.is_of_api() == (route.access == Access::ApiKey) {
                    place.routes.push(route);
                }
                continue;
            }
            let inserted = table.by_path.insert(path.clone(), table.places.len());
            assert!(inserted.is_ok(), "{path}: {inserted:?}");
            table.places.push(Place { path, routes: vec![route], methods: HeaderValue::from_static("") });
        }
        for place in &mut table.places {
            let mut methods: Vec<&str> = place.routes.iter().map(|route| route.method.as_str()).collect();
            if methods.contains(&"GET") {
                methods.push("HEAD");
            }
            methods.push("OPTIONS");
            methods.sort_unstable();
            methods.dedup();
            place.methods =
                HeaderValue::from_str(&methods.join(",")).unwrap_or_else(|_| HeaderValue::from_static(""));
        }
        table
    }

    /// The index of a path's place among [`Self::places`], if a route is there.
    pub fn find(&self, path: &str) -> Option<usize> {
        self.by_path.at(path).ok().map(|found| *found.value)
    }

    /// The place of a path, if a route is there.
    pub fn at(&self, path: &str) -> Option<&Place<H>> {
        self.find(path).map(|index| &self.places[index])
    }

    /// All of them.
    pub fn places(&self) -> &[Place<H>] {
        &self.places
    }

    /// All routes.
    pub fn routes(&self) -> impl Iterator<Item = &Route<H>> {
        self.places.iter().flat_map(|place| &place.routes)
    }
}

impl RouteTable<MethodRouter> {
    /// The router of these routes. A method that is not there is refused; what else is not there is the caller's.
    ///
    /// # Panics
    /// A row has a method that axum does not know: a fault of the program.
    pub fn router(&self) -> Router {
        let mut router = Router::new();
        for place in &self.places {
            let start = match place.routes[0].path {
                // API Gateway does not name the methods that there are.
                RoutePath::Resource(_) => any(unknown),
                RoutePath::Root(_) => MethodRouter::new(),
            };
            let methods = place.routes.iter().fold(start, |methods, route| {
                // Access is checked by the row: no other method may reach its handler.
                let method = MethodFilter::try_from(route.method.clone()).expect("a method that axum knows");
                methods.on_service(method, route.handler.clone())
            });
            router = router.route(&place.path, methods);
        }
        router.method_not_allowed_fallback(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: Method, path: RoutePath) -> Route<u8> {
        Route::new(method, path, Access::ApiKey, 0)
    }

    #[test]
    fn routes_are_found_by_path_and_method() {
        let table = RouteTable::new(
            "/dev1/myimage",
            [
                route(Method::GET, RoutePath::Resource("")),
                route(Method::POST, RoutePath::Resource("")),
                route(Method::POST, RoutePath::Resource("/uploads")),
                route(Method::GET, RoutePath::Resource("/{preset}/{*key}")),
                Route { metric: Some("/page/"), ..route(Method::GET, RoutePath::Root("/page/script.js")) },
            ],
        );
        let found = |path: &str| table.at(path).map(|place| (place.metric(), place.methods()));
        let list = |methods| HeaderValue::from_static(methods);
        assert_eq!(found("/dev1/myimage"), Some(("/dev1/myimage", list("GET,HEAD,OPTIONS,POST"))));
        assert_eq!(found("/dev1/myimage/uploads"), Some(("/dev1/myimage/uploads", list("OPTIONS,POST"))));
        assert_eq!(
            found("/dev1/myimage/card/a/b.jpg").map(|(metric, _)| metric),
            Some("/dev1/myimage/{preset}/{*key}")
        );
        assert_eq!(found("/page/script.js").map(|(metric, _)| metric), Some("/page/"));
        for path in ["/", "/dev1", "/dev1/myimage/", "/dev1/myimage/other", "/page/other", "dev1/myimage"] {
            assert_eq!(found(path), None, "{path}");
        }
        let page =
            Route::new(Method::GET, RoutePath::Root("/metrics/query"), Access::Login(Permission::Read), 1);
        let hidden = RouteTable::new("/metrics/query", [route(Method::POST, RoutePath::Resource("")), page]);
        let place = hidden.at("/metrics/query").unwrap();
        assert!(place.is_of_api() && place.route(&Method::GET).is_none());
        let place = table.at("/dev1/myimage").unwrap();
        assert_eq!(place.route(&Method::HEAD).map(|route| &route.method), Some(&Method::GET));
        assert!(place.route(&Method::PUT).is_none());
        assert_eq!(place.route_or_first(&Method::PUT).method, Method::GET);
    }
}
