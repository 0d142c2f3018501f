//! `tintype logs`.

use std::io::{IsTerminal as _, Write as _};

use bytes::Bytes;
use clap::Args;
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::{Env, OK, remote::ServerArguments};

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tintype logs                            what became of the latest images
  tintype logs --follow --failed          every failure, as it happens
  tintype logs --key photo.jpg            everything about one image
  tintype logs | jq .record.metrics       JSON lines in Lambda's form, on a pipe")]
pub(super) struct Logs {
    #[command(flatten)]
    server: ServerArguments,
    /// Go on with what comes
    #[arg(long, short)]
    follow: bool,
    /// Only of this key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Only failures
    #[arg(long)]
    failed: bool,
    /// Lines of the past
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
    last: usize,
}

impl Logs {
    pub(super) fn run(self, env: &Env) -> anyhow::Result<u8> {
        let remote = self.server.find(env)?;
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("last", &self.last.to_string());
        query.append_pair("follow", if self.follow { "true" } else { "false" });
        query.append_pair("failed", if self.failed { "true" } else { "false" });
        if let Some(key) = &self.key {
            query.append_pair("key", key);
        }
        let url = format!("{}/logs?{}", remote.url, query.finish());
        super::runtime()?.block_on(async {
            let mut response = remote
                .client()?
                .open(&url, remote.key.as_ref())
                .await
                .map_err(|error| error.context(remote.url.clone()))?;
            if !response.status().is_success() {
                let status = response.status();
                let body = response.body_mut().collect().await?.to_bytes();
                let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
                return Err(remote.refusal(status, &answer));
            }
            let mut lines = Lines { rest: Vec::new(), people: std::io::stdout().is_terminal() };
            while let Some(frame) = response.body_mut().frame().await {
                let Ok(data) = frame?.into_data() else { continue };
                if lines.print(&data).is_err() {
                    // Whoever read them has enough.
                    return Ok(OK);
                }
            }
            anyhow::ensure!(
                !self.follow,
                "the server ended the stream: it stopped, or more came than could be read; run this again"
            );
            Ok(OK)
        })
    }
}

/// Prints lines as they become whole.
struct Lines {
    rest: Vec<u8>,
    people: bool,
}

impl Lines {
    fn print(&mut self, data: &Bytes) -> std::io::Result<()> {
        self.rest.extend_from_slice(data);
        let mut out = std::io::stdout().lock();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            match serde_json::from_slice::<Value>(&line) {
                Ok(value) if self.people => writeln!(out, "{}", human(&value))?,
                _ => out.write_all(&line)?,
            }
        }
        out.flush()
    }
}

/// A report in one line for people.
fn human(line: &Value) -> String {
    let record = &line["record"];
    let text = |name: &str| record[name].as_str().unwrap_or_default().escape_debug().to_string();
    let time = line["time"].as_str().unwrap_or_default().replace('T', " ");
    let ms = record["metrics"]["durationMs"].as_f64().unwrap_or_default();
    let mut out = format!("{time}  {:<10} {}/{}  {ms:.1} ms", text("outcome"), text("bucket"), text("key"));
    if record["attempt"].as_u64().unwrap_or(1) > 1 {
        out.push_str(&format!("  attempt {}", record["attempt"]));
    }
    if !text("why").is_empty() {
        out.push_str(&format!("  {}", text("why")));
    }
    match text("next").as_str() {
        "retry" => out.push_str("  (to be tried again)"),
        "dead_letter" => out.push_str("  (dead letter)"),
        _ => {}
    }
    out
}
