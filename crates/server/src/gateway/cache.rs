//! Answers to GET, kept for a while in bounded memory. As API Gateway's cache, except that nothing stale is
//! ever served: an answer holds for as long as its source has the version it was made from.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use lru::LruCache;
use tintype_api::{SourceTag, is_unchanged};
use tintype_function::settings::Api;

use super::Gateway;
use crate::{ledger::LedgerError, store::DiskStore};

/// The largest answer kept: API Gateway's own bound.
const LARGEST: usize = 1 << 20;
/// What an entry takes beside its body, roughly.
const OVERHEAD: usize = 1024;

/// What an answer depends on.
type Question = (String, Vec<u8>);

/// The answers kept.
#[derive(Debug)]
pub(super) struct Cache {
    ttl: Duration,
    most_bytes: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    answers: LruCache<Question, Answer>,
    bytes: usize,
}

#[derive(Debug, Clone)]
struct Answer {
    headers: HeaderMap,
    body: Bytes,
    source: SourceTag,
    /// The ledger's number of changes when the source was last known to have this version.
    seen: u64,
    until: Instant,
}

impl Answer {
    fn weight(&self, question: &Question) -> usize {
        self.body.len() + question.0.len() + question.1.len() + OVERHEAD
    }
}

impl Cache {
    pub(super) fn new(api: &Api) -> Self {
        Self {
            ttl: Duration::from_secs(api.cache_ttl_s.into()),
            most_bytes: usize::try_from(api.cache_bytes).unwrap_or(usize::MAX),
            kept: Mutex::new(Kept { answers: LruCache::unbounded(), bytes: 0 }),
        }
    }

    fn is_off(&self) -> bool {
        self.ttl.is_zero() || self.most_bytes == 0
    }

    fn look(&self, question: &Question, now: Instant) -> Option<Answer> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = kept.answers.get(question)?;
        if answer.until > now {
            return Some(answer.clone());
        }
        kept.remove(question);
        None
    }

    fn keep(&self, question: Question, answer: Answer) {
        let weight = answer.weight(&question);
        if weight > self.most_bytes {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.remove(&question);
        kept.bytes += weight;
        kept.answers.put(question, answer);
        while kept.bytes > self.most_bytes
            && let Some((question, answer)) = kept.answers.pop_lru()
        {
            kept.bytes -= answer.weight(&question);
        }
    }

    fn seen(&self, question: &Question, number: u64) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = kept.answers.peek_mut(question) {
            answer.seen = number;
        }
    }

    fn forget(&self, question: &Question) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(question);
    }
}

impl Kept {
    fn remove(&mut self, question: &Question) {
        if let Some(answer) = self.answers.pop(question) {
            self.bytes -= answer.weight(question);
        }
    }
}

pub(super) async fn answer(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    let inner = &gateway.inner;
    let (cache, store) = (&inner.cache, &inner.parts.store);
    let is_head = *request.method() == Method::HEAD;
    if cache.is_off() || !(is_head || *request.method() == Method::GET) {
        return next.run(request).await;
    }
    let question = question(&request);
    if let Some(kept) = cache.look(&question, Instant::now()) {
        let number = store.ledger().changes();
        if kept.seen == number {
            return told(&kept, request.headers(), is_head);
        }
        let (store, source) = (store.clone(), kept.source.clone());
        let still = tokio::task::spawn_blocking(move || is_current(&store, &source)).await;
        if matches!(still, Ok(Ok(true))) {
            cache.seen(&question, number);
            return told(&kept, request.headers(), is_head);
        }
        cache.forget(&question);
    }
    // Asked for before the answer is made: what changes meanwhile makes it be looked at again.
    let number = store.ledger().changes();
    let response = next.run(request).await;
    if is_head || response.status() != StatusCode::OK {
        return response;
    }
    let Some(source) = response.extensions().get::<SourceTag>().cloned() else { return response };
    let (head, body) = response.into_parts();
    let small = axum::body::HttpBody::size_hint(&body).upper().is_some_and(|bytes| bytes <= LARGEST as u64);
    if !small {
        return Response::from_parts(head, body);
    }
    // The routes answer from memory: this neither waits nor fails.
    let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
        return Response::from_parts(head, Body::empty());
    };
    let until = Instant::now() + cache.ttl;
    let answer = Answer { headers: head.headers.clone(), body: body.clone(), source, seen: number, until };
    cache.keep(question, answer);
    Response::from_parts(head, Body::from(body))
}

fn question(request: &Request) -> Question {
    let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let accept: Vec<_> =
        request.headers().get_all(header::ACCEPT).iter().map(http::HeaderValue::as_bytes).collect();
    (target, accept.join(&b','))
}

fn is_current(store: &DiskStore, source: &SourceTag) -> Result<bool, LedgerError> {
    let object = store.ledger().view()?.object(&source.at)?;
    Ok(object.is_some_and(|object| *object.etag == *source.etag))
}

fn told(kept: &Answer, asked: &HeaderMap, is_head: bool) -> Response {
    let tag = kept.headers.get(header::ETAG).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let modified = kept.headers.get(header::LAST_MODIFIED).and_then(|value| value.to_str().ok());
    let is_unchanged = is_unchanged(asked, tag, modified.and_then(tintype_api::seconds_of));
    let mut response = Response::new(match is_head || is_unchanged {
        true => Body::empty(),
        false => Body::from(kept.body.clone()),
    });
    *response.headers_mut() = kept.headers.clone();
    if is_unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tintype_function::{Location, ObjectKey, Settings, settings::Sources};

    fn cache(most: u64) -> Cache {
        let mut api = Settings::load(Sources::default()).unwrap().api;
        api.cache_bytes = most;
        Cache::new(&api)
    }

    fn answer(bytes: usize, until: Instant) -> Answer {
        let key = ObjectKey::new("a.jpg").unwrap();
        let at = Arc::new(Location { bucket: "in".into(), key });
        let source = SourceTag { at, etag: "1".into() };
        Answer { headers: HeaderMap::new(), body: vec![0; bytes].into(), source, seen: 0, until }
    }

    fn asked(number: usize) -> Question {
        (format!("/{number}"), Vec::new())
    }

    #[test]
    fn memory_is_bounded_and_what_was_asked_for_least_recently_goes_first() {
        let now = Instant::now();
        let until = now + Duration::from_secs(1);
        let cache = cache(100_000);
        for number in 0..50 {
            cache.keep(asked(number), answer(10_000, until));
            assert!(cache.look(&asked(0), now).is_some());
            assert!(cache.kept.lock().unwrap().bytes <= 100_000);
        }
        assert!(cache.look(&asked(1), now).is_none());
        assert!(cache.look(&asked(49), now).is_some());
        cache.keep(asked(99), answer(200_000, until));
        assert!(cache.look(&asked(99), now).is_none());
    }

    #[test]
    fn an_entry_weighs_more_than_its_body() {
        let now = Instant::now();
        let until = now + Duration::from_secs(1);
        let cache = cache(100_000);
        // Answers without bytes to questions without end: keys and `Accept` may be long.
        for number in 0..1000 {
            let question = (format!("/{number:04}?{}", "k".repeat(3000)), vec![b'a'; 2000]);
            cache.keep(question, answer(0, until));
        }
        let kept = cache.kept.lock().unwrap();
        assert_eq!((kept.answers.len(), kept.bytes), (16, 16 * (3006 + 2000 + OVERHEAD)));
    }

    #[test]
    fn an_answer_ends_with_its_time_and_gives_its_memory_back() {
        let now = Instant::now();
        let cache = cache(100_000);
        cache.keep(asked(1), answer(10, now + Duration::from_secs(1)));
        cache.keep(asked(1), answer(20, now + Duration::from_secs(1)));
        assert_eq!(cache.look(&asked(1), now).unwrap().body.len(), 20);
        assert!(cache.look(&asked(1), now + Duration::from_secs(1)).is_none());
        assert_eq!(cache.kept.lock().unwrap().bytes, 0);
    }
}
