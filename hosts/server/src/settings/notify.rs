//! The sections `notify`: which bucket events are sent where.

use std::{fmt, path::PathBuf};

use serde::Deserialize;
use tintype_pipeline::{
    settings::{Check, SettingsError},
    trigger::check_bucket_name,
};
use tintype_worker::{Logins, is_nats_name, publish::Queue};

/// Events that may wait for one target, unless the settings say otherwise: some 40 MB of the ledger.
const MAX_WAITING: u64 = 100_000;

/// A target with the events that it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// Names what waits for it in the ledger, in logs and to operators; holds no secret.
    pub name: String,
    /// The bucket.
    pub bucket: String,
    /// What a key must begin with.
    pub prefix: String,
    /// Which events.
    pub events: NotifyEvents,
    /// Where they are sent.
    pub target: NotifyTarget,
    /// Beyond this number the oldest events that wait are dropped.
    pub max_waiting: u64,
}

/// Which events are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NotifyEvents {
    /// Objects created where there was none.
    pub created: bool,
    /// Objects that replaced a version.
    pub overwritten: bool,
    /// Objects removed.
    pub removed: bool,
}

/// Where events are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotifyTarget {
    /// A queue.
    Queue(Queue),
    /// A server that takes them by POST.
    Webhook(Webhook),
}

/// A server that takes events by POST. `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its URL, whose path may be a secret.
    pub url: String,
    /// The bearer token.
    pub token: Option<String>,
    /// A file with the bearer token.
    pub token_file: Option<PathBuf>,
    /// Certificates to trust beside those of the system, PEM.
    pub tls_ca: Option<PathBuf>,
    /// Scheme and host at which browsers reach the HTTP API: what the URLs to purge begin with.
    pub public_url: Option<String>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("url", &origin(&self.url)).finish_non_exhaustive()
    }
}

impl fmt::Display for NotifyTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(Queue::Nats { url, subject, .. }) => write!(f, "{url}/{subject}"),
            Self::Queue(Queue::Sqs(url)) => write!(f, "sqs:{url}"),
            Self::Webhook(webhook) => f.write_str(origin(&webhook.url)),
        }
    }
}

/// Scheme and host of a URL.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
    &url[..end]
}

/// The section as written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "struct Notify")]
pub(super) struct NotifySection {
    name: Option<String>,
    bucket: Option<String>,
    prefix: Option<String>,
    events: Option<Vec<String>>,
    target: Option<String>,
    user: Option<String>,
    password: Option<String>,
    token: Option<String>,
    token_file: Option<String>,
    creds_file: Option<String>,
    tls_ca: Option<String>,
    public_url: Option<String>,
    max_waiting: Option<u64>,
}

impl fmt::Debug for NotifySection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Validates all of them. Without a bucket that of the first trigger is meant.
pub(super) fn sections(
    check: &Check,
    written: Vec<NotifySection>,
    default_bucket: Option<&str>,
) -> Result<Vec<Notify>, SettingsError> {
    let mut sections: Vec<Notify> = Vec::with_capacity(written.len());
    for section in written {
        let section = section.validate(check, default_bucket)?;
        if sections.iter().any(|other| other.name == section.name) {
            let words = format!("\"{}\" is taken by another [[notify]]; give each a name", section.name);
            return check.fail("notify.name", words);
        }
        sections.push(section);
    }
    Ok(sections)
}

impl NotifySection {
    fn validate(self, check: &Check, default_bucket: Option<&str>) -> Result<Notify, SettingsError> {
        let bucket = self.bucket.clone().or_else(|| default_bucket.map(str::to_owned));
        let Some(bucket) = bucket else {
            return check.fail("notify.bucket", "whose events are sent? Write the name of a bucket");
        };
        check_bucket_name(&bucket).or_else(|error| check.fail("notify.bucket", error))?;
        let events = self.events(check)?;
        let target = self.target(check)?;
        let name = match self.name {
            Some(name) => {
                let is_legal = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
                if name.is_empty() || name.len() > 64 || !name.bytes().all(is_legal) {
                    return check.fail("notify.name", "write 1 to 64 letters, digits, - and _");
                }
                name
            }
            // Not the target: what waits is to be sent to another one that the settings name.
            None => bucket.clone(),
        };
        let max_waiting = self.max_waiting.unwrap_or(MAX_WAITING);
        let max_waiting = check.within("notify.max_waiting", max_waiting, 1, 100_000_000)?;
        Ok(Notify { name, bucket, prefix: self.prefix.unwrap_or_default(), events, target, max_waiting })
    }

    fn events(&self, check: &Check) -> Result<NotifyEvents, SettingsError> {
        let Some(written) = &self.events else {
            return Ok(NotifyEvents { created: true, overwritten: true, removed: true });
        };
        let mut events = NotifyEvents::default();
        for event in written {
            match event.as_str() {
                "created" => (events.created, events.overwritten) = (true, true),
                "overwritten" => events.overwritten = true,
                "removed" => events.removed = true,
                other => {
                    let words = format!("\"{other}\" is not created, overwritten or removed");
                    return check.fail("notify.events", words);
                }
            }
        }
        match written.is_empty() {
            true => check.fail("notify.events", "write at least one of created, overwritten and removed"),
            false => Ok(events),
        }
    }

    fn target(&self, check: &Check) -> Result<NotifyTarget, SettingsError> {
        const EXAMPLES: &str = "\"nats://127.0.0.1:4222/tintype.events\", \
             \"sqs:https://sqs.eu-central-1.amazonaws.com/123456789012/events\" or \"https://cdn.example/purge\"";
        let Some(target) = self.target.as_deref() else {
            return check
                .fail("notify.target", format!("where are events sent? Write a URL like {EXAMPLES}"));
        };
        let host = target.split(['?', '#']).next().unwrap_or_default();
        if host.contains('@') {
            let words = "it is logged, so it may hold no password; set notify.user and notify.password, notify.token, \
                         notify.token_file or notify.creds_file";
            return check.fail("notify.target", words);
        }
        let (is_nats, is_sqs) =
            (target.starts_with("nats://") || target.starts_with("tls://"), target.starts_with("sqs:"));
        let is_webhook = target.starts_with("https://") || target.starts_with("http://");
        for (setting, is_written, is_used) in [
            ("user", self.user.is_some(), is_nats),
            ("password", self.password.is_some(), is_nats),
            ("creds_file", self.creds_file.is_some(), is_nats),
            ("token", self.token.is_some(), is_webhook),
            ("public_url", self.public_url.is_some(), is_webhook),
            ("token_file", self.token_file.is_some(), !is_sqs),
            ("tls_ca", self.tls_ca.is_some(), !is_sqs),
        ] {
            if is_written && !is_used && (is_nats || is_sqs || is_webhook) {
                return check.fail(
                    &format!("notify.{setting}"),
                    format!("a target like {} has no such setting", scheme(target)),
                );
            }
        }
        let path = |file: &Option<String>| file.as_deref().map(PathBuf::from);
        if is_nats {
            let parted = target
                .rsplit_once('/')
                .filter(|(server, _)| !server.ends_with('/') && !server.ends_with(':'));
            let Some((url, subject)) = parted.filter(|(_, subject)| is_nats_name(subject, true)) else {
                let words = "name a subject, too: letters, digits, - and _, in parts separated by dots, as in \
                             \"nats://127.0.0.1:4222/tintype.events\"";
                return check.fail("notify.target", words);
            };
            if self.user.is_some() != self.password.is_some() {
                return check.fail("notify.user", "set it together with notify.password");
            }
            let logins = Logins {
                user: self.user.clone(),
                password: self.password.clone(),
                token_file: path(&self.token_file),
                creds_file: path(&self.creds_file),
            };
            let (url, subject, tls_ca) = (url.to_owned(), subject.to_owned(), path(&self.tls_ca));
            return Ok(NotifyTarget::Queue(Queue::Nats { url, subject, logins, tls_ca }));
        }
        if let Some(url) = target.strip_prefix("sqs:") {
            let is_queue = origin(url).contains("://") && url.len() > origin(url).len() + 1;
            return match is_queue && url.starts_with("http") {
                true => Ok(NotifyTarget::Queue(Queue::Sqs(url.to_owned()))),
                false => check.fail(
                    "notify.target",
                    format!("\"sqs:{}\" is no queue; write its URL, like {EXAMPLES}", origin(url)),
                ),
            };
        }
        if !is_webhook || target.parse::<http::Uri>().is_err() || origin(target).ends_with('/') {
            // Its path may be a secret.
            let words = format!("\"{}\" is no target; write one like {EXAMPLES}", origin(target));
            return check.fail("notify.target", words);
        }
        if self.token.is_some() && self.token_file.is_some() {
            return check.fail("notify.token", "set it or notify.token_file, not both");
        }
        // It goes into a header.
        if self
            .token
            .as_deref()
            .is_some_and(|token| token.is_empty() || !token.bytes().all(|c| c.is_ascii_graphic()))
        {
            return check.fail("notify.token", "write visible ASCII characters");
        }
        let public_url = self.public_url.as_deref().map(|url| url.trim_end_matches('/').to_owned());
        if let Some(url) = public_url.as_deref().filter(|url| {
            let is_http = url.starts_with("https://") || url.starts_with("http://");
            !is_http || origin(url) != *url || url.ends_with('/')
        }) {
            let words =
                format!("\"{url}\" is no scheme and host; write them like \"https://images.example\"");
            return check.fail("notify.public_url", words);
        }
        Ok(NotifyTarget::Webhook(Webhook {
            url: target.to_owned(),
            token: self.token.clone(),
            token_file: path(&self.token_file),
            tls_ca: path(&self.tls_ca),
            public_url,
        }))
    }
}

fn scheme(target: &str) -> &str {
    target.split_once(':').map_or(target, |(scheme, _)| scheme)
}

impl Notify {
    /// Files that it needs.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let files = match &self.target {
            NotifyTarget::Queue(Queue::Nats { logins, tls_ca, .. }) => {
                [logins.token_file.as_ref(), logins.creds_file.as_ref(), tls_ca.as_ref()]
            }
            NotifyTarget::Queue(Queue::Sqs(_)) => [None; 3],
            NotifyTarget::Webhook(webhook) => [webhook.token_file.as_ref(), webhook.tls_ca.as_ref(), None],
        };
        files.into_iter().flatten()
    }

    /// Whether its target may be reached by TLS.
    #[must_use]
    pub fn may_use_tls(&self) -> bool {
        match &self.target {
            // A server may ask for it.
            NotifyTarget::Queue(Queue::Nats { .. }) => true,
            NotifyTarget::Queue(Queue::Sqs(url)) => url.starts_with("https://"),
            NotifyTarget::Webhook(webhook) => webhook.url.starts_with("https://"),
        }
    }

    /// Whether it needs credentials as AWS SDKs find them.
    #[must_use]
    pub const fn needs_aws_credentials(&self) -> bool {
        matches!(self.target, NotifyTarget::Queue(Queue::Sqs(_)))
    }
}

#[cfg(test)]
mod tests {
    use tintype_pipeline::settings::Sources;

    use super::*;
    use crate::settings::Settings;

    fn load(file: &str) -> Result<Vec<Notify>, SettingsError> {
        let file = Some(("tintype.toml".into(), file.into()));
        Settings::load(Sources { file, ..Sources::default() }).map(|settings| settings.notify)
    }

    fn one(file: &str) -> Result<Notify, SettingsError> {
        load(&format!("[[notify]]\n{file}")).map(|mut all| all.remove(0))
    }

    #[test]
    fn targets_are_recognised_by_their_scheme() {
        let nats = one("target = \"nats://a:4222,nats://b:4222/x.events\"").unwrap();
        let Notify { target: NotifyTarget::Queue(Queue::Nats { url, subject, .. }), bucket, .. } = &nats
        else {
            panic!("{nats:?}");
        };
        assert_eq!((url.as_str(), subject.as_str()), ("nats://a:4222,nats://b:4222", "x.events"));
        assert_eq!(bucket, "input-product-images");
        assert_eq!(nats.name, "input-product-images");
        let sqs = one("target = \"sqs:http://127.0.0.1:5000/1/q\"").unwrap();
        assert_eq!(sqs.target, NotifyTarget::Queue(Queue::Sqs("http://127.0.0.1:5000/1/q".into())));
        let purge = one("target = \"https://cdn.example:8443/secret/purge?x=1\"\ntoken = \"very-secret\"\nevents = [\"overwritten\"]").unwrap();
        assert_eq!(purge.target.to_string(), "https://cdn.example:8443");
        assert_eq!(purge.name, nats.name, "another target: what waits stays");
        assert_eq!(purge.events, NotifyEvents { overwritten: true, ..NotifyEvents::default() });
        assert!(!format!("{purge:?}").contains("secret"));
    }

    #[test]
    fn errors_say_what_to_write_and_show_no_secret() {
        for (file, part) in [
            ("", "notify.target: where are events sent?"),
            ("target = \"kafka://a\"", "is no target"),
            ("target = \"nats://a:4222\"", "name a subject"),
            ("target = \"nats://a:4222/\"", "name a subject"),
            ("target = \"nats://a:4222/a b\"", "name a subject"),
            ("target = \"nats://u:very-secret@a/x\"", "no password"),
            ("target = \"sqs:queue\"", "is no queue"),
            ("target = \"sqs:ftp://a/very-secret\"", "\"sqs:ftp://a\" is no queue"),
            ("target = \"https://a/very-secret b\"", "\"https://a\" is no target"),
            ("target = \"ftp://a/very-secret\"", "\"ftp://a\" is no target"),
            ("target = \"https://\"", "is no target"),
            ("target = \"https://a\"\nevents = []", "at least one"),
            ("target = \"https://a\"\nevents = [\"deleted\"]", "\"deleted\" is not created"),
            ("target = \"https://a\"\ntoken = \"very-secret \"", "visible"),
            ("target = \"https://a\"\nuser = \"a\"", "notify.user: a target like https"),
            ("target = \"nats://a/x\"\nuser = \"a\"", "notify.password"),
            ("target = \"nats://a/x\"\ntoken = \"very-secret\"", "notify.token: a target like nats"),
            ("target = \"https://a\"\npublic_url = \"https://b/c\"", "notify.public_url"),
            ("target = \"https://a\"\nbucket = \"A\"", "notify.bucket"),
            ("target = \"https://a\"\nname = \"a b\"", "notify.name"),
            ("target = \"https://a\"\nmax_waiting = 0", "notify.max_waiting"),
            ("target = \"https://a\"\n[[notify]]\ntarget = \"nats://b/x\"", "give each a name"),
        ] {
            let error = one(file).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("very-secret"), "{file}: {error}");
        }
    }
}
