//! From an upload acknowledged to its thumbnail readable, with one client.

use std::{
    fs::File,
    io::Write as _,
    time::{Duration, Instant},
};

use clap::Args;

use crate::{
    client::Client,
    process::Server,
    sample_images,
    statistics::{ms, percentile},
};

#[derive(Debug, Args)]
pub(crate) struct Latency {
    /// Uploads measured
    #[arg(long, default_value_t = 200)]
    uploads: u32,
}

impl Latency {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let data = tempfile::tempdir()?;
        let server = Server::start(&data.path().join("data"))?;
        let source = Client::new(
            &server.s3,
            "input-product-images",
            &server.access_key_id,
            &server.secret_access_key,
        )?;
        let destination = source.with_bucket("output-product-thumbnail")?;
        let images =
            (0..20).map(|seed| sample_images::jpeg(1000, 750, seed)).collect::<Result<Vec<_>, _>>()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (mut puts, mut waits) = (Vec::new(), Vec::new());
        runtime.block_on(async {
            for number in 0..self.uploads + 10 {
                // Trailing bytes make each upload a distinct file with the same pixels.
                let mut bytes = images[number as usize % images.len()].clone();
                bytes.extend(number.to_le_bytes());
                let key = format!("latency/{number}.jpg");
                let started = Instant::now();
                source.put(&key, bytes.into()).await?;
                let acknowledged = Instant::now();
                while destination.get(&format!("thumb_{key}")).await?.is_none() {
                    tokio::time::sleep(Duration::from_micros(500)).await;
                }
                // The first ten warm up.
                if number >= 10 {
                    puts.push(acknowledged - started);
                    waits.push(acknowledged.elapsed());
                }
            }
            anyhow::Ok(())
        })?;
        let mut syncs = sync_pairs(data.path(), images[0].len())?;
        server.stop()?;
        for times in [&mut puts, &mut waits, &mut syncs] {
            times.sort();
        }
        println!("1000x750 JPEG of {} KB, one client, {} uploads", images[0].len() / 1000, self.uploads);
        for (what, times) in [
            ("put sent to acknowledged", &puts),
            ("acknowledged to thumbnail readable", &waits),
            ("one sync pair (file of that size, folder)", &syncs),
        ] {
            println!(
                "  {what:42} median {:>9}   p95 {:>9}",
                ms(percentile(times, 0.5)),
                ms(percentile(times, 0.95))
            );
        }
        Ok(())
    }
}

/// The disk's own cost: a file written and synced, then its folder synced.
fn sync_pairs(folder: &std::path::Path, bytes: usize) -> anyhow::Result<Vec<Duration>> {
    let contents = vec![7; bytes];
    (0..100)
        .map(|number| {
            let started = Instant::now();
            let mut file = File::create(folder.join(format!("sync-{number}")))?;
            file.write_all(&contents)?;
            file.sync_data()?;
            File::open(folder)?.sync_all()?;
            Ok(started.elapsed())
        })
        .collect()
}
