//! `tintype backfill`: enqueues every source without a current thumbnail; beside another store (`enqueue`) every source.

mod enqueue;

use std::{path::PathBuf, thread, time::Duration};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{
    Env, FAILED, OK, output,
    remote::{Remote, ServerArguments, plain},
};
use crate::admin::{BackfillPage, BackfillRequest, PagedRequest as _};

/// How often it is asked whether what was queued is rendered.
const POLL: Duration = Duration::from_millis(500);

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tintype backfill --dry-run            what would be rendered
  tintype backfill                      queue every source without a current thumbnail
  tintype backfill --wait               the same, and wait until all of them are rendered
  tintype backfill --prefix raw/        only keys that begin so
  tintype backfill --store s3 --queue https://sqs.eu-central-1.amazonaws.com/123456789012/events
                                        list the source buckets of a worker, or of the function on AWS Lambda

A thumbnail is current if it was rendered from this version of its source by today's settings: after a change of
settings, backfill has everything rendered again. Dead letters are left alone: see \"tintype dead-letters\".
Exit code with --wait: 0 if all were rendered, 1 if not.

With --store s3 the buckets of the triggers are listed, in the store of the section [store]; an event as S3 sends it goes
to the queue for each key that a trigger takes, and whoever takes events from there skips thumbnails that are
current. Credentials are found as the AWS CLI finds them.")]
pub(super) struct Backfill {
    #[command(flatten)]
    server: ServerArguments,
    /// Only keys that begin so
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// List only, enqueue nothing
    #[arg(long)]
    dry_run: bool,
    /// Wait until what was queued is rendered, or is a dead letter; on a terminal with progress
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// Ask no server: list the buckets themselves, and send events to a queue
    #[arg(long, value_name = "KIND", conflicts_with_all = ["wait", "server", "ca"])]
    store: Option<StoreKind>,
    /// The URL of the SQS queue that events go to [default: that of setting "worker.source"]
    #[arg(long, value_name = "URL", requires = "store")]
    queue: Option<String>,
    /// The S3 endpoint of the store [default: AWS] (setting "store.endpoint")
    #[arg(long, value_name = "URL", requires = "store")]
    s3_endpoint: Option<String>,
    /// Send at most so many events a second
    #[arg(long, value_name = "EVENTS", requires = "store", value_parser = rate)]
    rate: Option<f64>,
    /// Remember in this file how far it is; a run that was interrupted continues from there
    #[arg(long, value_name = "FILE", requires = "store", conflicts_with = "dry_run")]
    checkpoint: Option<PathBuf>,
}

/// A store that is listed without a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StoreKind {
    /// Any S3 store.
    S3,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        _ => Err("write a number above 0".into()),
    }
}

/// Sums over pages.
#[derive(Debug, Default)]
struct Counts {
    stale: u64,
    current: u64,
    waiting: u64,
    dead_lettered: u64,
}

/// A page of which something was queued.
#[derive(Debug)]
struct Queued {
    /// Lists the page, as it is now.
    request: BackfillRequest,
    /// How many of it were queued by this command.
    count: u64,
    /// How many of it were dead letters before.
    dead_lettered: u64,
}

impl Backfill {
    pub(super) fn run(self, env: &Env) -> anyhow::Result<u8> {
        if self.store == Some(StoreKind::S3) {
            return enqueue::run(self, env);
        }
        let remote = self.server.find(env)?;
        let mut request = BackfillRequest {
            prefix: self.prefix.clone(),
            dry_run: self.dry_run,
            ..BackfillRequest::default()
        };
        let (mut counts, mut queued) = (Counts::default(), Vec::new());
        loop {
            let page = remote.send(&request)?;
            let next = request.next(&page);
            counts.add(&page);
            if self.dry_run {
                page.stale.iter().for_each(|source| {
                    output::print(
                        || format!("{}/{}", plain(&source.bucket), plain(source.key.as_str())),
                        || json!(source),
                    );
                });
            } else if self.wait && !page.stale.is_empty() {
                queued.push(Queued {
                    request: BackfillRequest { dry_run: true, ..request },
                    count: page.stale.len() as u64,
                    dead_lettered: page.dead_lettered,
                });
            }
            match next {
                Some(next) => request = next,
                None => break,
            }
        }
        if self.wait {
            let failed = wait(&remote, &queued, counts.stale)?;
            return Ok(counts.print_waited(failed));
        }
        counts.print(self.dry_run);
        Ok(OK)
    }
}

/// Waits until none of the events that were queued is left; returns how many have failed. Only where pages begin is
/// remembered, however many sources there are.
fn wait(remote: &Remote, queued: &[Queued], all: u64) -> anyhow::Result<u64> {
    let progress = ProgressBar::new(all);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} rendered, {eta} left") {
        progress.set_style(style);
    }
    let (mut done, mut failed) = (0, 0);
    for page in queued {
        loop {
            let BackfillPage { stale, waiting, dead_lettered, .. } = remote.send(&page.request)?;
            let waits = waiting.min(page.count);
            progress.set_position(done + page.count - waits);
            if waits == 0 {
                // Without thumbnail, event or dead letter: ignored as it was rendered, or the settings have changed.
                let others = stale.len() as u64;
                failed += (dead_lettered.saturating_sub(page.dead_lettered) + others).min(page.count);
                break;
            }
            thread::sleep(POLL);
        }
        done += page.count;
    }
    progress.finish_and_clear();
    Ok(failed)
}

impl Counts {
    fn add(&mut self, page: &BackfillPage) {
        self.stale += page.stale.len() as u64;
        self.current += page.current;
        self.waiting += page.waiting;
        self.dead_lettered += page.dead_lettered;
    }

    fn print(&self, is_dry_run: bool) {
        let verb = if is_dry_run { "to be queued" } else { "queued" };
        output::print(
            || self.text(&format!("{} {verb}", self.stale)),
            || self.json(if is_dry_run { 0 } else { self.stale }),
        );
    }

    /// Returns the exit code.
    fn print_waited(&self, failed: u64) -> u8 {
        let rendered = self.stale - failed;
        output::print(
            || self.text(&format!("{} queued: {rendered} rendered, {failed} not", self.stale)),
            || {
                let mut all = self.json(self.stale);
                all["rendered"] = rendered.into();
                all["failed"] = failed.into();
                all
            },
        );
        if failed == 0 { OK } else { FAILED }
    }

    fn text(&self, first: &str) -> String {
        let Self { current, waiting, dead_lettered, .. } = self;
        format!("{first}, {current} current, {waiting} waiting already, {dead_lettered} dead letters")
    }

    fn json(&self, queued: u64) -> serde_json::Value {
        let Self { stale, current, waiting, dead_lettered } = self;
        json!({"queued": queued, "stale": stale, "current": current, "waiting": waiting, "dead_lettered": dead_lettered,
            // As earlier versions named it.
            "given_up": dead_lettered})
    }
}
