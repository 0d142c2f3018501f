//! The file of the data folder that says where its server is, for commands without `--server`. It counts while the server
//! holds a lock on it: what a killed server left names an address that may be another program's by now.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    disk::{Links, open_regular},
    http_client::Trust,
    settings::{Settings, Tls},
};

const FILE: &str = "server.json";
/// More than its bytes.
const MAX_BYTES: u64 = 64 << 10;

/// Where a server is, as programs of its machine reach it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunningServer {
    /// The HTTP port, without a slash at the end.
    pub(super) http: String,
    /// The file of the certificate that it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<PathBuf>,
}

impl RunningServer {
    /// The one that these settings lead to.
    pub(super) fn of_settings(settings: &Settings) -> Self {
        let mut address = settings.listen.http;
        // One that listens on every address is asked on loopback.
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        match &settings.listen.tls {
            Some(Tls { certificate, .. }) => {
                // Commands may run in another folder.
                let certificate = std::path::absolute(certificate).unwrap_or_else(|_| certificate.clone());
                Self { http: format!("https://{address}"), certificate: Some(certificate) }
            }
            None => Self { http: format!("http://{address}"), certificate: None },
        }
    }

    /// The one that runs on this data folder.
    pub(super) fn of_folder(data: &Path) -> Option<Self> {
        let file = open_regular(&data.join(FILE), OpenOptions::new().read(true), Links::Refuse).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {}
            Ok(()) | Err(TryLockError::Error(_)) => return None,
        }
        let mut text = String::new();
        file.take(MAX_BYTES).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Whom to trust there: a server's own certificate need not be known to any authority.
    pub(super) fn trust(&self) -> Trust {
        self.certificate.clone().map_or(Trust::System, Trust::SystemAnd)
    }

    /// Writes its file, until what is returned is dropped. Without it, commands ask where their settings say.
    pub(super) fn announce(&self, data: &Path) -> Announced {
        let path = data.join(FILE);
        let file = self.write(&path).inspect_err(|error| {
            tracing::warn!(%error, file = %path.display(), "commands without --server do not find this server");
        });
        Announced { path, _locked: file.ok() }
    }

    fn write(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let mut file = open_regular(path, options.write(true).create(true).mode(0o600), Links::Refuse)?;
        // Commands hold it for no longer than it takes to read.
        file.lock()?;
        file.set_len(0)?;
        // Not durable: it says nothing after a crash.
        file.write_all(serde_json::to_string(self)?.as_bytes())?;
        Ok(file)
    }
}

/// The file of a server that runs.
#[derive(Debug)]
pub(super) struct Announced {
    path: PathBuf,
    _locked: Option<File>,
}

impl Announced {
    /// Removes it without waiting for the disk, which may hang. Needs Tokio.
    pub(super) fn withdraw(self) {
        drop(tokio::task::spawn_blocking(move || drop(self)));
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_found_while_it_runs() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(RunningServer::of_folder(data.path()), None);
        let server =
            RunningServer { http: "https://[::1]:8443".into(), certificate: Some("/etc/a.pem".into()) };
        let announced = server.announce(data.path());
        assert_eq!(RunningServer::of_folder(data.path()), Some(server));
        let text = fs::read(data.path().join(FILE)).unwrap();
        drop(announced);
        assert_eq!(RunningServer::of_folder(data.path()), None);
        // What a killed server leaves.
        fs::write(data.path().join(FILE), text).unwrap();
        assert_eq!(RunningServer::of_folder(data.path()), None);
    }
}
