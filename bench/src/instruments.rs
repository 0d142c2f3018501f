//! The cost of instruments: instructions an image, and space for fifteen days.

use std::{os::unix::fs::MetadataExt as _, path::PathBuf, sync::Arc, time::Duration};

use clap::Subcommand;
use tintype::{
    disk::RealDisk,
    history::{Database, Entry, History as Measured, Interval, Settlement, Thumbnail},
    settings::Settings,
};
use tintype_pipeline::{
    Call, Location, ObjectKey, Stop, Thumbnails,
    clock::now_ms,
    event::{Kind, Record},
    settings::Sources,
    store::{Condition, Put, Store as _},
};
use tintype_stores::MemoryStore;
use tintype_telemetry::metrics::{Metric, Metrics, MetricsSnapshot};

use crate::sample_images;

#[derive(Debug, Subcommand)]
pub(crate) enum Instruments {
    /// Renders thumbnails in memory, with or without instruments: run both under callgrind and compare
    Work {
        /// Thumbnails to render
        #[arg(long, default_value_t = 200)]
        images: u32,
        /// Measure them and store their results
        #[arg(long)]
        with: bool,
    },
    /// Fills a database with measurements of so many days, and prints its size
    Disk {
        /// The folder of the database
        folder: PathBuf,
        /// Days
        #[arg(long, default_value_t = 15)]
        days: i64,
        /// Images a second
        #[arg(long, default_value_t = 10)]
        rate: u64,
        /// Without results: the space of measurements alone
        #[arg(long)]
        metrics_only: bool,
    },
}

impl Instruments {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Work { images, with } => work(images, with),
            Self::Disk { folder, days, rate, metrics_only } => disk(folder, days, rate, metrics_only),
        }
    }
}

fn work(images: u32, with: bool) -> anyhow::Result<()> {
    let settings = Settings::load(Sources::default())?;
    let folder = tempfile::tempdir()?;
    let measured = Arc::new(Measured::default());
    if with {
        measured.record_to(Database::new(Arc::new(RealDisk), folder.path().join("measurements.redb")))?;
    }
    let store = MemoryStore::with_buckets(&[&settings.triggers[0].bucket, &settings.triggers[0].destination]);
    let thumbnails = Thumbnails::new(settings.limits, 1 << 30, 1)?;
    let stop = Stop::never();
    let bytes = sample_images::jpeg(1000, 750, 1)?;
    for number in 0..images {
        let key = ObjectKey::new(&format!("photo {number}.jpg")).map_err(anyhow::Error::msg)?;
        let at = Location { bucket: settings.triggers[0].bucket.clone(), key: key.clone() };
        let put = Put {
            at: at.clone(),
            bytes: bytes.clone().into(),
            content_type: "image/jpeg".into(),
            metadata: Default::default(),
            condition: Condition::Any,
        };
        futures::executor::block_on(store.put_all(vec![put], None))?;
        let record = Record {
            kind: Kind::Created,
            name: "ObjectCreated:Put".into(),
            bucket: at.bucket.clone(),
            key,
            etag: None,
            size: Some(bytes.len() as u64),
            sequencer: None,
        };
        let call = Call { triggers: &settings.triggers, stop: &stop };
        let under_way = with.then(|| measured.invocation());
        let report = futures::executor::block_on(thumbnails.handle(call, &store, &record));
        anyhow::ensure!(report.outcome.name() == "made", "{:?}", report.outcome);
        if with {
            measured.event_received();
            measured.event_taken(Duration::from_millis(3));
            measured.ended(report.total, false);
            measured.report(&report, Some(report.total));
            let id = format!("{number:032x}");
            measured.result(Entry {
                request_id: id,
                queued_ms: Some(now_ms()),
                ..Entry::new(&report, &at, now_ms())
            });
        }
        drop(under_way);
    }
    measured.close();
    println!("{images} images {} instruments", if with { "with" } else { "without" });
    Ok(())
}

fn disk(folder: PathBuf, days: i64, rate: u64, metrics_only: bool) -> anyhow::Result<()> {
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("measurements.redb");
    let database = Database::new(Arc::new(RealDisk), file.clone());
    let (metrics, mut taken) = (Metrics::default(), MetricsSnapshot::default());
    let begin = now_ms() - days * 86_400_000;
    let (mut number, mut chance) = (0_u64, 1_u64);
    let mut random = |below: u64| {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (chance >> 33) % below
    };
    for minute in 0..days * 1440 {
        let mut results = Vec::new();
        for image in 0..rate * 60 {
            number += 1;
            let failed = random(100) == 0;
            let stages: [u64; 6] =
                [2, 250, 1_500, 700, 300, 2_000].map(|typical| typical / 2 + random(typical.max(2)));
            let duration: u64 = stages.iter().sum();
            let ended_ms = begin + minute * 60_000 + (image * 1000 / rate) as i64 + random(90) as i64;
            drop(metrics.invocation());
            metrics.ended(Duration::from_micros(duration), failed);
            for (metric, micros) in Metric::STAGES.into_iter().zip(stages) {
                metrics.observe(metric, Duration::from_micros(micros));
            }
            for metric in
                [Metric::AsyncEventAge, Metric::UploadToThumbnail, Metric::S3Latency, Metric::ApiLatency]
            {
                metrics.observe(metric, Duration::from_micros(duration + random(20_000)));
            }
            let key = format!("products/{}/IMG_{:05}.jpg", random(4000), random(100_000));
            let thumbnail = Thumbnail {
                bucket: "output-product-thumbnail".into(),
                key: format!("thumb_{key}"),
                width: 128,
                height: [96, 85, 72, 128][random(4) as usize],
                bytes: 2_000 + random(4_000),
            };
            let entry = Entry {
                ended_ms,
                queued_ms: Some(ended_ms - 5 - random(40) as i64),
                bucket: "input-product-images".into(),
                key,
                request_id: format!("{:016x}{:016x}", random(u64::MAX), random(u64::MAX)),
                event: Some(number),
                cause: "ObjectCreated:Put".into(),
                attempt: 1,
                outcome: if failed { "failed" } else { "made" }.into(),
                reason: if failed { "malformed" } else { "" }.into(),
                why: if failed {
                    format!("the JPEG ends at byte {}", random(100_000))
                } else {
                    String::new()
                },
                next: if failed { Settlement::DeadLetter } else { Settlement::Done },
                duration_us: duration,
                stages_us: stages,
                source_bytes: 100_000 + random(3_000_000),
                memory_mb: 60 + random(4),
                thumbnails: if failed { Vec::new() } else { vec![thumbnail] },
            };
            results.push((number, Arc::new(entry)));
        }
        if metrics_only {
            results.clear();
        }
        let end_ms = begin + (minute + 1) * 60_000;
        let interval = Interval::ending_at(end_ms, number, metrics.take(&mut taken));
        database.append(end_ms, &[interval], &results)?;
        if minute % 1440 == 1439 {
            // The file grows in large steps, and unwritten parts take no space.
            let file = std::fs::metadata(&file)?;
            let (used, length) = (file.blocks() as f64 * 512.0 / 1e6, file.len() as f64 / 1e6);
            println!("day {}: {number} images, {used:.0} MB on disk, file {length:.0} MB", minute / 1440 + 1);
        }
    }
    Ok(())
}
