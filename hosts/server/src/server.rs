//! The server put together: folder, ledger, store, queue, dispatcher and the two ports.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use tintype_pipeline::{RetryPolicy, clock::now_ms};
use tintype_telemetry::metrics::{Metric, Metrics};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    auth::{ACCESS_KEY_ID, Authenticator, Credentials, SECRET_ACCESS_KEY},
    console::{self, Console},
    disk::{RealDisk, SharedDisk},
    dispatch::Dispatcher,
    history::{self, Database, History, RequestMetrics, otlp},
    http::{self, Live},
    ledger::Ledger,
    listen::{self, Certificate, UnixSocket},
    queue::Queue,
    s3::{Authorizer, S3Service},
    settings::{DeadLetters, Settings},
    storage::{DataFolder, DiskStore, ResultsCursor, check_before_opening, check_opened},
};

/// The most changes that share one commit.
pub const LARGEST_BATCH: usize = 512;
/// What is kept only for a while is looked after this often.
const BETWEEN_TRIMS: Duration = Duration::from_secs(60);
/// Uploads in parts that are not finished by then are aborted, as the rule of the buckets on AWS has it
/// (`DaysAfterInitiation` in deploy/aws/template.yaml).
const ABANDONED_AFTER: Duration = Duration::from_secs(7 * 86_400);
/// Steps at a time in which results are forgotten, while there are any to forget: 5,000 rows each.
const MOST_STEPS: usize = 60;
/// What is under way at a shutdown has this long to finish.
const GRACE: Duration = Duration::from_secs(10);

/// And what follows, until the ledger is closed, so long.
const TO_CLOSE: Duration = Duration::from_secs(3);

/// A running server.
pub struct Server {
    /// Where the S3 endpoint listens.
    pub s3: SocketAddr,
    /// Where the HTTP API listens.
    pub http: SocketAddr,
    /// The root key.
    pub credentials: Credentials,
    /// The settings it runs with.
    pub settings: Settings,
    live: Live,
    certificate: Option<Certificate>,
    stop: watch::Sender<bool>,
    ports: Vec<JoinHandle<()>>,
    dispatcher: Arc<Dispatcher>,
    history: Arc<History>,
    store: Arc<DiskStore>,
}

/// The parts under the ports: what commands that need no network work on, too.
pub struct Parts {
    /// The store.
    pub store: Arc<DiskStore>,
    /// The queue.
    pub queue: Arc<Queue>,
}

/// Opens folder, ledger, store and queue, and makes the buckets the settings name.
///
/// # Errors
/// What stands in the way, for people.
pub fn open_parts(settings: &Settings, disk: SharedDisk, folder: DataFolder) -> anyhow::Result<Parts> {
    let parts = open_as_it_is(settings, disk, folder)?;
    for trigger in &settings.triggers {
        parts.store.ensure_bucket(&trigger.bucket)?;
        parts.store.ensure_bucket(&trigger.destination)?;
    }
    Ok(parts)
}

/// The same, without making buckets.
///
/// # Errors
/// What stands in the way, for people.
pub fn open_as_it_is(settings: &Settings, disk: SharedDisk, folder: DataFolder) -> anyhow::Result<Parts> {
    let folder = Arc::new(folder);
    check_before_opening(disk.as_ref(), &folder)?;
    let ledger = Arc::new(Ledger::open(disk.clone(), &folder.ledger(), LARGEST_BATCH, folder.clone())?);
    check_opened(disk.as_ref(), &folder, &ledger)?;
    let triggers = settings.triggers.clone();
    let store = Arc::new(DiskStore::open(disk, folder, ledger.clone(), triggers, &settings.function.name)?);
    let policy =
        RetryPolicy { retries: settings.function.retries, delays: settings.function.retry_delays.clone() };
    Ok(Parts { store, queue: Queue::new(ledger, policy, settings.function.max_event_age) })
}

impl Server {
    /// Starts everything; when it answers, both ports take requests.
    ///
    /// # Errors
    /// What stands in the way, for people.
    pub async fn start(settings: Settings, env: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        Self::start_on(Arc::new(RealDisk), settings, env).await
    }

    /// The same on another disk.
    ///
    /// # Errors
    /// What stands in the way, for people.
    pub async fn start_on(
        disk: SharedDisk,
        mut settings: Settings,
        env: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Self> {
        anyhow::ensure!(
            SystemTime::now() >= SystemTime::UNIX_EPOCH,
            "the machine's clock stands before 1970, where no time that a server tells can be written; set it, and \
             start again"
        );
        // The ports first: a second server on the same machine is told of them before anything else.
        let s3 = listen::bind(settings.listen.s3, "listen.s3").await?;
        let http = listen::bind(settings.listen.http, "listen.http").await?;
        (settings.listen.s3, settings.listen.http) = (s3.local_addr()?, http.local_addr()?);
        let s3_unix = bind_unix(settings.listen.s3_unix.as_deref(), "listen.s3_unix").await?;
        let http_unix = bind_unix(settings.listen.http_unix.as_deref(), "listen.http_unix").await?;

        let certificate = settings.listen.tls.as_ref().map(Certificate::read).transpose()?;

        // Opening blocks on the disk.
        let (opening, access_key) = (settings.clone(), (env(ACCESS_KEY_ID), env(SECRET_ACCESS_KEY)));
        let below = disk.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let folder = DataFolder::open(&opening.data)?;
            let credentials = Credentials::load_or_make(folder.root(), access_key)?;
            let measurements = folder.measurements();
            anyhow::Ok((open_parts(&opening, below, folder)?, credentials, measurements))
        });
        let (Parts { store, queue }, credentials, measurements) = opened.await??;
        let history = Arc::new(History::default());
        let dispatcher =
            Arc::new(Dispatcher::start(&settings, store.clone(), queue.clone(), history.clone())?);
        history.set_sampler(gauges(&store, &queue, &dispatcher));
        history.record_to(Database::new(disk, measurements))?;
        if settings.api.keys.iter().any(|key| key.daily.is_some()) {
            // Before the first request: nobody is to have more than a day's quota by a new start.
            let reader = history.clone();
            if let Err(error) = tokio::task::spawn_blocking(move || reader.read_usage()).await? {
                tracing::warn!(%error, "what API keys have used today cannot be read yet");
            }
        }
        let kept = (Arc::downgrade(&store), Arc::downgrade(&queue));
        tokio::spawn(trim(kept, settings.dead_letters, history.clone()));
        let authenticator = Arc::new(Authenticator::new(credentials.clone()));
        let console = Console::new(&settings, authenticator.clone(), store.clone(), queue, history.clone());

        let (stop, stopped) = watch::channel(false);
        let s3_service =
            S3Service::new(store.clone(), &credentials, Authorizer::root_only(&credentials.access_key_id));
        let parts = http::Parts {
            store: store.clone(),
            dispatcher: dispatcher.clone(),
            history: history.clone(),
            credentials: credentials.clone(),
            authenticator,
        };
        let live = Live::new(settings.clone(), parts, console.router());
        let s3_service = RequestMetrics::s3(s3_service, history.clone());
        let http_service = RequestMetrics::api(live.clone(), history.clone(), &routes(&settings));
        let mut ports = Vec::new();
        // On sockets there is nothing to encrypt: what they carry leaves no machine.
        if let Some(socket) = s3_unix {
            let serving = listen::serve(socket, s3_service.clone(), None, stopped.clone(), GRACE);
            ports.push(tokio::spawn(serving));
        }
        if let Some(socket) = http_unix {
            let serving = listen::serve(socket, http_service.clone(), None, stopped.clone(), GRACE);
            ports.push(tokio::spawn(serving));
        }
        ports.extend([
            tokio::spawn(listen::serve(s3, s3_service, certificate.clone(), stopped.clone(), GRACE)),
            tokio::spawn(listen::serve(http, http_service, certificate.clone(), stopped, GRACE)),
        ]);
        if let Some(endpoint) = settings.logs.otlp.clone() {
            let function = settings.function.name.clone();
            tokio::spawn(otlp::export(history.clone(), endpoint, function));
        }
        let cleaner = store.clone();
        tokio::task::spawn_blocking(move || {
            match cleaner.backfill_if_owed() {
                Ok(0) => {}
                Ok(count) => tracing::info!(
                    count,
                    "sources without a thumbnail are queued, as a repair left it to be done"
                ),
                Err(error) => {
                    tracing::warn!(%error, "what a repair left to be queued is left to the next start");
                }
            }
            if let Err(error) = cleaner.clean_up() {
                tracing::warn!(%error, "leftovers of an earlier run could not be cleaned up");
            }
        });
        let (s3, http) = (settings.listen.s3, settings.listen.http);
        Ok(Self {
            s3,
            http,
            credentials,
            settings,
            live,
            certificate,
            stop,
            ports,
            dispatcher,
            history,
            store,
        })
    }

    /// Takes over what may change while the program runs: the settings of the API (keys, limits, origins),
    /// `listen.trust_loopback`, `listen.trusted_proxies` and the certificate's files. Everything else needs a new start.
    ///
    /// # Errors
    /// The certificate cannot be used; then nothing has changed.
    pub fn reload(&self, settings: &Settings) -> anyhow::Result<()> {
        match (&self.certificate, &settings.listen.tls) {
            (Some(certificate), Some(files)) => certificate.reload(files)?,
            (None, None) => {}
            _ => anyhow::bail!("listen.tls_certificate: TLS begins and ends only with a new start"),
        }
        self.live.replace(settings);
        Ok(())
    }

    /// Takes no more requests, lets what is under way finish, and closes the store; all of it within a bounded time,
    /// also where the disk hangs. What is acknowledged is durable already. Afterwards there may be threads that hang:
    /// drop no runtime that would wait for them.
    pub async fn stop(self) {
        let Self { live, stop, ports, dispatcher, history, store, .. } = self;
        let _ = stop.send(true);
        // Streams of results would keep their connections open.
        history.end_streams();
        let drained = async move {
            dispatcher.drain(GRACE).await;
            drop(dispatcher);
            // What is not stored yet is written to the disk. A panic there is in the log.
            let _ = tokio::task::spawn_blocking(move || history.close()).await;
        };
        let end = async {
            let ports = async {
                for port in ports {
                    let _ = port.await;
                }
            };
            tokio::join!(ports, drained);
            // The last owner closes the ledger, which ends with what was submitted being durable.
            let _ = tokio::task::spawn_blocking(move || drop((live, store))).await;
        };
        if tokio::time::timeout(GRACE + TO_CLOSE, end).await.is_err() {
            tracing::warn!(
                "the disk does not answer; what is under way is left behind, and due again at the next start"
            );
        }
    }
}

/// Takes a socket if one is named.
async fn bind_unix(path: Option<&Path>, setting: &'static str) -> anyhow::Result<Option<UnixSocket>> {
    let Some(path) = path else { return Ok(None) };
    let socket = listen::bind_unix(path, setting).await?;
    tracing::info!(path = %path.display(), setting, "listening on a unix socket");
    Ok(Some(socket))
}

/// The moment so long ago.
fn before(span: Duration) -> i64 {
    now_ms().saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
}

/// Looks after the bounds of dead letters, of uploads that nobody finishes, and of what became of objects that are gone, for as long as there is a
/// store with its queue.
async fn trim((store, queue): (Weak<DiskStore>, Weak<Queue>), bounds: DeadLetters, history: Arc<History>) {
    let mut every = tokio::time::interval(BETWEEN_TRIMS);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut cursor = ResultsCursor::default();
    loop {
        every.tick().await;
        let (Some(store), Some(queue)) = (store.upgrade(), queue.upgrade()) else { return };
        let history = history.clone();
        let trimmed = tokio::task::spawn_blocking(move || {
            // One that looks old by mistake would be gone. First the moments, so that a clock that jumps in between is noticed;
            // of dead letters none is dropped that the look before has not warned of. Results are kept for as long as the
            // history has more to tell of them.
            let (abandoned, oldest) = (before(ABANDONED_AFTER), before(history::RETENTION));
            let knows_ages = queue.knows_ages();
            match queue.trim(&bounds, knows_ages) {
                Ok(dropped) => history.dead_letters_dropped(dropped),
                Err(error) => tracing::warn!(%error, "dead letters could not be looked through"),
            }
            let aborted = match knows_ages {
                true => store.abort_uploads_before(abandoned),
                false => Ok(0),
            };
            match aborted {
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "abandoned uploads could not be looked for"),
            }
            let steps = if knows_ages { MOST_STEPS } else { 0 };
            for _ in 0..steps {
                match store.forget_results(&mut cursor, oldest) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(%error, "what became of deleted objects could not be looked through");
                        break;
                    }
                }
            }
            cursor
        });
        cursor = trimmed.await.unwrap_or_default();
    }
}

/// Sets the gauges from the parts that know them. Holds the dispatcher weakly: it holds the history.
fn gauges(
    store: &Arc<DiskStore>,
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
            let age = |oldest: Option<Duration>| {
                oldest.map_or(0, |age| u64::try_from(age.as_micros()).unwrap_or(u64::MAX - 1))
            };
            metrics.set(Metric::QueueDepth, queue.depth().ok());
            metrics.set(Metric::QueueAge, queue.oldest().ok().map(age));
        }
        let Some(store) = store.upgrade() else { return };
        let letters = store.ledger().view().and_then(|view| view.dead_letter_count());
        metrics.set(Metric::DeadLetters, letters.ok());
        let space = store.space().ok();
        metrics.set(Metric::DiskFree, space.map(|space| space.free));
        metrics.set(Metric::DiskTotal, space.map(|space| space.total));
    }
}

/// The HTTP port's routes, by which its requests are counted.
fn routes(settings: &Settings) -> Vec<String> {
    let api = format!("/{}/{}", settings.api.stage, settings.api.resource);
    let below = |path: &str| format!("{api}{path}");
    let mut routes = vec![
        api.clone(),
        below("/"),
        below("/info"),
        below("/uploads"),
        "/healthz".into(),
        "/readyz".into(),
        "/openapi.json".into(),
    ];
    routes.extend(console::ROUTES.iter().map(|route| (*route).to_owned()));
    routes
}
