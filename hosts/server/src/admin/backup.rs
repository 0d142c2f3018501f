//! `/backup`: a backup of the data folder is begun, renewed and ended. The files are copied by the command, which reads the
//! data folder itself.

use axum::http::Method;
use serde::{Deserialize, Serialize};
use tintype_api::Permission;

use super::{Admin, Handle, Refusal, Request};
use crate::storage::Snapshot;

/// Begins a backup, renews it (at least once a minute), or ends it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {
    /// What is done.
    pub action: BackupAction,
    /// The backup, but for one that is begun.
    #[serde(default)]
    pub id: Option<u64>,
}

/// What is done with a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupAction {
    /// It begins: everything acknowledged so far is in it.
    Begin,
    /// It holds its files for another minute.
    Renew,
    /// It ends.
    End,
}

/// A backup under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupStatus {
    /// Its number.
    pub id: u64,
    /// The copy of the ledger, relative to the data folder, once it is there.
    pub ledger: Option<String>,
    /// How many objects that has.
    pub objects: Option<u64>,
    /// The number of its last commit.
    pub commit: Option<u64>,
}

impl Request for BackupRequest {
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/backup";
    const PERMISSION: Permission = Permission::Admin;
    type Answer = BackupStatus;
}

impl Handle for BackupRequest {
    fn handle(self, admin: &Admin) -> Result<BackupStatus, Refusal> {
        let backups = &admin.parts.store.backups;
        let id = || {
            self.id.ok_or_else(|| Refusal::invalid("which backup? Give the \"id\" that its begin answered"))
        };
        let over = |id: u64| {
            Refusal::conflict(format!(
                "backup {id} is not under way: it was not renewed in time, or the server was started again; begin another"
            ))
        };
        match self.action {
            BackupAction::Begin => match backups.begin() {
                Ok(Some(id)) => Ok(status(id, None)),
                Ok(None) => Err(Refusal::conflict(
                    "a backup is under way already; wait until it ends, or for two minutes if its command was stopped",
                )),
                Err(fault) => Err(fault.into()),
            },
            BackupAction::Renew => {
                let id = id()?;
                let snapshot = backups.renew(id).ok_or_else(|| over(id))??;
                Ok(status(id, snapshot))
            }
            BackupAction::End => {
                let id = id()?;
                if backups.end(id) { Ok(status(id, None)) } else { Err(over(id)) }
            }
        }
    }
}

fn status(id: u64, snapshot: Option<Snapshot>) -> BackupStatus {
    let name = |snapshot: &Snapshot| {
        let name = snapshot.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        format!("incoming/{name}")
    };
    BackupStatus {
        id,
        ledger: snapshot.as_ref().map(name),
        objects: snapshot.as_ref().map(|snapshot| snapshot.objects),
        commit: snapshot.as_ref().map(|snapshot| snapshot.commit),
    }
}
