//! Start to ready, and idle memory.

use std::{sync::Arc, time::Duration};

use clap::Args;
use tintype::{
    disk::{RealDisk, SharedDisk},
    queue::Enqueuer,
    server::LARGEST_BATCH,
    storage::{Cause, DataFolder, Storage, StoredHeaders, open_ledger},
};
use tintype_pipeline::{
    ObjectKey,
    store::{Condition, Location},
};

use crate::{
    client::Client,
    process::Server,
    statistics::{ms, percentile},
};

#[derive(Debug, Args)]
pub(crate) struct Ready {
    /// Objects stored
    #[arg(long, default_value_t = 100_000)]
    objects: u32,
    /// Starts measured of each kind
    #[arg(long, default_value_t = 10)]
    starts: u32,
}

/// How a server ends before the start that is measured.
#[derive(Clone, Copy)]
enum End {
    Clean,
    /// A second after a put.
    KilledAtRest,
    /// As soon as a put is acknowledged.
    KilledAtPut,
}

impl Ready {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let (empty, full) = (folder.path().join("empty"), folder.path().join("full"));
        fill(&full, self.objects)?;
        for (what, data, end) in [
            ("empty, after a clean end", &empty, End::Clean),
            ("full, after a clean end", &full, End::Clean),
            ("full, after a SIGKILL at rest", &full, End::KilledAtRest),
            ("full, after a SIGKILL at a put", &full, End::KilledAtPut),
        ] {
            let mut times = Vec::new();
            let mut idle = 0;
            for start in 0..=self.starts {
                let server = Server::start(data)?;
                // The first start creates or warms the folder.
                if start > 0 {
                    times.push(server.ready_after);
                }
                std::thread::sleep(Duration::from_millis(300));
                idle = server.memory_kib("VmRSS")?;
                match end {
                    End::Clean => server.stop()?,
                    End::KilledAtRest => {
                        touch(&server, start)?;
                        std::thread::sleep(Duration::from_secs(1));
                        server.kill()?;
                    }
                    End::KilledAtPut => {
                        touch(&server, start)?;
                        server.kill()?;
                    }
                }
            }
            times.sort();
            println!(
                "{what:31} ({} objects): ready after median {}, slowest {}; idle memory {:.1} MB",
                if data == &full { self.objects } else { 0 },
                ms(percentile(&times, 0.5)),
                ms(percentile(&times, 1.0)),
                idle as f64 * 1.024 / 1e3
            );
        }
        Ok(())
    }
}

/// A put, so that the ledger was written to before the crash.
fn touch(server: &Server, start: u32) -> anyhow::Result<()> {
    let client =
        Client::new(&server.s3, "input-product-images", &server.access_key_id, &server.secret_access_key)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(client.put(&format!("touched-{start}.txt"), "x".into()))
}

fn fill(data: &std::path::Path, objects: u32) -> anyhow::Result<()> {
    let disk: SharedDisk = Arc::new(RealDisk);
    let folder = Arc::new(DataFolder::open(data)?);
    let ledger = open_ledger(&disk, &folder, LARGEST_BATCH)?;
    let store = Storage::open(disk, folder, ledger.clone(), Enqueuer::new(ledger), Vec::new(), "Thumbnails")?;
    store.buckets.ensure("input-product-images")?;
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..64)
            .map(|writer| {
                let store = &store;
                scope.spawn(move || {
                    for number in (writer..objects).step_by(64) {
                        let key = ObjectKey::new(&format!("folder-{}/image-{number}.jpg", number % 97));
                        let at = Location {
                            bucket: "input-product-images".into(),
                            key: key.map_err(anyhow::Error::msg)?,
                        };
                        let mut incoming = store.objects.begin(&at, StoredHeaders::default())?;
                        incoming.write(&number.to_le_bytes())?;
                        let cause = Cause::new("ObjectCreated:Put", String::new());
                        store.objects.commit(&at, incoming, Condition::Any, cause)?;
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        for writer in writers {
            writer.join().map_err(|_| anyhow::anyhow!("a writer panicked"))??;
        }
        Ok(())
    })
}
