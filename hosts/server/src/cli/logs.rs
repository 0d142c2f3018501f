//! `tintype logs`.

use std::io::{IsTerminal as _, Write as _};

use bytes::Bytes;
use clap::Args;
use http_body_util::BodyExt as _;

use super::{
    Env, OK,
    remote::{ServerArguments, plain},
};
use crate::admin::{LogsRequest, ReportLine, Settlement};

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tintype logs                            the latest attempts
  tintype logs --follow --failed          every failure, as it happens
  tintype logs --key photo.jpg            everything about one image
  tintype logs | jq .record.metrics       JSON lines in Lambda's form, on a pipe")]
pub(super) struct Logs {
    #[command(flatten)]
    server: ServerArguments,
    /// Continue with attempts to come
    #[arg(long, short)]
    follow: bool,
    /// Only of this key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Only failures
    #[arg(long)]
    failed: bool,
    /// The number of past lines
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
    last: usize,
}

impl Logs {
    pub(super) fn run(self, env: &Env) -> anyhow::Result<u8> {
        let remote = self.server.find(env)?;
        let request =
            LogsRequest { follow: self.follow, key: self.key, failed: self.failed, last: Some(self.last) };
        let url = remote.request_url(&request);
        super::runtime()?.block_on(async {
            let mut response = remote
                .client()?
                .open(&url, remote.key.as_ref())
                .await
                .map_err(|error| error.context(remote.url.clone()))?;
            if !response.status().is_success() {
                let status = response.status();
                let body = response.body_mut().collect().await?.to_bytes();
                return Err(remote.refusal(status, &body));
            }
            let mut lines = Lines { rest: Vec::new(), people: std::io::stdout().is_terminal() };
            while let Some(frame) = response.body_mut().frame().await {
                let Ok(data) = frame?.into_data() else { continue };
                if lines.print(&data).is_err() {
                    // The pipe is closed: its reader has enough.
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

/// Prints lines once they are complete.
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
            match serde_json::from_slice(&line) {
                Ok(line) if self.people => writeln!(out, "{}", text(&line))?,
                _ => out.write_all(&line)?,
            }
        }
        out.flush()
    }
}

/// A line for people.
fn text(line: &ReportLine) -> String {
    let record = &line.record;
    let mut out = format!(
        "{}  {:<10} {}/{}  {:.1} ms",
        line.time.replace('T', " "),
        plain(&record.outcome),
        plain(&record.bucket),
        plain(&record.key),
        record.metrics.duration_ms
    );
    if record.attempt > 1 {
        out.push_str(&format!("  attempt {}", record.attempt));
    }
    if let Some(why) = &record.why {
        out.push_str(&format!("  {}", plain(why)));
    }
    out.push_str(match record.next {
        Settlement::Retry => "  (to be retried)",
        Settlement::DeadLetter => "  (dead letter)",
        Settlement::Done => "",
    });
    out
}
