//! The command line, one file a command.

mod allocator;
mod atomic_file;
mod backfill;
mod backup;
mod check;
mod cost;
mod dead_letters;
mod demo;
mod formats;
mod health;
mod image_files;
mod invoke;
mod keys;
mod logs;
mod make;
mod orphans;
mod output;
mod probe;
mod remote;
mod restore;
mod running_server;
mod serve;
mod status;
mod url;
mod worker;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{CommandFactory as _, Parser, Subcommand};
use tintype_pipeline::settings::{Override, SettingsError, Sources};

use crate::settings::Settings;

/// Exit code: success.
const OK: u8 = 0;
/// Exit code: something failed.
const FAILED: u8 = 1;
/// Exit code: the command or the settings are wrong.
const WRONG_USAGE: u8 = 2;

/// An image put into a bucket becomes a thumbnail in another.
#[derive(Debug, Parser)]
#[command(
    name = "tintype",
    version,
    propagate_version = true,
    after_help = "\
Examples:
  tintype demo                         see it work: serve, upload samples, show their thumbnails
  tintype serve                        S3 endpoint on 127.0.0.1:9000, HTTP API on 127.0.0.1:8080
  tintype make *.jpg -o thumbs         thumbnails of files, without a server
  tintype COMMAND --help               more on a command"
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server until Ctrl-C: S3 endpoint, queue, function and HTTP API
    Serve(serve::Serve),
    /// Run beside any S3 store: take events from a queue, write thumbnails to the store
    Worker(worker::Worker),
    /// Run the server and show it at work on sample images
    Demo(demo::Demo),
    /// Render thumbnails of files
    Make(make::Make),
    /// Describe image files, from their headers
    Probe(probe::Probe),
    /// List the formats that are read and written
    Formats(formats::Formats),
    /// Run the function on a test event and print the outcome
    Invoke(invoke::Invoke),
    /// Check settings, data folder, buckets and addresses
    Check(check::Check),
    /// Ask whether the server is ready: exit code 0 if it is
    Health(health::Health),
    /// Copy the data folder, while a server runs on it or not
    Backup(backup::Backup),
    /// Copy a backup to a new data folder
    Restore(restore::Restore),
    /// Show one object's status and history, and what to do next
    Status(status::Status),
    /// Events that failed for good: list, show, redrive, purge, export
    DeadLetters(dead_letters::DeadLetters),
    /// Enqueue every source that has no current thumbnail
    Backfill(backfill::Backfill),
    /// List thumbnails without a source and sources without a thumbnail
    Orphans(orphans::Orphans),
    /// Access keys and what they may do: add, list, rotate, remove
    Keys(keys::Keys),
    /// Print the URL of an image for a page, signed
    Url(url::Url),
    /// Show how attempts ended: the latest, or every one as it happens
    Logs(logs::Logs),
    /// Compute what a million thumbnails cost on AWS Lambda, from measurements
    Cost(cost::Cost),
    /// Print completions for a shell
    #[command(
        after_help = "Examples:\n  tintype completions bash > /etc/bash_completion.d/tintype\n  tintype completions zsh > \"${fpath[1]}/_tintype\""
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Where settings come from, for every command that has them.
#[derive(Debug, clap::Args)]
struct SettingsArguments {
    /// Settings file [default: tintype.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data folder (setting "data")
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address of the S3 endpoint, or its port on this machine (setting "listen.s3")
    #[arg(long, value_name = "ADDR")]
    s3: Option<String>,
    /// Address of the HTTP API, or its port on this machine (setting "listen.http")
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
}

/// The environment, read in `main`.
type Env = Vec<(String, String)>;

fn variable(env: &Env, name: &str) -> Option<String> {
    env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

impl SettingsArguments {
    /// The settings file that is read, if there is one.
    fn file(&self, env: &Env) -> Option<PathBuf> {
        match (&self.config, variable(env, "TINTYPE_CONFIG")) {
            (Some(path), _) => Some(path.clone()),
            (None, Some(_)) => None,
            (None, None) => Some(PathBuf::from("tintype.toml")).filter(|file| file.exists()),
        }
    }

    fn load(&self, env: &Env) -> anyhow::Result<Settings> {
        self.load_with(env, [])
    }

    /// The same with more flags.
    fn load_with(&self, env: &Env, more: impl IntoIterator<Item = Override>) -> anyhow::Result<Settings> {
        let file = match (&self.config, variable(env, "TINTYPE_CONFIG")) {
            (Some(path), _) => {
                let text = std::fs::read_to_string(path).map_err(|error| SettingsError {
                    origin: path.display().to_string(),
                    message: format!("{error}; name a settings file that can be read with --config"),
                })?;
                Some((path.display().to_string(), text))
            }
            (None, Some(text)) => Some(("environment variable TINTYPE_CONFIG".into(), text)),
            (None, None) => match std::fs::read_to_string("tintype.toml") {
                Ok(text) => Some(("tintype.toml".into(), text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => anyhow::bail!("settings file tintype.toml: {error}"),
            },
        };
        let flag = |name: &str, path: &[&str], value: String| Override {
            origin: format!("flag --{name}"),
            path: path.iter().map(|part| (*part).to_owned()).collect(),
            value: toml::Value::String(value),
        };
        let flags = [
            self.data.as_ref().map(|data| flag("data", &["data"], data.display().to_string())),
            self.s3.clone().map(|address| flag("s3", &["listen", "s3"], address)),
            self.http.clone().map(|address| flag("http", &["listen", "http"], address)),
        ];
        Ok(Settings::load(Sources {
            file,
            env: env.clone(),
            flags: flags.into_iter().flatten().chain(more).collect(),
        })?)
    }
}

/// Runs a command; returns its exit code.
#[must_use]
pub fn run(arguments: Arguments, env: Env) -> ExitCode {
    let result = match arguments.command {
        Command::Serve(serve) => serve.run(&env),
        Command::Worker(worker) => worker.run(&env),
        Command::Demo(demo) => demo.run(&env),
        Command::Make(make) => make.run(&env),
        Command::Probe(probe) => probe.run(&env),
        Command::Formats(formats) => Ok(formats.run()),
        Command::Invoke(invoke) => invoke.run(&env),
        Command::Check(check) => check.run(&env),
        Command::Health(health) => health.run(&env),
        Command::Backup(backup) => backup.run(&env),
        Command::Restore(restore) => restore.run(&env),
        Command::Status(status) => status.run(&env),
        Command::DeadLetters(letters) => letters.run(&env),
        Command::Backfill(backfill) => backfill.run(&env),
        Command::Orphans(orphans) => orphans.run(&env),
        Command::Keys(keys) => keys.run(&env),
        Command::Url(url) => url.run(&env),
        Command::Logs(logs) => logs.run(&env),
        Command::Cost(cost) => cost.run(),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "tintype", &mut script);
            match io::stdout().write_all(&script) {
                // Whoever reads it has seen enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(OK),
                ended => ended.map(|()| OK).map_err(Into::into),
            }
        }
    };
    match result {
        Ok(code) => code.into(),
        Err(error) => {
            output::error(format_args!("{error:#}"));
            let usage = error.is::<SettingsError>();
            if usage { WRONG_USAGE } else { FAILED }.into()
        }
    }
}

/// Runs a future to its end, and waits for nothing else: what hangs on a disk that does not respond must not hold up
/// the program.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = runtime()?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}

/// The runtime of commands that serve or ask a server.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // 2,048 connections (`listen`), of which a slow upload holds a thread; 1,024 workers
        // (function.concurrency at its most), each of which may write an arrival on one; and some to spare. None ever
        // keeps others from the disk.
        .max_blocking_threads(2048 + 1024 + 512)
        .thread_keep_alive(std::time::Duration::from_secs(2))
        .build()
}
