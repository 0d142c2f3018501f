//! Answers to GET, cached for a while in bounded memory. As API Gateway's cache, except that nothing stale is
//! ever served: an answer is valid for as long as its source has the version it was rendered from.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use lru::LruCache;
use tintype_api::settings::ApiSettings;
use tintype_api::{Pass, SourceTag, is_unchanged, modified_s, seconds_of, set_body};
use tintype_pipeline::trigger::find_trigger;

use crate::{
    auth::{Action, Caller, Principal},
    storage::{Storage, StoreFault},
};

/// The largest answer that is cached: API Gateway's own bound.
const LARGEST: usize = 1 << 20;
/// Bytes of an entry beside its body, roughly.
const OVERHEAD: usize = 1024;

/// What an answer depends on: target and `Accept`, a line each.
type CacheKey = Vec<u8>;

/// A request whose answer may be cached.
#[derive(Debug)]
pub(super) struct Lookup {
    key: CacheKey,
    is_head: bool,
    /// The ledger's number of changes before the answer was rendered: after a change since then it is validated again.
    number: u64,
}

/// The cached answers.
#[derive(Debug)]
pub(super) struct Cache {
    ttl: Duration,
    max_bytes: usize,
    entries: Mutex<Entries>,
}

#[derive(Debug)]
struct Entries {
    answers: LruCache<CacheKey, Arc<Answer>>,
    bytes: usize,
}

#[derive(Debug)]
struct Answer {
    headers: HeaderMap,
    modified_s: Option<i64>,
    body: Bytes,
    source: SourceTag,
    /// The ledger's number of changes when the source was last known to have this version.
    validated: AtomicU64,
    expires: Instant,
}

impl Answer {
    fn weight(&self, key: &CacheKey) -> usize {
        self.body.len() + key.len() + OVERHEAD
    }

    /// The response to a request with these headers.
    fn response(&self, request: &HeaderMap, is_head: bool) -> Response {
        let tag = self.headers.get(header::ETAG).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_unchanged = is_unchanged(request, tag, self.modified_s);
        let mut response = Response::new(Body::empty());
        *response.headers_mut() = self.headers.clone();
        if is_unchanged {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            for name in [header::CONTENT_LENGTH, header::CONTENT_TYPE, header::CONTENT_DISPOSITION] {
                response.headers_mut().remove(name);
            }
            response.headers_mut().remove(header::ACCEPT_RANGES);
            return response;
        }
        match is_head {
            true => response,
            false => set_body(response, request, &self.body),
        }
    }
}

impl Cache {
    pub(super) fn new(api: &ApiSettings) -> Self {
        Self {
            ttl: Duration::from_secs(api.cache_ttl_s.into()),
            max_bytes: usize::try_from(api.cache_bytes).unwrap_or(usize::MAX),
            entries: Mutex::new(Entries { answers: LruCache::unbounded(), bytes: 0 }),
        }
    }

    /// The cache under the earlier settings with its entries, if answers are the same under these; otherwise a new one.
    pub(super) fn continued(api: &ApiSettings, before: Option<(&ApiSettings, &Arc<Self>)>) -> Arc<Self> {
        // Answers say how long and by whom they may be cached, and the bounds limit sides that are left open.
        let relevant = |api: &ApiSettings| {
            let ages = (api.cache_ttl_s, api.max_age_s, api.stale_while_revalidate_s);
            let bounds = (api.cache_bytes, api.max_side, api.max_quality);
            (ages, bounds, api.keys.is_empty(), api.public, api.presets.clone())
        };
        match before {
            Some((of, before)) if relevant(of) == relevant(api) => before.clone(),
            _ => Arc::new(Self::new(api)),
        }
    }

    /// The lookup of a request, if its answer may be cached.
    pub(super) fn lookup<B>(&self, request: &Request<B>, store: &Storage) -> Option<Lookup> {
        let is_head = *request.method() == Method::HEAD;
        if self.ttl.is_zero() || self.max_bytes == 0 || !(is_head || *request.method() == Method::GET) {
            return None;
        }
        // The answer to a signed URL says how long it may be cached, each second less.
        if request.extensions().get().is_some_and(|pass: &Pass| pass.is_signed()) {
            return None;
        }
        Some(Lookup { key: key(request), is_head, number: store.changes() })
    }

    /// The cached answer, if it is still valid and the caller may read what an answer that is not cached would be read from:
    /// the source, and the stored thumbnail if it is one.
    pub(super) async fn answer(
        &self,
        lookup: &Lookup,
        headers: &HeaderMap,
        store: &Arc<Storage>,
        caller: &Caller,
    ) -> Option<Response> {
        let answer = self.get(&lookup.key, Instant::now())?;
        if caller.principal == Principal::Public {
            let SourceTag { at, thumbnail, .. } = &answer.source;
            for at in [Some(at), thumbnail.as_ref()].into_iter().flatten() {
                caller.authorize(Action::GetObject, &(&**at).into()).ok()?;
            }
        }
        if answer.validated.load(Ordering::Relaxed) != lookup.number {
            let (store, source) = (store.clone(), answer.source.clone());
            let is_valid = tokio::task::spawn_blocking(move || is_current(&store, &source)).await;
            if !matches!(is_valid, Ok(Ok(true))) {
                self.remove(&lookup.key);
                return None;
            }
            answer.validated.store(lookup.number, Ordering::Relaxed);
        }
        Some(answer.response(headers, lookup.is_head))
    }

    /// Caches a response, if it may be cached; returns it.
    pub(super) async fn insert(&self, lookup: Lookup, response: Response) -> Response {
        if lookup.is_head || response.status() != StatusCode::OK {
            return response;
        }
        let Some(source) = response.extensions().get::<SourceTag>().cloned() else { return response };
        let (head, body) = response.into_parts();
        let small =
            axum::body::HttpBody::size_hint(&body).upper().is_some_and(|bytes| bytes <= LARGEST as u64);
        if !small {
            return Response::from_parts(head, body);
        }
        // The routes answer from memory: this neither waits nor fails.
        let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
            return Response::from_parts(head, Body::empty());
        };
        let modified = head.headers.get(header::LAST_MODIFIED).and_then(|value| value.to_str().ok());
        let answer = Answer {
            modified_s: modified.and_then(seconds_of).map(|seconds| modified_s(seconds * 1000)),
            headers: head.headers.clone(),
            body: body.clone(),
            source,
            validated: lookup.number.into(),
            expires: Instant::now() + self.ttl,
        };
        self.put(lookup.key, answer);
        Response::from_parts(head, Body::from(body))
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, key: &CacheKey, now: Instant) -> Option<Arc<Answer>> {
        let mut entries = self.entries();
        let answer = entries.answers.get(key)?;
        if answer.expires > now {
            return Some(answer.clone());
        }
        entries.remove(key);
        None
    }

    fn put(&self, key: CacheKey, answer: Answer) {
        let weight = answer.weight(&key);
        if weight > self.max_bytes {
            return;
        }
        let mut entries = self.entries();
        entries.remove(&key);
        entries.bytes += weight;
        entries.answers.put(key, Arc::new(answer));
        while entries.bytes > self.max_bytes
            && let Some((key, answer)) = entries.answers.pop_lru()
        {
            entries.bytes -= answer.weight(&key);
        }
    }

    fn remove(&self, key: &CacheKey) {
        self.entries().remove(key);
    }
}

impl Entries {
    fn remove(&mut self, key: &CacheKey) {
        if let Some(answer) = self.answers.pop(key) {
            self.bytes -= answer.weight(key);
        }
    }
}

fn key<B>(request: &Request<B>) -> CacheKey {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let accept = request.headers().get_all(header::ACCEPT);
    let accepted: usize = accept.iter().map(|value| value.len() + 1).sum();
    let length = path.len() + query.len() + accepted + 3;
    let mut key = Vec::with_capacity(length);
    // Answers to everybody say other things of who may cache them.
    let pass: Pass = request.extensions().get().copied().unwrap_or_default();
    key.push(u8::from(pass.is_public) | u8::from(pass.is_of_key) << 1);
    key.extend_from_slice(path.as_bytes());
    key.push(b'?');
    key.extend_from_slice(query.as_bytes());
    key.push(b'\n');
    for value in accept {
        key.extend_from_slice(value.as_bytes());
        key.push(b',');
    }
    key
}

fn is_current(store: &Storage, source: &SourceTag) -> Result<bool, StoreFault> {
    // Nothing is answered of a bucket that no trigger watches any more.
    if find_trigger(&store.notifications.triggers(), &source.at.bucket, None).is_none() {
        return Ok(false);
    }
    match store.objects.head(&source.at) {
        Ok(object) => Ok(object
            .is_some_and(|object| *object.etag == *source.etag && object.modified_ms == source.modified_ms)),
        Err(StoreFault::NoSuchBucket(_)) => Ok(false),
        Err(fault) => Err(fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tintype_pipeline::{Location, ObjectKey, settings::Sources};

    use crate::settings::Settings;

    fn cache(most: u64) -> Cache {
        let mut api = Settings::load(Sources::default()).unwrap().api;
        api.cache_bytes = most;
        Cache::new(&api)
    }

    fn answer(bytes: usize, expires: Instant) -> Answer {
        let key = ObjectKey::new("a.jpg").unwrap();
        let at = Arc::new(Location { bucket: "in".into(), key });
        let source = SourceTag { at, etag: "1".into(), modified_ms: 0, thumbnail: None };
        let (headers, body) = (HeaderMap::new(), vec![0; bytes].into());
        Answer { headers, modified_s: None, body, source, validated: 0.into(), expires }
    }

    fn key(number: usize) -> CacheKey {
        format!("/{number}").into_bytes()
    }

    #[test]
    fn memory_is_bounded_and_the_least_recently_used_is_evicted_first() {
        let now = Instant::now();
        let until = now + Duration::from_secs(1);
        let cache = cache(100_000);
        for number in 0..50 {
            cache.put(key(number), answer(10_000, until));
            assert!(cache.get(&key(0), now).is_some());
            assert!(cache.entries().bytes <= 100_000);
        }
        assert!(cache.get(&key(1), now).is_none());
        assert!(cache.get(&key(49), now).is_some());
        cache.put(key(99), answer(200_000, until));
        assert!(cache.get(&key(99), now).is_none());
    }

    #[test]
    fn entries_survive_settings_that_do_not_change_them() {
        let api = Settings::load(Sources::default()).unwrap().api;
        let (now, before) = (Instant::now(), Arc::new(cache(api.cache_bytes)));
        before.put(key(1), answer(10, now + Duration::from_secs(1)));
        let survives = |api: &ApiSettings, of: &ApiSettings| {
            Cache::continued(api, Some((of, &before))).get(&key(1), now).is_some()
        };
        let mut rated = api.clone();
        rated.rate += 1;
        assert!(survives(&rated, &api));
        let mut shorter = api.clone();
        shorter.cache_ttl_s += 1;
        assert!(!survives(&shorter, &api));
    }

    #[test]
    fn an_entry_weighs_more_than_its_body() {
        let now = Instant::now();
        let until = now + Duration::from_secs(1);
        let cache = cache(100_000);
        // Answers without bytes under long keys: object keys and `Accept` may be long.
        for number in 0..1000 {
            let key = format!("/{number:04}?{}\n{}", "k".repeat(3000), "a".repeat(2000));
            cache.put(key.into_bytes(), answer(0, until));
        }
        let entries = cache.entries();
        assert_eq!((entries.answers.len(), entries.bytes), (16, 16 * (3006 + 2001 + OVERHEAD)));
    }

    #[test]
    fn an_expired_answer_is_removed_and_its_memory_freed() {
        let now = Instant::now();
        let cache = cache(100_000);
        cache.put(key(1), answer(10, now + Duration::from_secs(1)));
        cache.put(key(1), answer(20, now + Duration::from_secs(1)));
        assert_eq!(cache.get(&key(1), now).unwrap().body.len(), 20);
        assert!(cache.get(&key(1), now + Duration::from_secs(1)).is_none());
        assert_eq!(cache.entries().bytes, 0);
    }
}
