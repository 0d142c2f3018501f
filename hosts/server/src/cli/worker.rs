//! `tintype worker`.

use std::{io::Write as _, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use tintype_codec_process::CodecProcesses;
use tintype_engine::ForeignDecoder;
use tintype_pipeline::{budget, settings::Override};
use tintype_worker::{Bounds, Configuration, Worker as RunningWorker};
use tokio::sync::watch;

use super::{
    Env, OK, SettingsArguments, allocator, block_on,
    serve::{Signals, check_exposure},
    variable,
};
use crate::{
    dispatch::available_bytes,
    http::WorkerPort,
    listen::{self, Admission, Certificate},
    sandbox::{self, AllowedPaths},
    server::raise_descriptor_limit,
    settings::Settings,
};

/// For work under way at a shutdown.
const GRACE: Duration = Duration::from_secs(10);

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tintype worker --source nats://127.0.0.1:4222 --s3-endpoint https://s3.example:9000
  tintype worker --source sqs:https://sqs.eu-central-1.amazonaws.com/123456789012/events
  tintype worker --source poll --s3-endpoint http://garage:3900 --http 127.0.0.1:8081")]
pub(super) struct Worker {
    /// Settings file [default: tintype.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where events come from: nats://HOST:PORT, sqs:QUEUE_URL or poll (setting "worker.source")
    #[arg(long, value_name = "URL")]
    source: Option<String>,
    /// The S3 endpoint of the store [default: AWS] (setting "store.endpoint")
    #[arg(long, value_name = "URL")]
    s3_endpoint: Option<String>,
    /// Address of the HTTP API, or its port on this machine (setting "listen.http")
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// Let the HTTP API listen beyond this machine although no [[api.key]] is set: anyone who reaches it may
    /// then use it and write through it
    #[arg(long)]
    anyone_may_use_the_http_api: bool,
}

impl Worker {
    pub(super) fn run(self, env: &Env) -> anyhow::Result<u8> {
        let arguments = SettingsArguments { config: self.config, data: None, s3: None, http: self.http };
        let flag = |name: &str, path: [&str; 2], value: String| Override {
            origin: format!("flag --{name}"),
            path: path.map(str::to_owned).to_vec(),
            value: toml::Value::String(value),
        };
        let flags = [
            self.source.map(|source| flag("source", ["worker", "source"], source)),
            self.s3_endpoint.map(|url| flag("s3-endpoint", ["store", "endpoint"], url)),
        ];
        let settings = arguments.load_with(env, flags.into_iter().flatten())?;
        tintype_telemetry::logging::start(&settings.logs.level, settings.logs.format)?;
        allocator::tune(env);
        check_exposure(&settings, self.anyone_may_use_the_http_api)?;
        let (limits, total_memory_bytes) =
            budget::bounds(&settings.function, settings.limits, available_bytes());
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let bounds = Bounds { limits, total_memory_bytes, threads };
        // As of `tintype serve`: before there is a second thread, and before the sandbox, which forbids processes.
        let codecs = Arc::new(CodecProcesses::supervised(limits.memory_bytes)?);
        raise_descriptor_limit();
        sandbox::leave_terminal();
        let paths =
            AllowedPaths::of_worker(&settings, arguments.file(env).as_deref(), |name| variable(env, name));
        sandbox::enforce(settings.sandbox, &paths)?;
        block_on(serve(settings, bounds, codecs, env))
    }
}

async fn serve(
    mut settings: Settings,
    bounds: Bounds,
    foreign_decoder: Arc<dyn ForeignDecoder>,
    env: &Env,
) -> anyhow::Result<u8> {
    let threads = bounds.threads;
    let http = listen::bind(settings.listen.http, "listen.http")?;
    settings.listen.http = http.local_addr()?;
    let certificate = settings.listen.tls.as_ref().map(Certificate::read).transpose()?;
    let configuration = Configuration {
        function: settings.function.clone(),
        bounds,
        foreign_decoder,
        triggers: settings.triggers.clone(),
        api: settings.api.clone(),
        store: settings.store.clone(),
        worker: settings.worker.clone(),
    };
    let worker = Arc::new(RunningWorker::start(configuration, |name| variable(env, name)).await?);
    let (stop, stopped) = watch::channel(false);
    let connections = listen::connections_of_each(1, threads);
    let admission = Admission::new(connections, listen::MAX_FOR_HEALTH, &settings.listen);
    let scheme = if certificate.is_some() { "https" } else { "http" };
    let port = WorkerPort::new(&settings, worker.clone(), threads);
    let serving = tokio::spawn(listen::serve(http, port, certificate, admission, stopped, GRACE));
    sandbox::enforce_listening(settings.sandbox)?;
    // Before the line that reports that requests are accepted: a signal right after it must drain, too.
    let signals = Signals::listen()?;
    println!("ready: HTTP API {scheme}://{}{}", settings.listen.http, settings.api.path());
    std::io::stdout().flush()?;
    signals.wait().await;
    let _ = stop.send(true);
    worker.drain(GRACE).await;
    // A connection that panicked is in the log.
    let _ = serving.await;
    Ok(OK)
}
