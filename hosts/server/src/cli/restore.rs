//! `tintype restore`: a data folder from a backup.

use std::{path::PathBuf, sync::Arc};

use clap::Args;

use super::{
    Env, SettingsArguments,
    backup::{check_apart, report, run},
};
use crate::{
    disk::RealDisk,
    storage::{DataFolder, FolderCopy, FolderError, Purpose},
};

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tintype restore /mnt/backup/tintype
  tintype restore --config /etc/tintype/tintype.toml --data /var/lib/tintype /mnt/backup/tintype

The data folder must be new or empty: move an old one away first. Run it as the server's user, whose files they are then.
Every file is verified. An interrupted restore is continued by the same command; until then no server starts on the folder.
A copy of a whole data folder that was made without a server is restored in the same way.
Exit code: 0 everything is restored, 1 nothing, or files that are corrupt or missing, each listed.")]
pub(super) struct Restore {
    #[command(flatten)]
    settings: SettingsArguments,
    /// Folder of the backup
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Restore {
    pub(super) fn run(self, env: &Env) -> anyhow::Result<u8> {
        let settings = self.settings.load(env)?;
        check_apart(&settings.data, &self.folder)?;
        let from = match DataFolder::open_existing(&self.folder) {
            Ok(Some(from)) => from,
            Ok(None) => anyhow::bail!("{} is no backup", self.folder.display()),
            // On a medium that cannot be written nobody else writes either.
            Err(FolderError::Unwritable { .. }) => DataFolder::look_at(&self.folder),
            Err(error) => return Err(error.into()),
        };
        let to = Arc::new(DataFolder::open_any(&settings.data)?);
        let ledger = from.ledger();
        anyhow::ensure!(
            ledger.is_file(),
            "{} holds no ledger: a backup to it was never finished",
            self.folder.display()
        );
        let copy = FolderCopy {
            disk: Arc::new(RealDisk),
            from: &from,
            ledger: &ledger,
            to,
            purpose: Purpose::Restore,
        };
        copy.claim()?;
        let copied = run(&copy, || Ok(()), || Ok(()))?;
        copy.finish_restore()?;
        Ok(report("restored", &settings.data, &copied))
    }
}
