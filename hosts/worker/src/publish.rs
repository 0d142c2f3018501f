//! Publishing events to a queue, for `tintype serve`: with the same clients, logins and credentials as a worker's source.

use std::path::PathBuf;

use bytes::Bytes;
use tintype_sources::{
    nats::{NatsPublisher, NatsServer},
    sqs::SqsPublisher,
};

use crate::{
    aws,
    settings::{Logins, StoreSettings},
    source::{login, sqs_client},
};

/// Where events are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Queue {
    /// A subject of a NATS server.
    Nats {
        /// The server, or several, separated by commas.
        url: String,
        /// A subject that some stream takes.
        subject: String,
        /// How to log in.
        logins: Logins,
        /// Certificates to trust beside those of the system.
        tls_ca: Option<PathBuf>,
    },
    /// The URL of an SQS queue.
    Sqs(String),
}

/// An event to be published.
#[derive(Debug, Clone)]
pub struct Event<'a> {
    /// The same for every attempt at it.
    pub id: &'a str,
    /// The same for all events of one object.
    pub group: &'a str,
    /// It, as JSON.
    pub body: String,
}

/// A connection to a queue.
#[derive(Debug)]
pub struct Publisher(Kind);

#[derive(Debug)]
enum Kind {
    Nats(Box<NatsPublisher>),
    Sqs(SqsPublisher),
}

impl Publisher {
    /// Connects. `section`: that of the settings, for messages; `variable` looks up an environment variable.
    ///
    /// # Errors
    /// The queue cannot be reached, or a file of the settings cannot be read.
    pub async fn connect(
        section: &str,
        queue: &Queue,
        variable: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Self> {
        Ok(Self(match queue {
            Queue::Nats { url, subject, logins, tls_ca } => {
                let login = login(section, logins)?;
                let server = NatsServer { url: url.clone(), login, tls_ca: tls_ca.clone() };
                Kind::Nats(Box::new(NatsPublisher::connect(&server, subject.clone()).await?))
            }
            Queue::Sqs(url) => {
                let aws = aws::connection(&StoreSettings::default(), variable).await?;
                Kind::Sqs(SqsPublisher::new(sqs_client(&aws, url), url.clone()))
            }
        }))
    }

    /// Publishes an event; when this returns, the queue has stored it.
    ///
    /// # Errors
    /// The queue has not confirmed it.
    pub async fn publish(&self, event: Event<'_>) -> anyhow::Result<()> {
        match &self.0 {
            Kind::Nats(nats) => nats.publish(event.id, Bytes::from(event.body)).await?,
            Kind::Sqs(sqs) => sqs.publish(event.id, event.group, event.body).await?,
        }
        Ok(())
    }
}

/// Reads the files that logging in needs, so that a wrong one is found at the start.
///
/// # Errors
/// A file cannot be read, or there are several ways to log in.
pub fn check_logins(section: &str, queue: &Queue) -> anyhow::Result<()> {
    match queue {
        Queue::Nats { logins, .. } => login(section, logins).map(drop),
        Queue::Sqs(_) => Ok(()),
    }
}
