//! `tintype backfill`: enqueues every source without a current thumbnail; beside another store (`enqueue`) every source.

mod enqueue;

use std::{path::PathBuf, thread, time::Duration};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{
    Env, FAILED, OK, output,
    remote::{Remote, ServerArguments, plain},
};
use crate::admin::{
    BackfillAction, BackfillActionRequest, BackfillPage, BackfillProgress, BackfillRequest, BackfillState,
    BackfillsRequest, PagedRequest as _,
};

/// How often it is asked whether what was queued is rendered.
const POLL: Duration = Duration::from_millis(500);

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tintype backfill --dry-run            what would be rendered
  tintype backfill                      queue every source without a current thumbnail
  tintype backfill --wait               the same by the server, and wait until all of them are rendered
  tintype backfill --prefix raw/        only keys that begin so
  tintype backfill --store s3 --queue https://sqs.eu-central-1.amazonaws.com/123456789012/events
                                        list the source buckets of a worker, or of the function on AWS Lambda

A thumbnail is current if it was rendered from this version of its source by today's settings: after a change of
settings, backfill has everything rendered again. Dead letters are left alone: see \"tintype dead-letters\".
Exit code with --wait: 0 if all were rendered, 1 if not; what was replaced or removed before its turn counts as neither.

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
    // Without a description, which would take a paragraph of --help for each option.
    S3,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate >= 0.001 && rate.is_finite() => Ok(rate),
        _ => Err("write a number of at least 0.001".into()),
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

impl Backfill {
    pub(super) fn run(self, env: &Env) -> anyhow::Result<u8> {
        if self.store == Some(StoreKind::S3) {
            return enqueue::run(self, env);
        }
        let remote = self.server.find(env)?;
        if self.wait {
            return Ok(print_waited(&wait(&remote, self.prefix)?));
        }
        let mut request =
            BackfillRequest { prefix: self.prefix, dry_run: self.dry_run, ..BackfillRequest::default() };
        let mut counts = Counts::default();
        loop {
            let page = remote.send(&request)?;
            counts.add(&page);
            if self.dry_run {
                page.stale.iter().for_each(|source| {
                    output::print(
                        || format!("{}/{}", plain(&source.bucket), plain(source.key.as_str())),
                        || json!(source),
                    );
                });
            }
            match request.next(&page) {
                Some(next) => request = next,
                None => break,
            }
        }
        counts.print(self.dry_run);
        Ok(OK)
    }
}

/// Has the server do the backfill, and waits until it is done and all that it queued has ended. The counts are the
/// server's: keys that come and go meanwhile are not among them.
fn wait(remote: &Remote, prefix: Option<String>) -> anyhow::Result<BackfillProgress> {
    let begun = remote.send(&BackfillActionRequest { action: BackfillAction::Start, prefix })?;
    let id = begun.backfill.map(|begun| begun.id).context("the server does not say what it began")?;
    let progress = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} rendered, {eta} left") {
        progress.set_style(style);
    }
    loop {
        let now = remote.send(&BackfillsRequest {})?.backfill.filter(|now| now.id == id);
        let now = now.context(
            "the server was restarted, or began another backfill meanwhile: what was queued stays queued, and its end is not \
             known; another \"tintype backfill\" has the rest",
        )?;
        if let Some(error) = &now.error {
            bail!("the backfill ended early: {error}; what was queued stays queued");
        }
        if now.state == BackfillState::Cancelled {
            bail!("the backfill was cancelled; what was queued stays queued");
        }
        if !now.state.is_open() && now.is_settled {
            progress.finish_and_clear();
            return Ok(now);
        }
        progress.set_length(now.queued);
        progress.set_position(now.rendered + now.failed);
        thread::sleep(POLL);
    }
}

/// Returns the exit code.
fn print_waited(ended: &BackfillProgress) -> u8 {
    let BackfillProgress { queued, current, waiting, dead_lettered, rendered, failed, superseded, .. } =
        *ended;
    let counts = Counts { stale: queued, current, waiting, dead_lettered };
    let replaced =
        if superseded > 0 { format!(", {superseded} replaced or removed meanwhile") } else { String::new() };
    output::print(
        || counts.text(&format!("{queued} queued: {rendered} rendered, {failed} not{replaced}")),
        || {
            let mut all = counts.json(queued);
            all["rendered"] = rendered.into();
            all["failed"] = failed.into();
            all["superseded"] = superseded.into();
            all
        },
    );
    if failed == 0 { OK } else { FAILED }
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
