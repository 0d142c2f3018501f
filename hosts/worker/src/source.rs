//! The broker that the settings describe.

use std::{fs, path::Path, sync::Arc};

use anyhow::Context as _;
use tintype_pipeline::{Store, trigger::Trigger};
use tintype_sources::{
    Broker,
    nats::{Login, Nats, NatsServer, NatsSettings},
    poll::{Poll, PollSettings},
    sqs::{self, Sqs},
};
use tintype_stores::s3::Connection;

use crate::settings::{Logins, Source, WorkerSettings};

/// A description of a broker, with its secrets read.
#[derive(Debug, Clone)]
pub(crate) enum Described {
    Nats(NatsSettings),
    Sqs { queue_url: String, dead_letters: String },
    Poll(PollSettings),
}

impl Described {
    /// Reads the files that the settings name; nothing is sent.
    ///
    /// # Errors
    /// The setting that is missing, or the file that cannot be read.
    pub(crate) fn new(settings: &WorkerSettings, triggers: &[Trigger]) -> anyhow::Result<Self> {
        let source = settings.source.as_ref().context(
            "worker.source is not set: where do events come from? Give it, or --source, such as \
             nats://127.0.0.1:4222, sqs:https://… or poll",
        )?;
        let dead_letters = settings.dead_letters.clone().unwrap_or_default();
        Ok(match source {
            Source::Nats(url) => Self::Nats(NatsSettings {
                server: NatsServer {
                    url: url.clone(),
                    login: login("worker", &settings.logins())?,
                    tls_ca: settings.tls_ca.clone(),
                },
                stream: settings.stream.clone(),
                subject: settings.subject.clone(),
                consumer: settings.consumer.clone(),
                dead_letters,
            }),
            Source::Sqs(queue_url) => Self::Sqs { queue_url: queue_url.clone(), dead_letters },
            Source::Poll => {
                let first = triggers.first().context("the settings have no trigger: add a [[trigger]]")?;
                Self::Poll(PollSettings {
                    sources: crate::backfill::sources(triggers, ""),
                    destination: first.destination.clone(),
                    interval: settings.poll_interval,
                })
            }
        })
    }

    /// Connects to it.
    ///
    /// # Errors
    /// It cannot be reached, or refuses; trying again may help.
    pub(crate) async fn connect(
        &self,
        aws: &Connection,
        store: &Arc<dyn Store>,
    ) -> anyhow::Result<Arc<dyn Broker>> {
        Ok(match self.clone() {
            Self::Nats(settings) => Arc::new(Nats::connect(settings).await?),
            Self::Sqs { queue_url, dead_letters } => {
                let client = sqs_client(aws, &queue_url);
                let queue = Sqs::new(&client, &queue_url, dead_letters);
                // An error now, rather than with the first event.
                queue.backlog().await?;
                Arc::new(queue)
            }
            Self::Poll(settings) => Arc::new(Poll::new(store.clone(), settings)),
        })
    }
}

/// A client of the queue at a URL.
pub(crate) fn sqs_client(aws: &Connection, queue_url: &str) -> sqs::Client {
    let (endpoint, region) = place_of(queue_url);
    let mut aws = aws.clone();
    if let Some(region) = region {
        aws.region = region.to_owned();
    }
    sqs::client(&aws, Some(endpoint))
}

/// Scheme and host of a queue's URL, and the region that AWS has in it.
fn place_of(queue_url: &str) -> (&str, Option<&str>) {
    let host_at = queue_url.find("://").map_or(0, |at| at + 3);
    let end = queue_url[host_at..].find('/').map_or(queue_url.len(), |at| host_at + at);
    let region =
        queue_url[host_at..end].strip_prefix("sqs.").and_then(|rest| rest.split_once(".amazonaws.com"));
    (&queue_url[..end], region.map(|(region, _)| region))
}

/// Reads how to log in; `section` is that of the settings.
pub(crate) fn login(section: &str, logins: &Logins) -> anyhow::Result<Login> {
    let read = |setting: &str, file: &Path| read_secret(&format!("{section}.{setting}"), file);
    let written = [logins.user.is_some(), logins.token_file.is_some(), logins.creds_file.is_some()];
    anyhow::ensure!(
        written.into_iter().filter(|is_set| *is_set).count() <= 1,
        "{section}.user, {section}.token_file and {section}.creds_file are three ways to log in: set only one of them"
    );
    Ok(match logins {
        Logins { user: Some(user), password: Some(password), .. } => {
            Login::Password { user: user.clone(), password: password.clone() }
        }
        Logins { token_file: Some(file), .. } => Login::Token(read("token_file", file)?),
        Logins { creds_file: Some(file), .. } => Login::Credentials(read("creds_file", file)?),
        _ => Login::Anonymous,
    })
}

/// Reads the secret that a file holds.
///
/// # Errors
/// It cannot be read.
pub fn read_secret(setting: &str, file: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(file);
    let text = text.with_context(|| format!("{setting}: {} cannot be read", file.display()))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_and_the_region_are_those_of_the_queue() {
        let aws = "https://sqs.eu-central-1.amazonaws.com/123456789012/events";
        assert_eq!(place_of(aws), ("https://sqs.eu-central-1.amazonaws.com", Some("eu-central-1")));
        assert_eq!(place_of("http://127.0.0.1:5000/1/q"), ("http://127.0.0.1:5000", None));
    }
}
