//! The port [`Store`] on S3.
//!
//! S3 has no transactions: [`Store::put_all`] writes objects one by one, each with its condition.

mod client;
mod connection;
mod error;
mod ranges;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    operation::{get_object::GetObjectOutput, head_object::HeadObjectOutput},
    primitives::{ByteStream, DateTime},
    types::EncodingType,
};
use percent_encoding::percent_decode_str;
use tintype_pipeline::{
    Location, ObjectKey,
    store::{Condition, Listing, Object, Put, Stat, Store, StoreError},
};

pub use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
pub use client::{ATTEMPTS, http_client, timeouts};
pub use connection::Connection;
use error::ServiceError;
pub use error::chain;
use ranges::ReadError;

/// The longest waits before a write that met a concurrent one is sent again; each is shortened by chance.
const CONCURRENT_WRITE_DELAYS: [Duration; 3] =
    [Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(800)];

/// Versions of an object that are begun to be read before reading is given up.
const MOST_VERSIONS: u32 = 4;

/// Objects in S3.
#[derive(Debug)]
pub struct S3Store {
    client: Client,
    /// Buckets known to exist: a HEAD of a missing object does not show whether its bucket is missing, too.
    known_buckets: Mutex<HashSet<String>>,
}

impl S3Store {
    /// A store over a connection; nothing is sent yet.
    #[must_use]
    pub fn new(connection: &Connection) -> Self {
        Self { client: client::s3(connection), known_buckets: Mutex::default() }
    }

    async fn send(&self, put: &Put) -> Result<String, ServiceError> {
        let request = self
            .client
            .put_object()
            .bucket(&put.at.bucket)
            .key(put.at.key.as_str())
            .content_type(&put.content_type)
            .set_metadata(Some(put.metadata.clone().into_iter().collect()))
            .body(ByteStream::from(put.bytes.clone()));
        let request = match &put.condition {
            Condition::Any => request,
            Condition::Absent => request.if_none_match("*"),
            Condition::Matches(etag) => request.if_match(quoted(etag)),
        };
        Ok(unquoted(request.send().await?.e_tag))
    }

    fn remember(&self, bucket: &str) {
        let mut known = self.known_buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(bucket) {
            known.insert(bucket.to_owned());
        }
    }

    /// Fails if the bucket is missing; one request to S3 for each bucket.
    async fn check_bucket(&self, at: &Location) -> Result<(), StoreError> {
        if self.known_buckets.lock().unwrap_or_else(PoisonError::into_inner).contains(&at.bucket) {
            return Ok(());
        }
        // Needs s3:ListBucket. Unlike that of HEAD, the response shows what is missing.
        let listed = self.client.list_objects_v2().bucket(&at.bucket).max_keys(1).send().await;
        listed.map_err(|error| ServiceError::from(error).at(at))?;
        self.remember(&at.bucket);
        Ok(())
    }
}

#[async_trait]
impl Store for S3Store {
    async fn head(&self, at: &Location) -> Result<Option<Stat>, StoreError> {
        let answer = self.client.head_object().bucket(&at.bucket).key(at.key.as_str()).send().await;
        match answer.map_err(ServiceError::from) {
            Ok(found) => {
                self.remember(&at.bucket);
                Ok(Some(stat_of_head(found)))
            }
            Err(error) if error.is_absent() => {
                self.check_bucket(at).await?;
                Ok(None)
            }
            Err(error) => Err(error.at(at)),
        }
    }

    async fn get(&self, at: &Location, limit: u64) -> Result<Option<Object>, StoreError> {
        for _ in 0..MOST_VERSIONS {
            match ranges::read(&self.client, at, limit).await {
                Ok(object) => {
                    self.remember(&at.bucket);
                    return Ok(Some(object));
                }
                Err(ReadError::Absent) => {
                    self.check_bucket(at).await?;
                    return Ok(None);
                }
                Err(ReadError::Replaced) => {}
                Err(ReadError::TooLarge(size)) => {
                    self.remember(&at.bucket);
                    return Err(StoreError::TooLarge { size, limit });
                }
                Err(ReadError::Refused(error)) => return Err(error.at(at)),
                Err(ReadError::Interrupted(why)) => {
                    let words = format!("reading {at} was interrupted: {why}; it can be retried");
                    return Err(StoreError::Unavailable(words));
                }
            }
        }
        let words = format!("{at} was replaced {MOST_VERSIONS} times while it was read; it can be retried");
        Err(StoreError::Unavailable(words))
    }

    async fn put(&self, put: Put) -> Result<String, StoreError> {
        let mut delays = CONCURRENT_WRITE_DELAYS.into_iter();
        let answer = loop {
            match (self.send(&put).await, delays.len()) {
                // 409: whether the condition holds was not decided.
                (Err(error), 1..) if error.is_concurrent_write() => {
                    let delay = delays.next().unwrap_or_default();
                    tokio::time::sleep(delay.mul_f64(fastrand::f64())).await;
                }
                (answer, _) => break answer,
            }
        };
        match answer {
            Ok(etag) => {
                self.remember(&put.at.bucket);
                Ok(etag)
            }
            // If-Match on an object that does not exist.
            Err(error) if error.is_absent() && put.condition != Condition::Any => {
                Err(StoreError::Conflict(put.at))
            }
            Err(error) => Err(error.at(&put.at)),
        }
    }

    async fn delete(&self, at: &Location, if_match: Option<&str>) -> Result<(), StoreError> {
        let request = self.client.delete_object().bucket(&at.bucket).key(at.key.as_str());
        let answer = request.set_if_match(if_match.map(quoted)).send().await;
        match answer.map_err(ServiceError::from) {
            Ok(_) => Ok(()),
            Err(error) if error.is_absent() => self.check_bucket(at).await,
            Err(error) => Err(error.at(at)),
        }
    }

    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&ObjectKey>,
        max: usize,
    ) -> Result<Listing, StoreError> {
        let answer = self
            .client
            .list_objects_v2()
            .bucket(bucket)
            .prefix(prefix)
            .set_start_after(after.map(|key| key.as_str().to_owned()))
            .max_keys(i32::try_from(max).unwrap_or(i32::MAX))
            // Keys may contain characters that XML cannot.
            .encoding_type(EncodingType::Url)
            .send()
            .await;
        let page = match answer.map_err(ServiceError::from) {
            Ok(page) => page,
            Err(error) => {
                let key = ObjectKey::new(prefix).or_else(|_| ObjectKey::new("*"));
                let key = key.map_err(StoreError::Unavailable)?;
                return Err(error.at(&Location { bucket: bucket.to_owned(), key }));
            }
        };
        let encoded = page.encoding_type == Some(EncodingType::Url);
        let mut objects = Vec::new();
        for object in page.contents.unwrap_or_default() {
            let key = object.key.unwrap_or_default();
            let key = if encoded { url_decoded(&key)? } else { key };
            let stat = Stat {
                etag: unquoted(object.e_tag),
                size: size(object.size),
                content_type: None,
                metadata: BTreeMap::new(),
                modified_ms: milliseconds(object.last_modified),
            };
            objects.push((ObjectKey::new(&key).map_err(StoreError::Corrupt)?, stat));
        }
        Ok(Listing { objects, more: page.is_truncated.unwrap_or(false) })
    }
}

fn stat_of_head(found: HeadObjectOutput) -> Stat {
    Stat {
        etag: unquoted(found.e_tag),
        size: size(found.content_length),
        content_type: found.content_type,
        metadata: sorted(found.metadata),
        modified_ms: milliseconds(found.last_modified),
    }
}

fn parts_of_get(found: GetObjectOutput) -> (Stat, ByteStream) {
    let stat = Stat {
        etag: unquoted(found.e_tag),
        size: size(found.content_length),
        content_type: found.content_type,
        metadata: sorted(found.metadata),
        modified_ms: milliseconds(found.last_modified),
    };
    (stat, found.body)
}

fn sorted(metadata: Option<HashMap<String, String>>) -> BTreeMap<String, String> {
    metadata.into_iter().flatten().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()
}

fn size(length: Option<i64>) -> u64 {
    length.and_then(|length| u64::try_from(length).ok()).unwrap_or(0)
}

fn milliseconds(time: Option<DateTime>) -> i64 {
    time.and_then(|time| time.to_millis().ok()).unwrap_or(0)
}

fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

fn unquoted(etag: Option<String>) -> String {
    etag.unwrap_or_default().trim_matches('"').to_owned()
}

fn url_decoded(key: &str) -> Result<String, StoreError> {
    let spaced = key.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_| {
        StoreError::Corrupt(format!("S3 listed the key \"{key}\", which does not decode to UTF-8"))
    })
}
