//! `tintype backup`: the data folder copied while a server runs on it, or not.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;
use tintype_pipeline::clock::now_ms;

use super::{
    Env, FAILED, OK, output,
    remote::{Remote, ServerArguments},
};
use crate::{
    admin::{BackupAction, BackupRequest},
    disk::RealDisk,
    server::open_as_it_is,
    storage::{BackupError, Copied, DataFolder, FolderCopy, FolderError, Progress, Purpose, Storage},
};

/// How often a backup is renewed; it ends after a minute without.
const RENEWAL: Duration = Duration::from_secs(10);
/// Renewals that may fail one after the other.
const PATIENCE: u32 = 4;
/// Between two looks whether the ledger is copied, at first and at most.
const LOOKS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tintype backup /mnt/backup/tintype
  tintype backup --config /etc/tintype/tintype.toml --data /var/lib/tintype /mnt/backup/tintype
  tintype check --scrub --data /mnt/backup/tintype      verifies every file of a backup

Everything that was acknowledged before it began is in it, as of one moment: objects, thumbnails, events, dead letters,
unfinished uploads, access keys and the root key; not measurements. The data folder is read here: run it on the server's
machine, as the server's user. A second backup to the same folder copies only what is new, and the earlier one is whole
until the new one is. Until it ends the server holds deleted files, so that they need space for longer.
Exit code: 0 everything was copied, 1 nothing, or files that are corrupt or missing, each listed.")]
pub(super) struct Backup {
    #[command(flatten)]
    server: ServerArguments,
    /// Folder of the backup: new, empty, or an earlier backup of this data folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Backup {
    pub(super) fn run(self, env: &Env) -> anyhow::Result<u8> {
        let settings = self.server.settings(env)?;
        let data = &settings.data;
        check_apart(data, &self.folder)?;
        let holder = match DataFolder::open_existing(data) {
            Ok(Some(folder)) => Holder::This(open_as_it_is(&settings, Arc::new(RealDisk), folder)?.store),
            Ok(None) => {
                anyhow::bail!("there is no data folder {}; name the one meant with --data", data.display())
            }
            Err(FolderError::InUse(_)) => Holder::Server(self.server.find(env)?),
            Err(error) => return Err(error.into()),
        };
        let from = DataFolder::look_at(data);
        let to = Arc::new(DataFolder::open_any(&self.folder)?);
        let lease = Lease::take(holder)?;
        let ledger = lease.ledger(data)?;
        let copy = FolderCopy {
            disk: Arc::new(RealDisk),
            from: &from,
            ledger: &ledger,
            to,
            purpose: Purpose::Backup,
        };
        copy.claim()?;
        let copied = run(&copy, || lease.check(), || lease.confirm())?;
        let begun_ms = lease.begun_ms;
        lease.end()?;
        copy.finish_backup(begun_ms, &copied)?;
        Ok(report("backup", &self.folder, &copied))
    }
}

/// Copies, with a progress bar; `check` stops it, and so does `confirm` before the ledger takes its place.
pub(super) fn run(
    copy: &FolderCopy<'_>,
    check: impl Fn() -> Result<(), BackupError>,
    confirm: impl Fn() -> Result<(), BackupError>,
) -> anyhow::Result<Copied> {
    // Hidden where no terminal is.
    let progress = ProgressBar::new(0);
    let copied = copy.run(Progress {
        begin: &mut |files| progress.set_length(files),
        step: &mut |is_file| {
            progress.inc(u64::from(is_file));
            check()
        },
        confirm: &mut || confirm(),
        report: &mut |finding| {
            progress.suspend(|| output::print(|| format!("     {finding}"), || json!({"finding": finding})));
        },
    });
    progress.finish_and_clear();
    Ok(copied?)
}

/// Prints what was copied; returns the exit code.
pub(super) fn report(what: &str, folder: &Path, copied: &Copied) -> u8 {
    let Copied { objects, files, unchanged, bytes, corrupt, missing, removed, commit } = *copied;
    let is_whole = corrupt + missing == 0;
    output::print(
        || {
            let rest = match is_whole {
                true => String::new(),
                false => format!("; {corrupt} corrupt and {missing} missing, listed above"),
            };
            format!(
                "{what} in {}: {objects} object(s), {files} file(s), {unchanged} of them there already, {} copied{rest}",
                folder.display(),
                output::bytes(bytes)
            )
        },
        || {
            json!({what: folder, "ok": is_whole, "objects": objects, "files": files, "unchanged": unchanged,
                "bytes": bytes, "corrupt": corrupt, "missing": missing, "removed": removed, "commit": commit})
        },
    );
    if is_whole { OK } else { FAILED }
}

/// Neither folder may lie in the other.
pub(super) fn check_apart(data: &Path, backup: &Path) -> anyhow::Result<()> {
    let (data, backup) = (resolved(data)?, resolved(backup)?);
    anyhow::ensure!(
        !data.starts_with(&backup) && !backup.starts_with(&data),
        "the data folder {} and the backup {} lie in each other; choose a folder apart",
        data.display(),
        backup.display()
    );
    Ok(())
}

/// The path without links, of which the end may not exist yet.
fn resolved(path: &Path) -> anyhow::Result<PathBuf> {
    let whole = std::path::absolute(path).with_context(|| path.display().to_string())?;
    let there = whole.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    let Some((above, real)) = there else { return Ok(whole) };
    Ok(real.join(whole.strip_prefix(above)?))
}

/// Who holds the files of a backup.
enum Holder {
    /// The server that runs on the data folder.
    Server(Remote),
    /// This program: no server runs.
    This(Arc<Storage>),
}

impl Holder {
    fn begin(&self) -> anyhow::Result<u64> {
        match self {
            Self::Server(remote) => {
                Ok(remote.send(&BackupRequest { action: BackupAction::Begin, id: None })?.id)
            }
            Self::This(store) => store.backups.begin()?.context("a backup is under way already"),
        }
    }

    /// Returns the copy of the ledger, relative to the data folder, once it is there.
    fn renew(&self, id: u64) -> anyhow::Result<Option<PathBuf>> {
        match self {
            Self::Server(remote) => {
                let status = remote.send(&BackupRequest { action: BackupAction::Renew, id: Some(id) })?;
                Ok(status.ledger.map(PathBuf::from))
            }
            Self::This(store) => {
                let snapshot = store.backups.renew(id).context("the backup is not under way any more")??;
                let name = |path: &Path| Some(Path::new("incoming").join(path.file_name()?));
                Ok(snapshot.and_then(|snapshot| name(&snapshot.path)))
            }
        }
    }

    fn end(&self, id: u64) -> anyhow::Result<()> {
        match self {
            Self::Server(remote) => {
                remote.send(&BackupRequest { action: BackupAction::End, id: Some(id) }).map(drop)
            }
            Self::This(store) => {
                anyhow::ensure!(store.backups.end(id), "the backup was not renewed in time");
                Ok(())
            }
        }
    }
}

/// A backup under way, renewed by a thread of its own; ended if it is dropped.
struct Lease {
    holder: Arc<Holder>,
    id: u64,
    begun_ms: i64,
    path: PathBuf,
    /// Why it was lost.
    lost: Arc<Mutex<Option<String>>>,
    renewal: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
    is_over: bool,
}

impl Lease {
    /// Begins a backup, and waits until the ledger is copied.
    fn take(holder: Holder) -> anyhow::Result<Self> {
        let begun_ms = now_ms();
        let holder = Arc::new(holder);
        let id = holder.begin()?;
        let mut lease = Self {
            holder,
            id,
            begun_ms,
            path: PathBuf::new(),
            lost: Arc::default(),
            renewal: None,
            is_over: false,
        };
        let (mut pause, longest) = LOOKS;
        lease.path = loop {
            if let Some(found) = lease.holder.renew(id)? {
                break found;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(longest);
        };
        lease.renewal = Some(lease.renew_regularly()?);
        Ok(lease)
    }

    fn renew_regularly(&self) -> std::io::Result<(mpsc::Sender<()>, JoinHandle<()>)> {
        let (stop, stopped) = mpsc::channel();
        let (holder, id, lost) = (self.holder.clone(), self.id, self.lost.clone());
        let thread = std::thread::Builder::new().name("renewal".into()).spawn(move || {
            let mut failed = 0;
            while stopped.recv_timeout(RENEWAL) == Err(RecvTimeoutError::Timeout) {
                match holder.renew(id) {
                    Ok(_) => failed = 0,
                    Err(error) => {
                        failed += 1;
                        if failed >= PATIENCE {
                            let mut lost = lost.lock().unwrap_or_else(PoisonError::into_inner);
                            *lost = Some(format!("{error:#}"));
                            return;
                        }
                    }
                }
            }
        })?;
        Ok((stop, thread))
    }

    /// The copy of the ledger in a data folder.
    fn ledger(&self, data: &Path) -> anyhow::Result<PathBuf> {
        let ledger = data.join(&self.path);
        anyhow::ensure!(
            ledger.starts_with(data.join("incoming")) && ledger.is_file(),
            "the server asked has not written {}: is it another one than that of the data folder {}? Name it with --server",
            ledger.display(),
            data.display()
        );
        Ok(ledger)
    }

    fn check(&self) -> Result<(), BackupError> {
        match &*self.lost.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some(why) => Err(not_held(why)),
        }
    }

    /// Renews it now: that every file was held until now is not known from the last regular renewal.
    fn confirm(&self) -> Result<(), BackupError> {
        self.check()?;
        self.holder.renew(self.id).map(drop).map_err(|error| not_held(&format!("{error:#}")))
    }

    /// Ends it.
    ///
    /// # Errors
    /// It had ended before, so that files may be missing.
    fn end(mut self) -> anyhow::Result<()> {
        self.stop_renewal();
        self.is_over = true;
        self.holder.end(self.id).context("the backup may not be whole; run it again")
    }

    fn stop_renewal(&mut self) {
        if let Some((stop, thread)) = self.renewal.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}

fn not_held(why: &str) -> BackupError {
    BackupError::Stopped(format!("the server does not hold the files any more: {why}"))
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.stop_renewal();
        if !self.is_over {
            // If it cannot be ended now, it ends by itself.
            let _ = self.holder.end(self.id);
        }
    }
}
