//! Answers to GET, kept for a while in bounded memory. As API HttpApi's cache, except that nothing stale is
//! ever served: an answer holds for as long as its source has the version it was made from.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
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
use tintype_api::{SourceTag, is_unchanged, seconds_of};

use crate::storage::{Storage, StoreFault};

/// The largest answer kept: API HttpApi's own bound.
const LARGEST: usize = 1 << 20;
/// What an entry takes beside its body, roughly.
const OVERHEAD: usize = 1024;

/// What an answer depends on: target and `Accept`, a line each.
type Question = Vec<u8>;

/// A request whose answer may be kept.
#[derive(Debug)]
pub(super) struct Asked {
    question: Question,
    is_head: bool,
    /// The ledger's number of changes before the answer was made: what changes meanwhile makes it be looked at
    /// again.
    number: u64,
}

/// The answers kept.
#[derive(Debug)]
pub(super) struct Cache {
    ttl: Duration,
    most_bytes: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    answers: LruCache<Question, Arc<Answer>>,
    bytes: usize,
}

#[derive(Debug)]
struct Answer {
    headers: HeaderMap,
    modified_s: Option<i64>,
    body: Bytes,
    source: SourceTag,
    /// The ledger's number of changes when the source was last known to have this version.
    seen: AtomicU64,
    until: Instant,
}

impl Answer {
    fn weight(&self, question: &Question) -> usize {
        self.body.len() + question.len() + OVERHEAD
    }

    fn told(&self, to: &HeaderMap, is_head: bool) -> Response {
        let tag = self.headers.get(header::ETAG).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_unchanged = is_unchanged(to, tag, self.modified_s);
        let mut response = Response::new(match is_head || is_unchanged {
            true => Body::empty(),
            false => Body::from(self.body.clone()),
        });
        *response.headers_mut() = self.headers.clone();
        if is_unchanged {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response.headers_mut().remove(header::CONTENT_LENGTH);
            response.headers_mut().remove(header::CONTENT_TYPE);
        }
        response
    }
}

impl Cache {
    pub(super) fn new(api: &ApiSettings) -> Self {
        Self {
            ttl: Duration::from_secs(api.cache_ttl_s.into()),
            most_bytes: usize::try_from(api.cache_bytes).unwrap_or(usize::MAX),
            kept: Mutex::new(Kept { answers: LruCache::unbounded(), bytes: 0 }),
        }
    }

    /// The cache under the settings before with what it keeps, if answers are the same under these; otherwise a new one.
    pub(super) fn continued(api: &ApiSettings, before: Option<(&ApiSettings, &Arc<Self>)>) -> Arc<Self> {
        // Answers tell how long they may be kept and by whom, and the bounds end sides that are left open.
        let tells = |api: &ApiSettings| {
            (api.cache_ttl_s, api.cache_bytes, api.keys.is_empty(), api.max_side, api.max_quality)
        };
        match before {
            Some((of, before)) if tells(of) == tells(api) => before.clone(),
            _ => Arc::new(Self::new(api)),
        }
    }

    /// What a request asks for, if its answer may be kept.
    pub(super) fn asked<B>(&self, request: &Request<B>, store: &Storage) -> Option<Asked> {
        let is_head = *request.method() == Method::HEAD;
        if self.ttl.is_zero() || self.most_bytes == 0 || !(is_head || *request.method() == Method::GET) {
            return None;
        }
        Some(Asked { question: question(request), is_head, number: store.changes() })
    }

    /// The answer that is kept, if it is still right.
    pub(super) async fn answer(
        &self,
        asked: &Asked,
        headers: &HeaderMap,
        store: &Arc<Storage>,
    ) -> Option<Response> {
        let kept = self.look(&asked.question, Instant::now())?;
        if kept.seen.load(Ordering::Relaxed) != asked.number {
            let (store, source) = (store.clone(), kept.source.clone());
            let still = tokio::task::spawn_blocking(move || is_current(&store, &source)).await;
            if !matches!(still, Ok(Ok(true))) {
                self.forget(&asked.question);
                return None;
            }
            kept.seen.store(asked.number, Ordering::Relaxed);
        }
        Some(kept.told(headers, asked.is_head))
    }

    /// Keeps an answer, if it is one to keep; answers it.
    pub(super) async fn keep(&self, asked: Asked, response: Response) -> Response {
        if asked.is_head || response.status() != StatusCode::OK {
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
            modified_s: modified.and_then(seconds_of),
            headers: head.headers.clone(),
            body: body.clone(),
            source,
            seen: asked.number.into(),
            until: Instant::now() + self.ttl,
        };
        self.put(asked.question, answer);
        Response::from_parts(head, Body::from(body))
    }

    fn look(&self, question: &Question, now: Instant) -> Option<Arc<Answer>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = kept.answers.get(question)?;
        if answer.until > now {
            return Some(answer.clone());
        }
        kept.remove(question);
        None
    }

    fn put(&self, question: Question, answer: Answer) {
        let weight = answer.weight(&question);
        if weight > self.most_bytes {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.remove(&question);
        kept.bytes += weight;
        kept.answers.put(question, Arc::new(answer));
        while kept.bytes > self.most_bytes
            && let Some((question, answer)) = kept.answers.pop_lru()
        {
            kept.bytes -= answer.weight(&question);
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

fn question<B>(request: &Request<B>) -> Question {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let accept = request.headers().get_all(header::ACCEPT);
    let accepted: usize = accept.iter().map(|value| value.len() + 1).sum();
    let length = path.len() + query.len() + accepted + 2;
    let mut question = Vec::with_capacity(length);
    question.extend_from_slice(path.as_bytes());
    question.push(b'?');
    question.extend_from_slice(query.as_bytes());
    question.push(b'\n');
    for value in accept {
        question.extend_from_slice(value.as_bytes());
        question.push(b',');
    }
    question
}

fn is_current(store: &Storage, source: &SourceTag) -> Result<bool, StoreFault> {
    match store.objects.head(&source.at) {
        Ok(object) => Ok(object.is_some_and(|object| *object.etag == *source.etag)),
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

    fn answer(bytes: usize, until: Instant) -> Answer {
        let key = ObjectKey::new("a.jpg").unwrap();
        let at = Arc::new(Location { bucket: "in".into(), key });
        let source = SourceTag { at, etag: "1".into() };
        let (headers, body) = (HeaderMap::new(), vec![0; bytes].into());
        Answer { headers, modified_s: None, body, source, seen: 0.into(), until }
    }

    fn asked(number: usize) -> Question {
        format!("/{number}").into_bytes()
    }

    #[test]
    fn memory_is_bounded_and_what_was_asked_for_least_recently_goes_first() {
        let now = Instant::now();
        let until = now + Duration::from_secs(1);
        let cache = cache(100_000);
        for number in 0..50 {
            cache.put(asked(number), answer(10_000, until));
            assert!(cache.look(&asked(0), now).is_some());
            assert!(cache.kept.lock().unwrap().bytes <= 100_000);
        }
        assert!(cache.look(&asked(1), now).is_none());
        assert!(cache.look(&asked(49), now).is_some());
        cache.put(asked(99), answer(200_000, until));
        assert!(cache.look(&asked(99), now).is_none());
    }

    #[test]
    fn answers_are_kept_across_settings_that_do_not_change_them() {
        let api = Settings::load(Sources::default()).unwrap().api;
        let (now, before) = (Instant::now(), Arc::new(cache(api.cache_bytes)));
        before.put(asked(1), answer(10, now + Duration::from_secs(1)));
        let keeps = |api: &ApiSettings, of: &ApiSettings| {
            Cache::continued(api, Some((of, &before))).look(&asked(1), now).is_some()
        };
        let mut rated = api.clone();
        rated.rate += 1;
        assert!(keeps(&rated, &api));
        let mut shorter = api.clone();
        shorter.cache_ttl_s += 1;
        assert!(!keeps(&shorter, &api));
    }

    #[test]
    fn an_entry_weighs_more_than_its_body() {
        let now = Instant::now();
        let until = now + Duration::from_secs(1);
        let cache = cache(100_000);
        // Answers without bytes to questions without end: keys and `Accept` may be long.
        for number in 0..1000 {
            let question = format!("/{number:04}?{}\n{}", "k".repeat(3000), "a".repeat(2000));
            cache.put(question.into_bytes(), answer(0, until));
        }
        let kept = cache.kept.lock().unwrap();
        assert_eq!((kept.answers.len(), kept.bytes), (16, 16 * (3006 + 2001 + OVERHEAD)));
    }

    #[test]
    fn an_answer_ends_with_its_time_and_gives_its_memory_back() {
        let now = Instant::now();
        let cache = cache(100_000);
        cache.put(asked(1), answer(10, now + Duration::from_secs(1)));
        cache.put(asked(1), answer(20, now + Duration::from_secs(1)));
        assert_eq!(cache.look(&asked(1), now).unwrap().body.len(), 20);
        assert!(cache.look(&asked(1), now + Duration::from_secs(1)).is_none());
        assert_eq!(cache.kept.lock().unwrap().bytes, 0);
    }
}
