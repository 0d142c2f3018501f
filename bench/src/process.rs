//! The server as a process of its own.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;

use crate::client::Client;

/// A running server.
pub(crate) struct Server {
    child: Child,
    /// The S3 endpoint's address.
    pub(crate) s3: String,
    /// The HTTP API's address.
    pub(crate) http: String,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    /// From starting the process to its ready line.
    pub(crate) ready_after: Duration,
}

/// The release build beside this program.
pub(crate) fn binary() -> anyhow::Result<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name("tintype");
    anyhow::ensure!(beside.exists(), "{} is missing: cargo build --release first", beside.display());
    Ok(beside)
}

impl Server {
    pub(crate) fn start(data: &Path) -> anyhow::Result<Self> {
        Self::start_with(data, &[], &[])
    }

    /// With further arguments, and variables of its environment.
    pub(crate) fn start_with(
        data: &Path,
        arguments: &[PathBuf],
        env: &[(String, String)],
    ) -> anyhow::Result<Self> {
        let (access_key_id, secret_access_key) = ("bench".to_owned(), "bench-secret-of-the-peers".to_owned());
        let started = Instant::now();
        let mut child = Command::new(binary()?)
            .args(["serve", "--s3", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(arguments)
            .env("TINTYPE_ACCESS_KEY_ID", &access_key_id)
            .env("TINTYPE_SECRET_ACCESS_KEY", &secret_access_key)
            .env("TINTYPE_LOGS__LEVEL", "warn")
            .envs(env.iter().cloned())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().context("no standard output")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        let ready_after = started.elapsed();
        let address = |number: usize, end: char| {
            let found = line.split("http://").nth(number).and_then(|rest| rest.split(end).next());
            found.map(str::to_owned).with_context(|| format!("the server did not start: {line:?}"))
        };
        let (s3, http) = (address(1, ',')?, address(2, '/')?);
        Ok(Self { child, s3, http, access_key_id, secret_access_key, ready_after })
    }

    /// A client for one of its buckets.
    pub(crate) fn client(&self, bucket: &str) -> anyhow::Result<Client> {
        Client::new(&self.s3, bucket, &self.access_key_id, &self.secret_access_key)
    }

    /// A field of `/proc/<pid>/status` in KiB, such as `VmRSS` or `VmHWM`.
    pub(crate) fn memory_kib(&self, field: &str) -> anyhow::Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix(field)).context("no such field")?;
        Ok(line.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse()?)
    }

    /// Seconds of CPU that it has used.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        cpu_seconds(&self.child.id().to_string())
    }

    /// Ends it by SIGKILL.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Ends it by SIGTERM.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        Command::new("kill").arg(self.child.id().to_string()).status()?;
        self.child.wait()?;
        Ok(())
    }
}

/// Seconds of CPU that this process has used.
pub(crate) fn own_cpu_seconds() -> anyhow::Result<f64> {
    cpu_seconds("self")
}

fn cpu_seconds(process: &str) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // After the name, which may hold anything: user and system time, in hundredths of a second.
    let fields: Vec<&str> =
        text.rsplit(')').next().context("no such field")?.split_ascii_whitespace().collect();
    let ticks = |index: usize| anyhow::Ok(fields.get(index).context("no such field")?.parse::<f64>()?);
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
