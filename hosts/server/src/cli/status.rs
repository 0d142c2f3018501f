//! `tintype status`.

use clap::Args;
use serde_json::Value;

use super::{
    Env, OK, output,
    remote::{ServerArguments, form, moment, plain},
};

/// Still to be made.
const PENDING: u8 = 3;
/// Given up.
const FAILED: u8 = 4;
/// No such object, nothing is known of it, or its thumbnails are gone.
const UNKNOWN: u8 = 5;

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tintype status photo.jpg                         what became of it, and what to do next
  tintype status raw/a.png --bucket other-images   of another source bucket
  tintype status photo.jpg && echo there           exit code 0: made, or none is wanted; 3: pending; 4: failed; 5: unknown, or
                                                   its thumbnails are gone or of an earlier version")]
pub(super) struct Status {
    #[command(flatten)]
    server: ServerArguments,
    /// The source's key
    #[arg(value_name = "KEY")]
    key: String,
    /// Its bucket [default: the first trigger's]
    #[arg(long, value_name = "BUCKET")]
    bucket: Option<String>,
}

impl Status {
    pub(super) fn run(self, env: &Env) -> anyhow::Result<u8> {
        let remote = self.server.find(env)?;
        let bucket = self.bucket.as_deref().unwrap_or_default();
        let query = form([("bucket", bucket), ("key", self.key.as_str())]);
        let story = remote.ask(&format!("/object?{query}"), None)?;
        output::print(|| screen(&story), || story.clone());
        Ok(match story["state"].as_str() {
            Some("made" | "ignored") => OK,
            Some("pending") => PENDING,
            Some("failed") => FAILED,
            _ => UNKNOWN,
        })
    }
}

/// The whole story on one screen.
fn screen(story: &Value) -> String {
    let mut lines =
        vec![format!("{}/{}: {}", plain(&story["bucket"]), plain(&story["key"]), plain(&story["state"]))];
    let mut line = |name: &str, text: String| lines.push(format!("  {name:<12} {text}"));
    let object = &story["object"];
    match object.is_object() {
        true => line(
            "uploaded",
            format!(
                "{}, {}, {}, ETag {}",
                moment(&object["modifiedMs"]),
                output::bytes(object["size"].as_u64().unwrap_or_default()),
                object["contentType"].as_str().map_or("no type".into(), |_| plain(&object["contentType"])),
                plain(&object["etag"])
            ),
        ),
        false => line("uploaded", "there is no object of this key now".into()),
    }
    let event = &story["event"];
    if event.is_object() {
        let failed = event["failed"].as_u64().unwrap_or_default();
        let mut text = format!("since {}, due {}", moment(&event["queued_ms"]), moment(&event["due_ms"]));
        if failed > 0 {
            text.push_str(&format!(", failed {failed} times, last: {}", plain(&event["last_error"])));
        }
        line("waiting", text);
    }
    let letter = &story["deadLetter"];
    if letter.is_object() {
        line(
            "dead letter",
            format!(
                "{} ({}), attempts {}, given up {}: {}",
                letter["event"]["id"],
                plain(&letter["reason"]),
                letter["event"]["started"],
                moment(&letter["dead_ms"]),
                plain(&letter["message"])
            ),
        );
    }
    for made in story["thumbnails"].as_array().into_iter().flatten() {
        let size = output::bytes(made["size"].as_u64().unwrap_or_default());
        line("thumbnail", format!("{}/{}, {size}", plain(&made["bucket"]), plain(&made["key"])));
    }
    for entry in story["history"].as_array().into_iter().flatten().take(8) {
        let took = entry["duration_us"].as_f64().unwrap_or_default() / 1e3;
        let mut text = format!("{}  {}, {took:.1} ms", moment(&entry["ended_ms"]), plain(&entry["outcome"]));
        if !plain(&entry["why"]).is_empty() {
            text.push_str(&format!(": {}", plain(&entry["why"])));
        }
        line("attempt", text);
    }
    line("next", plain(&story["advice"]));
    lines.join("\n")
}
