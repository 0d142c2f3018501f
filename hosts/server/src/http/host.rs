//! The port `Host` of the API's routes on this server's parts.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
};

use bytes::Bytes;
use futures::executor::block_on;
use http::{header, request::Parts, uri::Authority};
use tintype_api::{Audience, Deadline, FormSigner, Host, HostResult, Queued, Refused, Rendering};
use tintype_engine::{Header, Spec, Thumbnail};
use tintype_pipeline::{
    Failure, Inspection, Location, Outcome, Reason, RenderedImage, Report,
    event::Record,
    store::{Arrival, Object, Stat, Store, StoreError},
    trigger::Trigger,
};

use super::HttpApi;
use crate::{
    auth::{Action, Client, Principal, Visibility, caller},
    rendered_cache::RenderedKey,
    request_id,
    storage::{Cause, DiskPort, StoreFault},
};

/// Bytes of the largest thumbnail that is read; none is near this.
const LARGEST_THUMBNAIL: u64 = 256 << 20;

/// The region that signatures name.
const REGION: &str = "us-east-1";

impl Host for HttpApi {
    /// Buckets that the caller does not see are not named to it, and never meant where it names none.
    fn triggers(&self) -> Arc<Vec<Trigger>> {
        let triggers = self.inner.parts.store.notifications.triggers();
        let Some(visibility) = limited() else { return triggers };
        let names: BTreeSet<&str> = triggers.iter().map(|trigger| trigger.bucket.as_str()).collect();
        let shown: BTreeSet<&str> =
            names.iter().copied().filter(|name| visibility.shows_bucket(name)).collect();
        if shown == names {
            return triggers;
        }
        let is_shown = |trigger: &&Trigger| shown.contains(trigger.bucket.as_str());
        let mut visible: Vec<Trigger> = triggers.iter().filter(is_shown).cloned().collect();
        if visible.is_empty() {
            // An image without an object is rendered by the first one's options; nobody may get what has no bucket.
            let without_bucket = |first: &Trigger| Trigger {
                bucket: String::new(),
                destination: String::new(),
                ..first.clone()
            };
            visible.extend(triggers.first().map(without_bucket));
        }
        Arc::new(visible)
    }

    /// What it may get or put it is answered, whether or not it can be seen from its policies that there is such a thing: they
    /// may ask for tags, and ACLs are the objects'.
    fn triggers_for(&self, at: &Location) -> Arc<Vec<Trigger>> {
        let may = |action| caller::allows(action, at);
        match may(Action::GetObject) || may(Action::PutObject) {
            true => self.inner.parts.store.notifications.triggers(),
            false => Arc::default(),
        }
    }

    /// Whose rights are by object is asked for every object, and nobody is answered by them.
    fn audience(&self) -> Option<Audience> {
        let caller = caller::current().filter(|caller| !caller.is_limited())?;
        Some(if caller.principal == Principal::Public { Audience::Public } else { Audience::Callers })
    }

    fn may_read(&self, at: &Location) -> Result<(), Failure> {
        authorized(Action::GetObject, at)
    }

    async fn recall(&self, rendering: &Rendering) -> Option<Bytes> {
        authorized(Action::GetObject, &rendering.at).ok()?;
        self.inner.parts.rendered.get(rendered_key(rendering)).await
    }

    fn retain(&self, rendering: Rendering, bytes: Bytes) {
        self.inner.parts.rendered.put(rendered_key(&rendering), bytes);
    }

    async fn invoke(&self, record: Record, deadline: Deadline) -> Result<Report, Refused> {
        let at = Location { bucket: record.bucket.clone(), key: record.key.clone() };
        if let Err(denied) = authorized(Action::GetObject, &at) {
            return Ok(Report::of(&record, Outcome::Failed(denied)));
        }
        let mut report = self.inner.parts.dispatcher.invoke(record, deadline).await?;
        if let Some(visibility) = limited() {
            report.renditions.retain(|rendition| visibility.shows(&rendition.at));
        }
        if let Outcome::Failed(failure) = report.outcome {
            report.outcome = Outcome::Failed(shown(failure));
        }
        Ok(report)
    }

    async fn render(&self, bytes: Bytes, spec: Spec, deadline: Deadline) -> HostResult<(Header, Thumbnail)> {
        let rendered = self.inner.parts.dispatcher.render(bytes, spec, deadline).await?;
        Ok(rendered.map_err(shown))
    }

    async fn render_object(
        &self,
        at: Location,
        spec: Spec,
        deadline: Deadline,
    ) -> HostResult<(Stat, Thumbnail)> {
        if let Err(denied) = authorized(Action::GetObject, &at) {
            return Ok(Err(denied));
        }
        let rendered = self.inner.parts.dispatcher.render_object(at, spec, deadline).await?;
        Ok(rendered.map_err(shown))
    }

    async fn inspect(&self, at: Location, trigger: Trigger, deadline: Deadline) -> HostResult<Inspection> {
        if let Err(denied) = authorized(Action::GetObject, &at) {
            return Ok(Err(denied));
        }
        let mut inspected = self.inner.parts.dispatcher.inspect(at, trigger, deadline).await?;
        // What is known of a thumbnail is for whoever may read it.
        if let Ok(inspection) = &mut inspected {
            inspection.renditions.retain(|rendition| caller::allows(Action::GetObject, &rendition.at));
        }
        Ok(inspected.map_err(shown))
    }

    async fn alt_text(&self, thumbnail: Location) -> BTreeMap<String, String> {
        let store = self.inner.parts.store.clone();
        let beside = tokio::task::spawn_blocking(move || store.alt_texts.beside(&thumbnail)).await;
        // What cannot be read now is left out: the rest of the answer is right without it.
        let found = beside.ok().and_then(Result::ok).flatten();
        let found = found.filter(|found| caller::allows(Action::GetObject, &found.at));
        found.map(|found| found.sidecar.alt).unwrap_or_default()
    }

    async fn enqueue(&self, record: Record) -> Result<Queued, Failure> {
        let at = Location { bucket: record.bucket, key: record.key };
        authorized(Action::GetObject, &at)?;
        let store = self.inner.parts.store.clone();
        let cause = Cause::new("ObjectCreated:Post", request_id::current()).with_key(caller::access_key());
        let queued = tokio::task::spawn_blocking(move || store.backfill.enqueue(&at, cause));
        match queued.await.map_err(panicked)? {
            Ok(true) => Ok(Queued::Yes),
            Ok(false) => Ok(Queued::NoTrigger),
            Err(StoreFault::NoSuchKey(at)) => {
                Err(Failure::new(Reason::Missing, format!("{at} does not exist; upload it first")))
            }
            Err(fault) => Err(shown(StoreError::from(fault).into())),
        }
    }

    async fn stat(&self, at: Location) -> Result<Option<Stat>, Failure> {
        authorized(Action::GetObject, &at)?;
        self.on_disk(move |port| block_on(port.head(&at))).await
    }

    async fn form_signer(&self, bucket: &str, request: &Parts) -> Result<FormSigner, Failure> {
        if bucket.is_empty() {
            let text = "there is no bucket that is meant by default for this access key; name one";
            return Err(Failure::new(Reason::Denied, text));
        }
        let settings = &self.inner.settings;
        let listens = || {
            let host = request.headers.get(header::HOST).and_then(|host| host.to_str().ok());
            // A page that came over TLS may send its form over nothing else.
            let client = request.extensions.get::<Client>().copied().unwrap_or_default();
            let is_tls = settings.listen.tls.is_some() || client.is_encrypted;
            let scheme = if is_tls { "https" } else { "http" };
            format!("{scheme}://{}", reached_at(settings.listen.s3, host))
        };
        let keys = self.inner.parts.verifier.keys();
        // A form may do what the key may that signs it: others' are signed with the root key.
        let limited = caller::current().filter(|caller| caller.is_limited());
        let credentials = match limited.as_ref().and_then(|caller| caller.principal.access_key_id()) {
            Some(id) => keys.credentials(id).ok_or_else(|| {
                Failure::new(Reason::Denied, "the access key was removed while it was used")
            })?,
            None => keys.root().clone(),
        };
        Ok(FormSigner {
            url: format!("{}/{bucket}", settings.api.s3_url.clone().unwrap_or_else(listens)),
            region: REGION.into(),
            access_key_id: credentials.access_key_id.clone(),
            secret_access_key: credentials.secret_access_key().to_owned(),
            session_token: None,
        })
    }

    async fn receive(&self, arrival: Arrival, spec: Spec, deadline: Deadline) -> HostResult<RenderedImage> {
        if let Err(denied) = authorized(Action::PutObject, &arrival.at) {
            return Ok(Err(denied));
        }
        let keys = self.inner.parts.verifier.keys();
        if let Err(exceeded) = keys.charge(&caller::principal(), arrival.bytes.len() as u64) {
            return Ok(Err(Failure::new(Reason::Denied, exceeded.to_string())));
        }
        let received = self.inner.parts.dispatcher.receive(arrival, spec, deadline).await?;
        Ok(received.map_err(shown))
    }

    async fn read(&self, at: Location) -> Result<Option<Object>, Failure> {
        authorized(Action::GetObject, &at)?;
        self.on_disk(move |port| block_on(port.get(&at, LARGEST_THUMBNAIL))).await
    }
}

/// What a rendering is stored under: it depends on nothing else.
fn rendered_key(rendering: &Rendering) -> RenderedKey {
    let Rendering { at, source_etag, recipe } = rendering;
    RenderedKey::new(&[&at.bucket, at.key.as_str(), source_etag, recipe])
}

impl HttpApi {
    /// Does `work` on a thread that may block.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(DiskPort) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Failure> {
        let port = DiskPort::new(self.inner.parts.store.clone());
        let done = tokio::task::spawn_blocking(move || work(port)).await.map_err(panicked)?;
        done.map_err(|error| shown(error.into()))
    }
}

/// What the current task's caller sees, if its rights are by object.
fn limited() -> Option<Visibility> {
    caller::current().filter(|caller| caller.is_limited()).map(Visibility::of)
}

/// A failure as the current task's caller may read it: it may name other buckets and objects than the one that was asked for.
fn shown(failure: Failure) -> Failure {
    let Failure { reason, message } = failure;
    match limited() {
        Some(visibility) => Failure { reason, message: visibility.text(message) },
        None => Failure { reason, message },
    }
}

/// Whether the caller may take an action on an object. A refusal names what was asked for, and nothing else.
fn authorized(action: Action, at: &Location) -> Result<(), Failure> {
    caller::authorize(action, at).map_err(|message| Failure::new(Reason::Denied, message))
}

/// The address of a port for a caller; of one that listens everywhere, under the name by which the caller reached this
/// server.
pub(super) fn reached_at(port: SocketAddr, host: Option<&str>) -> String {
    let name = host.and_then(|host| host.parse::<Authority>().ok());
    match name {
        Some(name) if port.ip().is_unspecified() => format!("{}:{}", name.host(), port.port()),
        _ => port.to_string(),
    }
}

fn panicked(error: tokio::task::JoinError) -> Failure {
    tracing::error!(%error, "a disk operation panicked");
    Failure::new(Reason::Internal, "a fault of the server; it is in the log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_listens_everywhere_has_the_callers_name_for_this_server() {
        let at = |port: &str, host| reached_at(port.parse().unwrap(), host);
        assert_eq!(at("0.0.0.0:9000", Some("shop.example:8080")), "shop.example:9000");
        assert_eq!(at("[::]:9000", Some("[2001:db8::1]:8080")), "[2001:db8::1]:9000");
        assert_eq!(at("10.0.0.1:9000", Some("shop.example")), "10.0.0.1:9000");
        assert_eq!(at("0.0.0.0:9000", None), "0.0.0.0:9000");
        assert_eq!(at("0.0.0.0:9000", Some("no host")), "0.0.0.0:9000");
    }
}
