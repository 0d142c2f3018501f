//! `tintype status`.

use clap::Args;
use tintype_pipeline::ThumbnailStatus;

use super::{
    Env, OK, output,
    remote::{ServerArguments, plain, time},
};
use crate::admin::{ObjectStatus, StatusRequest, to_json};

/// Exit code: still to be rendered.
const PENDING: u8 = 3;
/// Exit code: rendering failed.
const FAILED: u8 = 4;
/// Exit code: no such object, no thumbnail and none to come, or not of the current version.
const UNKNOWN: u8 = 5;

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tintype status photo.jpg                         status, history and what to do next
  tintype status raw/a.png --bucket other-images   of another source bucket
  tintype status photo.jpg && echo there           exit code 0: current, or none is wanted; 3: pending; 4: failed; 5: unknown, or
                                                   its thumbnails are missing or of an earlier version")]
pub(super) struct Status {
    #[command(flatten)]
    server: ServerArguments,
    /// The source's key
    #[arg(value_name = "KEY")]
    key: String,
    /// Its bucket, which any trigger may watch [default: the bucket of the first trigger in the settings]
    #[arg(long, value_name = "BUCKET")]
    bucket: Option<String>,
}

impl Status {
    pub(super) fn run(self, env: &Env) -> anyhow::Result<u8> {
        let remote = self.server.find(env)?;
        let known = remote.send(&StatusRequest { bucket: self.bucket, key: self.key })?;
        output::print(|| screen(&known), || to_json::<StatusRequest>(&known));
        Ok(match known.status {
            ThumbnailStatus::Current | ThumbnailStatus::Ignored => OK,
            ThumbnailStatus::Pending => PENDING,
            ThumbnailStatus::Failed => FAILED,
            ThumbnailStatus::Stale | ThumbnailStatus::Missing | ThumbnailStatus::Unknown => UNKNOWN,
        })
    }
}

/// Everything on one screen.
fn screen(known: &ObjectStatus) -> String {
    let mut lines = vec![format!("{}/{}: {}", plain(&known.bucket), plain(&known.key), known.status.name())];
    let mut line = |name: &str, text: String| lines.push(format!("  {name:<12} {text}"));
    match &known.object {
        Some(object) => line(
            "uploaded",
            format!(
                "{}, {}, {}, ETag {}",
                time(object.modified_ms),
                output::bytes(object.size),
                object.content_type.as_deref().map_or("no type".into(), plain),
                plain(&object.etag)
            ),
        ),
        None => line("uploaded", "there is no object of this key now".into()),
    }
    if let Some(event) = &known.event {
        let mut text = format!("since {}, due {}", time(event.queued_ms), time(event.due_ms));
        if event.failed > 0 {
            let last = plain(event.last_error.as_deref().unwrap_or_default());
            text.push_str(&format!(", failed {} times, last: {last}", event.failed));
        }
        line("waiting", text);
    }
    if let Some(dead_letter) = &known.dead_letter {
        line(
            "dead letter",
            format!(
                "{} ({}), attempts {}, since {}: {}",
                dead_letter.event.id,
                plain(&dead_letter.reason),
                dead_letter.event.started,
                time(dead_letter.dead_ms),
                plain(&dead_letter.message)
            ),
        );
    }
    for thumbnail in &known.thumbnails {
        let size = output::bytes(thumbnail.size);
        line("thumbnail", format!("{}/{}, {size}", plain(&thumbnail.bucket), plain(&thumbnail.key)));
    }
    for entry in known.history.iter().take(8) {
        let ms = entry.duration_us as f64 / 1e3;
        let mut text = format!("{}  {}, {ms:.1} ms", time(entry.ended_ms), plain(&entry.outcome));
        if !entry.why.is_empty() {
            text.push_str(&format!(": {}", plain(&entry.why)));
        }
        line("attempt", text);
    }
    line("next", plain(&known.advice));
    lines.join("\n")
}
