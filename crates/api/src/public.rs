//! What needs no key: the setting `api.public`, and what a request for an image asks of it.

use std::{fmt, str::FromStr, sync::Arc};

use axum::{
    Router, extract,
    http::{HeaderMap, Method, Request, StatusCode},
    middleware::{self, Next},
};
use sha2::{Digest as _, Sha256};
use tintype_pipeline::{clock::now_ms, spelling};

use crate::{
    answer::message,
    query::{Pairs, preset_path},
    route_table::RouteTable,
    routes,
    settings::{ApiSettings, SigningKey},
    signed_url::{EXPIRES, SIGNATURE, verified},
};

/// What GET and HEAD of images may do without a key; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Public {
    /// Nothing.
    #[default]
    None,
    /// Answer presets.
    Presets,
    /// Answer what a signed URL names.
    Signed,
    /// Answer any rendition.
    All,
}

impl Public {
    /// The names in settings, in the order of the values.
    pub const NAMES: [&str; 4] = ["none", "presets", "signed", "all"];
}

impl FromStr for Public {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "presets" => Ok(Self::Presets),
            "signed" => Ok(Self::Signed),
            "all" => Ok(Self::All),
            _ => {
                let nearest = spelling::nearest(text, Self::NAMES).unwrap_or_default();
                let names = Self::NAMES.join(", ");
                Err(format!("\"{text}\" is not one of {names}; did you mean \"{nearest}\"?"))
            }
        }
    }
}

impl fmt::Display for Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMES[*self as usize])
    }
}

/// What is known of a request for an image before it is known who sends it: an extension of the request, without which
/// it is not public.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pass {
    /// Whether it needs no key.
    pub is_public: bool,
    /// Whether it is answered to somebody with credentials. Caches in front need not know that these are some.
    pub is_of_key: bool,
    /// When its signed URL expires, in seconds since 1970.
    pub(crate) expires_s: Option<i64>,
}

impl Pass {
    /// Whether its URL is signed, and so answered for a while only.
    #[must_use]
    pub const fn is_signed(&self) -> bool {
        self.expires_s.is_some()
    }
}

/// A URL has a signature that is wrong or expired, or lacks a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongSignature;

impl WrongSignature {
    /// What is answered with 403: the same for every cause, and where a signature is missing.
    pub const MESSAGE: &str = "the URL is not signed, or its signature is wrong or expired: sign it again, for example with \
                               \"tintype url\", or send a key";
}

/// Decides what needs no key, under one version of the settings; cheap to clone.
#[derive(Debug, Clone)]
pub struct Gate {
    public: Public,
    signing_keys: Arc<[SigningKey]>,
    /// The path of the resource.
    resource: Arc<str>,
}

impl Gate {
    /// Under these settings.
    #[must_use]
    pub fn new(api: &ApiSettings) -> Self {
        Self {
            public: api.public,
            signing_keys: api.signing_keys.clone().into(),
            resource: api.path().into(),
        }
    }

    /// Whether images of any size are answered by signed URL, and not all of them without.
    #[must_use]
    pub fn asks_for_signatures(&self) -> bool {
        self.public == Public::Signed
    }

    /// Verifies the signature of a request for an image, if it has one, and decides whether it needs a key.
    ///
    /// # Errors
    /// The signature is wrong or expired, whoever sends it: nothing acts on it.
    pub fn pass<B>(&self, request: &Request<B>) -> Result<Pass, WrongSignature> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Ok(Pass::default());
        }
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        // What is no query is the handler's to refuse.
        let pairs = Pairs::parse(query).unwrap_or_default();
        if pairs.has(SIGNATURE) || pairs.has(EXPIRES) {
            let now_s = now_ms().div_euclid(1000);
            let expires_s = verified(path, query, &self.signing_keys, now_s).ok_or(WrongSignature)?;
            let is_preset = self.names_preset(path, &pairs);
            let is_public = self.public >= Public::Signed || is_preset && self.public >= Public::Presets;
            return Ok(Pass { is_public, expires_s: Some(expires_s), ..Pass::default() });
        }
        let is_public = match self.public {
            Public::None => false,
            Public::Presets | Public::Signed => self.names_preset(path, &pairs),
            Public::All => true,
        };
        Ok(Pass { is_public, ..Pass::default() })
    }

    fn names_preset(&self, path: &str, pairs: &Pairs) -> bool {
        preset_path(path, &self.resource).is_some() || pairs.has("preset")
    }
}

/// An extension of requests whose sender a gateway has authenticated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Authenticated;

/// Enforces `api.public` where a gateway decides who else may call: it must let GET through for what is public, so that
/// everything that is not needs a key here, the gateway's or one of the settings. Where nothing is public, the gateway
/// alone decides, and signatures are verified all the same.
pub(crate) fn gated(router: Router, api: &ApiSettings) -> Router {
    let gate = Gate::new(api);
    let table = Arc::new(RouteTable::new(&api.path(), routes::rows()));
    let keys: Arc<[[u8; 32]]> = api.keys.iter().map(|key| Sha256::digest(&key.key).into()).collect();
    router.layer(middleware::from_fn(move |mut request: extract::Request, next: Next| {
        let (gate, table, keys) = (gate.clone(), table.clone(), keys.clone());
        async move {
            let route = table.at(request.uri().path()).and_then(|place| place.route(request.method()));
            let is_image = route.is_some_and(|route| route.is_image);
            let forbidden = |words| message(StatusCode::FORBIDDEN, words);
            let pass = match is_image.then(|| gate.pass(&request)).transpose() {
                Ok(pass) => pass.unwrap_or_default(),
                Err(WrongSignature) => return forbidden(WrongSignature::MESSAGE),
            };
            let is_authenticated = request.extensions().get::<Authenticated>().is_some();
            let needs_key = gate.public != Public::None && !pass.is_public && !is_authenticated;
            if needs_key && !has_key(request.headers(), &keys) {
                return match is_image && gate.asks_for_signatures() {
                    true => forbidden(WrongSignature::MESSAGE),
                    // API Gateway's.
                    false => forbidden("Forbidden"),
                };
            }
            request.extensions_mut().insert(pass);
            next.run(request).await
        }
    }))
}

/// Whether a request was sent with a key of the settings; by digests, so that the time depends on no secret.
fn has_key(headers: &HeaderMap, keys: &[[u8; 32]]) -> bool {
    let sent = headers.get("x-api-key").map(|key| <[u8; 32]>::from(Sha256::digest(key.as_bytes())));
    sent.is_some_and(|sent| keys.contains(&sent))
}
