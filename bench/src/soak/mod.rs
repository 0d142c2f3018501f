//! Memory over many uploads: every image distinct, some overwritten, older ones deleted, resident memory sampled every
//! second. Growth is decided by the slope of the second half.

mod mix;
mod plot;
mod samples;
mod traffic;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;

use crate::{
    process::Server,
    slope::{self, Slope},
};
use mix::{Kind, Mix};
use samples::Sample;
use traffic::Traffic;

/// Blocks of the second half. Consecutive samples are correlated, so an interval of single samples would be too narrow.
const BLOCKS: usize = 20;
/// Negligible growth, in KiB for 1,000 images.
const NO_GROWTH: f64 = 1.0;
/// Beside `total_memory_mb`: the program, two databases' caches, threads, connections, frame buffers of workers, and
/// memory retained by the allocator.
const BASE_MB: u64 = 96;
/// Idle time before the last sample of memory.
const REST: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(crate) struct Soak {
    /// Images uploaded
    #[arg(long, default_value_t = 100_000)]
    images: u64,
    /// Uploads a second at most: a fixed load, because memory depends on it
    #[arg(long, default_value_t = 80.0, value_parser = a_rate)]
    rate: f64,
    /// Clients at once
    #[arg(long, default_value_t = 8)]
    clients: u64,
    /// What is uploaded
    #[arg(long, value_enum, default_value = "small")]
    mix: Kind,
    /// The server's bound on all renders at once
    #[arg(long, default_value_t = 256)]
    total_memory_mb: u64,
    /// Another variable for the server's environment, for example another allocator by LD_PRELOAD
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Where to write soak.svg and soak.tsv
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn a_rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..1e6).contains(&rate) => Ok(rate),
        _ => Err("a number from 0.001 to 1,000,000".into()),
    }
}

impl Soak {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mix = Arc::new(Mix::new(self.mix)?);
        let folder = tempfile::tempdir()?;
        let mut env = vec![
            ("TINTYPE_FUNCTION__TOTAL_MEMORY_MB".to_owned(), self.total_memory_mb.to_string()),
            ("TINTYPE_FUNCTION__MEMORY_MB".to_owned(), (self.total_memory_mb * 3 / 4).to_string()),
            ("TINTYPE_LIMITS__SOURCE_BYTES".to_owned(), (self.total_memory_mb << 18).to_string()),
            // Dead letters are part of the mix; their log lines would be most of the output.
            ("TINTYPE_LOGS__LEVEL".to_owned(), "error".to_owned()),
        ];
        for pair in &self.env {
            let (name, value) =
                pair.split_once('=').with_context(|| format!("--env {pair}: not NAME=VALUE"))?;
            env.push((name.to_owned(), value.to_owned()));
        }
        let settings = folder.path().join("tintype.toml");
        std::fs::write(&settings, "[[trigger]]\nmirror_deletes = true\n[[trigger.rendition]]\n")?;
        let server = Server::start_with(&folder.path().join("data"), &["--config".into(), settings], &env)?;
        std::thread::sleep(Duration::from_millis(500));
        let idle = server.memory_kib("VmRSS")?;

        let started = Instant::now();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (samples, done) = runtime.block_on(traffic::run(
            Traffic::new(&server, mix, self.images, self.rate)?,
            &server,
            self.clients,
        ))?;
        let took = started.elapsed();
        let computing = server.cpu_seconds()?;
        let peak = server.memory_kib("VmHWM")?;
        std::thread::sleep(REST);
        let rested = server.memory_kib("VmRSS")?;
        server.stop()?;

        println!(
            "{} images by {} clients in {:.0} s ({:.0} a second), {} deletes, {} dead letters as expected; every good \
             image left has its thumbnail",
            self.images,
            self.clients,
            took.as_secs_f64(),
            self.images as f64 / took.as_secs_f64(),
            done.deletes,
            done.dead_letters,
        );
        let mb = |kib: u64| kib as f64 * 1.024 / 1e3;
        let bound = self.total_memory_mb + BASE_MB;
        println!("the server's CPU time: {:.2} ms an image", computing * 1e3 / self.images as f64);
        println!(
            "resident memory: idle {:.1} MB, peak {:.1} MB, {} s after the end {:.1} MB",
            mb(idle),
            mb(peak),
            REST.as_secs(),
            mb(rested)
        );
        let is_bounded = peak <= bound << 10;
        println!(
            "peak {} total_memory_mb + {BASE_MB} MiB = {bound} MiB",
            if is_bounded { "is within" } else { "EXCEEDS" }
        );
        let slope = second_half(&samples).context("too short a run for a slope")?;
        let is_level = slope.includes_zero() || slope.high < NO_GROWTH;
        println!(
            "slope over the second half: {:.2} KiB for 1,000 images, 95 % interval {:.2} to {:.2}: {}",
            slope.per_unit,
            slope.low,
            slope.high,
            if is_level { "memory does not grow" } else { "MEMORY GROWS" }
        );
        if let Some(out) = &self.out {
            std::fs::create_dir_all(out)?;
            std::fs::write(out.join("soak.tsv"), samples::table(&samples))?;
            std::fs::write(out.join("soak.svg"), plot::svg(&samples, bound << 10, &slope))?;
            println!("written to {}", out.display());
        }
        anyhow::ensure!(is_bounded && is_level, "the bound on memory is exceeded or memory grows");
        Ok(())
    }
}

/// The slope in KiB for 1,000 images over the second half of the images.
fn second_half(samples: &[Sample]) -> Option<Slope> {
    let half = samples.last()?.images / 2;
    let points: Vec<(f64, f64)> = samples
        .iter()
        .filter(|sample| sample.images >= half)
        .map(|sample| (sample.images as f64 / 1e3, sample.resident_kib as f64))
        .collect();
    slope::of_blocks(&points, BLOCKS)
}
