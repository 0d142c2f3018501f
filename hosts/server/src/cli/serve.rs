//! `tintype serve`.

use std::{
    fmt::Write as _,
    io::Write as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use clap::Args;
use tintype_codec_process::CodecProcesses;
use tintype_engine::ForeignDecoder;
use tintype_pipeline::budget;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Env, OK, SettingsArguments, allocator, block_on, running_server::RunningServer, variable};
use crate::{
    dispatch::available_bytes,
    sandbox::{self, AllowedPaths},
    server::{Reload, Server, raise_descriptor_limit},
    settings::Settings,
    storage::DataFolder,
};

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tintype serve
  tintype serve --data /var/lib/tintype --s3 127.0.0.1:9000 --http 127.0.0.1:8080
  THUMBNAIL_SIZE=256x256 tintype serve
  AWS_SHARED_CREDENTIALS_FILE=tintype-data/credentials AWS_REGION=us-east-1 \\
    aws --endpoint-url http://127.0.0.1:9000 s3 cp photo.jpg s3://input-product-images/")]
pub(super) struct Serve {
    #[command(flatten)]
    settings: SettingsArguments,
    /// Let the HTTP API listen beyond this machine although neither [[api.key]] nor [[access]] is set: anyone who reaches it may
    /// then use it and write through it
    #[arg(long)]
    anyone_may_use_the_http_api: bool,
}

impl Serve {
    pub(super) fn run(self, env: &Env) -> anyhow::Result<u8> {
        let settings = self.settings.load(env)?;
        tintype_telemetry::logging::start(&settings.logs.level, settings.logs.format)?;
        allocator::tune(env);
        check_exposure(&settings, self.anyone_may_use_the_http_api)?;
        let codecs = confine(&settings, self.settings.file(env).as_deref(), env)?;
        let (serve, env) = (Arc::new(self), Arc::new(env.clone()));
        let turn = Arc::new(Mutex::new(()));
        block_on(async {
            let server = Server::start_with(codecs, settings, |name| variable(&env, name)).await?;
            sandbox::enforce_listening(server.settings.sandbox)?;
            // Before the line that reports readiness: a signal right after it must drain, too.
            let stop = Signals::listen()?;
            let mut hangup = signal(SignalKind::hangup())?;
            let announced = RunningServer::of_settings(&server.settings).announce(&server.settings.data);
            println!("{}", ready_line(&server));
            std::io::stdout().flush()?;
            let mut stopped = std::pin::pin!(stop.wait());
            loop {
                tokio::select! {
                    () = &mut stopped => break,
                    // On another thread: files on a disk that hangs must not hold up a SIGTERM.
                    _ = hangup.recv() => {
                        let (serve, env, reload) = (serve.clone(), env.clone(), server.reload());
                        let turn = turn.clone();
                        drop(tokio::task::spawn_blocking(move || {
                            let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
                            serve.reload(&env, &reload);
                        }));
                    }
                }
            }
            announced.withdraw();
            server.stop().await;
            Ok(OK)
        })
    }

    /// SIGHUP: settings are re-read; what cannot be used changes nothing.
    fn reload(&self, env: &Env, reload: &Reload) {
        let loaded = self.settings.load(env).and_then(|settings| {
            check_exposure(&settings, self.anyone_may_use_the_http_api)?;
            reload.apply(&settings)
        });
        match loaded {
            Ok(others) => {
                tracing::info!(
                    "the settings of the API, access keys, listen.trust_loopback, listen.trusted_proxies, \
                     listen.connections_per_address and the certificate were re-read"
                );
                if !others.is_empty() {
                    tracing::warn!(
                        settings = others.join(", "),
                        "these have changed, too, and need a restart"
                    );
                }
            }
            Err(error) => tracing::error!(%error, "the settings could not be re-read and stay as they were"),
        }
    }
}

/// Raises the limit on open files and enters the sandbox, before there is a second thread. Returns what starts codec processes,
/// which the sandbox forbids.
pub(super) fn confine(
    settings: &Settings,
    config: Option<&Path>,
    env: &Env,
) -> anyhow::Result<Arc<dyn ForeignDecoder>> {
    let (limits, _) = budget::bounds(&settings.function, settings.limits, available_bytes());
    let codecs = CodecProcesses::supervised(limits.memory_bytes)?;
    raise_descriptor_limit();
    // It must exist to be allowed.
    DataFolder::make(&settings.data)?;
    sandbox::leave_terminal();
    let paths = AllowedPaths::new(settings, config).with_credentials(settings, |name| variable(env, name));
    sandbox::enforce(settings.sandbox, &paths)?;
    Ok(Arc::new(codecs))
}

/// Without keys the HTTP API is for anybody, so it stays on this machine unless the operator says so in words.
pub(super) fn check_exposure(settings: &Settings, said_so: bool) -> anyhow::Result<()> {
    let http = settings.listen.http;
    if http.ip().is_loopback() || !settings.api.keys.is_empty() {
        return Ok(());
    }
    match (said_so, settings.access.is_empty()) {
        (true, true) | (false, false) => Ok(()),
        (true, false) => anyhow::bail!(
            "with [[access]] in the settings the HTTP API takes an access key, or an [[api.key]], from everybody: leave \
             --anyone-may-use-the-http-api out"
        ),
        (false, true) => anyhow::bail!(
            "listen.http is {http}, which other machines can reach, and there is neither an [[api.key]] nor an [[access]]: \
             anyone could use the API. Add one, or listen on 127.0.0.1, or, if that is meant, run tintype serve \
             --anyone-may-use-the-http-api"
        ),
    }
}

/// The one line that reports that the server accepts requests.
pub(super) fn ready_line(server: &Server) -> String {
    let api = &server.settings.api;
    let scheme = if server.settings.listen.tls.is_some() { "https" } else { "http" };
    let mut line = format!(
        "ready: S3 endpoint {scheme}://{}, HTTP API {scheme}://{}{}",
        server.s3,
        server.http,
        api.path()
    );
    let listen = &server.settings.listen;
    for (name, socket) in [("S3", &listen.s3_unix), ("HTTP", &listen.http_unix)] {
        if let Some(path) = socket {
            let _ = write!(line, ", {name} socket {}", path.display());
        }
    }
    line
}

/// Ctrl-C and SIGTERM.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on the signals no longer end the program by themselves.
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for a signal. A second one ends the program at once: what was acknowledged is safe.
    pub(super) async fn wait(mut self) {
        self.next().await;
        tracing::info!("shutting down: finishing what is under way");
        tokio::spawn(async move {
            self.next().await;
            std::process::exit(130);
        });
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
