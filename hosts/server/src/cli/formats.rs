//! `tintype formats`.

use clap::Args;

use super::{OK, output};

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tintype formats
  tintype formats | jq -r '.extensions[]'")]
pub(super) struct Formats {}

impl Formats {
    #[expect(clippy::unused_self, reason = "as other commands run")]
    pub(super) fn run(self) -> u8 {
        for (format, coverage) in tintype_engine::formats() {
            output::print(
                || {
                    let written = if coverage.written.is_empty() { "read" } else { "read and written" };
                    format!("{format}: {written}, .{}", coverage.extensions.join(" ."))
                },
                || {
                    serde_json::json!({
                        "format": format.name(),
                        "title": coverage.title,
                        "media_type": format.media_type(),
                        "extensions": coverage.extensions,
                        "read": coverage.read,
                        "written": coverage.written,
                        "refused": coverage.refused,
                    })
                },
            );
        }
        OK
    }
}
