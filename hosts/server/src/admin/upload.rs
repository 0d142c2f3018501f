//! `/upload`: an image of the console is stored in a source bucket as any upload; `/upload/check`: which of several keys
//! are taken already.

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
};
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tintype_api::Permission;
use tintype_pipeline::{Location, Suffixes, store::Condition, trigger::Trigger};
use tokio::sync::mpsc;

use super::{Admin, Handle, Refusal, Request, fields, to_json};
use crate::{
    auth::{Action, caller},
    listen::TimeoutBody,
    request_id,
    storage::{Cause, ObjectRecord, Storage, StoreFault, StoredHeaders},
};

/// Chunks of a body on their way to the disk.
const CHUNKS: usize = 8;
/// Keys in one look before an upload.
const MAX_CHECKED: usize = 1000;

/// Where the body is stored.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UploadRequest {
    /// The bucket; none: that of the first trigger.
    pub bucket: Option<String>,
    /// The key.
    pub key: String,
}

/// The stored object.
#[derive(Debug, Serialize, Deserialize)]
pub struct UploadAnswer {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// Its length.
    pub bytes: u64,
    /// Without quotes.
    pub etag: String,
    /// The request that its event is logged with.
    pub request_id: String,
}

/// Its fields are in the query; the body is the image.
impl Request for UploadRequest {
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/upload";
    const PERMISSION: Permission = Permission::Write;
    const FORMER_NAMES: &'static [(&'static str, &'static str)] = &[("/request_id", "requestId")];
    type Answer = UploadAnswer;
}

/// Looks at keys before anything is uploaded.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UploadCheckRequest {
    /// The bucket; none: that of the first trigger.
    pub bucket: Option<String>,
    /// The keys.
    #[serde(rename = "key")]
    pub keys: Vec<String>,
}

/// What stands against some of the keys.
#[derive(Debug, Serialize, Deserialize)]
pub struct UploadCheckAnswer {
    /// Under which there is an object, which an upload would replace.
    pub existing: Vec<ExistingObject>,
}

/// An object that an upload would replace.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExistingObject {
    /// Its key.
    pub key: String,
    /// Bytes; for whoever may read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Milliseconds since 1970; for whoever may read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified_ms: Option<i64>,
}

impl Request for UploadCheckRequest {
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/upload/check";
    const PERMISSION: Permission = Permission::Write;
    type Answer = UploadCheckAnswer;
}

impl Handle for UploadCheckRequest {
    fn handle(self, admin: &Admin) -> Result<UploadCheckAnswer, Refusal> {
        if self.keys.len() > MAX_CHECKED {
            return Err(Refusal::invalid(format!("{} keys at once; at most {MAX_CHECKED}", self.keys.len())));
        }
        let mut existing = Vec::new();
        for key in self.keys {
            let at = admin.location(self.bucket.as_deref(), &key)?;
            // Who may not write there does not learn what is there.
            caller::authorize(Action::PutObject, &at).map_err(Refusal::forbidden)?;
            if let Some(ObjectRecord { size, modified_ms, .. }) = admin.head(&at)? {
                let may_read = caller::allows(Action::GetObject, &at);
                let (size, modified_ms) = (may_read.then_some(size), may_read.then_some(modified_ms));
                existing.push(ExistingObject { key, size, modified_ms });
            }
        }
        Ok(UploadCheckAnswer { existing })
    }
}

/// The keys that a trigger matches, in words.
fn matched_keys(trigger: &Trigger) -> String {
    let begin = match trigger.prefix.as_str() {
        "" => String::new(),
        prefix => format!("begin with \"{prefix}\""),
    };
    let end = match &trigger.suffixes {
        every if *every == Suffixes::EVERY_KEY => String::new(),
        suffixes => format!("end with {suffixes}"),
    };
    match (begin.is_empty(), end.is_empty()) {
        (false, false) => format!("keys {begin} and {end}"),
        _ => format!("keys {begin}{end}"),
    }
}

pub(super) async fn upload(
    State(admin): State<Admin>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let UploadRequest { bucket, key } = fields::decode(&query.unwrap_or_default())?;
    let at = admin.location(bucket.as_deref(), &key)?;
    caller::authorize(Action::PutObject, &at).map_err(Refusal::forbidden)?;
    if !admin.triggers().iter().any(|trigger| trigger.matches(&at.bucket, at.key.as_str())) {
        let triggers = admin.visible_triggers();
        let of_bucket = triggers.iter().filter(|trigger| trigger.bucket == at.bucket);
        let matched: Vec<_> = of_bucket.map(matched_keys).collect();
        let matched =
            if matched.is_empty() { "none does in this bucket".to_owned() } else { matched.join("; or ") };
        let message = format!("no trigger matches \"{}\", so it would get no thumbnail; {matched}", at.key);
        return Err(Refusal { status: StatusCode::UNPROCESSABLE_ENTITY, message });
    }
    let condition = condition(&headers)?;
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or("application/octet-stream").to_owned();
    let limit = admin.parts.settings.limits.source_bytes;
    let request_id = request_id::current();
    let cause = Cause::new("ObjectCreated:Post", request_id.clone()).with_key(caller::access_key());

    let (chunks, arriving) = mpsc::channel(CHUNKS);
    let to = at.clone();
    let storing = admin.blocking(move |admin| {
        store_chunks(&admin.parts.store, &to, content_type, (condition, cause), arriving).map_err(faulted)
    });
    let (keys, sender) = (admin.parts.keys.clone(), caller::principal());
    // An error drops the channel: without the mark that the body is whole nothing is stored.
    let sending = async move {
        let charge =
            |bytes| keys.charge(&sender, bytes).map_err(|exceeded| Refusal::forbidden(exceeded.to_string()));
        send(body, &chunks, limit, charge).await?;
        let _ = chunks.send(None).await;
        Ok::<_, Refusal>(())
    };
    let (stored, sent) = tokio::join!(storing, sending);
    sent?;
    let Some(record) = stored? else { return Err(Refusal::invalid("the body ended early")) };
    Ok(Json(to_json::<UploadRequest>(&UploadAnswer {
        bucket: at.bucket,
        key: at.key.to_string(),
        bytes: record.size,
        etag: record.etag,
        request_id,
    })))
}

/// What must hold of the place that is written to: `If-None-Match: *` spares what is there.
fn condition(headers: &HeaderMap) -> Result<Condition, Refusal> {
    match headers.get(header::IF_NONE_MATCH).map(HeaderValue::as_bytes) {
        None => Ok(Condition::Any),
        Some(b"*") => Ok(Condition::Absent),
        Some(_) => {
            Err(Refusal::invalid("If-None-Match: only * is known, which spares an object that is there"))
        }
    }
}

/// An upload that would have replaced an object is refused with 412.
fn faulted(fault: StoreFault) -> Refusal {
    match fault {
        StoreFault::PreconditionFailed(at) => Refusal {
            status: StatusCode::PRECONDITION_FAILED,
            message: format!("{at} exists already; send it without If-None-Match to replace it"),
        },
        other => other.into(),
    }
}

/// Sends the body on, chunk by chunk; each is charged.
async fn send(
    body: Body,
    chunks: &mpsc::Sender<Option<Bytes>>,
    limit: u64,
    charge: impl Fn(u64) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut body = TimeoutBody::new(body);
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| Refusal::invalid(format!("the body could not be read: {error}")))?;
        let Ok(chunk) = frame.into_data() else { continue };
        length += chunk.len() as u64;
        if length > limit {
            let message = format!("the image has more than {limit} bytes (limits.source_bytes)");
            return Err(Refusal { status: StatusCode::PAYLOAD_TOO_LARGE, message });
        }
        charge(chunk.len() as u64)?;
        // The receiver is gone after a fault of the disk, which it returns.
        if chunks.send(Some(chunk)).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Stores the chunks; nothing if they end without the mark that the body is whole.
fn store_chunks(
    store: &Storage,
    at: &Location,
    content_type: String,
    (condition, cause): (Condition, Cause),
    mut arriving: mpsc::Receiver<Option<Bytes>>,
) -> Result<Option<ObjectRecord>, StoreFault> {
    let headers = StoredHeaders { content_type: Some(content_type), ..StoredHeaders::default() };
    let mut incoming = store.objects.begin(at, headers)?;
    loop {
        match arriving.blocking_recv() {
            Some(Some(chunk)) => incoming.write(&chunk)?,
            Some(None) => break,
            None => return Ok(None),
        }
    }
    store.objects.commit(at, incoming, condition, cause).map(Some)
}
