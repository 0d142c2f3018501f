//! `tintype health`: the probe of containers, which have no other program to ask with.

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use http::Method;
use serde_json::json;

use super::{Env, FAILED, OK, output, remote::ServerArguments};

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tintype health                        whether it can be used: its disk and its ledger, too
  tintype health --alive                whether it answers at all
  tintype health --server https://images.example:8080 --ca ca.pem

Asks /readyz, or /healthz, which need no key. Exit code: 0 yes, 1 no.")]
pub(super) struct Health {
    #[command(flatten)]
    server: ServerArguments,
    /// Ask only whether it answers
    #[arg(long)]
    alive: bool,
}

impl Health {
    pub(super) fn run(self, env: &Env) -> anyhow::Result<u8> {
        let remote = self.server.find(env)?;
        let url = format!("{}{}", remote.url, if self.alive { "/healthz" } else { "/readyz" });
        let client = remote.client()?;
        let answer = super::block_on(async { client.send(Method::GET, &url, "", Bytes::new()).await });
        let answer = answer.with_context(|| url.clone())?;
        let words = String::from_utf8_lossy(&answer.body).trim().to_owned();
        let is_well = answer.status.is_success();
        output::print(
            || format!("{url}: {} {words}", answer.status),
            || json!({"url": url, "ok": is_well, "status": answer.status.as_u16(), "message": words}),
        );
        Ok(if is_well { OK } else { FAILED })
    }
}
