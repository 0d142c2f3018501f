//! `tintype serve`.

use std::io::Write as _;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Env, OK, SettingsArguments, logging, runtime, variable};
use crate::server::Server;

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
    /// Let the HTTP API listen beyond this machine although it asks for no key: anyone who reaches it may
    /// then use it and write through it
    #[arg(long)]
    anyone_may_use_the_http_api: bool,
}

impl Serve {
    pub(super) fn run(self, env: &Env) -> anyhow::Result<u8> {
        let settings = self.settings.load(env)?;
        logging::start(&settings.logs)?;
        check_exposure(settings.listen.http, self.anyone_may_use_the_http_api)?;
        runtime()?.block_on(async {
            let server = Server::start(settings, |name| variable(env, name)).await?;
            // Before anybody is told that the server is ready: a signal right after it must drain, too.
            let stop = Signals::listen()?;
            println!("{}", ready_line(&server));
            std::io::stdout().flush()?;
            stop.wait().await;
            server.stop().await;
            Ok(OK)
        })
    }
}

/// The HTTP API asks for no key, so it stays on this machine unless the operator says so in words.
pub(super) fn check_exposure(http: std::net::SocketAddr, said_so: bool) -> anyhow::Result<()> {
    if http.ip().is_loopback() || said_so {
        return Ok(());
    }
    anyhow::bail!(
        "listen.http is {http}, which other machines can reach, and the HTTP API asks for no key: anyone could use it. \
         Listen on 127.0.0.1 and put a proxy with authentication before it, or, if that is meant, run \
         tintype serve --anyone-may-use-the-http-api"
    )
}

/// The one line that says that the server takes requests.
pub(super) fn ready_line(server: &Server) -> String {
    let api = &server.settings.api;
    format!(
        "ready: S3 endpoint http://{}, HTTP API http://{}/{}/{}",
        server.s3, server.http, api.stage, api.resource
    )
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
