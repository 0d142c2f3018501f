//! `tintype backfill`: enqueues every source without a current thumbnail.

use clap::Args;
use serde_json::json;

use super::{
    Env, OK, output,
    remote::{ServerArguments, plain},
};
use crate::admin::{BackfillPage, BackfillRequest};

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tintype backfill --dry-run            what would be rendered
  tintype backfill                      queue every source without a current thumbnail
  tintype backfill --prefix raw/        only keys that begin so

A thumbnail is current if it was rendered from this version of its source by today's settings: after a change of
settings, backfill has everything rendered again. Dead letters are left alone: see \"tintype dead-letters\".")]
pub(super) struct Backfill {
    #[command(flatten)]
    server: ServerArguments,
    /// Only keys that begin so
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// List only, enqueue nothing
    #[arg(long)]
    dry_run: bool,
}

impl Backfill {
    pub(super) fn run(self, env: &Env) -> anyhow::Result<u8> {
        let remote = self.server.find(env)?;
        let request =
            BackfillRequest { prefix: self.prefix, dry_run: self.dry_run, ..BackfillRequest::default() };
        let (mut stale, mut current, mut waiting, mut dead_lettered) = (0, 0, 0, 0);
        remote.pages(request, |page: BackfillPage| {
            for source in page.stale {
                stale += 1;
                if self.dry_run {
                    output::print(
                        || format!("{}/{}", plain(&source.bucket), plain(source.key.as_str())),
                        || json!(source),
                    );
                }
            }
            current += page.current;
            waiting += page.waiting;
            dead_lettered += page.dead_lettered;
            Ok(())
        })?;
        let verb = if self.dry_run { "to be queued" } else { "queued" };
        output::print(
            || {
                format!(
                    "{stale} {verb}, {current} current, {waiting} waiting already, {dead_lettered} dead letters"
                )
            },
            || {
                json!({"queued": if self.dry_run { 0 } else { stale }, "stale": stale, "current": current,
                    "waiting": waiting, "dead_lettered": dead_lettered,
                    // As earlier versions named it.
                    "given_up": dead_lettered})
            },
        );
        Ok(OK)
    }
}
