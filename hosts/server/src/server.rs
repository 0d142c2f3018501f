//! The composition of the server: data folder, ledger, store, queue, dispatcher and the two ports.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use ::http::Method;
use arc_swap::ArcSwap;
use tintype_api::Access;
use tintype_engine::{ForeignDecoder, foreign::InProcess};
use tintype_pipeline::{RetryPolicy, clock::now_ms};
use tintype_telemetry::metrics::{Metric, Metrics};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    admin::Admin,
    alt_text,
    auth::{
        ACCESS_KEY_ID, AccessKeys, Authorizer, Clients, Credentials, KeyVerifier, SECRET_ACCESS_KEY, Sessions,
    },
    console::Console,
    disk::{RealDisk, SharedDisk},
    dispatch::Dispatcher,
    history::{self, Database, History, RequestMetrics, otlp},
    http::{self, Live},
    listen::{self, Admission, Certificate, UnixSocket},
    notify::{self, LiveApi, Senders},
    queue::{Enqueuer, Queue, ResultsCursor},
    rendered_cache::RenderedCache,
    s3::S3Service,
    settings::{DeadLetters, Settings},
    storage::{DataFolder, Storage, open_ledger},
};

pub use crate::listen::raise_descriptor_limit;

/// The most changes that share one commit.
pub const LARGEST_BATCH: usize = 512;
/// How often retention is enforced.
const RETENTION_INTERVAL: Duration = Duration::from_secs(60);
/// Multipart uploads older than this are aborted, as by the buckets' rule on AWS (`DaysAfterInitiation` in
/// deploy/aws/template.yaml).
const MAX_UPLOAD_AGE: Duration = Duration::from_secs(7 * 86_400);
/// The most steps of one run that deletes results, of 5,000 rows each.
const MAX_STEPS: usize = 60;
/// For work under way at a shutdown.
const GRACE: Duration = Duration::from_secs(10);
/// For closing the ledger after that.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// A running server.
pub struct Server {
    /// The address of the S3 endpoint.
    pub s3: SocketAddr,
    /// The address of the HTTP API.
    pub http: SocketAddr,
    /// The root key.
    pub credentials: Credentials,
    /// The settings it runs with.
    pub settings: Settings,
    reload: Reload,
    stop: watch::Sender<bool>,
    ports: Vec<JoinHandle<()>>,
    dispatcher: Arc<Dispatcher>,
    senders: Senders,
    describing: alt_text::Describing,
    history: Arc<History>,
    store: Arc<Storage>,
}

/// Applies settings to a running server; clones do the same.
#[derive(Clone)]
pub struct Reload {
    live: Live,
    console: Console,
    keys: Arc<AccessKeys>,
    clients: Arc<ArcSwap<Clients>>,
    api: LiveApi,
    certificate: Option<Certificate>,
    admissions: Vec<Arc<Admission>>,
    /// As the server started with them.
    started: Settings,
}

impl Reload {
    /// Applies the settings that may change while the server runs: those of the API (keys, limits, origins), access keys,
    /// `listen.trust_loopback`, `listen.trusted_proxies`, `listen.connections_per_address` and
    /// the certificate's files. Returns which others differ: they need a restart. Blocks on the disk.
    ///
    /// # Errors
    /// The certificate or an access key cannot be used; nothing was changed.
    pub fn apply(&self, settings: &Settings) -> anyhow::Result<Vec<&'static str>> {
        match (&self.certificate, &settings.listen.tls) {
            // Read twice, so that nothing has changed if it or a key cannot be used.
            (Some(_), Some(files)) => drop(Certificate::read(files)?),
            (None, None) => {}
            _ => anyhow::bail!("listen.tls_certificate: switching TLS on or off needs a restart"),
        }
        self.keys.apply(settings)?;
        if let (Some(certificate), Some(files)) = (&self.certificate, &settings.listen.tls) {
            certificate.reload(files)?;
        }
        let in_force = self.live.replace(settings);
        self.console.replace(&in_force);
        self.clients.store(Arc::new(Clients::new(&in_force)));
        self.api.store(Arc::new(settings.api.clone()));
        for admission in &self.admissions {
            admission.apply(&settings.listen);
        }
        Ok(self.started.that_need_a_restart(settings))
    }
}

/// The parts below the ports, also for commands that work on a data folder without a server.
pub struct Parts {
    /// The store.
    pub store: Arc<Storage>,
    /// The queue.
    pub queue: Arc<Queue>,
}

/// Opens ledger, store and queue of a data folder, and creates the buckets that the settings name.
///
/// # Errors
/// The folder cannot be opened; the message says what to do.
pub fn open_parts(settings: &Settings, disk: SharedDisk, folder: DataFolder) -> anyhow::Result<Parts> {
    let parts = open_as_it_is(settings, disk, folder)?;
    for trigger in &settings.triggers {
        parts.store.buckets.ensure(&trigger.bucket)?;
        parts.store.buckets.ensure(&trigger.destination)?;
    }
    Ok(parts)
}

/// The same without creating buckets.
///
/// # Errors
/// As for [`open_parts`].
pub fn open_as_it_is(settings: &Settings, disk: SharedDisk, folder: DataFolder) -> anyhow::Result<Parts> {
    let folder = Arc::new(folder);
    let ledger = open_ledger(&disk, &folder, LARGEST_BATCH)?;
    let policy =
        RetryPolicy { retries: settings.function.retries, delays: settings.function.retry_delays.clone() };
    let enqueuer = Enqueuer::new(ledger.clone());
    let queue = Queue::new(enqueuer.clone(), policy, settings.function.max_event_age);
    let (triggers, name) = (settings.triggers.clone(), &settings.function.name);
    let store = Arc::new(Storage::open(disk, folder, ledger, enqueuer, triggers, name)?);
    store.outbox.record_for(notify::outbox_sections(&settings.notify));
    if settings.alt_text.is_some() {
        store.alt_texts.queue.turn_on();
    }
    Ok(Parts { store, queue })
}

impl Server {
    /// Starts everything; when it returns, both ports accept requests.
    ///
    /// # Errors
    /// The server cannot start; the message says what to do.
    pub async fn start(settings: Settings, env: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        Self::start_on(Arc::new(RealDisk), settings, env).await
    }

    /// The same with the decoders of other projects where `foreign` runs them: by default in this process.
    ///
    /// # Errors
    /// As for [`Server::start`].
    pub async fn start_with(
        foreign: Arc<dyn ForeignDecoder>,
        settings: Settings,
        env: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Self> {
        Self::assemble(Arc::new(RealDisk), foreign, settings, env).await
    }

    /// The same on another disk.
    ///
    /// # Errors
    /// As for [`Server::start`].
    pub async fn start_on(
        disk: SharedDisk,
        settings: Settings,
        env: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Self> {
        Self::assemble(disk, Arc::new(InProcess::default()), settings, env).await
    }

    async fn assemble(
        disk: SharedDisk,
        foreign: Arc<dyn ForeignDecoder>,
        mut settings: Settings,
        env: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Self> {
        anyhow::ensure!(
            SystemTime::now() >= SystemTime::UNIX_EPOCH,
            "the machine's clock stands before 1970, and such times cannot be stored; set it, and start again"
        );
        let started = settings.clone();
        // The ports first: a second server on this machine then reports the port before anything else.
        let s3 = listen::bind(settings.listen.s3, "listen.s3")?;
        let http = listen::bind(settings.listen.http, "listen.http")?;
        (settings.listen.s3, settings.listen.http) = (s3.local_addr()?, http.local_addr()?);
        let s3_unix = bind_unix(settings.listen.s3_unix.as_deref(), "listen.s3_unix").await?;
        let http_unix = bind_unix(settings.listen.http_unix.as_deref(), "listen.http_unix").await?;

        let certificate = settings.listen.tls.as_ref().map(Certificate::read).transpose()?;

        // Opening blocks on the disk.
        let (opening, access_key) = (settings.clone(), (env(ACCESS_KEY_ID), env(SECRET_ACCESS_KEY)));
        let below = disk.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let folder = DataFolder::open(&opening.data)?;
            let credentials = Credentials::load_or_create(folder.root(), access_key)?;
            let (measurements, rendered) = (folder.measurements(), folder.rendered());
            let parts = open_parts(&opening, below, folder)?;
            let keys = AccessKeys::open(credentials.clone(), parts.store.clone(), &opening)?;
            anyhow::Ok((parts, credentials, Arc::new(keys), (measurements, rendered)))
        });
        let (Parts { store, queue }, credentials, keys, (measurements, rendered)) = opened.await??;
        let function = Authorizer::of_function(Arc::downgrade(&store), settings.storage.default_block());
        let decide = move |access, at: &_| function.authorize_function(access, at);
        store.function_guard.set(Box::new(decide));
        let history = Arc::new(History::default());
        let dispatcher =
            Dispatcher::start_with(foreign, &settings, store.clone(), queue.clone(), history.clone())?;
        let dispatcher = Arc::new(dispatcher);
        history.set_sampler(gauges(&store, &queue, &dispatcher));
        let rendered = RenderedCache::new(disk.clone(), rendered, settings.api.disk_cache_bytes);
        history.record_to(Database::new(disk, measurements))?;
        if settings.api.keys.iter().any(|key| key.daily.is_some()) {
            // Before the first request: a restart must not reset the day's quotas.
            let reader = history.clone();
            if let Err(error) = tokio::task::spawn_blocking(move || reader.read_usage()).await? {
                tracing::warn!(%error, "the usage of API keys today cannot be read yet");
            }
        }
        let api = Arc::new(ArcSwap::from_pointee(settings.api.clone()));
        let senders = Senders::start(&settings, &api, &store, &history, &env)?;
        let describing = alt_text::Describing::start(&settings, &store, &queue, &dispatcher, &history, &env)?;
        let parts = (Arc::downgrade(&store), Arc::downgrade(&queue));
        tokio::spawn(store_key_usage(Arc::downgrade(&keys)));
        tokio::spawn(enforce_retention(parts, settings.dead_letters, history.clone()));
        let verifier = Arc::new(KeyVerifier::new(keys.clone()));
        let sessions = Arc::new(Sessions::new(verifier.clone()));
        let authorizer = Authorizer::new(keys.clone(), store.clone(), settings.storage.default_block());
        let clients = Arc::new(ArcSwap::from_pointee(Clients::new(&settings)));
        let (of_admin, calls) = (history.clone(), dispatcher.clone());
        let admin = Admin::new(&settings, store.clone(), queue, of_admin, keys.clone(), calls);
        let console = Console::new(&settings, sessions.clone(), admin);

        let (stop, stopped) = watch::channel(false);
        let s3_service = S3Service::new(
            store.clone(),
            keys.clone(),
            authorizer.clone(),
            clients.clone(),
            settings.storage.encrypted_at_rest,
        );
        let parts = http::Parts {
            store: store.clone(),
            dispatcher: dispatcher.clone(),
            history: history.clone(),
            verifier,
            sessions,
            authorizer,
            rendered: rendered.clone(),
        };
        let live = Live::new(settings.clone(), parts, console.routes());
        let s3_service = RequestMetrics::s3(s3_service, history.clone());
        let named = live.clone();
        let http_service = RequestMetrics::api(live.clone(), history.clone(), move |method, path| {
            named.route_name(method, path)
        });
        let listeners = 2 + usize::from(s3_unix.is_some()) + usize::from(http_unix.is_some());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let connections = listen::connections_of_each(listeners, settings.function.concurrency.max(cores));
        let (mut ports, mut admissions) = (Vec::new(), Vec::new());
        let mut admit = |admission: Arc<Admission>| {
            admissions.push(admission.clone());
            admission
        };
        // Unix sockets are not encrypted: their traffic does not leave the machine.
        if let Some(socket) = s3_unix {
            let admission = admit(Admission::of_unix_socket(connections, &settings.listen));
            let serving = listen::serve(socket, s3_service.clone(), None, admission, stopped.clone(), GRACE);
            ports.push(tokio::spawn(serving));
        }
        if let Some(socket) = http_unix {
            let admission = admit(Admission::of_unix_socket(connections, &settings.listen));
            let serving =
                listen::serve(socket, http_service.clone(), None, admission, stopped.clone(), GRACE);
            ports.push(tokio::spawn(serving));
        }
        let of_s3 = admit(Admission::new(connections, 0, &settings.listen));
        let of_http = admit(Admission::new(connections, listen::MAX_FOR_HEALTH, &settings.listen));
        ports.extend([
            tokio::spawn(listen::serve(s3, s3_service, certificate.clone(), of_s3, stopped.clone(), GRACE)),
            tokio::spawn(listen::serve(http, http_service, certificate.clone(), of_http, stopped, GRACE)),
        ]);
        if let Some(endpoint) = settings.logs.otlp.clone() {
            let function = settings.function.name.clone();
            tokio::spawn(otlp::export(history.clone(), endpoint, function));
        }
        let cleaner = store.clone();
        tokio::task::spawn_blocking(move || {
            match cleaner.backfill.run_if_owed() {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "sources without a thumbnail were queued after a repair"),
                Err(error) => {
                    tracing::warn!(%error, "the backfill after a repair failed; the next start retries it");
                }
            }
            if let Err(error) = cleaner.cleanup.run() {
                tracing::warn!(%error, "orphaned files of an earlier run could not be cleaned up");
            }
            rendered.count();
        });
        let (s3, http) = (settings.listen.s3, settings.listen.http);
        Ok(Self {
            s3,
            http,
            credentials,
            settings,
            reload: Reload { live, console, keys, clients, api, certificate, admissions, started },
            stop,
            ports,
            dispatcher,
            senders,
            describing,
            history,
            store,
        })
    }

    /// What applies other settings while this server runs.
    #[must_use]
    pub fn reload(&self) -> Reload {
        self.reload.clone()
    }

    /// The routes of the HTTP port, each with its method, its path and what it demands.
    #[must_use]
    pub fn routes(&self) -> Vec<(Method, String, Access)> {
        self.reload.live.routes()
    }

    /// Accepts no more requests, lets work under way finish, and closes the store, within a bounded time even if the disk
    /// hangs. What was acknowledged is durable already. Threads may be left hanging: do not drop a runtime that would
    /// wait for them.
    pub async fn stop(self) {
        let Self { reload, stop, ports, dispatcher, senders, describing, history, store, .. } = self;
        let _ = stop.send(true);
        // Result streams would keep their connections open.
        history.end_streams();
        let drained = async move {
            dispatcher.drain(GRACE).await;
            drop(dispatcher);
            // Writes buffered measurements. A panic there is logged.
            let _ = tokio::task::spawn_blocking(move || history.close()).await;
        };
        let end = async {
            let ports = async {
                for port in ports {
                    let _ = port.await;
                }
            };
            tokio::join!(ports, drained, senders.stop(GRACE), describing.stop());
            // Dropping the last owner closes the ledger, after what was submitted is durable.
            let _ = tokio::task::spawn_blocking(move || {
                if let Err(error) = reload.keys.store_usage() {
                    tracing::warn!(%error, "the use of access keys could not be stored");
                }
                drop((reload, store));
            })
            .await;
        };
        if tokio::time::timeout(GRACE + CLOSE_TIMEOUT, end).await.is_err() {
            tracing::warn!(
                "the disk does not respond; work under way is abandoned and retried after the next start"
            );
        }
    }
}

/// Binds a unix socket if one is configured.
async fn bind_unix(path: Option<&Path>, setting: &'static str) -> anyhow::Result<Option<UnixSocket>> {
    let Some(path) = path else { return Ok(None) };
    let socket = listen::bind_unix(path, setting).await?;
    tracing::info!(path = %path.display(), setting, "listening on a unix socket");
    Ok(Some(socket))
}

/// The time `age` ago, in milliseconds since 1970.
fn ago(age: Duration) -> i64 {
    now_ms().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}

/// Stores how access keys were used, once a minute while there are any.
async fn store_key_usage(keys: Weak<AccessKeys>) {
    let mut interval = tokio::time::interval(RETENTION_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let Some(keys) = keys.upgrade() else { return };
        match tokio::task::spawn_blocking(move || keys.store_usage()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the use of access keys could not be stored"),
            Err(error) => tracing::error!(%error, "storing the use of access keys panicked"),
        }
    }
}

/// Enforces the retention of dead letters, unfinished uploads and results of deleted objects, while store and queue
/// exist.
async fn enforce_retention(
    (store, queue): (Weak<Storage>, Weak<Queue>),
    limits: DeadLetters,
    history: Arc<History>,
) {
    let mut interval = tokio::time::interval(RETENTION_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut cursor = ResultsCursor::default();
    loop {
        interval.tick().await;
        let (Some(store), Some(queue)) = (store.upgrade(), queue.upgrade()) else { return };
        let history = history.clone();
        let run = tokio::task::spawn_blocking(move || {
            // The times before `knows_ages`, so that a jump of the clock between the two is noticed. Results of deleted
            // objects are stored as long as the history.
            let (oldest_upload, oldest_result) = (ago(MAX_UPLOAD_AGE), ago(history::RETENTION));
            let knows_ages = queue.knows_ages();
            store.backups.end_expired();
            match queue.trim(&limits, knows_ages) {
                Ok(dropped) => history.dead_letters_dropped(dropped),
                Err(error) => tracing::warn!(%error, "the retention of dead letters could not be enforced"),
            }
            let aborted = match knows_ages {
                true => store.uploads.abort_before(oldest_upload),
                false => Ok(0),
            };
            match aborted {
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "old uploads could not be aborted"),
            }
            let steps = if knows_ages { MAX_STEPS } else { 0 };
            for _ in 0..steps {
                match queue.forget_results(&mut cursor, oldest_result) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(%error, "results of deleted objects could not be deleted");
                        break;
                    }
                }
            }
            cursor
        });
        cursor = run.await.unwrap_or_default();
    }
}

/// A function that sets the gauges. It holds the parts weakly, as the dispatcher owns the history.
fn gauges(
    store: &Arc<Storage>,
    queue: &Arc<Queue>,
    dispatcher: &Arc<Dispatcher>,
) -> impl Fn(&Metrics) + Send + Sync + 'static {
    let (store, queue, dispatcher) =
        (Arc::downgrade(store), Arc::downgrade(queue), Arc::downgrade(dispatcher));
    move |metrics| {
        if let Some(dispatcher) = dispatcher.upgrade() {
            let (sources, renders) = dispatcher.thumbnails().memory_admitted();
            metrics.set(Metric::SourceMemory, sources);
            metrics.set(Metric::RenderMemory, renders);
        }
        if let Some(queue) = queue.upgrade() {
            let micros = |oldest: Option<Duration>| {
                oldest.map_or(0, |age| u64::try_from(age.as_micros()).unwrap_or(u64::MAX - 1))
            };
            metrics.set(Metric::QueueDepth, queue.depth().ok());
            metrics.set(Metric::QueueAge, queue.oldest().ok().map(micros));
            metrics.set(Metric::DeadLetters, queue.dead_letter_count().ok());
        }
        let Some(store) = store.upgrade() else { return };
        metrics.set(Metric::NotificationsWaiting, store.outbox.waiting().ok());
        metrics.set(Metric::AltTextWaiting, store.alt_texts.queue.waiting().ok());
        let age_us = |since: Option<i64>| {
            since.map_or(0, |since| u64::try_from(now_ms() - since).unwrap_or(0).saturating_mul(1000))
        };
        metrics.set(Metric::NotificationsAge, store.outbox.oldest_ms().ok().map(age_us));
        let space = store.health.space().ok();
        metrics.set(Metric::DiskFree, space.map(|space| space.free));
        metrics.set(Metric::DiskTotal, space.map(|space| space.total));
    }
}
