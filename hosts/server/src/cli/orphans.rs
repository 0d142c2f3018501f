//! `tintype orphans`: thumbnails without a source, sources without a thumbnail.

use clap::Args;
use serde_json::json;

use super::{
    Env, OK, output,
    remote::{ServerArguments, plain},
};
use crate::admin::{BackfillRequest, Orphan, OrphansRequest};

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tintype orphans                       thumbnails whose source is gone, and sources without a current thumbnail
  tintype orphans --delete              the same, and the thumbnails are deleted
  tintype orphans --prefix thumb_raw/   only keys that begin so

\"tintype backfill\" has the missing thumbnails rendered. With the setting trigger.mirror_deletes thumbnails are deleted
with their sources.")]
pub(super) struct Orphans {
    #[command(flatten)]
    server: ServerArguments,
    /// Only keys that begin so
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// Delete thumbnails whose source is gone
    #[arg(long)]
    delete: bool,
}

impl Orphans {
    pub(super) fn run(self, env: &Env) -> anyhow::Result<u8> {
        let remote = self.server.find(env)?;
        let request =
            OrphansRequest { prefix: self.prefix.clone(), delete: self.delete, ..OrphansRequest::default() };
        let (mut thumbnails, mut removed, mut sources) = (0_u64, 0, 0_u64);
        remote.pages(request, |page| {
            for Orphan { thumbnail, source } in page.orphans {
                thumbnails += 1;
                output::print(
                    || {
                        format!(
                            "thumbnail without source  {}/{}  (of {}/{})",
                            plain(&thumbnail.bucket),
                            plain(thumbnail.key.as_str()),
                            plain(&source.bucket),
                            plain(source.key.as_str())
                        )
                    },
                    || {
                        json!({"orphan": "thumbnail", "bucket": thumbnail.bucket, "key": thumbnail.key,
                            "source": source})
                    },
                );
            }
            removed += page.removed;
            Ok(())
        })?;
        let request = BackfillRequest { prefix: self.prefix, dry_run: true, ..BackfillRequest::default() };
        remote.pages(request, |page| {
            for source in page.stale {
                sources += 1;
                output::print(
                    || {
                        format!(
                            "source without thumbnail  {}/{}",
                            plain(&source.bucket),
                            plain(source.key.as_str())
                        )
                    },
                    || json!({"orphan": "source", "bucket": source.bucket, "key": source.key}),
                );
            }
            Ok(())
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
