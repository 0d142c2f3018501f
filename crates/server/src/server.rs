//! The server put together: folder, ledger, store, queue, invoker and the two ports.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hyper_util::service::TowerToHyperService;
use tintype_function::settings::Settings;
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    credentials::{ACCESS_KEY_ID, Credentials, SECRET_ACCESS_KEY},
    disk::{RealDisk, SharedDisk},
    gateway::Gateway,
    instruments::Instruments,
    invoker::Invoker,
    ledger::Ledger,
    listen,
    queue::{Queue, RetryPolicy},
    s3::S3Service,
    store::{DataFolder, DiskStore},
};

/// The most changes that share one commit.
pub const LARGEST_BATCH: usize = 512;
/// What is under way at a shutdown has this long to finish.
const GRACE: Duration = Duration::from_secs(10);

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
    stop: watch::Sender<bool>,
    ports: Vec<JoinHandle<()>>,
    invoker: Arc<Invoker>,
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
    let folder = Arc::new(folder);
    let ledger = Arc::new(Ledger::open(disk.clone(), &folder.ledger(), LARGEST_BATCH, folder.clone())?);
    let triggers = settings.triggers.clone();
    let store = Arc::new(DiskStore::open(disk, folder, ledger.clone(), triggers, &settings.function.name)?);
    for trigger in &settings.triggers {
        store.ensure_bucket(&trigger.bucket)?;
        store.ensure_bucket(&trigger.destination)?;
    }
    let policy = RetryPolicy {
        retries: settings.function.retries,
        delays: settings.function.retry_delays.clone(),
        max_age: settings.function.max_event_age,
    };
    Ok(Parts { store, queue: Queue::new(ledger, policy) })
}

impl Server {
    /// Starts everything; when it answers, both ports take requests.
    ///
    /// # Errors
    /// What stands in the way, for people.
    pub async fn start(mut settings: Settings, env: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        // The ports first: a second server on the same machine is told of them before anything else.
        let s3 = listen::bind(settings.listen.s3, "listen.s3").await?;
        let http = listen::bind(settings.listen.http, "listen.http").await?;
        (settings.listen.s3, settings.listen.http) = (s3.local_addr()?, http.local_addr()?);

        // Opening blocks on the disk.
        let (opening, access_key) = (settings.clone(), (env(ACCESS_KEY_ID), env(SECRET_ACCESS_KEY)));
        let opened = tokio::task::spawn_blocking(move || {
            let folder = DataFolder::open(&opening.data)?;
            let credentials = Credentials::load_or_make(folder.root(), access_key)?;
            anyhow::Ok((open_parts(&opening, Arc::new(RealDisk), folder)?, credentials))
        });
        let (Parts { store, queue }, credentials) = opened.await??;
        let instruments = Arc::new(Instruments::default());
        let invoker = Arc::new(Invoker::start(&settings, store.clone(), queue.clone(), instruments.clone())?);
        let gateway = Gateway::new(settings.clone(), store.clone(), queue, invoker.clone(), instruments);

        let (stop, stopped) = watch::channel(false);
        let s3_service = S3Service::new(store.clone(), &credentials);
        let http_service = TowerToHyperService::new(gateway.router());
        let ports = vec![
            tokio::spawn(listen::serve(s3, s3_service, stopped.clone(), GRACE)),
            tokio::spawn(listen::serve(http, http_service, stopped, GRACE)),
        ];
        let cleaner = store.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = cleaner.clean_up() {
                tracing::warn!(%error, "leftovers of an earlier run could not be cleaned up");
            }
        });
        let (s3, http) = (settings.listen.s3, settings.listen.http);
        Ok(Self { s3, http, credentials, settings, stop, ports, invoker, store })
    }

    /// Takes no more requests, lets what is under way finish, and closes the store.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let invoker = self.invoker;
        let drained = tokio::task::spawn_blocking(move || {
            invoker.drain(GRACE);
            invoker
        });
        for port in self.ports {
            let _ = port.await;
        }
        let _ = drained.await;
        // The last owner closes the ledger, which ends with what was submitted being durable.
        drop(self.store);
    }
}
