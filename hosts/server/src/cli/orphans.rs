//! `tintype orphans`: thumbnails without a source, sources without a thumbnail.

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
  tintype orphans                       thumbnails whose source is gone, and sources without a current thumbnail
  tintype orphans --delete              the same, and the thumbnails are removed
  tintype orphans --prefix thumb_raw/   only keys that begin so

Sources without a thumbnail are made by \"tintype backfill\". The setting trigger.mirror_deletes has thumbnails go
with their sources.")]
pub(super) struct Orphans {
    #[command(flatten)]
    server: ServerArguments,
    /// Only keys that begin so
    #[arg(long, value_name = "PREFIX", default_value = "")]
    prefix: String,
    /// Remove thumbnails whose source is gone
    #[arg(long)]
    delete: bool,
}

impl Orphans {
    pub(super) fn run(self, env: &Env) -> anyhow::Result<u8> {
        let remote = self.server.find(env)?;
        let prefix = ("prefix", self.prefix.as_str());
        let delete = if self.delete { "true" } else { "false" };
        let (mut thumbnails, mut removed, mut sources) = (0_u64, 0, 0_u64);
        steps(|after| {
            let fields = [prefix, ("delete", delete)].into_iter().chain(after);
            let answer = remote.ask("/orphans", Some(form(fields)))?;
            for orphan in answer["orphans"].as_array().into_iter().flatten() {
                thumbnails += 1;
                let (at, source) = (&orphan["thumbnail"], &orphan["source"]);
                output::print(
                    || {
                        format!(
                            "thumbnail without source  {}/{}  (of {}/{})",
                            plain(&at["bucket"]),
                            plain(&at["key"]),
                            plain(&source["bucket"]),
                            plain(&source["key"])
                        )
                    },
                    || json!({"orphan": "thumbnail", "bucket": at["bucket"], "key": at["key"], "source": source}),
                );
            }
            removed += answer["removed"].as_u64().unwrap_or_default();
            Ok(answer)
        })?;
        steps(|after| {
            let fields = [prefix, ("dry_run", "true")].into_iter().chain(after);
            let answer = remote.ask("/backfill", Some(form(fields)))?;
            for source in answer["stale"].as_array().into_iter().flatten() {
                sources += 1;
                output::print(
                    || {
                        format!(
                            "source without thumbnail  {}/{}",
                            plain(&source["bucket"]),
                            plain(&source["key"])
                        )
                    },
                    || json!({"orphan": "source", "bucket": source["bucket"], "key": source["key"]}),
                );
            }
            Ok(answer)
        })?;
        output::print(
            || {
                format!(
                    "{thumbnails} thumbnail(s) without source ({removed} removed), {sources} source(s) without a current thumbnail"
                )
            },
            || json!({"thumbnails": thumbnails, "removed": removed, "sources": sources}),
        );
        Ok(OK)
    }
}
