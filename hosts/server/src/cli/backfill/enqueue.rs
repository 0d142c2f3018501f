//! `tintype backfill --store s3`: lists the triggers' buckets in any S3 store, and sends an event for each of their objects
//! to a queue.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tintype_pipeline::settings::Override;
use tintype_worker::{Backfill as StoreBackfill, BackfillSettings, Checkpoint, Source};

use super::Backfill;
use crate::{
    cli::{Env, OK, atomic_file::AtomicFile, block_on, output, remote::plain, variable},
    settings::Settings,
};

/// A run that is killed sends at most what it sent since again.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);

pub(super) fn run(arguments: Backfill, env: &Env) -> anyhow::Result<u8> {
    let Backfill { server, prefix, dry_run, queue, s3_endpoint, rate, checkpoint, .. } = arguments;
    let endpoint = s3_endpoint.map(|url| Override {
        origin: "flag --s3-endpoint".into(),
        path: ["store", "endpoint"].map(str::to_owned).to_vec(),
        value: toml::Value::String(url),
    });
    let settings = server.settings_with(env, endpoint)?;
    let queue = if dry_run { None } else { Some(queue_url(queue, &settings)?) };
    let file = checkpoint.map(CheckpointFile::new);
    let known = file.as_ref().map(|file| read(&file.path)).transpose()?.flatten();
    let wanted = BackfillSettings {
        store: settings.store,
        triggers: settings.triggers,
        prefix: prefix.unwrap_or_default(),
        queue,
        rate,
    };
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}, {elapsed}") {
        bar.set_style(style);
    }
    let end = block_on(async {
        let backfill = StoreBackfill::new(wanted, known, |name| variable(env, name));
        let backfill = backfill.await.map_err(|error| match &file {
            Some(file) => error.context(file.path.display().to_string()),
            None => error,
        })?;
        let mut saved = file;
        let mut last = None;
        let ended = backfill
            .run(
                |at| {
                    if dry_run {
                        output::print(
                            || format!("{}/{}", plain(&at.bucket), plain(at.key.as_str())),
                            || json!({"bucket": at.bucket, "key": at.key.as_str()}),
                        );
                    }
                },
                |checkpoint| {
                    bar.set_message(format!("{} queued of {} listed", checkpoint.taken, checkpoint.listed));
                    bar.tick();
                    last = Some(checkpoint.clone());
                    saved.as_mut().map_or(Ok(()), |file| file.progress(checkpoint))
                },
            )
            .await;
        let Some(file) = saved else { return ended };
        match (ended, last) {
            (Ok(end), _) => {
                file.remove()?;
                Ok(end)
            }
            (Err(error), Some(last)) => {
                file.write(&last)?;
                let path = file.path.display();
                Err(error.context(format!("interrupted; the same command continues from {path}")))
            }
            (Err(error), None) => Err(error),
        }
    });
    bar.finish_and_clear();
    print(&end?, dry_run);
    Ok(OK)
}

/// The queue that events go to.
fn queue_url(given: Option<String>, settings: &Settings) -> anyhow::Result<String> {
    if let Some(url) = given {
        let url = url.strip_prefix("sqs:").unwrap_or(&url);
        let is_url = url.starts_with("https://") || url.starts_with("http://");
        anyhow::ensure!(
            is_url && url.matches('/').count() >= 3,
            "--queue: \"{url}\" is no queue; write its URL, like \"https://sqs.eu-central-1.amazonaws.com/123456789012/events\""
        );
        return Ok(url.to_owned());
    }
    match &settings.worker.source {
        Some(Source::Sqs(url)) => Ok(url.clone()),
        _ => anyhow::bail!(
            "which queue? Give the URL of one of SQS with --queue, or set worker.source to sqs:URL; \"--dry-run\" needs none"
        ),
    }
}

fn print(end: &Checkpoint, is_dry_run: bool) {
    let Checkpoint { listed, taken, .. } = *end;
    let verb = if is_dry_run { "to be queued" } else { "queued" };
    output::print(
        || format!("{taken} {verb}, {} that no trigger takes", listed - taken),
        || json!({"queued": if is_dry_run { 0 } else { taken }, "taken": taken, "listed": listed}),
    );
}

/// Reads a checkpoint, if there is one.
fn read(path: &Path) -> anyhow::Result<Option<Checkpoint>> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.with_context(|| format!("--checkpoint {}", path.display()))?,
    };
    let read = serde_json::from_slice(&text);
    read.with_context(|| format!("--checkpoint: {} is no checkpoint; name another file", path.display()))
        .map(Some)
}

/// The file of `--checkpoint`, which is there while a run is unfinished.
struct CheckpointFile {
    path: PathBuf,
    saved: Instant,
}

impl CheckpointFile {
    fn new(path: PathBuf) -> Self {
        Self { path, saved: Instant::now() }
    }

    /// Writes it, unless it was written lately.
    fn progress(&mut self, checkpoint: &Checkpoint) -> anyhow::Result<()> {
        if self.saved.elapsed() >= SAVE_INTERVAL {
            self.write(checkpoint)?;
            self.saved = Instant::now();
        }
        Ok(())
    }

    fn write(&self, checkpoint: &Checkpoint) -> anyhow::Result<()> {
        let write = || {
            let mut file = AtomicFile::create(&self.path)?;
            file.write_all(json!(checkpoint).to_string().as_bytes())?;
            file.sync()?;
            file.publish()
        };
        write().with_context(|| format!("the checkpoint {} cannot be written", self.path.display()))
    }

    fn remove(&self) -> anyhow::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| self.path.display().to_string())
            }
            _ => Ok(()),
        }
    }
}
