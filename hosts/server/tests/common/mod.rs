//! A store on a temporary folder, opened and reopened.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::{path::Path, sync::Arc, time::Duration};

use tintype::{
    disk::{RealDisk, SharedDisk},
    ledger::Ledger,
    queue::{Enqueuer, Lease, Queue},
    server::LARGEST_BATCH,
    settings::Settings,
    storage::{Cause, DataFolder, Storage, StoreFault, StoredHeaders, open_ledger},
};
use tintype_faulty_disk::{Faults, FaultyDisk};
use tintype_pipeline::{
    Conclusion, Disposition, ObjectKey, Outcome, RetryPolicy,
    settings::Sources,
    store::{Condition, Location},
};

pub const IN: &str = "input-product-images";
pub const OUT: &str = "output-product-thumbnail";

pub struct Opened {
    pub store: Arc<Storage>,
    pub ledger: Arc<Ledger>,
    pub enqueuer: Enqueuer,
    pub faults: Arc<Faults>,
    pub settings: Settings,
}

pub fn settings(data: &Path, toml: &str) -> Settings {
    let text = format!("data = {:?}\n{toml}", data.display().to_string());
    Settings::load(Sources { file: Some(("test".into(), text)), ..Sources::default() }).unwrap()
}

pub fn open(data: &Path) -> Opened {
    open_with(data, "")
}

pub fn open_with(data: &Path, toml: &str) -> Opened {
    let settings = settings(data, toml);
    let faults = Arc::new(Faults::default());
    let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk), faults.clone()));
    let folder = Arc::new(DataFolder::open(data).unwrap());
    let disk: SharedDisk = disk;
    let ledger = open_ledger(&disk, &folder, LARGEST_BATCH).unwrap();
    let function = &settings.function;
    let enqueuer = Enqueuer::new(ledger.clone());
    let triggers = settings.triggers.clone();
    let store =
        Storage::open(disk, folder, ledger.clone(), enqueuer.clone(), triggers, &function.name).unwrap();
    let store = Arc::new(store);
    for trigger in &settings.triggers {
        store.buckets.ensure(&trigger.bucket).unwrap();
        store.buckets.ensure(&trigger.destination).unwrap();
    }
    Opened { store, ledger, enqueuer, faults, settings }
}

pub fn queue(opened: &Opened, retries: u32, delay: Duration, max_age: Duration) -> Arc<Queue> {
    Queue::new(opened.enqueuer.clone(), RetryPolicy { retries, delays: vec![delay] }, max_age)
}

/// Settles an attempt that ended so; returns what becomes of its event.
pub fn finish(queue: &Queue, lease: &Lease, outcome: Outcome, is_shutdown: bool) -> Disposition {
    let disposition = Disposition::of(&outcome, lease.attempts(), queue.policy(), is_shutdown);
    let conclusion = Conclusion { disposition, outcome, renditions: Vec::new(), steps: Vec::new() };
    queue.settle(lease, &conclusion).unwrap();
    disposition
}

/// A runtime for tests that are no async functions.
pub fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: std::sync::LazyLock<tokio::runtime::Runtime> = std::sync::LazyLock::new(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    });
    &RUNTIME
}

pub fn at(bucket: &str, key: &str) -> Location {
    Location { bucket: bucket.into(), key: ObjectKey::new(key).unwrap() }
}

pub fn cause() -> Cause {
    Cause::new("ObjectCreated:Put", "test")
}

pub fn put(store: &Storage, at: &Location, bytes: &[u8]) -> Result<String, StoreFault> {
    let mut incoming = store.objects.begin(at, StoredHeaders::default())?;
    incoming.write(bytes)?;
    Ok(store.objects.commit(at, incoming, Condition::Any, cause())?.etag)
}

pub fn read(store: &Storage, at: &Location) -> Option<Vec<u8>> {
    store.objects.open(at).unwrap().map(|object| object.bytes().unwrap())
}

/// Files below a folder of the data folder.
pub fn files(data: &Path, folder: &str) -> usize {
    fn count(folder: &Path) -> usize {
        std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| if path.is_dir() { count(&path) } else { 1 })
            .sum()
    }
    count(&data.join(folder))
}

/// Waits until something holds; panics after a while.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "it never came about that {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
