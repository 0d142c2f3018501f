//! `tintype invoke`.

use std::{io::Read as _, path::PathBuf, sync::Arc, time::Instant};

use clap::Args;
use http::{Request, header};
use http_body_util::Full;
use tintype_codec_process::CodecProcesses;
use tintype_pipeline::{
    Call, Outcome, Report, Stop, Thumbnails,
    event::{self, Event},
};

use super::{Env, FAILED, OK, SettingsArguments, output, remote::Remote};
use crate::{
    disk::RealDisk,
    http_client::{FullResponse, authorized},
    server::open_parts,
    settings::Settings,
    storage::{DataFolder, DiskPort, FolderError},
};

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "\
Works on the data folder; if a server has it open, the event is sent to that server.

Examples:
  echo '{\"key\": \"photo.jpg\"}' | tintype invoke --event -
  tintype invoke --event s3-put.json")]
pub(super) struct Invoke {
    /// The event: a file with any shape the function takes (S3, SQS, SNS, EventBridge, {"key": …}); - for
    /// standard input
    #[arg(long, value_name = "FILE")]
    event: PathBuf,
    #[command(flatten)]
    settings: SettingsArguments,
}

impl Invoke {
    pub(super) fn run(self, env: &Env) -> anyhow::Result<u8> {
        let settings = self.settings.load(env)?;
        tintype_telemetry::logging::start(&settings.logs.level, settings.logs.format)?;
        let mut event = Vec::new();
        if self.event.as_os_str() == "-" {
            std::io::stdin().read_to_end(&mut event)?;
        } else {
            event = std::fs::read(&self.event)
                .map_err(|error| anyhow::anyhow!("{}: {error}", self.event.display()))?;
        }
        match DataFolder::open(&settings.data) {
            Ok(folder) => here(&settings, folder, &event),
            Err(FolderError::InUse(_)) => there(&settings, env, event),
            Err(error) => Err(error.into()),
        }
    }
}

/// Runs the function on the data folder.
fn here(settings: &Settings, folder: DataFolder, event: &[u8]) -> anyhow::Result<u8> {
    let parts = open_parts(settings, Arc::new(RealDisk), folder)?;
    let bucket = settings.default_trigger().map(|trigger| trigger.bucket.as_str()).unwrap_or_default();
    let records = match event::parse(event, bucket, event::MOST_RECORDS).map_err(anyhow::Error::msg)? {
        Event::Test => Vec::new(),
        Event::Records(records) => records,
    };
    // One call at a time: room for one render and its source.
    let memory = (settings.function.memory_mb * 4).div_ceil(3) << 20;
    let codecs = Arc::new(CodecProcesses::new(settings.limits.memory_bytes));
    let thumbnails = Thumbnails::on_polling_threads(settings.limits, memory).with_foreign_decoder(codecs);
    let triggers = parts.store.notifications.triggers();
    let store = DiskPort::new(parts.store);
    let runtime = super::runtime()?;
    let mut code = OK;
    for part in records {
        let report = match part.record {
            Err(error) => Report::bad_event(error),
            Ok(record) => {
                let stop = Stop::never().by(Instant::now() + settings.function.timeout);
                let call = Call { triggers: &triggers, stop: &stop };
                runtime.block_on(thumbnails.handle(call, &store, &record))
            }
        };
        if matches!(report.outcome, Outcome::Failed(_)) {
            code = FAILED;
        }
        print(&report.to_json());
    }
    Ok(code)
}

/// Has the running server do it.
fn there(settings: &Settings, env: &Env, event: Vec<u8>) -> anyhow::Result<u8> {
    let server = Remote::own(settings, env);
    let url = format!("{}{}", server.url, settings.api.path());
    let client = server.client()?;
    let request = Request::post(&url).header(header::CONTENT_TYPE, "application/json");
    let request = match (&server.key, settings.api.keys.first()) {
        (None, Some(key)) => request.header("x-api-key", &key.key),
        (key, _) => authorized(request, key.as_ref()),
    };
    let FullResponse { status, body } = super::runtime()?
        .block_on(client.exchange(request.body(Full::new(event.into()))?))
        .map_err(|error| error.context(url.clone()))?;
    let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let Some(records) = answer["records"].as_array() else {
        anyhow::bail!(
            "the server at {url} answered {status}: {}",
            answer["message"].as_str().unwrap_or("nothing")
        );
    };
    records.iter().for_each(print);
    let failed = records.iter().any(|record| record["outcome"] == "failed");
    Ok(if failed { FAILED } else { OK })
}

fn print(report: &serde_json::Value) {
    output::print(|| serde_json::to_string_pretty(report).unwrap_or_default(), || report.clone());
}
