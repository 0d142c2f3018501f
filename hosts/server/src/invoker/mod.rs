//! Calls the function: for events from the queue and for requests that wait for the answer. CPU work runs
//! on threads of its own, never on async workers.
//!
//! Admission is two bounds: how many requests may wait (a semaphore; beyond it, 429) and how many calls
//! work at once (the threads). Events wait in the queue on disk. Memory is admitted inside the function.

mod attempt;
mod available_memory;
mod receive;
mod worker;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use attempt::{Attempt, Of, Told};
use bytes::Bytes;
use tintype_engine::{Header, Spec, Thumbnail};
use tintype_pipeline::{
    Failure, Inspection, Location, Reason, Report, Thumbnails, budget, clock::now_ms, event::Record,
    store::Stat, thumbnails::Call, trigger::Trigger,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

pub(crate) use available_memory::available_bytes;
pub use worker::{record, verdict};

use crate::{
    instruments::{Entry, Instruments},
    queue::Queue,
    request_id,
    settings::Settings,
    store::{DiskStore, SettlingStore},
};

/// Requests that may wait, for each that may work.
const WAITING_PER_WORKER: usize = 32;

/// What is told to stop at a shutdown has this long to do so.
const TO_STOP: Duration = Duration::from_secs(1);

/// Why a request was not answered by the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Too many are waiting: try again later.
    Throttled,
    /// It took longer than `api.timeout_s`.
    TimedOut,
    /// The program is shutting down.
    ShuttingDown,
}

/// What a worker thread lends to a request.
struct Desk<'a> {
    shared: &'a Shared,
    call: Call<'a>,
}

type Task = Box<dyn FnOnce(&mut Desk<'_>) + Send>;

struct Request {
    task: Task,
    deadline: Instant,
    /// Set when nobody waits for the answer any more.
    abandoned: Arc<AtomicBool>,
    _waiting: OwnedSemaphorePermit,
}

struct State {
    requests: VecDeque<Request>,
    /// Raised with every wake-up, so that none is lost between looking and sleeping.
    generation: u64,
    draining: bool,
}

struct Shared {
    store: Arc<DiskStore>,
    queue: Arc<Queue>,
    thumbnails: Thumbnails,
    instruments: Arc<Instruments>,
    timeout: Duration,
    function_name: String,
    memory_mb: u64,
    state: Mutex<State>,
    wake: Condvar,
    /// Set when what is under way must end, too.
    stopping: AtomicBool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.state().generation += 1;
        self.wake.notify_one();
    }
}

/// The invoker; [`Invoker::drain`] ends its threads.
pub struct Invoker {
    shared: Arc<Shared>,
    waiting: Arc<Semaphore>,
    /// Milliseconds that a request may take.
    request_timeout_ms: AtomicU64,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Invoker {
    /// Starts the worker threads.
    ///
    /// # Errors
    /// The system does not give another thread.
    pub fn start(
        settings: &Settings,
        store: Arc<DiskStore>,
        queue: Arc<Queue>,
        instruments: Arc<Instruments>,
    ) -> std::io::Result<Self> {
        let concurrency = match settings.function.concurrency {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            fixed => fixed,
        };
        let (limits, total_bytes) = budget::bounds(&settings.function, settings.limits, available_bytes());
        let shared = Arc::new(Shared {
            store: store.clone(),
            queue,
            thumbnails: Thumbnails::new(limits, total_bytes),
            instruments: instruments.clone(),
            timeout: settings.function.timeout,
            function_name: settings.function.name.clone(),
            memory_mb: settings.function.memory_mb,
            state: Mutex::new(State { requests: VecDeque::new(), generation: 0, draining: false }),
            wake: Condvar::new(),
            stopping: AtomicBool::new(false),
        });
        let wakeable = Arc::downgrade(&shared);
        store.on_event(move || {
            instruments.event_received();
            if let Some(shared) = wakeable.upgrade() {
                shared.wake();
            }
        });
        let threads = (0..concurrency)
            .map(|index| {
                let shared = shared.clone();
                std::thread::Builder::new()
                    .name(format!("invoke-{index}"))
                    .spawn(move || worker::run(&shared))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            shared,
            waiting: Arc::new(Semaphore::new(concurrency * WAITING_PER_WORKER)),
            request_timeout_ms: AtomicU64::new(milliseconds(settings.api.timeout)),
            threads: Mutex::new(threads),
        })
    }

    /// Handles one record and waits for what becomes of it.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn invoke(&self, record: Record) -> Result<Report, Refused> {
        let (request_id, cause) = (request_id::current(), record.name.clone());
        self.request(Of::Record, Told::ByItself, move |desk| {
            let store = SettlingStore::new(&desk.shared.store, None);
            let at = Location { bucket: record.bucket.clone(), key: record.key.clone() };
            worker::start(&request_id, &at, 1);
            let handling = desk.shared.thumbnails.handle(&mut desk.call, &store, &record);
            let report = futures::executor::block_on(handling);
            desk.shared.instruments.report(&report, None);
            let entry = Entry { request_id, cause, ..Entry::of(&report, &at, now_ms()) };
            worker::ended(desk.shared, entry);
            report
        })
        .await
    }

    /// Renders bytes that are in no bucket.
    ///
    /// # Errors
    /// See [`Refused`]; inside, what is wrong with the picture.
    pub async fn render(
        &self,
        bytes: Bytes,
        spec: Spec,
    ) -> Result<Result<(Header, Thumbnail), Failure>, Refused> {
        self.request(Of::Picture, Told::As("Render"), move |desk| {
            let made = desk.shared.thumbnails.render(&mut desk.call, &bytes, &spec);
            made.map(|(header, thumbnail, _)| (header, thumbnail))
        })
        .await
    }

    /// Renders an object without storing the result.
    ///
    /// # Errors
    /// See [`Refused`]; inside, why it could not be rendered.
    pub async fn render_object(
        &self,
        at: Location,
        spec: Spec,
    ) -> Result<Result<(Stat, Thumbnail), Failure>, Refused> {
        self.request(Of::Picture, Told::As("RenderObject"), move |desk| {
            let store = SettlingStore::new(&desk.shared.store, None);
            let rendering = desk.shared.thumbnails.render_object(&mut desk.call, &store, &at, &spec);
            futures::executor::block_on(rendering)
        })
        .await
    }

    /// Looks at an object and at the thumbnails that a trigger makes of it.
    ///
    /// # Errors
    /// See [`Refused`]; inside, why it could not be looked at.
    pub async fn inspect(
        &self,
        at: Location,
        trigger: Trigger,
    ) -> Result<Result<Inspection, Failure>, Refused> {
        self.request(Of::Picture, Told::As("Inspect"), move |desk| {
            let store = SettlingStore::new(&desk.shared.store, None);
            let looking = desk.shared.thumbnails.inspect(&mut desk.call, &store, &at, &trigger);
            futures::executor::block_on(looking)
        })
        .await
    }

    async fn request<T: Send + Failing + 'static>(
        &self,
        of: Of,
        told: Told,
        work: impl FnOnce(&mut Desk<'_>) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let Ok(waiting) = self.waiting.clone().try_acquire_owned() else {
            self.shared.instruments.throttled();
            return Err(Refused::Throttled);
        };
        let request_timeout = Duration::from_millis(self.request_timeout_ms.load(Ordering::Relaxed));
        let (answer, answered) = oneshot::channel();
        let abandoned = Arc::new(AtomicBool::new(false));
        let request_id = request_id::current();
        let task: Task = Box::new(move |desk| {
            let attempt = Attempt::begin(&desk.shared.instruments, of);
            let result = work(desk);
            match (told, result.failure()) {
                (Told::As(name), failure) | (Told::FailedAs(name), failure @ Some(_)) => {
                    worker::called(desk.shared, request_id, name, attempt.elapsed(), failure);
                }
                (Told::ByItself, _) | (Told::FailedAs(_), None) => {}
            }
            attempt.ended(result.has_failed());
            let _ = answer.send(result);
        });
        let deadline = Instant::now() + request_timeout;
        {
            let mut state = self.shared.state();
            if state.draining {
                return Err(Refused::ShuttingDown);
            }
            state.requests.push_back(Request {
                task,
                deadline,
                abandoned: abandoned.clone(),
                _waiting: waiting,
            });
            state.generation += 1;
        }
        self.shared.wake.notify_one();
        // Whoever stops waiting, at the time-out or because the client went away, stops the work.
        let _abandon = SetOnDrop(abandoned);
        match tokio::time::timeout(request_timeout, answered).await {
            Ok(Ok(result)) => Ok(result),
            // It was not begun: too late, or because of the end.
            Ok(Err(_)) if Instant::now() < deadline => Err(Refused::ShuttingDown),
            Ok(Err(_)) | Err(_) => Err(Refused::TimedOut),
        }
    }

    /// From now on requests may take this long (`api.timeout_s`).
    pub fn allow(&self, request_timeout: Duration) {
        self.request_timeout_ms.store(milliseconds(request_timeout), Ordering::Relaxed);
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
    /// stop. It is left to itself. Blocks.
    pub fn drain(&self, grace: Duration) {
        self.shared.state().draining = true;
        self.shared.wake.notify_all();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all_ended = ended_within(&threads, grace);
        self.shared.stopping.store(true, Ordering::SeqCst);
        if !all_ended {
            all_ended = ended_within(&threads, TO_STOP);
        }
        if !all_ended {
            match self.shared.queue.release_all() {
                Ok(count) => tracing::warn!(
                    count,
                    "what is under way does not stop: it is due again at the next start"
                ),
                Err(error) => {
                    tracing::error!(%error, "that what does not stop is due again cannot be written down");
                }
            }
        }
        for thread in threads.drain(..).filter(JoinHandle::is_finished) {
            if thread.join().is_err() {
                tracing::error!("a worker thread ended in a panic");
            }
        }
    }
}

fn ended_within(threads: &[JoinHandle<()>], time: Duration) -> bool {
    let deadline = Instant::now() + time;
    loop {
        let all_ended = threads.iter().all(JoinHandle::is_finished);
        if all_ended || Instant::now() >= deadline {
            return all_ended;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whether a result counts as an error.
trait Failing {
    fn has_failed(&self) -> bool;
    /// Why there is no result, whoever is to blame.
    fn failure(&self) -> Option<&Failure>;
}

impl Failing for Report {
    fn has_failed(&self) -> bool {
        self.failure().is_some()
    }

    fn failure(&self) -> Option<&Failure> {
        match &self.outcome {
            tintype_pipeline::Outcome::Failed(failure) => Some(failure),
            _ => None,
        }
    }
}

impl<T> Failing for Result<T, Failure> {
    fn has_failed(&self) -> bool {
        // A picture the client got wrong is an answer, not an error of the function.
        self.as_ref()
            .is_err_and(|failure| !failure.reason.is_permanent() || failure.reason == Reason::Internal)
    }

    fn failure(&self) -> Option<&Failure> {
        self.as_ref().err()
    }
}
