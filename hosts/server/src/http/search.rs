//! GET of `/search`: images whose key or description holds words. Of this host alone: others have no index.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{RawQuery, State},
    http::{Method, StatusCode},
    response::{IntoResponse as _, Response},
    routing::{MethodRouter, get},
};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use tintype_api::{Access, Route, RoutePath, image_url::ImageUrl, message};
use tintype_pipeline::trigger::{default_trigger, find_trigger};

use super::HttpApi;
use crate::{
    auth::{Action, caller},
    storage::{Found, StoreFault},
};

/// Images in one answer, unless another number is asked for, and at most.
const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;
/// The longest text that is searched for, in bytes.
const LONGEST_TEXT: usize = 200;

/// What is searched for.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    text: String,
    bucket: Option<String>,
    limit: usize,
}

/// The images found.
#[derive(Debug, Serialize)]
struct Images {
    images: Vec<Image>,
    /// Whether there are more.
    more: bool,
}

#[derive(Debug, Serialize)]
struct Image {
    bucket: String,
    key: String,
    /// Its description, by language.
    alt: BTreeMap<String, String>,
    /// Its thumbnail, below the API's host.
    url: String,
}

pub(super) fn route(http: &HttpApi) -> Route<MethodRouter> {
    let handler = get(search).with_state(http.clone());
    Route::new(Method::GET, RoutePath::Resource("/search"), Access::ApiKey, handler)
}

async fn search(State(http): State<HttpApi>, RawQuery(query): RawQuery) -> Response {
    let question = match question(&query.unwrap_or_default()) {
        Ok(question) => question,
        Err(words) => return message(StatusCode::BAD_REQUEST, words),
    };
    let triggers = http.inner.parts.store.notifications.triggers();
    let default = default_trigger(&triggers).map(|trigger| trigger.bucket.clone());
    let bucket = match &question.bucket {
        Some(bucket) => find_trigger(&triggers, bucket, None).map(|trigger| trigger.bucket.clone()),
        None => default.clone(),
    };
    let Some(bucket) = bucket else {
        return message(StatusCode::NOT_FOUND, "no trigger watches this bucket");
    };
    // For a caller with limits another bucket may be the default one, as the image's URL is read.
    let is_limited = caller::current().is_none_or(|caller| caller.is_limited());
    let is_default = !is_limited && default.as_ref() == Some(&bucket);
    let (store, path) = (http.inner.parts.store.clone(), http.inner.settings.api.path());
    let work = caller::carried(move || {
        let may = |at: &_| caller::allows(Action::GetObject, at);
        let (found, is_whole) = store.alt_texts.search(&bucket, &question.text, question.limit + 1, may)?;
        let more = !is_whole || found.len() > question.limit;
        let image = |Found { key, alt }: Found| {
            let url = ImageUrl::of_key(&path, &key);
            let url = if is_default { url } else { url.with("bucket", bucket.as_str()) };
            Image { url: url.unsigned(), bucket: bucket.clone(), key, alt }
        };
        let images = found.into_iter().take(question.limit).map(image).collect();
        Ok::<_, StoreFault>(Images { images, more })
    });
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(images)) => Json(images).into_response(),
        Ok(Err(fault)) => message(StatusCode::SERVICE_UNAVAILABLE, fault.to_string()),
        Err(error) => {
            tracing::error!(%error, "a search panicked");
            message(StatusCode::INTERNAL_SERVER_ERROR, "a fault of the server; it is in the log")
        }
    }
}

fn question(query: &str) -> Result<Question, String> {
    let (mut text, mut bucket, mut limit) = (None, None, DEFAULT_LIMIT);
    for field in query.split('&').filter(|field| !field.is_empty()) {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        let value = value.replace('+', " ");
        let value =
            percent_decode_str(&value).decode_utf8().map_err(|_| format!("\"{name}\" is not UTF-8"))?;
        match name {
            "q" if text.is_none() => text = Some(value.into_owned()),
            "bucket" if bucket.is_none() => bucket = Some(value.into_owned()),
            "limit" => {
                let number = value.parse().ok().filter(|number| (1..=MAX_LIMIT).contains(number));
                limit = number.ok_or_else(|| format!("\"limit\" is not 1 to {MAX_LIMIT}"))?;
            }
            "q" | "bucket" => return Err(format!("\"{name}\" is given twice")),
            other => return Err(format!("\"{other}\" is not known; there are q, bucket and limit")),
        }
    }
    match text {
        Some(text) if !text.trim().is_empty() && text.len() <= LONGEST_TEXT => {
            Ok(Question { text, bucket, limit })
        }
        _ => Err(format!("write the words to search for as \"q\", of at most {LONGEST_TEXT} bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_read_strictly() {
        let read = question("q=red+bicycle%21&bucket=in&limit=5").unwrap();
        let expected = Question { text: "red bicycle!".into(), bucket: Some("in".into()), limit: 5 };
        assert_eq!(read, expected);
        for (query, part) in [
            ("", "\"q\""),
            ("q=+", "\"q\""),
            ("q=a&q=b", "twice"),
            ("q=a&limit=0", "\"limit\""),
            ("q=a&limit=1000", "\"limit\""),
            ("q=%ff", "UTF-8"),
            ("q=a&offset=1", "\"offset\" is not known"),
        ] {
            assert!(question(query).unwrap_err().contains(part), "{query}");
        }
        assert!(question(&format!("q={}", "a".repeat(201))).is_err());
    }
}
