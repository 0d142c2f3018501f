//! The real parts on a simulated disk: store, ledger, queue, and the function working on events one by one.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use tintype::{
    disk::SharedDisk,
    dispatch::DiskDelivery,
    ledger::{Ledger, Tries},
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
use tokio_util::sync::CancellationToken;

use crate::common::{IN, at, runtime};

/// More attempts than any history's events need.
const MOST_ATTEMPTS: usize = 2000;

pub struct World {
    pub store: Arc<Storage>,
    pub queue: Arc<Queue>,
    pub ledger: Arc<Ledger>,
    pub enqueuer: Enqueuer,
    thumbnails: Thumbnails,
}

/// How an attempt goes.
#[derive(Clone, Copy)]
pub struct Manner<'a> {
    /// Happens between the function's reading and its writing.
    pub meanwhile: &'a (dyn Fn() + Sync),
    /// Nothing else happens, so what was made is of the version that is there afterwards.
    pub alone: bool,
    /// It is stopped at its so-many-th request to the store: by its time-out, or by a shutdown.
    pub stops: Option<Stops>,
}

#[derive(Debug, Clone, Copy)]
pub struct Stops {
    pub asked: usize,
    pub by_shutdown: bool,
}

impl Manner<'_> {
    pub const UNDISTURBED: Manner<'static> = Manner { meanwhile: &|| (), alone: true, stops: None };
}

/// What one look at the queue came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Worked {
    Attempt,
    Waiting,
    Idle,
}

fn put_cause() -> Cause {
    Cause { event: "ObjectCreated:Put", request_id: "history".into() }
}

impl World {
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
        // Twice, so that a file is written in more than one piece.
        let (first, second) = bytes.split_at(bytes.len() / 2);
        incoming.write(first)?;
        incoming.write(second)?;
        self.store.objects.commit(&place, incoming, condition, put_cause())?;
        Ok(())
    }

    /// Posts an image with a key; answers whether it is stored.
    pub fn post(&self, key: &str, bytes: &[u8], manner: Manner<'_>) -> Result<bool, String> {
        let arrival = Arrival {
            at: at(IN, key),
            content_type: "image/jpeg".into(),
            bytes: bytes::Bytes::copy_from_slice(bytes),
        };
        let cause = Cause { event: "ObjectCreated:Post", request_id: "history".into() };
        let triggers = self.store.notifications.triggers();
        let spec = &triggers[0].renditions[0].spec;
        let stop = Stop::never();
        let received = runtime().block_on(async {
            let arriving = ArrivingStore::new(DiskPort::new(self.store.clone()), arrival.clone(), cause);
            let store = Interrupted::new(&arriving, manner, None);
            let call = Call { triggers: &triggers, stop: &stop };
            let received = self.thumbnails.receive(call, &store, &arrival, spec).await;
            arriving.close().await;
            received
        });
        match received {
            Ok((report, _)) => {
                if manner.alone && report.outcome == Outcome::Rendered {
                    self.is_of_the_newest(&arrival.at, &report)?;
                }
                Ok(true)
            }
            Err(_) => Ok(false),
        }
    }

    /// Begins an upload in parts, and gives it up.
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
        };
        self.store.uploads.create(place, new)
    }

    /// Answers its ETag.
    fn put_part(&self, place: &Location, upload: &str, bytes: &[u8]) -> Result<String, StoreFault> {
        let mut incoming = self.store.uploads.begin_part(place, upload, 1)?;
        incoming.write(bytes)?;
        Ok(self.store.uploads.commit_part(upload, 1, incoming)?.etag)
    }

    /// Uploads in one part, which is sent again before the end.
    pub fn put_in_parts(&self, key: &str, bytes: &[u8]) -> Result<(), StoreFault> {
        let place = at(IN, key);
        let id = self.begin_upload(&place)?;
        self.put_part(&place, &id, &bytes[bytes.len() / 2..])?;
        let etag = self.put_part(&place, &id, bytes)?;
        let parts = vec![CompletedPart { number: 1, etag, checksums: Vec::new() }];
        let completion = Completion { parts, size: None, condition: Condition::Any };
        let cause = Cause { event: "ObjectCreated:CompleteMultipartUpload", request_id: String::new() };
        self.store.uploads.complete(&place, &id, &completion, cause, Box::new(NoChecksum))?;
        Ok(())
    }

    pub fn delete(&self, keys: &[&str]) -> Vec<Result<(), StoreFault>> {
        let cause = Cause { event: "ObjectRemoved:Delete", request_id: String::new() };
        let objects = keys.iter().map(|key| (at(IN, key), None)).collect();
        let answers = self.store.objects.delete_all(objects, &cause);
        answers.into_iter().map(|answer| answer.map(|_| ())).collect()
    }

    pub fn read(&self, place: &Location) -> Result<Option<Vec<u8>>, StoreFault> {
        self.store.objects.open(place)?.map(|object| object.bytes()).transpose()
    }

    /// Queues what was given up once more.
    pub fn redrive(&self, reason: Option<&str>) -> Result<usize, String> {
        let filter = DeadLetterFilter { reason: reason.map(str::to_owned), ..DeadLetterFilter::default() };
        self.queue.redrive(&filter).map_err(|error| error.to_string())
    }

    /// Throws away what was given up of a key.
    pub fn purge(&self, key: &str) -> Result<usize, String> {
        let filter = DeadLetterFilter { object: Some(at(IN, key)), ..DeadLetterFilter::default() };
        self.queue.purge(&filter).map_err(|error| error.to_string())
    }

    /// Queues sources that have no current thumbnail.
    pub fn backfill(&self) -> Result<(), StoreFault> {
        let cause = Cause { event: "ObjectCreated:Backfill", request_id: "history".into() };
        let mut next = None;
        loop {
            next = self.store.backfill.page("", next, false, cause.clone())?.next;
            if next.is_none() {
                return Ok(());
            }
        }
    }

    /// One attempt at the next event.
    pub fn work(&self, manner: Manner<'_>) -> Result<Worked, String> {
        match self.queue.lease().map_err(|error| error.to_string())? {
            Next::Lease(lease) => {
                let at = lease.at.clone();
                let (report, settled) = runtime().block_on(self.attempt(*lease, manner));
                settled.map_err(|error| error.to_string())?;
                if manner.alone && report.outcome == Outcome::Rendered {
                    self.is_of_the_newest(&at, &report)?;
                }
                Ok(Worked::Attempt)
            }
            Next::DeadLetter(_) => Ok(Worked::Attempt),
            Next::Wait(_) => Ok(Worked::Waiting),
            Next::Empty => Ok(Worked::Idle),
        }
    }

    async fn attempt(&self, lease: Lease, manner: Manner<'_>) -> (Report, Result<(), StoreError>) {
        let port = DiskPort::new(self.store.clone());
        let token = CancellationToken::new();
        let by_time_out = manner.stops.is_some_and(|stops| !stops.by_shutdown);
        let stop = Stop::new(token.clone());
        let store = Interrupted::new(&port, manner, Some(token));
        let triggers = self.store.notifications.triggers();
        let call = Call { triggers: &triggers, stop: &stop };
        let (inner, policy) = (DiskDelivery::new(lease, port.clone()), self.queue.policy());
        let mut delivery = InterruptedDelivery { inner, store: &store, policy, by_time_out };
        let attempt = self.thumbnails.attempt(call, policy, &store, &mut delivery).await;
        let settled = attempt.settle(&mut delivery).await;
        (attempt.report, settled)
    }

    /// A version that was acknowledged before a thumbnail was written is what it is made of.
    fn is_of_the_newest(&self, source: &Location, report: &Report) -> Result<(), String> {
        // A disk that fails says nothing.
        let Ok(Some(source)) = self.store.objects.head(source) else { return Ok(()) };
        for made in &report.renditions {
            let Ok(Some(thumbnail)) = self.store.objects.head(&made.at) else { continue };
            if thumbnail.headers.metadata.get("tintype-source-etag") != Some(&source.etag) {
                return Err(format!("{} was made of a version that had been replaced", made.at));
            }
        }
        Ok(())
    }

    /// Works until nothing is queued. Time passes in leaps: what waits for its next attempt is due at once.
    pub fn drain(&self) -> Result<(), String> {
        for _ in 0..MOST_ATTEMPTS {
            match self.work(Manner::UNDISTURBED)? {
                Worked::Attempt => {}
                Worked::Waiting => self.make_due()?,
                Worked::Idle => {
                    let depth = self.queue.depth().map_err(|error| error.to_string())?;
                    return if depth == 0 { Ok(()) } else { Err(format!("{depth} events are stuck")) };
                }
            }
        }
        Err(format!("the queue is not empty after {MOST_ATTEMPTS} attempts"))
    }

    /// As if time had passed.
    pub fn make_due(&self) -> Result<(), String> {
        let ledger = &self.ledger;
        let mut ids = Vec::new();
        let view = ledger.view().map_err(|error| error.to_string())?;
        for tries in Tries::ALL {
            let walked = view.queue().walk_due(tries, i64::MIN, |_, id| {
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

/// The store as the function sees it, with something happening before it writes.
struct Interrupted<'a> {
    store: &'a dyn Store,
    manner: Manner<'a>,
    requests: AtomicUsize,
    stop: Option<CancellationToken>,
}

impl<'a> Interrupted<'a> {
    fn new(store: &'a dyn Store, manner: Manner<'a>, stop: Option<CancellationToken>) -> Self {
        Self { store, manner, requests: AtomicUsize::new(0), stop }
    }

    fn requested(&self) {
        let requests = self.requests.fetch_add(1, Ordering::Relaxed);
        if let (Some(stop), Some(stops)) = (&self.stop, self.manner.stops)
            && requests >= stops.asked
        {
            stop.cancel();
        }
    }

    fn before_put(&self) {
        tokio::task::block_in_place(self.manner.meanwhile);
    }
}

#[async_trait]
impl Wrapper for Interrupted<'_> {
    fn inner(&self) -> &dyn Store {
        self.store
    }

    async fn head(&self, at: &Location) -> Result<Option<Stat>, StoreError> {
        self.requested();
        self.store.head(at).await
    }

    async fn get(&self, at: &Location, limit: u64) -> Result<Option<Object>, StoreError> {
        self.requested();
        self.store.get(at, limit).await
    }

    async fn put_all(
        &self,
        puts: Vec<Put>,
        source: Option<&SourceVersion>,
    ) -> Result<Vec<String>, StoreError> {
        self.before_put();
        self.store.put_all(puts, source).await
    }

    async fn delete(&self, at: &Location, if_match: Option<&str>) -> Result<(), StoreError> {
        self.before_put();
        self.store.delete(at, if_match).await
    }
}

/// A delivery with something happening before its commit.
struct InterruptedDelivery<'a, 's> {
    inner: DiskDelivery,
    store: &'a Interrupted<'s>,
    policy: &'a RetryPolicy,
    /// What ends the attempt stands for its time-out, not for a shutdown.
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
        source: &SourceVersion,
        conclusion: Conclusion,
    ) -> Result<Committed, StoreError> {
        self.store.before_put();
        self.inner.commit(store, puts, source, conclusion).await
    }
}
