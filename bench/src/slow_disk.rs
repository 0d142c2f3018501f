//! Group commit against one commit a put, on a disk with slow syncs.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Args;
use tintype::{
    disk::{RealDisk, SharedDisk},
    queue::Enqueuer,
    server::LARGEST_BATCH,
    storage::{Cause, DataFolder, Storage, StoredHeaders, open_ledger},
};
use tintype_faulty_disk::{Faults, FaultyDisk};
use tintype_pipeline::{
    ObjectKey,
    store::{Condition, Location},
};

use crate::statistics::median;

#[derive(Debug, Args)]
pub(crate) struct SlowDisk {
    /// Writers at once
    #[arg(long, default_value_t = 8)]
    writers: u32,
    /// Milliseconds a sync takes
    #[arg(long, default_value_t = 5)]
    sync_ms: u64,
    /// Seconds a round
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Rounds for each, in turn
    #[arg(long, default_value_t = 5)]
    rounds: u32,
}

impl SlowDisk {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut rates = [Vec::new(), Vec::new()];
        for _ in 0..self.rounds {
            for (batch, rates) in [LARGEST_BATCH, 1].into_iter().zip(&mut rates) {
                let folder = tempfile::tempdir()?;
                rates.push(self.round(folder.path(), batch)?);
            }
        }
        let [group, single] = rates.map(|rates| median(&rates));
        println!("{} writers, 100,000 bytes an object, a sync costs {} ms more", self.writers, self.sync_ms);
        println!("  group commit       median {group:>6.0} puts/s");
        println!("  one commit a put   median {single:>6.0} puts/s");
        println!("  ratio {:.2}", group / single);
        Ok(())
    }

    fn round(&self, folder: &Path, batch: usize) -> anyhow::Result<f64> {
        let faults = Arc::new(Faults::default());
        let disk: SharedDisk = Arc::new(FaultyDisk::new(Arc::new(RealDisk), faults.clone()));
        let folder = Arc::new(DataFolder::open(&folder.join("data"))?);
        let ledger = open_ledger(&disk, &folder, batch)?;
        let store =
            Storage::open(disk, folder, ledger.clone(), Enqueuer::new(ledger), Vec::new(), "Thumbnails")?;
        store.buckets.create("slow", None)?;
        faults.set_sync_cost(Duration::from_millis(self.sync_ms));
        let (next, bytes) = (AtomicU64::new(0), vec![0x5A; 100_000]);
        let began = Instant::now();
        let until = began + Duration::from_secs(self.seconds);
        std::thread::scope(|scope| {
            for _ in 0..self.writers {
                scope.spawn(|| {
                    while Instant::now() < until {
                        if let Err(error) = put(&store, next.fetch_add(1, Ordering::Relaxed), &bytes) {
                            eprintln!("a put failed: {error:#}");
                            return;
                        }
                    }
                });
            }
        });
        Ok(next.into_inner() as f64 / began.elapsed().as_secs_f64())
    }
}

fn put(store: &Storage, number: u64, bytes: &[u8]) -> anyhow::Result<()> {
    let key = ObjectKey::new(&format!("k{number}")).map_err(anyhow::Error::msg)?;
    let at = Location { bucket: "slow".into(), key };
    let mut incoming = store.objects.begin(&at, StoredHeaders::default())?;
    incoming.write(bytes)?;
    let cause = Cause::new("ObjectCreated:Put", String::new());
    store.objects.commit(&at, incoming, Condition::Any, cause)?;
    Ok(())
}
