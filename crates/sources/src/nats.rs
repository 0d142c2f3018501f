//! NATS JetStream: a durable pull consumer that any number of workers share.
//! Source: NATS, "JetStream" and "Consumers".

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use async_nats::{
    ConnectOptions,
    jetstream::{
        self, AckKind, Context,
        consumer::{AckPolicy, PullConsumer, pull},
        context::GetStreamByNameErrorKind,
        message::PublishMessage,
        stream::{self, Stream},
    },
};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use tintype_pipeline::{clock::now_ms, store::StoreError};

use crate::{Backlog, Broker, DeadLetter, Message};

/// How long a request waits for a message.
const WAIT: Duration = Duration::from_secs(15);
/// How long a message of a consumer created here is another worker's, unless it is extended.
const LEASE: Duration = Duration::from_secs(30);
/// Messages that may be under way or wait for another attempt, of a consumer created here: more than any outage leaves.
const MOST_PENDING: i64 = 100_000;
/// The size limit of a NATS server, in bytes, less room for headers.
const LARGEST_BODY: usize = (1 << 20) - (4 << 10);

/// Who connects.
#[derive(Clone, Default)]
pub enum Login {
    /// Nobody by name.
    #[default]
    Anonymous,
    /// A user with a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// Whoever has the token.
    Token(String),
    /// The file of a user's JWT and NKey seed, or the text of an NKey seed.
    Credentials(String),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Password { .. } => "Password",
            Self::Token(_) => "Token",
            Self::Credentials(_) => "Credentials",
        })
    }
}

/// How to connect to a server.
#[derive(Debug, Clone)]
pub struct NatsServer {
    /// `nats://host:port` or `tls://host:port`, or several, separated by commas.
    pub url: String,
    /// Who connects.
    pub login: Login,
    /// Certificates to trust beside those of the system.
    pub tls_ca: Option<PathBuf>,
}

impl NatsServer {
    /// Connects under a name. The connection is renewed whenever it breaks.
    async fn connect(&self, name: &str) -> Result<async_nats::Client, StoreError> {
        let mut options = ConnectOptions::new().name(name);
        options = match self.login.clone() {
            Login::Anonymous => options,
            Login::Password { user, password } => options.user_and_password(user, password),
            Login::Token(token) => options.token(token),
            Login::Credentials(text) if text.contains("-----BEGIN") => {
                options.credentials(&text).map_err(|error| failed("reading the credentials", error))?
            }
            Login::Credentials(seed) => options.nkey(seed.trim().to_owned()),
        };
        if let Some(file) = &self.tls_ca {
            options = options.add_root_certificates(file.clone());
        }
        let servers: Vec<&str> = self.url.split(',').map(str::trim).collect();
        options.connect(servers).await.map_err(|error| failed("connecting", error))
    }
}

/// What is used at a server.
#[derive(Debug, Clone)]
pub struct NatsSettings {
    /// The server.
    pub server: NatsServer,
    /// The stream.
    pub stream: String,
    /// The subject of events.
    pub subject: String,
    /// The durable consumer.
    pub consumer: String,
    /// The subject of dead letters.
    pub dead_letters: String,
}

/// A stream of events.
#[derive(Debug)]
pub struct Nats {
    context: Context,
    stream: Stream,
    consumer: PullConsumer,
    settings: NatsSettings,
    lease: Duration,
    /// Whether the consumer takes what is published to the subject of events.
    takes_published: bool,
}

/// Whether a filter of a consumer, which may have wildcards, takes a subject.
/// Source: NATS, "Subject-Based Messaging".
fn takes(filter: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in filter.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

fn failed(what: &str, error: impl fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("NATS: {what} failed: {error}"))
}

/// Dead letters that no stream takes could never be sent, and their events would be tried without end.
async fn check_dead_letters(
    context: &Context,
    stream: &stream::Config,
    subject: &str,
) -> Result<(), StoreError> {
    if stream.subjects.iter().any(|taken| taken == subject) {
        return Ok(());
    }
    match context.stream_by_subject(subject).await {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), GetStreamByNameErrorKind::NotFound) => {
            Err(StoreError::Denied(format!(
                "no stream takes the subject \"{subject}\" of dead letters, which would be lost; add it to the stream \"{}\" or to another, or name another subject in worker.dead_letters",
                stream.name
            )))
        }
        Err(error) => Err(failed("looking for the stream of dead letters", error)),
    }
}

impl Nats {
    /// Connects, and creates the stream and the consumer where there are none. Where they exist they are used as they
    /// are.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses; no stream takes dead letters; or the consumer found could lose events.
    pub async fn connect(settings: NatsSettings) -> Result<Self, StoreError> {
        let context = jetstream::new(settings.server.connect("tintype worker").await?);
        let subjects = vec![settings.subject.clone(), settings.dead_letters.clone()];
        let config = stream::Config {
            name: settings.stream.clone(),
            subjects,
            retention: stream::RetentionPolicy::WorkQueue,
            ..Default::default()
        };
        let stream = context.get_or_create_stream(config).await;
        let stream = stream.map_err(|error| failed("using the stream", error))?;
        check_dead_letters(&context, &stream.cached_info().config, &settings.dead_letters).await?;
        let config = pull::Config {
            durable_name: Some(settings.consumer.clone()),
            filter_subject: settings.subject.clone(),
            ack_policy: AckPolicy::Explicit,
            ack_wait: LEASE,
            max_ack_pending: MOST_PENDING,
            ..Default::default()
        };
        let consumer: PullConsumer = stream
            .get_or_create_consumer(&settings.consumer, config)
            .await
            .map_err(|error| failed("using the consumer", error))?;
        let found = &consumer.cached_info().config;
        if found.ack_policy != AckPolicy::Explicit {
            return Err(StoreError::Denied(format!(
                "the consumer \"{}\" acknowledges by another policy than explicit, so that events could be lost; delete it, or name another in worker.consumer",
                settings.consumer
            )));
        }
        if found.max_deliver > 0 {
            return Err(StoreError::Denied(format!(
                "the consumer \"{}\" delivers a message at most {} times (max_deliver), after which it would be lost without a dead letter; set its max_deliver to -1, or name another in worker.consumer",
                settings.consumer, found.max_deliver
            )));
        }
        let filters = || {
            Some(&found.filter_subject)
                .into_iter()
                .chain(&found.filter_subjects)
                .filter(|filter| !filter.is_empty())
        };
        let consumes =
            |subject: &str| filters().next().is_none() || filters().any(|filter| takes(filter, subject));
        let held =
            |subject: &str| stream.cached_info().config.subjects.iter().any(|taken| takes(taken, subject));
        if held(&settings.dead_letters) && consumes(&settings.dead_letters) {
            return Err(StoreError::Denied(format!(
                "the consumer \"{}\" takes dead letters (\"{}\") for events; give it a filter, or name another subject in worker.dead_letters",
                settings.consumer, settings.dead_letters
            )));
        }
        let takes_published = held(&settings.subject) && consumes(&settings.subject);
        let lease = if found.ack_wait.is_zero() { LEASE } else { found.ack_wait };
        Ok(Self { context, stream, consumer, settings, lease, takes_published })
    }

    async fn publish_to(&self, subject: &str, message: PublishMessage) -> Result<(), StoreError> {
        publish(&self.context, subject, message).await
    }
}

async fn publish(context: &Context, subject: &str, message: PublishMessage) -> Result<(), StoreError> {
    let failed = |error| failed(&format!("publishing to {subject}"), error);
    let sent = context.send_publish(subject.to_owned(), message).await.map_err(failed)?;
    // Only the confirmation says that it is stored.
    sent.await.map(drop).map_err(failed)
}

/// Publishes to a subject that some stream takes, and consumes nothing.
#[derive(Debug)]
pub struct NatsPublisher {
    context: Context,
    subject: String,
}

impl NatsPublisher {
    /// Connects. No stream is created: how long it retains what, and for whom, is for whoever consumes it to say.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses.
    pub async fn connect(server: &NatsServer, subject: String) -> Result<Self, StoreError> {
        Ok(Self { context: jetstream::new(server.connect("tintype serve").await?), subject })
    }

    /// Stores an event in the stream. Of events of one id within the stream's window the server stores one.
    ///
    /// # Errors
    /// The server cannot be reached, or no stream takes the subject.
    pub async fn publish(&self, id: &str, event: Bytes) -> Result<(), StoreError> {
        let message = PublishMessage::build().payload(event).message_id(id);
        publish(&self.context, &self.subject, message).await
    }
}

#[async_trait]
impl Broker for Nats {
    /// As many as there are, or else one as soon as it comes: a request that is answered later than it waits would leave
    /// messages leased to nobody.
    async fn receive(&self, most: usize) -> Result<Vec<Arc<dyn Message>>, StoreError> {
        let there = self.consumer.fetch().max_messages(most).messages().await;
        let mut batch = there.map_err(|error| failed("fetching", error))?;
        let mut messages: Vec<Arc<dyn Message>> = Vec::new();
        while let Some(message) = batch.next().await {
            messages.push(self.leased(message.map_err(|error| failed("fetching", error))?)?);
        }
        if messages.is_empty() {
            let next = self.consumer.batch().max_messages(1).expires(WAIT).messages().await;
            let mut batch = next.map_err(|error| failed("waiting for messages", error))?;
            while let Some(message) = batch.next().await {
                messages.push(self.leased(message.map_err(|error| failed("waiting for messages", error))?)?);
            }
        }
        Ok(messages)
    }

    async fn publish(&self, event: Bytes, id: Option<String>) -> Result<(), StoreError> {
        if !self.takes_published {
            return Err(StoreError::Denied(format!(
                "the consumer \"{}\" takes nothing of the subject \"{}\"; name one that it takes in worker.subject",
                self.settings.consumer, self.settings.subject
            )));
        }
        let message = PublishMessage::build().payload(event);
        let message = id.into_iter().fold(message, |message, id| message.message_id(format!("event-{id}")));
        self.publish_to(&self.settings.subject, message).await
    }

    async fn dead_letter(&self, letter: &DeadLetter) -> Result<(), StoreError> {
        let message = PublishMessage::build().payload(letter.body(LARGEST_BODY).into());
        // The server drops a second one of the same id within its window.
        let message = message.message_id(format!("dead-letter-{}", letter.id));
        let message = letter.attributes().into_iter().fold(message, |message, (name, _, value)| {
            // A header is one line.
            message.header(name, value.replace(['\r', '\n'], " ").as_str())
        });
        self.publish_to(&self.settings.dead_letters, message).await
    }

    async fn backlog(&self) -> Result<Option<Backlog>, StoreError> {
        let mut consumer = self.consumer.clone();
        let info = consumer.info().await.map_err(|error| failed("asking about the consumer", error))?;
        let messages = info.num_pending + u64::try_from(info.num_ack_pending).unwrap_or(0);
        // What was delivered and waits for another attempt is nothing that more workers could do.
        let oldest = match info.num_pending {
            0 => Some(Duration::ZERO),
            _ => self.oldest(info.delivered.stream_sequence + 1).await,
        };
        Ok(Some(Backlog { messages, oldest }))
    }
}

impl Nats {
    /// The age of the first event from a sequence number on; none where it may not be read.
    async fn oldest(&self, sequence: u64) -> Option<Duration> {
        let found = self.stream.get_first_raw_message_by_subject(&self.settings.subject, sequence).await;
        let published = i64::try_from(found.ok()?.time.unix_timestamp_nanos() / 1_000_000).ok()?;
        Some(Duration::from_millis(u64::try_from(now_ms() - published).unwrap_or(0)))
    }

    fn leased(&self, message: jetstream::Message) -> Result<Arc<dyn Message>, StoreError> {
        let info = message.info().map_err(|error| failed("reading a message", error))?;
        Ok(Arc::new(NatsMessage {
            id: format!("{}-{}", info.stream, info.stream_sequence),
            deliveries: u32::try_from(info.delivered).unwrap_or(1),
            published_ms: i64::try_from(info.published.unix_timestamp_nanos() / 1_000_000).ok(),
            lease: self.lease,
            message,
        }))
    }
}

struct NatsMessage {
    id: String,
    deliveries: u32,
    published_ms: Option<i64>,
    lease: Duration,
    message: jetstream::Message,
}

#[async_trait]
impl Message for NatsMessage {
    fn id(&self) -> &str {
        &self.id
    }

    fn body(&self) -> &[u8] {
        &self.message.payload
    }

    fn deliveries(&self) -> u32 {
        self.deliveries
    }

    fn published_ms(&self) -> Option<i64> {
        self.published_ms
    }

    fn lease(&self) -> Duration {
        self.lease
    }

    async fn extend(&self) -> Result<(), StoreError> {
        let sent = self.message.ack_with(AckKind::Progress).await;
        sent.map_err(|error| failed("extending a lease", error))
    }

    /// Waits for the server's confirmation: a plain acknowledgement may be lost without anybody noticing.
    async fn acknowledge(&self) -> Result<(), StoreError> {
        self.message.double_ack().await.map_err(|error| failed("acknowledging", error))
    }

    async fn retry_after(&self, delay: Duration) -> Result<(), StoreError> {
        let delay = (!delay.is_zero()).then_some(delay);
        let sent = self.message.ack_with(AckKind::Nak(delay)).await;
        sent.map_err(|error| failed("returning a message", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_have_wildcards() {
        for (filter, subject) in
            [("a.b", "a.b"), ("a.*", "a.b"), ("*.b", "a.b"), ("a.>", "a.b.c"), (">", "a")]
        {
            assert!(takes(filter, subject), "{filter} {subject}");
        }
        for (filter, subject) in
            [("a.b", "a.c"), ("a.*", "a"), ("a.*", "a.b.c"), ("a.>", "a"), ("a.b", "a.b.c"), ("a.b.c", "a.b")]
        {
            assert!(!takes(filter, subject), "{filter} {subject}");
        }
    }
}
