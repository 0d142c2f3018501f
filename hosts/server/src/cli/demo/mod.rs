//! `tintype demo`: images drawn in code are uploaded through the S3 endpoint, and their thumbnails listed.

mod client;
mod sample_images;
mod table;

use std::{io::Write as _, path::Path, time::Duration};

use clap::Args;
use futures::{StreamExt as _, stream};
use indicatif::ProgressBar;

use self::{client::DemoClient, sample_images::SampleImage, table::Row};
use super::{
    Env, FAILED, OK, SettingsArguments, block_on, output, running_server::RunningServer, serve, variable,
};
use crate::{sandbox, server::Server, settings::DEFAULT_DATA};

/// As many as the reference system's scaling test uploads at once.
const AT_ONCE: usize = 30;
/// The demo's data folder unless another is named: not that of `serve`.
const DEMO_DATA: &str = "./tintype-demo";
/// A thumbnail that is not there by then is counted as failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// The arguments.
#[derive(Debug, Args)]
#[command(
    after_help = "Its data folder is ./tintype-demo unless another is named.\n\nExamples:\n  tintype demo\n  tintype demo --once --data /tmp/tintype-demo"
)]
pub(super) struct Demo {
    #[command(flatten)]
    settings: SettingsArguments,
    /// End after the table: exit code 0 if every thumbnail was rendered, else 1
    #[arg(long)]
    once: bool,
}

impl Demo {
    pub(super) fn run(self, env: &Env) -> anyhow::Result<u8> {
        let mut settings = self.settings.load(env)?;
        if settings.data == Path::new(DEFAULT_DATA) {
            // The samples have everyday names; they must not replace somebody's own.
            settings.data = DEMO_DATA.into();
        }
        if variable(env, "TINTYPE_LOGS__LEVEL").is_none() {
            // The table is the point; problems are still logged.
            settings.logs.level = "warn".into();
        }
        tintype_telemetry::logging::start(&settings.logs.level, settings.logs.format)?;
        serve::check_exposure(&settings, false)?;
        let codecs = serve::confine(&settings, self.settings.file(env).as_deref(), env)?;
        block_on(async {
            let server = Server::start_with(codecs, settings, |name| variable(env, name)).await?;
            sandbox::enforce_listening(server.settings.sandbox)?;
            let announced = RunningServer::of_settings(&server.settings).announce(&server.settings.data);
            println!("{}\n", serve::ready_line(&server));
            std::io::stdout().flush()?;
            let stop = serve::Signals::listen()?;
            let shown = show(&server).await;
            let code = match &shown {
                Ok(true) => OK,
                _ => FAILED,
            };
            shown?;
            print_next_steps(&server, self.once);
            std::io::stdout().flush()?;
            if !self.once {
                stop.wait().await;
            }
            announced.withdraw();
            server.stop().await;
            Ok(if self.once { code } else { OK })
        })
    }
}

/// Uploads the samples one by one, then thirty at once; returns whether every thumbnail was rendered.
async fn show(server: &Server) -> anyhow::Result<bool> {
    let client = DemoClient::new(server)?;
    let samples = tokio::task::spawn_blocking(sample_images::one_of_each).await??;
    let many = tokio::task::spawn_blocking(|| sample_images::many(AT_ONCE)).await??;
    for image in samples.iter().chain(&many) {
        client.delete(image).await?;
    }

    let progress = ProgressBar::new((samples.len() + many.len()) as u64);
    let mut rows = Vec::new();
    for image in samples {
        rows.push(client.upload(image, PATIENCE).await);
        progress.inc(1);
    }
    let began = std::time::Instant::now();
    let all: Vec<Row> = stream::iter(many)
        .map(|image| client.upload(image, PATIENCE))
        .buffer_unordered(AT_ONCE)
        .inspect(|_| progress.inc(1))
        .collect()
        .await;
    let took = began.elapsed();
    progress.finish_and_clear();

    let mut out = std::io::stdout().lock();
    table::print(&mut out, &rows)?;
    table::summary(&mut out, &all, took)?;
    Ok(rows.iter().chain(&all).all(|row| row.thumbnail.is_ok()))
}

fn print_next_steps(server: &Server, ends: bool) {
    let Some(trigger) = server.settings.default_trigger() else { return };
    let credentials = match &server.credentials.file {
        Some(file) => format!("AWS_SHARED_CREDENTIALS_FILE='{}'", file.display()),
        None => format!(
            "AWS_ACCESS_KEY_ID=${} AWS_SECRET_ACCESS_KEY=${}",
            crate::auth::ACCESS_KEY_ID,
            crate::auth::SECRET_ACCESS_KEY
        ),
    };
    let (s3, http) = (server.s3, server.http);
    let scheme = if server.settings.listen.tls.is_some() { "https" } else { "http" };
    println!("Console:     {scheme}://{http}/");
    println!("S3 endpoint: {scheme}://{s3}");
    println!("HTTP API:    {scheme}://{http}{}", server.settings.api.path());
    println!("\nUpload an image of your own and fetch its thumbnail with the aws CLI:");
    println!("  export {credentials} AWS_REGION=us-east-1 AWS_ENDPOINT_URL={scheme}://{s3}");
    println!("  aws s3 cp photo.jpg s3://{}/", trigger.bucket);
    println!("  aws s3 cp s3://{}/thumb_photo.jpg .", trigger.destination);
    if output::is_for_people() && !ends {
        println!("\nCtrl-C ends it.");
    }
}

/// A sample's name, cut to a column of the table.
fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let start: String = text.chars().take(width.saturating_sub(1)).collect();
    start + "…"
}

type Drawn = anyhow::Result<Vec<SampleImage>>;
