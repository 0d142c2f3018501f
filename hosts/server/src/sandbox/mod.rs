//! What the serving process gives up before it takes the first request: files outside its own folders
//! (Landlock), and system calls it never makes (seccomp). Whatever then takes hold of the process, it cannot run
//! another program, read this user's other files or write anywhere but below the data folder.
//!
//! Both hold for the calling thread and every thread begun later: call it before there are others. Where the
//! kernel has none, that is told and, unless required, lived with.

#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod system_calls;

use std::path::{Path, PathBuf};

use crate::settings::{Sandbox, Settings};

/// What may be reached after.
#[derive(Debug, Default, Clone)]
pub struct Reach {
    /// Folders with everything below them, for reading and writing.
    pub written: Vec<PathBuf>,
    /// Files and folders with everything below them, for reading.
    pub read: Vec<PathBuf>,
    /// Folders with everything below them, where sockets may be created and files removed; they may be listed.
    pub sockets: Vec<PathBuf>,
}

/// What the system's own functions read: to resolve names, to tell memory, and whom to trust over TLS.
const OF_THE_SYSTEM: &[&str] = &[
    "/proc",
    "/sys/fs/cgroup",
    "/dev/null",
    "/dev/urandom",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/run/systemd/resolve",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/ca-trust",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
];

impl Reach {
    /// What a server needs: its data folder, for SIGHUP the folders of its settings file and certificate, and those of
    /// its unix sockets.
    #[must_use]
    pub fn of(settings: &Settings, config: Option<&Path>) -> Self {
        let listen = &settings.listen;
        let sockets = [&listen.s3_unix, &listen.http_unix].into_iter().flatten();
        let sockets = sockets.map(|socket| folder_of(socket)).collect();
        let mut reach = Self { written: vec![settings.data.clone()], read: Vec::new(), sockets };
        reach.read.extend(OF_THE_SYSTEM.iter().map(PathBuf::from));
        let tls = listen.tls.iter().flat_map(|tls| [tls.certificate.as_path(), tls.key.as_path()]);
        tls.chain(config).for_each(|file| reach.read_file(file));
        reach
    }

    /// A file that may be replaced by another of its name: so its folder, and, where it is a link, the folder it
    /// leads to.
    fn read_file(&mut self, file: &Path) {
        self.read.push(folder_of(file));
        if let Ok(real) = file.canonicalize() {
            self.read.push(folder_of(&real));
        }
    }
}

fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// How far a protection holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// As meant.
    Full,
    /// As far as this kernel can.
    Partial(String),
    /// Not at all; says why.
    None(String),
}

/// What is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enforced {
    /// Files outside cannot be reached.
    pub files: Extent,
    /// Forbidden system calls fail.
    pub system_calls: Extent,
}

impl Enforced {
    fn weaknesses(&self) -> Vec<String> {
        let named = [("files (Landlock)", &self.files), ("system calls (seccomp)", &self.system_calls)];
        let weak = named.into_iter().filter_map(|(name, extent)| match extent {
            Extent::Full => None,
            Extent::Partial(why) => Some(format!("{name} only in part: {why}")),
            Extent::None(why) => Some(format!("{name} not at all: {why}")),
        });
        weak.collect()
    }
}

/// Gives up everything outside `reach`, as far as `sandbox` asks for it, and logs the outcome in one line.
/// `None`: it is switched off.
///
/// # Errors
/// It is required, and this kernel cannot do it as meant.
pub fn enforce(sandbox: Sandbox, reach: &Reach) -> anyhow::Result<Option<Enforced>> {
    if sandbox == Sandbox::Off {
        tracing::info!("no sandbox: the setting \"sandbox\" is \"off\"");
        return Ok(None);
    }
    let enforced = restrict(reach);
    let weaknesses = enforced.weaknesses().join("; ");
    if weaknesses.is_empty() {
        tracing::info!("sandboxed: files by Landlock, system calls by seccomp");
    } else if sandbox == Sandbox::Require {
        anyhow::bail!(
            "the sandbox is required, but this kernel does not hold it: {weaknesses}. Set sandbox = \"auto\" to run all the same"
        );
    } else {
        tracing::warn!("the sandbox does not hold everything: {weaknesses}");
    }
    Ok(Some(enforced))
}

#[cfg(target_os = "linux")]
fn restrict(reach: &Reach) -> Enforced {
    // Files first: the calls that restrict them need not be allowed after.
    Enforced { files: files::restrict(reach), system_calls: system_calls::restrict() }
}

#[cfg(not(target_os = "linux"))]
fn restrict(_: &Reach) -> Enforced {
    let none = || Extent::None("only Linux has it".into());
    Enforced { files: none(), system_calls: none() }
}
