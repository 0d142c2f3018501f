//! The sections `store` and `worker`: where objects are, and where events come from.

use std::{fmt, path::PathBuf, time::Duration};

use serde::Deserialize;
use tintype_pipeline::settings::{Check, SettingsError};

/// The store. Credentials are found as AWS SDKs find them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreSettings {
    /// `None`: AWS, or the endpoint in the environment.
    pub endpoint: Option<String>,
    /// `None`: as the environment or the profile has it.
    pub region: Option<String>,
    /// Whether the bucket is in the path of URLs; `None`: at endpoints other than AWS.
    pub path_style: Option<bool>,
}

/// The section as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "struct Store")]
pub struct StoreSection {
    endpoint: Option<String>,
    region: Option<String>,
    path_style: Option<bool>,
}

impl StoreSection {
    /// Validates the section.
    ///
    /// # Errors
    /// The first setting that is unusable.
    pub fn validate(self, check: &Check) -> Result<StoreSettings, SettingsError> {
        let endpoint = self.endpoint.map(|url| url.trim_end_matches('/').to_owned());
        let is_url = |url: &String| {
            let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
            host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', '@']))
        };
        if let Some(url) = endpoint.as_ref().filter(|url| !is_url(url)) {
            let words = format!("\"{url}\" is no endpoint; write one like \"https://s3.example:9000\"");
            return check.fail("store.endpoint", words);
        }
        Ok(StoreSettings { endpoint, region: self.region, path_style: self.path_style })
    }
}

/// Where events come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A NATS server, or several, separated by commas.
    Nats(String),
    /// The URL of a queue.
    Sqs(String),
    /// The source buckets are listed.
    Poll,
}

/// The worker.
#[derive(Clone, PartialEq, Eq)]
pub struct WorkerSettings {
    /// `None`: not set; `tintype worker` needs one.
    pub source: Option<Source>,
    /// The user at the NATS server, with the password.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<String>,
    /// A file with a token for the NATS server.
    pub token_file: Option<PathBuf>,
    /// A file with a user's JWT and NKey seed for the NATS server, or with the seed alone.
    pub creds_file: Option<PathBuf>,
    /// Certificates to trust at the NATS server, PEM.
    pub tls_ca: Option<PathBuf>,
    /// The JetStream stream.
    pub stream: String,
    /// The subject of events.
    pub subject: String,
    /// The durable consumer.
    pub consumer: String,
    /// The subject of dead letters, or the URL of their queue; `None`: not set.
    pub dead_letters: Option<String>,
    /// From the beginning of one pass over the source buckets to that of the next.
    pub poll_interval: Duration,
    /// The bearer token of `POST /webhook`; without one there is no such route.
    pub webhook_token: Option<String>,
}

/// Ways to log in at a NATS server.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Logins {
    /// A user, with the password.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<String>,
    /// A file with a token.
    pub token_file: Option<PathBuf>,
    /// A file with a user's JWT and NKey seed, or with the seed alone.
    pub creds_file: Option<PathBuf>,
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logins").field("user", &self.user).finish_non_exhaustive()
    }
}

impl WorkerSettings {
    /// How it logs in at the NATS server.
    pub(crate) fn logins(&self) -> Logins {
        Logins {
            user: self.user.clone(),
            password: self.password.clone(),
            token_file: self.token_file.clone(),
            creds_file: self.creds_file.clone(),
        }
    }
}

impl fmt::Debug for WorkerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerSettings").field("source", &self.source).finish_non_exhaustive()
    }
}

/// The section as written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "struct Worker")]
pub struct WorkerSection {
    source: Option<String>,
    user: Option<String>,
    password: Option<String>,
    token_file: Option<String>,
    creds_file: Option<String>,
    tls_ca: Option<String>,
    stream: Option<String>,
    subject: Option<String>,
    consumer: Option<String>,
    dead_letters: Option<String>,
    poll_interval: Option<String>,
    webhook_token: Option<String>,
}

impl fmt::Debug for WorkerSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerSection").field("source", &self.source).finish_non_exhaustive()
    }
}

/// The shortest token that is accepted, in characters.
const SHORTEST_TOKEN: usize = 16;

impl WorkerSection {
    /// Validates the section.
    ///
    /// # Errors
    /// The first setting that is unusable.
    pub fn validate(self, check: &Check) -> Result<WorkerSettings, SettingsError> {
        let source = self.source.map(|text| source(check, &text)).transpose()?;
        let is_sqs = matches!(source, Some(Source::Sqs(_)));
        if is_sqs && !self.dead_letters.as_deref().is_some_and(is_url) {
            return check.fail(
                "worker.dead_letters",
                "events that fail for good need a queue of their own; write its URL, like \
                 \"https://sqs.eu-central-1.amazonaws.com/123456789012/dead-letters\"",
            );
        }
        let name = |setting: &str, text: Option<String>, default: &str, is_subject: bool| {
            let text = text.unwrap_or_else(|| default.to_owned());
            if !is_nats_name(&text, is_subject) {
                let words = format!(
                    "\"{text}\" is no such name: letters, digits, - and _{}",
                    if is_subject { ", in parts separated by dots" } else { "" }
                );
                return check.fail(setting, words);
            }
            Ok(text)
        };
        let poll_interval = self.poll_interval.as_deref().unwrap_or("60s");
        let poll_interval = check.duration("worker.poll_interval", poll_interval)?;
        if poll_interval < Duration::from_secs(1) {
            return check.fail("worker.poll_interval", "out of range; write at least 1s");
        }
        if self.user.is_some() != self.password.is_some() {
            return check.fail("worker.user", "set it together with worker.password");
        }
        if self.webhook_token.as_deref().is_some_and(|token| token.len() < SHORTEST_TOKEN) {
            let words = format!("it can be guessed; write at least {SHORTEST_TOKEN} characters");
            return check.fail("worker.webhook_token", words);
        }
        if self.webhook_token.is_some() && source == Some(Source::Poll) {
            return check.fail(
                "worker.webhook_token",
                "a webhook's events are stored at a broker before they are acknowledged: set worker.source to a \
                 nats:// or sqs: URL",
            );
        }
        let is_nats = matches!(source, Some(Source::Nats(_)));
        let dead_letters = match (is_nats, self.dead_letters) {
            (true, written) => Some(name("worker.dead_letters", written, "tintype.dead", true)?),
            (false, written) => written,
        };
        let subject = name("worker.subject", self.subject, "tintype.events", true)?;
        if dead_letters.as_deref() == Some(&subject) {
            return check.fail("worker.dead_letters", "events and dead letters need subjects of their own");
        }
        Ok(WorkerSettings {
            source,
            user: self.user,
            password: self.password,
            token_file: self.token_file.map(PathBuf::from),
            creds_file: self.creds_file.map(PathBuf::from),
            tls_ca: self.tls_ca.map(PathBuf::from),
            stream: name("worker.stream", self.stream, "tintype", false)?,
            subject,
            consumer: name("worker.consumer", self.consumer, "thumbnails", false)?,
            dead_letters,
            poll_interval,
            webhook_token: self.webhook_token,
        })
    }
}

/// Whether a stream, a consumer or, with `is_subject`, a subject can have this name.
#[must_use]
pub fn is_nats_name(text: &str, is_subject: bool) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || (is_subject && c == '.');
    !text.is_empty() && text.chars().all(legal) && !text.starts_with('.') && !text.ends_with('.')
}

fn is_url(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

fn source(check: &Check, text: &str) -> Result<Source, SettingsError> {
    if text.starts_with("nats://") || text.starts_with("tls://") {
        if text.contains('@') {
            return check.fail(
                "worker.source",
                "it is logged, so it may hold no password; set worker.user and worker.password, worker.token_file or \
                 worker.creds_file",
            );
        }
        return Ok(Source::Nats(text.to_owned()));
    }
    match text.strip_prefix("sqs:") {
        Some(url) if is_url(url) && url.matches('/').count() >= 3 => return Ok(Source::Sqs(url.to_owned())),
        _ => {}
    }
    match text {
        "poll" => Ok(Source::Poll),
        "webhook" => check.fail(
            "worker.source",
            "a webhook's events are stored at a broker before they are acknowledged: set worker.source to its nats:// or \
             sqs: URL, and worker.webhook_token",
        ),
        other => check.fail(
            "worker.source",
            format!(
                "\"{other}\" is no source; write one like \"nats://127.0.0.1:4222\", \
                 \"sqs:https://sqs.eu-central-1.amazonaws.com/123456789012/events\" or \"poll\""
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use tintype_pipeline::settings::{Foreign, Sources};

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Written {
        store: StoreSection,
        worker: WorkerSection,
    }

    fn load(file: &str) -> Result<(StoreSettings, WorkerSettings), SettingsError> {
        let file = Some(("tintype.toml".into(), file.into()));
        let (written, check) = Sources { file, ..Sources::default() }.read::<Written>(Foreign::default())?;
        Ok((written.store.validate(&check)?, written.worker.validate(&check)?))
    }

    #[test]
    fn sources_are_recognised_by_their_scheme() {
        let source = |text: &str| {
            let dead = "dead_letters = \"https://sqs.example/1/dead\"";
            let dead = if text.starts_with("sqs:") { dead } else { "" };
            load(&format!("[worker]\nsource = \"{text}\"\n{dead}")).map(|(_, worker)| worker.source.unwrap())
        };
        assert_eq!(
            source("nats://a:4222,nats://b:4222").unwrap(),
            Source::Nats("nats://a:4222,nats://b:4222".into())
        );
        assert_eq!(
            source("sqs:https://sqs.example/1/q").unwrap(),
            Source::Sqs("https://sqs.example/1/q".into())
        );
        assert_eq!(source("poll").unwrap(), Source::Poll);
        for wrong in
            ["", "kafka://a", "sqs:queue", "sqs:https://sqs.example", "webhook", "nats://user:secret@a"]
        {
            let error = source(wrong).unwrap_err().to_string();
            assert!(error.contains("worker.source") && !error.contains("secret@"), "{wrong}: {error}");
        }
    }

    #[test]
    fn defaults_are_the_documented_names() {
        let (store, worker) = load("[worker]\nsource = \"nats://a\"").unwrap();
        assert_eq!(store, StoreSettings::default());
        assert_eq!((worker.stream.as_str(), worker.subject.as_str()), ("tintype", "tintype.events"));
        assert_eq!(
            (worker.consumer.as_str(), worker.dead_letters.as_deref()),
            ("thumbnails", Some("tintype.dead"))
        );
        assert_eq!(worker.poll_interval, Duration::from_secs(60));
    }

    #[test]
    fn errors_say_what_to_write_and_show_no_secret() {
        for (file, part) in [
            ("[store]\nendpoint = \"s3.example:9000\"", "store.endpoint"),
            ("[store]\nendpoint = \"https://key:secret@s3.example\"", "store.endpoint"),
            ("[worker]\nsource = \"sqs:https://sqs.example/1/q\"", "worker.dead_letters"),
            ("[worker]\nwebhook_token = \"short-secret\"", "at least 16"),
            ("[worker]\nsource = \"poll\"\nwebhook_token = \"0123456789abcdef\"", "at a broker"),
            ("[worker]\nuser = \"a\"", "worker.password"),
            ("[worker]\nstream = \"a.b\"", "worker.stream"),
            ("[worker]\nsource = \"nats://a\"\ndead_letters = \"tintype.events\"", "of their own"),
            ("[worker]\npoll_interval = \"1ms\"", "at least 1s"),
        ] {
            let error = load(file).unwrap_err().to_string();
            assert!(error.contains(part), "{file}: {error}");
        }
        let (_, worker) = load("[worker]\nuser = \"a\"\npassword = \"very secret\"").unwrap();
        assert!(!format!("{worker:?}").contains("very secret"));
    }
}
