//! The system under test on a simulated disk: store, ledger and queue, and attempts of the function one by one.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use tintype::{
    disk::SharedDisk,
    dispatch::DiskDelivery,
    ledger::{Ledger, Place},
    queue::{DeadLetterFilter, Enqueuer, EventRecord, Lease, Next, Queue},
    server::LARGEST_BATCH,
    settings::Settings,
    storage::{
        ArrivingStore, Cause, CompletedPart, Completion, DataFolder, DiskPort, JoinedChecksum, NewUpload,
        Storage, StoreFault, StoredHeaders, open_ledger,
    },
};
use tintype_engine::Limits;
use tintype_pipeline::{
    Attempts, Call, Committed, Conclusion, Delivery, Disposition, Outcome, Report, RetryPolicy, Stop,
    Thumbnails,
    clock::now_ms,
    event::Record,
    store::{Arrival, Condition, Location, Object, Put, SourceVersion, Stat, Store, StoreError, Wrapper},
};
use tintype_policy::CannedAcl;
use tokio_util::sync::CancellationToken;

use crate::common::{IN, at, runtime};

/// More attempts than the events of any history need.
const MAX_ATTEMPTS: usize = 2000;

pub struct System {
    pub store: Arc<Storage>,
    pub queue: Arc<Queue>,
    pub ledger: Arc<Ledger>,
    pub enqueuer: Enqueuer,
    thumbnails: Thumbnails,
}

/// The circumstances of an attempt.
#[derive(Clone, Copy)]
pub struct Execution<'a> {
    /// Called before the function writes.
    pub before_write: &'a (dyn Fn() + Sync),
    /// There are no concurrent clients, so the thumbnail must be of the version stored afterwards.
    pub exclusive: bool,
    pub cancellation: Option<Cancellation>,
}

/// Cancels an attempt after a number of its requests to the store, as its time-out or a shutdown does.
#[derive(Debug, Clone, Copy)]
pub struct Cancellation {
    pub after_requests: usize,
    pub by_shutdown: bool,
}

impl Execution<'_> {
    pub const UNDISTURBED: Execution<'static> =
        Execution { before_write: &|| (), exclusive: true, cancellation: None };
}

/// The result of leasing an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    Attempt,
    Waiting,
    Idle,
}

fn put_cause() -> Cause {
    Cause::new("ObjectCreated:Put", "history")
}

impl System {
    /// Opens everything as `tintype serve` does; the data folder's lock is on the real disk.
    pub fn open(disk: SharedDisk, settings: &Settings) -> Result<Self, String> {
        let folder = DataFolder::open(&settings.data).map_err(|error| error.to_string())?;
        Self::open_on(disk, Arc::new(folder), settings).map_err(|error| format!("{error:#}"))
    }

    fn open_on(disk: SharedDisk, folder: Arc<DataFolder>, settings: &Settings) -> anyhow::Result<Self> {
        let function = &settings.function;
        let ledger = open_ledger(&disk, &folder, LARGEST_BATCH)?;
        let enqueuer = Enqueuer::new(ledger.clone());
        let policy = RetryPolicy { retries: function.retries, delays: function.retry_delays.clone() };
        let queue = Queue::new(enqueuer.clone(), policy, function.max_event_age);
        let (triggers, name) = (settings.triggers.clone(), &function.name);
        let store = Storage::open(disk, folder, ledger.clone(), enqueuer.clone(), triggers, name)?;
        for trigger in &settings.triggers {
            store.buckets.ensure(&trigger.bucket)?;
            store.buckets.ensure(&trigger.destination)?;
        }
        let thumbnails = self::function(settings.limits);
        Ok(Self { store: Arc::new(store), queue, ledger, enqueuer, thumbnails })
    }

    pub fn put(&self, key: &str, bytes: &[u8], condition: Condition) -> Result<(), StoreFault> {
        let place = at(IN, key);
        let mut incoming = self.store.objects.begin(&place, StoredHeaders::default())?;
        // In two pieces.
        let (first, second) = bytes.split_at(bytes.len() / 2);
        incoming.write(first)?;
        incoming.write(second)?;
        self.store.objects.commit(&place, incoming, condition, put_cause())?;
        Ok(())
    }

    /// Posts an image with a key; returns whether it is stored.
    pub fn post(&self, key: &str, bytes: &[u8], execution: Execution<'_>) -> Result<bool, String> {
        let arrival = Arrival {
            at: at(IN, key),
            content_type: "image/jpeg".into(),
            bytes: bytes::Bytes::copy_from_slice(bytes),
        };
        let cause = Cause::new("ObjectCreated:Post", "history");
        let triggers = self.store.notifications.triggers();
        let spec = &triggers[0].renditions[0].spec;
        let stop = Stop::never();
        let received = runtime().block_on(async {
            let arriving = ArrivingStore::new(DiskPort::new(self.store.clone()), arrival.clone(), cause);
            let store = Interrupted::new(&arriving, execution, None);
            let call = Call { triggers: &triggers, stop: &stop };
            let received = self.thumbnails.receive(call, &store, &arrival, spec).await;
            arriving.close().await;
            received
        });
        match received {
            Ok((report, _)) => {
                if execution.exclusive && report.outcome == Outcome::Rendered {
                    self.check_versions(&arrival.at, &report)?;
                }
                Ok(true)
            }
            Err(_) => Ok(false),
        }
    }

    /// Begins a multipart upload and aborts it.
    pub fn abort(&self, key: &str, bytes: &[u8]) -> Result<(), StoreFault> {
        let place = at(IN, key);
        let id = self.begin_upload(&place)?;
        self.put_part(&place, &id, bytes)?;
        self.store.uploads.abort(&place, &id)
    }

    fn begin_upload(&self, place: &Location) -> Result<String, StoreFault> {
        let new = NewUpload {
            headers: StoredHeaders::default(),
            checksum_algorithm: None,
            full_object_checksum: false,
            acl: CannedAcl::Private,
            tags: Vec::new(),
        };
        self.store.uploads.create(place, new)
    }

    /// Returns the part's ETag.
    fn put_part(&self, place: &Location, upload: &str, bytes: &[u8]) -> Result<String, StoreFault> {
        let mut incoming = self.store.uploads.begin_part(place, upload, 1)?;
        incoming.write(bytes)?;
        Ok(self.store.uploads.commit_part(upload, 1, incoming)?.etag)
    }

    /// A multipart upload of one part, which is sent twice.
    pub fn put_in_parts(&self, key: &str, bytes: &[u8]) -> Result<(), StoreFault> {
        let place = at(IN, key);
        let id = self.begin_upload(&place)?;
        self.put_part(&place, &id, &bytes[bytes.len() / 2..])?;
        let etag = self.put_part(&place, &id, bytes)?;
        let parts = vec![CompletedPart { number: 1, etag, checksums: Vec::new() }];
        let completion = Completion { parts, size: None, condition: Condition::Any };
        let cause = Cause::new("ObjectCreated:CompleteMultipartUpload", String::new());
        self.store.uploads.complete(&place, &id, &completion, cause, Box::new(NoChecksum))?;
        Ok(())
    }

    pub fn delete(&self, keys: &[&str]) -> Vec<Result<(), StoreFault>> {
        let cause = Cause::new("ObjectRemoved:Delete", String::new());
        let objects = keys.iter().map(|key| (at(IN, key), None)).collect();
        let results = self.store.objects.delete_all(objects, &cause);
        results.into_iter().map(|result| result.map(|_| ())).collect()
    }

    pub fn read(&self, place: &Location) -> Result<Option<Vec<u8>>, StoreFault> {
        self.store.objects.open(place)?.map(|object| object.bytes()).transpose()
    }

    /// Redrives dead letters.
    pub fn redrive(&self, reason: Option<&str>) -> Result<usize, String> {
        let filter = DeadLetterFilter { reason: reason.map(str::to_owned), ..DeadLetterFilter::default() };
        self.queue.redrive(&filter).map_err(|error| error.to_string())
    }

    /// Purges the dead letters of a key.
    pub fn purge(&self, key: &str) -> Result<usize, String> {
        let filter = DeadLetterFilter { object: Some(at(IN, key)), ..DeadLetterFilter::default() };
        self.queue.purge(&filter).map_err(|error| error.to_string())
    }

    /// Queues the sources without a current thumbnail.
    pub fn backfill(&self) -> Result<(), StoreFault> {
        let cause = Cause::new("ObjectCreated:Backfill", "history");
        let mut next = None;
        loop {
            next = self.store.backfill.page("", next, false, cause.clone())?.next;
            if next.is_none() {
                return Ok(());
            }
        }
    }

    /// One attempt at the next event.
    pub fn work(&self, execution: Execution<'_>) -> Result<Progress, String> {
        match self.queue.lease().map_err(|error| error.to_string())? {
            Next::Lease(lease) => {
                let at = lease.at.clone();
                let (report, settled) = runtime().block_on(self.attempt(*lease, execution));
                settled.map_err(|error| error.to_string())?;
                if execution.exclusive && report.outcome == Outcome::Rendered {
                    self.check_versions(&at, &report)?;
                }
                Ok(Progress::Attempt)
            }
            Next::DeadLetter(..) => Ok(Progress::Attempt),
            Next::Wait(_) => Ok(Progress::Waiting),
            Next::Empty => Ok(Progress::Idle),
        }
    }

    async fn attempt(&self, lease: Lease, execution: Execution<'_>) -> (Report, Result<(), StoreError>) {
        let port = DiskPort::new(self.store.clone());
        let token = CancellationToken::new();
        let by_time_out = execution.cancellation.is_some_and(|cancellation| !cancellation.by_shutdown);
        let stop = Stop::new(token.clone());
        let store = Interrupted::new(&port, execution, Some(token));
        let triggers = self.store.notifications.triggers();
        let call = Call { triggers: &triggers, stop: &stop };
        let (inner, policy) = (DiskDelivery::new(lease, port.clone()), self.queue.policy());
        let mut delivery = InterruptedDelivery { inner, store: &store, policy, by_time_out };
        let attempt = self.thumbnails.attempt(call, policy, &store, &mut delivery).await;
        let settled = attempt.settle(&mut delivery).await;
        (attempt.report, settled)
    }

    /// Checks that the thumbnails are of the source's current version.
    fn check_versions(&self, source: &Location, report: &Report) -> Result<(), String> {
        // On a failing disk it cannot be checked.
        let Ok(Some(source)) = self.store.objects.head(source) else { return Ok(()) };
        for rendition in &report.renditions {
            let Ok(Some(thumbnail)) = self.store.objects.head(&rendition.at) else { continue };
            if thumbnail.headers.metadata.get("tintype-source-etag") != Some(&source.etag) {
                return Err(format!("{} was rendered from a replaced version", rendition.at));
            }
        }
        Ok(())
    }

    /// Processes events until the queue is empty. Retries are made due at once.
    pub fn drain(&self) -> Result<(), String> {
        for _ in 0..MAX_ATTEMPTS {
            match self.work(Execution::UNDISTURBED)? {
                Progress::Attempt => {}
                Progress::Waiting => self.make_due()?,
                Progress::Idle => {
                    let depth = self.queue.depth().map_err(|error| error.to_string())?;
                    return if depth == 0 { Ok(()) } else { Err(format!("{depth} events are stuck")) };
                }
            }
        }
        Err(format!("the queue is not empty after {MAX_ATTEMPTS} attempts"))
    }

    /// Makes all events due.
    pub fn make_due(&self) -> Result<(), String> {
        let ledger = &self.ledger;
        let mut ids = Vec::new();
        let view = ledger.view().map_err(|error| error.to_string())?;
        for place in Place::ALL {
            let walked = view.queue().walk_events(place, i64::MIN, |_, id| {
                ids.push(id);
                true
            });
            walked.map_err(|error| error.to_string())?;
        }
        drop(view);
        let pending = ledger.submit(Vec::new(), move |changes| {
            for id in ids {
                if let Some(event) = changes.queue().event(id)? {
                    changes.queue().put_event(&EventRecord { due_ms: now_ms(), ..event })?;
                }
            }
            Ok::<_, StoreFault>(())
        });
        pending.wait().map_err(|error| error.to_string())
    }
}

struct NoChecksum;

impl JoinedChecksum for NoChecksum {
    fn update(&mut self, _: &[u8]) {}

    fn finish(
        self: Box<Self>,
        _: &[tintype::storage::PartRecord],
    ) -> Result<tintype::storage::Checksums, StoreFault> {
        Ok(tintype::storage::Checksums::default())
    }
}

fn function(limits: Limits) -> Thumbnails {
    Thumbnails::new(limits, 64 << 20, 2).unwrap()
}

/// The store of an attempt, with the interruptions of its [`Execution`].
struct Interrupted<'a> {
    store: &'a dyn Store,
    execution: Execution<'a>,
    requests: AtomicUsize,
    stop: Option<CancellationToken>,
}

impl<'a> Interrupted<'a> {
    fn new(store: &'a dyn Store, execution: Execution<'a>, stop: Option<CancellationToken>) -> Self {
        Self { store, execution, requests: AtomicUsize::new(0), stop }
    }

    fn count_request(&self) {
        let requests = self.requests.fetch_add(1, Ordering::Relaxed);
        if let (Some(stop), Some(cancellation)) = (&self.stop, self.execution.cancellation)
            && requests >= cancellation.after_requests
        {
            stop.cancel();
        }
    }

    fn before_write(&self) {
        tokio::task::block_in_place(self.execution.before_write);
    }
}

#[async_trait]
impl Wrapper for Interrupted<'_> {
    fn inner(&self) -> &dyn Store {
        self.store
    }

    async fn head(&self, at: &Location) -> Result<Option<Stat>, StoreError> {
        self.count_request();
        self.store.head(at).await
    }

    async fn get(&self, at: &Location, limit: u64) -> Result<Option<Object>, StoreError> {
        self.count_request();
        self.store.get(at, limit).await
    }

    async fn put_all(
        &self,
        puts: Vec<Put>,
        source: Option<&SourceVersion>,
    ) -> Result<Vec<String>, StoreError> {
        self.before_write();
        self.store.put_all(puts, source).await
    }

    async fn delete(&self, at: &Location, if_match: Option<&str>) -> Result<(), StoreError> {
        self.before_write();
        self.store.delete(at, if_match).await
    }
}

/// A delivery with an interruption before its commit.
struct InterruptedDelivery<'a, 's> {
    inner: DiskDelivery,
    store: &'a Interrupted<'s>,
    policy: &'a RetryPolicy,
    /// The cancellation stands for a time-out, not for a shutdown.
    by_time_out: bool,
}

#[async_trait]
impl Delivery for InterruptedDelivery<'_, '_> {
    fn record(&self) -> Result<&Record, &str> {
        self.inner.record()
    }

    fn attempts(&self) -> Attempts {
        self.inner.attempts()
    }

    async fn settle(&mut self, mut conclusion: Conclusion) -> Result<(), StoreError> {
        if self.by_time_out {
            let Conclusion { outcome, disposition, .. } = &mut conclusion;
            *disposition = Disposition::of(outcome, self.inner.attempts(), self.policy, false);
        }
        self.inner.settle(conclusion).await
    }

    async fn commit(
        &mut self,
        store: &dyn Store,
        puts: Vec<Put>,
        source: Option<&SourceVersion>,
        conclusion: Conclusion,
    ) -> Result<Committed, StoreError> {
        self.store.before_write();
        self.inner.commit(store, puts, source, conclusion).await
    }
}
