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
  tintype orphans --stale               also thumbnails of renditions that were renamed or dropped
  tintype orphans --stale --delete      the same, and the thumbnails are deleted
  tintype orphans --prefix thumb_raw/   only keys that begin so

It looks at the buckets that triggers write to. \"tintype backfill\" has the missing thumbnails rendered. With the setting
trigger.mirror_deletes thumbnails are deleted with their sources.")]
pub(super) struct Orphans {
    #[command(flatten)]
    server: ServerArguments,
    /// Only keys that begin so
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// Also thumbnails whose source is there, but which no trigger renders under this name any more
    #[arg(long)]
    stale: bool,
    /// Delete the thumbnails that are listed
    #[arg(long)]
    delete: bool,
}

impl Orphans {
    pub(super) fn run(self, env: &Env) -> anyhow::Result<u8> {
        let remote = self.server.find(env)?;
        let request = OrphansRequest {
            prefix: self.prefix.clone(),
            stale: self.stale,
            delete: self.delete,
            ..OrphansRequest::default()
        };
        let (mut thumbnails, mut stale, mut removed, mut sources) = (0_u64, 0_u64, 0, 0_u64);
        remote.pages(request, |page| {
            for orphan in page.orphans {
                *if orphan.stale { &mut stale } else { &mut thumbnails } += 1;
                print(&orphan);
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
                            "source without thumbnail     {}/{}",
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
                let of_renditions =
                    if self.stale { format!("{stale} without rendition, ") } else { String::new() };
                format!(
                    "{thumbnails} thumbnail(s) without source, {of_renditions}{removed} removed, {sources} source(s) without a \
                     current thumbnail"
                )
            },
            || {
                let mut all = json!({"thumbnails": thumbnails, "removed": removed, "sources": sources});
                if self.stale {
                    all["stale"] = stale.into();
                }
                all
            },
        );
        Ok(OK)
    }
}

fn print(Orphan { thumbnail, source, stale }: &Orphan) {
    output::print(
        || {
            format!(
                "thumbnail without {}  {}/{}  (of {}/{})",
                if *stale { "rendition" } else { "source   " },
                plain(&thumbnail.bucket),
                plain(thumbnail.key.as_str()),
                plain(&source.bucket),
                plain(source.key.as_str())
            )
        },
        || {
            let mut line = json!({"orphan": "thumbnail", "bucket": thumbnail.bucket, "key": thumbnail.key,
                "source": source});
            if *stale {
                line["stale"] = true.into();
            }
            line
        },
    );
}
