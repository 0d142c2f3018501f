//! The real parts on a simulated disk: store, ledger, queue, and the function working on events one by one.

use tintype::{
    disk::SharedDisk,
    invoker::{record, verdict},
    ledger::{EventRecord, StoredHeaders, Tries},
    queue::{Next, Queue},
    server::{Parts, open_parts},
    store::{
        Cause, CompletedPart, Completion, DataFolder, DiskStore, JoinedChecksum, NewUpload, SettlingStore,
        StoreFault, now_ms,
    },
};
use tintype_engine::Scratch;
use tintype_function::{
    Outcome, Report, Settings, Thumbnails,
    store::{Condition, Location, Put, SourceVersion, Store as _, StoreError, Wrapper},
    thumbnails::Call,
};

use crate::common::{IN, at};

/// More attempts than any history's events need.
const MOST_ATTEMPTS: usize = 2000;

pub struct World {
    pub store: std::sync::Arc<DiskStore>,
    pub queue: std::sync::Arc<Queue>,
    thumbnails: Thumbnails,
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
        let Parts { store, queue } =
            open_parts(settings, disk, folder).map_err(|error| format!("{error:#}"))?;
        Ok(Self { store, queue, thumbnails: Thumbnails::new(settings.limits, 64 << 20) })
    }

    pub fn put(&self, key: &str, bytes: &[u8], condition: Condition) -> Result<(), StoreFault> {
        let place = at(IN, key);
        let mut incoming = self.store.begin_put(&place, StoredHeaders::default())?;
        // Twice, so that a file is written in more than one piece.
        let (first, second) = bytes.split_at(bytes.len() / 2);
        incoming.write(first)?;
        incoming.write(second)?;
        self.store.commit_put(&place, incoming, condition, put_cause())?;
        Ok(())
    }

    pub fn put_in_parts(&self, key: &str, bytes: &[u8]) -> Result<(), StoreFault> {
        let place = at(IN, key);
        let new = NewUpload {
            headers: StoredHeaders::default(),
            checksum_algorithm: None,
            full_object_checksum: false,
        };
        let id = self.store.create_upload(&place, new)?;
        let mut incoming = self.store.begin_part(&place, &id, 1)?;
        incoming.write(bytes)?;
        let etag = self.store.commit_part(&id, 1, incoming)?.etag;
        let parts = vec![CompletedPart { number: 1, etag, checksums: Vec::new() }];
        let completion = Completion { parts, size: None, condition: Condition::Any };
        let cause = Cause { event: "ObjectCreated:CompleteMultipartUpload", request_id: String::new() };
        self.store.complete_upload(&place, &id, &completion, cause, Box::new(NoChecksum))?;
        Ok(())
    }

    pub fn delete(&self, keys: &[&str]) -> Vec<Result<(), StoreFault>> {
        let cause = Cause { event: "ObjectRemoved:Delete", request_id: String::new() };
        let objects = keys.iter().map(|key| (at(IN, key), None)).collect();
        let answers = self.store.delete_all(objects, &cause);
        answers.into_iter().map(|answer| answer.map(|_| ())).collect()
    }

    pub fn read(&self, place: &Location) -> Result<Option<Vec<u8>>, StoreFault> {
        self.store.open_object(place)?.map(|object| object.bytes()).transpose()
    }

    /// One attempt at the next event; `meanwhile` happens between the function's reading and its writing.
    /// `alone`: nothing else happens, so what was made is of the version that is there afterwards.
    pub fn work(&self, meanwhile: &(dyn Fn() + Sync), alone: bool) -> Result<Worked, String> {
        match self.queue.lease().map_err(|error| error.to_string())? {
            Next::Lease(lease) => {
                let settling = SettlingStore::new(&self.store, Some(lease.settlement()));
                let store = Interrupted { store: &settling, before_put: meanwhile };
                let triggers = self.store.triggers();
                let mut scratch = Scratch::default();
                let mut call = Call { triggers: &triggers, stop: &|| false, scratch: &mut scratch };
                let record = record(&lease);
                let handling = self.thumbnails.handle(&mut call, &store, &record);
                let report = futures::executor::block_on(handling);
                if alone && report.outcome == Outcome::Made {
                    self.is_of_the_newest(&lease.at, &report)?;
                }
                let verdict = verdict(&report, settling.is_settled());
                self.queue.finish(&lease, verdict).map_err(|error| error.to_string())?;
                Ok(Worked::Attempt)
            }
            Next::GivenUp(_) => Ok(Worked::Attempt),
            Next::Wait(_) => Ok(Worked::Waiting),
            Next::Empty => Ok(Worked::Idle),
        }
    }

    /// A version that was acknowledged before a thumbnail was written is what it is made of.
    fn is_of_the_newest(&self, source: &Location, report: &Report) -> Result<(), String> {
        // A disk that fails says nothing.
        let Ok(Some(source)) = self.store.head_object(source) else { return Ok(()) };
        for made in &report.renditions {
            let Ok(Some(thumbnail)) = self.store.head_object(&made.at) else { continue };
            if thumbnail.headers.metadata.get("tintype-source-etag") != Some(&source.etag) {
                return Err(format!("{} was made of a version that had been replaced", made.at));
            }
        }
        Ok(())
    }

    /// Works until nothing is queued. Time passes in leaps: what waits for its next attempt is due at once.
    pub fn drain(&self) -> Result<(), String> {
        for _ in 0..MOST_ATTEMPTS {
            match self.work(&|| (), true)? {
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

    fn make_due(&self) -> Result<(), String> {
        let ledger = self.store.ledger();
        let mut ids = Vec::new();
        let view = ledger.view().map_err(|error| error.to_string())?;
        for tries in Tries::ALL {
            let walked = view.walk_due(tries, i64::MIN, |_, id| {
                ids.push(id);
                true
            });
            walked.map_err(|error| error.to_string())?;
        }
        drop(view);
        let pending = ledger.submit(Vec::new(), move |changes| {
            for id in ids {
                if let Some(event) = changes.event(id)? {
                    changes.put_event(&EventRecord { due_ms: now_ms(), ..event })?;
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
        _: &[tintype::ledger::PartRecord],
    ) -> Result<tintype::ledger::Checksums, StoreFault> {
        Ok(tintype::ledger::Checksums::default())
    }
}

/// The store as the function sees it, with something happening before it writes.
struct Interrupted<'a> {
    store: &'a SettlingStore<'a>,
    before_put: &'a (dyn Fn() + Sync),
}

impl<'a> Wrapper for Interrupted<'a> {
    type Inner = SettlingStore<'a>;

    fn inner(&self) -> &SettlingStore<'a> {
        self.store
    }

    async fn put_all(
        &self,
        puts: Vec<Put>,
        source: Option<&SourceVersion>,
    ) -> Result<Vec<String>, StoreError> {
        (self.before_put)();
        self.store.put_all(puts, source).await
    }

    async fn delete(&self, at: &Location, if_match: Option<&str>) -> Result<(), StoreError> {
        (self.before_put)();
        self.store.delete(at, if_match).await
    }
}
