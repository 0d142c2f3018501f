//! The composition of a worker.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use serde::Serialize;
use tintype_api::settings::ApiSettings;
use tintype_engine::{ForeignDecoder, Limits};
use tintype_pipeline::{RetryPolicy, Store, Thumbnails, settings::Function, trigger::Trigger};
use tintype_sources::{Broker, Intake, IntakeSettings};
use tintype_stores::{S3Store, conditional_writes::ConditionalWrites, s3::Connection};
use tintype_telemetry::metrics::{Metric, Metrics};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    attempts, aws,
    conditions::probe_all,
    reporter::Reporter,
    settings::{StoreSettings, WorkerSettings},
    source::Described,
};

/// Between attempts to reach store and broker at the start.
const RECONNECT: Duration = Duration::from_secs(2);
/// Between questions about the backlog.
const BACKLOG_INTERVAL: Duration = Duration::from_secs(10);
/// What is stopped at a shutdown has this long to end.
const TO_STOP: Duration = Duration::from_secs(1);
/// Attempts at once for each render thread: while one renders, others wait for the store.
const ATTEMPTS_PER_THREAD: usize = 64;
/// As many of them have not rendered yet: more would be events that another worker could begin at once.
const UNRENDERED_PER_THREAD: usize = 32;

/// Bounds on a worker's work.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// On one image.
    pub limits: Limits,
    /// Memory of all images at once, in bytes.
    pub total_memory_bytes: u64,
    /// Threads that render.
    pub threads: usize,
}

/// What a worker is built from.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The function's name, time-out and retries.
    pub function: Function,
    /// Its bounds.
    pub bounds: Bounds,
    /// Runs decoders of other projects, in processes of their own.
    pub foreign_decoder: Arc<dyn ForeignDecoder>,
    /// What to make of what.
    pub triggers: Vec<Trigger>,
    /// The HTTP API.
    pub api: ApiSettings,
    /// The store.
    pub store: StoreSettings,
    /// The source of events.
    pub worker: WorkerSettings,
}

/// A running worker.
pub struct Worker {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    draining: CancellationToken,
}

/// The parts that attempts and requests share.
pub(crate) struct Shared {
    pub(crate) aws: Connection,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) thumbnails: Thumbnails,
    pub(crate) triggers: Arc<Vec<Trigger>>,
    pub(crate) api: ApiSettings,
    pub(crate) policy: RetryPolicy,
    /// An attempt is stopped after this long.
    pub(crate) timeout: Duration,
    pub(crate) webhook_token: Option<String>,
    pub(crate) reporter: Reporter,
    pub(crate) readiness: Readiness,
    /// What is under way must end.
    pub(crate) stopping: CancellationToken,
    broker: OnceLock<Arc<dyn Broker>>,
}

impl Shared {
    /// The broker, once it is connected to.
    pub(crate) fn broker(&self) -> Option<&Arc<dyn Broker>> {
        self.broker.get()
    }

    /// Sets the gauges of this process.
    pub(crate) fn sample(&self) {
        let metrics = &self.reporter.metrics;
        let (sources, renders) = self.thumbnails.memory_admitted();
        metrics.set(Metric::SourceMemory, sources);
        metrics.set(Metric::RenderMemory, renders);
        metrics.set(Metric::MemoryUsed, tintype_telemetry::process::resident_bytes());
    }
}

/// Whether the worker works, as `/readyz` reports it.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<State>);

/// What is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// Why it does not work.
    pub(crate) why: Option<String>,
    /// What the probe at the start found.
    pub(crate) conditional_writes: ProbeResult,
}

/// What the probe at the start found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProbeResult {
    #[default]
    Unknown,
    Honoured,
    Ignored,
}

impl Readiness {
    pub(crate) fn state(&self) -> State {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets what is wrong; logs it where that changes.
    fn set(&self, why: Option<String>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (&state.why, &why) {
            (before, Some(why)) if before.as_ref() != Some(why) => tracing::warn!(%why, "not ready"),
            (Some(_), None) => tracing::info!("ready"),
            _ => {}
        }
        state.why = why;
    }

    pub(crate) fn source_failed(&self, why: &str) {
        self.set(Some(why.to_owned()));
    }

    pub(crate) fn source_answers(&self) {
        self.set(None);
    }

    fn probed(&self, found: ConditionalWrites) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).conditional_writes = match found {
            ConditionalWrites::Honoured => ProbeResult::Honoured,
            ConditionalWrites::Ignored => ProbeResult::Ignored,
        };
    }
}

impl Worker {
    /// Starts a worker, which connects to store and broker by itself and tries again until it can. `variable` looks up an
    /// environment variable.
    ///
    /// # Errors
    /// A setting is missing, a file cannot be read, or the system gives no thread.
    pub async fn start(
        configuration: Configuration,
        variable: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Self> {
        let Configuration { function, bounds, foreign_decoder, triggers, api, store, worker } = configuration;
        let source = Described::new(&worker, &triggers)?;
        let aws = aws::connection(&store, variable).await?;
        let thumbnails = Thumbnails::new(bounds.limits, bounds.total_memory_bytes, bounds.threads)?
            .with_foreign_decoder(foreign_decoder);
        let readiness = Readiness::default();
        readiness.0.lock().unwrap_or_else(PoisonError::into_inner).why =
            Some("connecting to the store and the source of events".into());
        let shared = Arc::new(Shared {
            store: Arc::new(S3Store::new(&aws)),
            aws,
            thumbnails,
            triggers: Arc::new(triggers),
            api,
            policy: RetryPolicy { retries: function.retries, delays: function.retry_delays.clone() },
            timeout: function.timeout,
            webhook_token: worker.webhook_token,
            reporter: Reporter::new(function.name.clone(), function.memory_mb),
            readiness,
            stopping: CancellationToken::new(),
            broker: OnceLock::new(),
        });
        let at_once = match function.concurrency {
            0 => AtOnce {
                attempts: bounds.threads * ATTEMPTS_PER_THREAD,
                unrendered: bounds.threads * UNRENDERED_PER_THREAD,
            },
            fixed => AtOnce { attempts: fixed, unrendered: fixed },
        };
        let (tasks, draining) = (TaskTracker::new(), CancellationToken::new());
        let running = run(shared.clone(), source, function, at_once, draining.clone());
        tasks.spawn(running);
        tasks.close();
        Ok(Self { shared, tasks, draining })
    }

    /// What is measured.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.shared.reporter.metrics
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Takes no more events, gives what is under way `grace` to finish, then stops it: it is delivered to another worker.
    pub async fn drain(&self, grace: Duration) {
        self.draining.cancel();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_ok() {
            return;
        }
        self.shared.stopping.cancel();
        if tokio::time::timeout(TO_STOP, self.tasks.wait()).await.is_err() {
            tracing::warn!("what is under way does not stop: it is delivered again once its lease is over");
        }
    }
}

/// Bounds on attempts at once.
#[derive(Debug, Clone, Copy)]
struct AtOnce {
    attempts: usize,
    unrendered: usize,
}

/// Connects, and works on events until the drain begins.
async fn run(
    shared: Arc<Shared>,
    source: Described,
    function: Function,
    at_once: AtOnce,
    draining: CancellationToken,
) {
    let connected = async {
        loop {
            match connect(&shared, &source).await {
                Ok(connected) => return connected,
                Err(error) => shared.readiness.source_failed(&format!("{error:#}")),
            }
            tokio::time::sleep(RECONNECT).await;
        }
    };
    let (broker, conditional_writes) = tokio::select! {
        () = draining.cancelled() => return,
        connected = connected => connected,
    };
    let is_honoured = conditional_writes == ConditionalWrites::Honoured;
    shared.reporter.metrics.set(Metric::ConditionalWritesIgnored, u64::from(!is_honoured));
    shared.readiness.probed(conditional_writes);
    let _ = shared.broker.set(broker.clone());
    shared.readiness.source_answers();
    let default = tintype_pipeline::trigger::default_trigger(&shared.triggers);
    let settings = IntakeSettings {
        default_bucket: default.map(|trigger| trigger.bucket.clone()).unwrap_or_default(),
        max_age: function.max_event_age,
        unrendered: at_once.unrendered,
        stop: draining.clone(),
    };
    let intake = Arc::new(Intake::new(broker.clone(), settings, is_honoured));
    let workers = TaskTracker::new();
    for _ in 0..at_once.attempts {
        workers.spawn(attempts::work(shared.clone(), intake.clone()));
    }
    workers.close();
    let watching = watch_backlog(&shared, broker.as_ref());
    tokio::select! {
        () = workers.wait() => {}
        () = watching => {}
    }
    intake.release().await;
}

async fn connect(
    shared: &Shared,
    source: &Described,
) -> anyhow::Result<(Arc<dyn Broker>, ConditionalWrites)> {
    let probing = async { anyhow::Ok(probe_all(shared.store.as_ref(), &shared.triggers).await?) };
    let connecting = source.connect(&shared.aws, &shared.store);
    futures::try_join!(connecting, probing)
}

/// Asks about the backlog, for autoscaling.
async fn watch_backlog(shared: &Shared, broker: &dyn Broker) {
    let metrics = &shared.reporter.metrics;
    metrics.set(Metric::QueueDepth, None);
    metrics.set(Metric::QueueAge, None);
    loop {
        let backlog = broker.backlog().await;
        match &backlog {
            Ok(_) => shared.readiness.source_answers(),
            Err(error) => shared.readiness.source_failed(&error.to_string()),
        }
        let backlog = backlog.ok().flatten();
        metrics.set(Metric::QueueDepth, backlog.map(|backlog| backlog.messages));
        let micros = |age: Duration| u64::try_from(age.as_micros()).unwrap_or(u64::MAX - 1);
        metrics.set(Metric::QueueAge, backlog.and_then(|backlog| backlog.oldest).map(micros));
        tokio::time::sleep(BACKLOG_INTERVAL).await;
    }
}
