//! `tintype backfill`: queues what has no current thumbnail.

use clap::Args;
use serde_json::json;

use super::{
    Env, OK, output,
    remote::{ServerArguments, form, plain, steps},
};

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tintype backfill --dry-run            what would be made
  tintype backfill                      queue every source without a current thumbnail
  tintype backfill --prefix raw/        only keys that begin so

A thumbnail is current if it was made of this version of its source by today's settings: after a change of
settings, backfill has everything made anew. What was given up is left alone: see \"tintype dead-letters\".")]
pub(super) struct Backfill {
    #[command(flatten)]
    server: ServerArguments,
    /// Only keys that begin so
    #[arg(long, value_name = "PREFIX", default_value = "")]
    prefix: String,
    /// List only, queue nothing
    #[arg(long)]
    dry_run: bool,
}

impl Backfill {
    pub(super) fn run(self, env: &Env) -> anyhow::Result<u8> {
        let remote = self.server.find(env)?;
        let dry_run = if self.dry_run { "true" } else { "false" };
        let (mut stale, mut current, mut waiting, mut given_up) = (0_u64, 0, 0, 0);
        steps(|after| {
            let fields = [("prefix", self.prefix.as_str()), ("dry_run", dry_run)].into_iter().chain(after);
            let answer = remote.ask("/backfill", Some(form(fields)))?;
            for source in answer["stale"].as_array().into_iter().flatten() {
                stale += 1;
                if self.dry_run {
                    output::print(
                        || format!("{}/{}", plain(&source["bucket"]), plain(&source["key"])),
                        || source.clone(),
                    );
                }
            }
            let count = |name: &str| answer[name].as_u64().unwrap_or_default();
            current += count("current");
            waiting += count("waiting");
            given_up += count("givenUp");
            Ok(answer)
        })?;
        let verb = if self.dry_run { "to be queued" } else { "queued" };
        output::print(
            || {
                format!(
                    "{stale} {verb}, {current} current, {waiting} waiting already, {given_up} given up before"
                )
            },
            || {
                json!({"queued": if self.dry_run { 0 } else { stale }, "stale": stale, "current": current,
                    "waiting": waiting, "given_up": given_up})
            },
        );
        Ok(OK)
    }
}
