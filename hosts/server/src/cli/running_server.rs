//! The file of the data folder that says where its server is, for commands without `--server`.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    disk::read_text,
    http_client::Trust,
    settings::{Settings, Tls},
};

const FILE: &str = "server.json";

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

    /// The one that has written its file to this data folder.
    pub(super) fn of_folder(data: &Path) -> Option<Self> {
        serde_json::from_str(&read_text(&data.join(FILE)).ok()?).ok()
    }

    /// Whom to trust there: a server's own certificate need not be known to any authority.
    pub(super) fn trust(&self) -> Trust {
        self.certificate.clone().map_or(Trust::System, Trust::SystemAnd)
    }

    /// Writes its file, until what is returned is dropped. Without it, commands ask where their settings say.
    pub(super) fn announce(&self, data: &Path) -> Announced {
        let file = data.join(FILE);
        let text = serde_json::to_string(self).unwrap_or_default();
        // Not durable: it says nothing after a crash.
        if let Err(error) = fs::write(&file, text + "\n") {
            tracing::warn!(%error, file = %file.display(), "commands without --server do not find this server");
        }
        Announced(file)
    }
}

/// The file of a server that runs.
#[derive(Debug)]
pub(super) struct Announced(PathBuf);

impl Announced {
    /// Removes it without waiting for the disk, which may hang. Needs Tokio.
    pub(super) fn withdraw(self) {
        drop(tokio::task::spawn_blocking(move || drop(self)));
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
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
        drop(announced);
        assert_eq!(RunningServer::of_folder(data.path()), None);
        fs::write(data.path().join(FILE), "{\"http\":").unwrap();
        assert_eq!(RunningServer::of_folder(data.path()), None);
    }
}
