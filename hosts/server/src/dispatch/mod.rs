//! Calls the function: for events of the queue and for requests that wait for the answer.
//!
//! Admission has two bounds: how many requests may wait (a semaphore; beyond it, 429) and how many calls work at
//! once (worker threads, which take requests and events by turns). Events wait in the queue on disk. Memory is admitted
//! inside the function.

mod attempt;
mod available_memory;
mod delivery;
mod events;
mod log;
mod pending_requests;
mod requests;
mod worker;

use std::{sync::Arc, time::Duration};

use tintype_engine::{ForeignDecoder, foreign::InProcess};
use tintype_pipeline::{Thumbnails, budget};
use tokio::{
    runtime::Handle,
    sync::{Notify, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use available_memory::available_bytes;
pub use delivery::DiskDelivery;
use delivery::DiskQueue;
use pending_requests::PendingRequests;

use crate::{
    history::History,
    queue::Queue,
    settings::Settings,
    storage::{DiskPort, Storage},
};

/// Requests that may wait, for each that may work.
const WAITING_PER_WORKER: usize = 32;

/// What is cancelled at a shutdown has this long to end.
const TO_STOP: Duration = Duration::from_secs(1);

struct Shared {
    store: DiskPort,
    source: DiskQueue,
    requests: PendingRequests,
    thumbnails: Thumbnails,
    history: Arc<History>,
    function: log::Function,
    /// How long an attempt may take.
    timeout: Duration,
    workers: TaskTracker,
    /// What is under way must end, too.
    stopping: CancellationToken,
}

/// The dispatcher; [`Dispatcher::drain`] ends its work.
pub struct Dispatcher {
    shared: Arc<Shared>,
    waiting: Arc<Semaphore>,
}

impl Dispatcher {
    /// Begins to work on events, with the decoders of other projects in this process. Needs Tokio, with its timer.
    ///
    /// # Errors
    /// The system does not give another thread.
    pub fn start(
        settings: &Settings,
        store: Arc<Storage>,
        queue: Arc<Queue>,
        history: Arc<History>,
    ) -> std::io::Result<Self> {
        Self::start_with(Arc::new(InProcess::default()), settings, store, queue, history)
    }

    /// The same with the decoders of other projects where `foreign` runs them.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub fn start_with(
        foreign: Arc<dyn ForeignDecoder>,
        settings: &Settings,
        store: Arc<Storage>,
        queue: Arc<Queue>,
        history: Arc<History>,
    ) -> std::io::Result<Self> {
        let concurrency = match settings.function.concurrency {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            fixed => fixed,
        };
        let (limits, total_bytes) = budget::bounds(&settings.function, settings.limits, available_bytes());
        let function =
            log::Function { name: settings.function.name.clone(), memory_mb: settings.function.memory_mb };
        let on_dead_letter = {
            let (function, history) = (function.clone(), history.clone());
            Box::new(move |letter: &_| {
                history.event_dropped();
                if let Some(entry) = events::dead_letter(letter) {
                    log::ended(&function, &history, entry);
                }
            })
        };
        let shared = Arc::new(Shared {
            store: DiskPort::of_function(store.clone()),
            source: DiskQueue {
                queue,
                store: DiskPort::of_function(store.clone()),
                wake: Notify::new(),
                draining: CancellationToken::new(),
                on_dead_letter,
            },
            requests: PendingRequests::default(),
            thumbnails: Thumbnails::on_polling_threads(limits, total_bytes).with_foreign_decoder(foreign),
            history: history.clone(),
            function,
            timeout: settings.function.timeout,
            workers: TaskTracker::new(),
            stopping: CancellationToken::new(),
        });
        let wakeable = Arc::downgrade(&shared);
        shared.source.queue.on_enqueued(move || {
            history.event_received();
            if let Some(shared) = wakeable.upgrade() {
                shared.source.wake.notify_one();
            }
        });
        let history = shared.history.clone();
        shared.source.queue.on_ignored(move |upload| {
            log::ignored(upload);
            history.upload_ignored(&upload.why);
        });
        shared.source.queue.set_workers(concurrency);
        let source = shared.source.draining.clone();
        for index in 0..concurrency {
            let (shared, runtime, running) = (shared.clone(), Handle::current(), shared.workers.token());
            let work = move || {
                runtime.block_on(worker::run(shared));
                drop(running);
            };
            let started = std::thread::Builder::new().name(format!("worker-{index}")).spawn(work);
            // Those before it end.
            started.inspect_err(|_| source.cancel())?;
        }
        Ok(Self { shared, waiting: Arc::new(Semaphore::new(concurrency * WAITING_PER_WORKER)) })
    }

    /// Whether another request may wait. Only a hint: others may come first.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.waiting.available_permits() > 0
    }

    /// The function's bounds and what is admitted under them now.
    #[must_use]
    pub fn thumbnails(&self) -> &Thumbnails {
        &self.shared.thumbnails
    }

    /// Takes no more work, gives what is under way `grace` to finish, then stops it; what is stopped is
    /// due again at the next start. So is what does not stop: a disk that hangs, a decoder that cannot be asked to
    /// stop. It is left to itself.
    pub async fn drain(&self, grace: Duration) {
        let Shared { workers, source, requests, stopping, .. } = self.shared.as_ref();
        requests.close();
        source.draining.cancel();
        workers.close();
        let mut all_ended = tokio::time::timeout(grace, workers.wait()).await.is_ok();
        stopping.cancel();
        // What no worker came to is refused.
        while requests.try_next().is_some() {}
        if !all_ended {
            all_ended = tokio::time::timeout(TO_STOP, workers.wait()).await.is_ok();
        }
        if all_ended {
            return;
        }
        let queue = source.queue.clone();
        match tokio::task::spawn_blocking(move || queue.release_all()).await {
            Ok(Ok(count)) => {
                tracing::warn!(count, "what is under way does not stop: it is due again at the next start");
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "that what does not stop is due again cannot be written down");
            }
            Err(error) => tracing::error!(%error, "releasing what is under way panicked"),
        }
    }
}
