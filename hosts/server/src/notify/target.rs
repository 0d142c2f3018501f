//! A target: connecting to it, sending an event, and what a refusal means.

use std::{fmt, sync::Arc, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use sha2::{Digest as _, Sha256};
use tintype_pipeline::hex;
use tintype_worker::{
    publish::{Event, Publisher, Queue, check_logins},
    read_secret,
};
use tokio::sync::OnceCell;

use crate::{
    http_client::{HttpClient, Trust},
    settings::{Notify, NotifyTarget, Webhook},
    storage::OutboxRecord,
};

/// The section of the settings, for messages.
const SECTION: &str = "notify";
/// For a target to confirm an event.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why an event was not confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The target takes none now: it cannot be reached, is overloaded, or is not what the settings say.
    Target(String),
    /// It does not take this one.
    Event(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Target(why) | Self::Event(why)) = self;
        f.write_str(why)
    }
}

/// A target; clones share its connection.
#[derive(Clone)]
pub(super) struct Target(Arc<Kind>);

enum Kind {
    Queue { queue: Queue, variables: Vec<(String, String)>, publisher: OnceCell<Publisher> },
    Webhook { client: HttpClient, url: String, authorization: Option<HeaderValue> },
}

impl Target {
    /// A target of the settings. Nothing is sent yet.
    ///
    /// # Errors
    /// A file of the settings cannot be read.
    pub(super) fn new(notify: &Notify, variables: Vec<(String, String)>) -> anyhow::Result<Self> {
        Ok(Self(Arc::new(match &notify.target {
            NotifyTarget::Queue(queue) => {
                Kind::Queue { queue: queue.clone(), variables, publisher: OnceCell::new() }
            }
            NotifyTarget::Webhook(webhook) => {
                let trust = webhook.tls_ca.clone().map_or(Trust::System, Trust::SystemAnd);
                let client = HttpClient::new(&webhook.url, &trust).context("notify.target")?;
                Kind::Webhook { client, url: webhook.url.clone(), authorization: authorization(webhook)? }
            }
        })))
    }

    /// Sends the event of a row; when this returns, the target has confirmed it.
    pub(super) async fn send(
        &self,
        section: &str,
        number: u64,
        record: &OutboxRecord,
        body: String,
    ) -> Result<(), Failure> {
        match &*self.0 {
            Kind::Queue { queue, variables, publisher } => {
                let connect = || {
                    let variable = |name: &str| {
                        let found = variables.iter().find(|(known, _)| known == name);
                        found.map(|(_, value)| value.clone())
                    };
                    Publisher::connect(SECTION, queue, variable)
                };
                let (id, group) = (id(section, number, record), group(record));
                let published = async {
                    let publisher = publisher.get_or_try_init(connect).await?;
                    publisher.publish(Event { id: &id, group: &group, body }).await
                };
                let failed = |why: &dyn fmt::Display| Failure::Target(why.to_string());
                match tokio::time::timeout(TIMEOUT, published).await {
                    Ok(published) => published.map_err(|error| failed(&format_args!("{error:#}"))),
                    Err(_) => {
                        Err(failed(&format_args!("it has not answered within {} s", TIMEOUT.as_secs())))
                    }
                }
            }
            Kind::Webhook { client, url, authorization } => {
                let mut request = Request::builder()
                    .method(Method::POST)
                    .uri(url)
                    .header(header::CONTENT_TYPE, "application/json")
                    .header(header::CONTENT_LENGTH, body.len())
                    .header(header::USER_AGENT, concat!("tintype/", env!("CARGO_PKG_VERSION")));
                if let Some(value) = authorization {
                    request = request.header(header::AUTHORIZATION, value);
                }
                let request = request.body(Full::new(Bytes::from(body)));
                let request = request.map_err(|error| Failure::Event(error.to_string()))?;
                match client.status_of(request, TIMEOUT).await {
                    Ok(status) => judged(status),
                    Err(error) => Err(Failure::Target(format!("{error:#}"))),
                }
            }
        }
    }
}

/// What a status means: those that are about what was sent are the event's, all others the target's.
fn judged(status: StatusCode) -> Result<(), Failure> {
    match status {
        status if status.is_success() => Ok(()),
        StatusCode::BAD_REQUEST
        | StatusCode::CONFLICT
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY => Err(Failure::Event(format!("it answers {status}"))),
        status => Err(Failure::Target(format!("it answers {status}"))),
    }
}

/// Names an event: the same for every attempt, and no other's, also of another server's buckets. Two sections may send one
/// event to a stream or queue that drops what has the id of an earlier one.
fn id(section: &str, number: u64, record: &OutboxRecord) -> String {
    let digest = Sha256::new()
        .chain_update(section)
        .chain_update([0])
        .chain_update(group(record))
        .chain_update(number.to_le_bytes())
        .chain_update(record.time_ms.to_le_bytes())
        .chain_update(record.etag.as_bytes())
        .chain_update(record.request_id.as_bytes());
    hex::encode(&digest.finalize())
}

/// Names an object to a FIFO queue.
fn group(record: &OutboxRecord) -> String {
    let digest = Sha256::new().chain_update(&record.bucket).chain_update([0]).chain_update(&record.key);
    hex::encode(&digest.finalize())
}

fn authorization(webhook: &Webhook) -> anyhow::Result<Option<HeaderValue>> {
    let token = match (&webhook.token, &webhook.token_file) {
        (Some(token), _) => token.clone(),
        (None, Some(file)) => read_secret("notify.token_file", file)?,
        (None, None) => return Ok(None),
    };
    let value = HeaderValue::try_from(format!("Bearer {token}")).ok().filter(|_| !token.is_empty());
    let mut value =
        value.context("notify.token_file: the file holds no token of visible ASCII characters")?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Reads the files that a section names.
///
/// # Errors
/// One cannot be read, or cannot be used.
pub fn check(notify: &Notify) -> anyhow::Result<()> {
    match &notify.target {
        NotifyTarget::Queue(queue) => check_logins(SECTION, queue),
        NotifyTarget::Webhook(_) => Target::new(notify, Vec::new()).map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_of_one_event_of_one_section() {
        let record = OutboxRecord {
            removed: false,
            replaced: false,
            name: "ObjectCreated:Put".into(),
            bucket: "in".into(),
            key: "a".into(),
            etag: "0123".into(),
            size: 0,
            time_ms: 0,
            request_id: "r".into(),
            access_key: None,
        };
        let first = id("cdn", 1, &record);
        assert_eq!(first, id("cdn", 1, &record), "another attempt");
        assert_ne!(
            first,
            id("search", 1, &record),
            "another section, whose subject may be of the same stream"
        );
        assert_ne!(first, id("cdn", 2, &record), "another event");
    }

    #[test]
    fn a_status_is_about_the_event_or_about_the_target() {
        for (status, expected) in [
            (200, None),
            (204, None),
            (302, Some(true)),
            (400, Some(false)),
            (401, Some(true)),
            (404, Some(true)),
            (413, Some(false)),
            (429, Some(true)),
            (503, Some(true)),
        ] {
            let judged = judged(StatusCode::from_u16(status).unwrap());
            let is_targets = judged.err().map(|failure| matches!(failure, Failure::Target(_)));
            assert_eq!(is_targets, expected, "{status}");
        }
    }
}
