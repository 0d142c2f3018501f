//! A store on a temporary folder, opened and reopened.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::{path::Path, sync::Arc, time::Duration};

use tintype::{
    disk::RealDisk,
    ledger::{Ledger, StoredHeaders},
    queue::{Lease, Queue},
    server::LARGEST_BATCH,
    settings::Settings,
    storage::{Cause, DataFolder, DiskStore, StoreFault},
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
    pub store: Arc<DiskStore>,
    pub ledger: Arc<Ledger>,
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
    let ledger = Ledger::open(disk.clone(), &folder.ledger(), LARGEST_BATCH, folder.clone()).unwrap();
    let ledger = Arc::new(ledger);
    let store =
        DiskStore::open(disk, folder, ledger.clone(), settings.triggers.clone(), &settings.function.name)
            .unwrap();
    let store = Arc::new(store);
    for trigger in &settings.triggers {
        store.ensure_bucket(&trigger.bucket).unwrap();
        store.ensure_bucket(&trigger.destination).unwrap();
    }
    Opened { store, ledger, faults, settings }
}

pub fn queue(opened: &Opened, retries: u32, delay: Duration, max_age: Duration) -> Arc<Queue> {
    Queue::new(opened.ledger.clone(), RetryPolicy { retries, delays: vec![delay] }, max_age)
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
    Cause { event: "ObjectCreated:Put", request_id: "test".into() }
}

pub fn put(store: &DiskStore, at: &Location, bytes: &[u8]) -> Result<String, StoreFault> {
    let mut incoming = store.begin_put(at, StoredHeaders::default())?;
    incoming.write(bytes)?;
    Ok(store.commit_put(at, incoming, Condition::Any, cause())?.etag)
}

pub fn read(store: &DiskStore, at: &Location) -> Option<Vec<u8>> {
    store.open_object(at).unwrap().map(|object| object.bytes().unwrap())
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
