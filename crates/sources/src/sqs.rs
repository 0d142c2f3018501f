//! SQS, and queues that speak its protocol.
//! Source: AWS, "Amazon SQS API Reference".

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
pub use aws_sdk_sqs::Client;
use aws_sdk_sqs::{
    config::{BehaviorVersion, Region, retry::RetryConfig},
    types::{
        MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry,
    },
};
use bytes::Bytes;
use tintype_pipeline::store::StoreError;
use tintype_stores::s3::{ATTEMPTS, Connection, chain, http_client, timeouts};

use crate::{Backlog, Broker, DeadLetter, Message};

/// The size limit of SQS, in bytes, less room for attributes.
const LARGEST_BODY: usize = (1 << 20) - (4 << 10);
/// The most messages of one request.
const MOST: usize = 10;
/// Waits before messages that a queue did not take out of a batch are sent again.
const REFUSED_DELAYS: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(15)];
/// How long a request waits for messages, below the clients' read time-out.
const WAIT_S: i32 = 15;
/// How long a message is invisible to others, unless it is extended.
const LEASE: Duration = Duration::from_secs(60);
/// How the names of queues end that deliver in order.
const FIFO: &str = ".fifo";
/// The longest delay.
const LONGEST_DELAY: Duration = Duration::from_secs(12 * 3600);

/// A client of SQS over a connection.
#[must_use]
pub fn client(aws: &Connection, endpoint: Option<&str>) -> Client {
    let endpoint = endpoint.map(str::to_owned).or_else(|| aws.endpoint.clone());
    let mut config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(aws.region.clone()))
        .credentials_provider(aws.credentials.clone())
        .http_client(http_client(endpoint.as_deref()))
        .timeout_config(timeouts())
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS));
    config.set_endpoint_url(endpoint);
    Client::from_conf(config.build())
}

/// Sends dead letters to a queue.
#[derive(Debug, Clone)]
pub struct DeadLetterQueue {
    client: Client,
    queue_url: String,
}

impl DeadLetterQueue {
    /// The queue at `queue_url`.
    #[must_use]
    pub const fn new(client: Client, queue_url: String) -> Self {
        Self { client, queue_url }
    }

    /// Sends a dead letter. Its body can be sent to the function again unchanged.
    ///
    /// # Errors
    /// The queue did not accept it.
    pub async fn send(&self, letter: &DeadLetter) -> Result<(), StoreError> {
        let mut request =
            self.client.send_message().queue_url(&self.queue_url).message_body(letter.body(LARGEST_BODY));
        for (name, kind, value) in letter.attributes() {
            let value = MessageAttributeValue::builder().data_type(kind).string_value(value).build();
            let value = value.map_err(|error| StoreError::Unavailable(error.to_string()))?;
            request = request.message_attributes(name, value);
        }
        let unsent = |error| {
            StoreError::Unavailable(format!(
                "the dead-letter queue {} did not accept \"{}\": {}",
                self.queue_url,
                letter.message,
                chain(&error)
            ))
        };
        request.send().await.map(drop).map_err(unsent)
    }
}

/// An event to publish. A FIFO queue delivers those of one group in their order, and those of one id within five minutes
/// once; both have at most 128 letters and digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqsEvent {
    /// The deduplication id.
    pub id: String,
    /// The message group.
    pub group: String,
    /// The message.
    pub body: String,
}

/// Sends events to a queue, and receives nothing.
#[derive(Debug, Clone)]
pub struct SqsPublisher {
    client: Client,
    queue_url: String,
}

impl SqsPublisher {
    /// The most events of one batch.
    pub const MOST: usize = MOST;

    /// To the queue at `queue_url`.
    #[must_use]
    pub const fn new(client: Client, queue_url: String) -> Self {
        Self { client, queue_url }
    }

    /// Sends an event. A FIFO queue delivers those of one group in their order, and those of one id within five minutes
    /// once; both names have at most 128 letters and digits.
    ///
    /// # Errors
    /// The queue did not accept it.
    pub async fn publish(&self, id: &str, group: &str, event: String) -> Result<(), StoreError> {
        let mut request = self.client.send_message().queue_url(&self.queue_url).message_body(event);
        if self.queue_url.ends_with(FIFO) {
            request = request.message_group_id(group).message_deduplication_id(id);
        }
        let failed = |error| {
            StoreError::Unavailable(format!(
                "sending to the queue {} failed: {}",
                self.queue_url,
                chain(&error)
            ))
        };
        request.send().await.map(drop).map_err(failed)
    }

    /// Sends events in one request, at most [`Self::MOST`]. Those that the queue did not take for reasons of its own are
    /// sent again a few times.
    ///
    /// # Errors
    /// The queue did not accept all of them; it may have accepted some.
    pub async fn publish_batch(&self, events: &[SqsEvent]) -> Result<(), StoreError> {
        let failed = |why: &dyn std::fmt::Display| {
            StoreError::Unavailable(format!("sending to the queue {} failed: {why}", self.queue_url))
        };
        let is_fifo = self.queue_url.ends_with(".fifo");
        let mut open: Vec<usize> = (0..events.len()).collect();
        let mut delays = REFUSED_DELAYS.into_iter();
        loop {
            let entry = |number: &usize| {
                let SqsEvent { id, group, body } = &events[*number];
                let mut entry =
                    SendMessageBatchRequestEntry::builder().id(number.to_string()).message_body(body);
                if is_fifo {
                    entry = entry.message_group_id(group).message_deduplication_id(id);
                }
                entry.build().map_err(|error| failed(&error))
            };
            let entries = open.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
            let request = self.client.send_message_batch().queue_url(&self.queue_url);
            let answer = request.set_entries(Some(entries)).send().await;
            let refused = answer.map_err(|error| failed(&chain(&error)))?.failed;
            let Some(first) = refused.first() else { return Ok(()) };
            let fault = refused.iter().find(|one| one.sender_fault);
            let why = fault.unwrap_or(first);
            let why = format!("{} {}", why.code, why.message.as_deref().unwrap_or_default());
            match delays.next() {
                Some(delay) if fault.is_none() => tokio::time::sleep(delay).await,
                _ => return Err(failed(&why.trim_end())),
            }
            open.retain(|number| refused.iter().any(|one| one.id == number.to_string()));
        }
    }
}

/// A queue of events.
#[derive(Debug)]
pub struct Sqs {
    client: Client,
    queue_url: Arc<str>,
    dead_letters: DeadLetterQueue,
}

impl Sqs {
    /// The queue at `queue_url`, whose dead letters go to the queue at `dead_letters`. Nothing is sent yet.
    #[must_use]
    pub fn new(client: &Client, queue_url: &str, dead_letters: String) -> Self {
        let dead_letters = DeadLetterQueue::new(client.clone(), dead_letters);
        Self { client: client.clone(), queue_url: queue_url.into(), dead_letters }
    }

    fn failed(&self, what: &str, error: &(dyn std::error::Error + 'static)) -> StoreError {
        StoreError::Unavailable(format!("{what} the queue {} failed: {}", self.queue_url, chain(error)))
    }
}

#[async_trait]
impl Broker for Sqs {
    async fn receive(&self, most: usize) -> Result<Vec<Arc<dyn Message>>, StoreError> {
        let answer = self
            .client
            .receive_message()
            .queue_url(&*self.queue_url)
            .max_number_of_messages(i32::try_from(most.clamp(1, MOST)).unwrap_or(1))
            .wait_time_seconds(WAIT_S)
            .visibility_timeout(seconds(LEASE))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .send()
            .await
            .map_err(|error| self.failed("receiving from", &error))?;
        let leased = |message: aws_sdk_sqs::types::Message| {
            let attribute = |name| message.attributes.as_ref().and_then(|attributes| attributes.get(&name));
            let received = attribute(MessageSystemAttributeName::ApproximateReceiveCount);
            let sent = attribute(MessageSystemAttributeName::SentTimestamp);
            let (deliveries, published_ms) = (
                received.and_then(|count| count.parse().ok()).unwrap_or(1),
                sent.and_then(|sent| sent.parse().ok()),
            );
            Arc::new(SqsMessage {
                client: self.client.clone(),
                queue_url: self.queue_url.clone(),
                id: message.message_id.unwrap_or_default(),
                receipt: message.receipt_handle.unwrap_or_default(),
                body: message.body.unwrap_or_default(),
                deliveries,
                published_ms,
            }) as Arc<dyn Message>
        };
        Ok(answer.messages.unwrap_or_default().into_iter().map(leased).collect())
    }

    async fn publish(&self, event: Bytes, id: Option<String>) -> Result<(), StoreError> {
        let text = String::from_utf8(event.into());
        let text = text.map_err(|_| StoreError::Corrupt("the event is not UTF-8".into()))?;
        let mut request = self.client.send_message().queue_url(&*self.queue_url);
        if self.queue_url.ends_with(FIFO) {
            // Late and duplicate events do no harm, so a group for each keeps none waiting. Without an id each is another's: the
            // same text may be of a newer version.
            let name = id.unwrap_or_else(|| format!("{:032x}", fastrand::u128(..)));
            request = request.message_group_id(&name).message_deduplication_id(name);
        }
        let sent = request.message_body(text).send().await;
        sent.map(drop).map_err(|error| self.failed("sending to", &error))
    }

    async fn dead_letter(&self, letter: &DeadLetter) -> Result<(), StoreError> {
        self.dead_letters.send(letter).await
    }

    async fn backlog(&self) -> Result<Option<Backlog>, StoreError> {
        let waiting = QueueAttributeName::ApproximateNumberOfMessages;
        let delayed = QueueAttributeName::ApproximateNumberOfMessagesDelayed;
        let answer = self
            .client
            .get_queue_attributes()
            .queue_url(&*self.queue_url)
            .attribute_names(waiting.clone())
            .attribute_names(delayed.clone())
            .send()
            .await
            .map_err(|error| self.failed("asking about", &error))?;
        let attributes = answer.attributes.unwrap_or_default();
        let count = |name| attributes.get(&name).and_then(|count| count.parse::<u64>().ok()).unwrap_or(0);
        Ok(Some(Backlog { messages: count(waiting) + count(delayed), oldest: None }))
    }
}

struct SqsMessage {
    client: Client,
    queue_url: Arc<str>,
    id: String,
    receipt: String,
    body: String,
    deliveries: u32,
    published_ms: Option<i64>,
}

impl SqsMessage {
    async fn hide_for(&self, time: Duration) -> Result<(), StoreError> {
        let request = self.client.change_message_visibility().queue_url(&*self.queue_url);
        let request = request.receipt_handle(&self.receipt).visibility_timeout(seconds(time));
        request.send().await.map(drop).map_err(|error| self.failed("extending", &error))
    }

    fn failed(&self, what: &str, error: &(dyn std::error::Error + 'static)) -> StoreError {
        let Self { id, queue_url, .. } = self;
        StoreError::Unavailable(format!("{what} the message {id} of {queue_url} failed: {}", chain(error)))
    }
}

#[async_trait]
impl Message for SqsMessage {
    fn id(&self) -> &str {
        &self.id
    }

    fn body(&self) -> &[u8] {
        self.body.as_bytes()
    }

    fn deliveries(&self) -> u32 {
        self.deliveries
    }

    fn published_ms(&self) -> Option<i64> {
        self.published_ms
    }

    fn lease(&self) -> Duration {
        LEASE
    }

    async fn extend(&self) -> Result<(), StoreError> {
        self.hide_for(LEASE).await
    }

    async fn acknowledge(&self) -> Result<(), StoreError> {
        let request = self.client.delete_message().queue_url(&*self.queue_url);
        let deleted = request.receipt_handle(&self.receipt).send().await;
        deleted.map(drop).map_err(|error| self.failed("deleting", &error))
    }

    async fn retry_after(&self, delay: Duration) -> Result<(), StoreError> {
        self.hide_for(delay.min(LONGEST_DELAY)).await
    }
}

/// Whole seconds, rounded up.
fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_millis().div_ceil(1000)).unwrap_or(i32::MAX)
}
