//! The sandbox of the serving process, entered before the first request: no files outside its own folders (Landlock),
//! and no system calls it never makes (seccomp). An attacker who controls the process cannot run another program, read
//! this user's other files or write outside the data folder.
//!
//! Both apply to the calling thread and threads started later: enter it before there are others. Where the kernel does
//! not support it, a warning is logged; with `sandbox = "require"` the server does not start.

#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod system_calls;

use std::path::{Path, PathBuf};

use tintype_alt_text::settings::{ApiKey, ProviderSettings};

use crate::settings::{Notify, Sandbox, Settings};

/// The paths that stay accessible, each with everything below it.
#[derive(Debug, Default, Clone)]
pub struct AllowedPaths {
    /// Folders for reading and writing.
    pub written: Vec<PathBuf>,
    /// Files and folders for reading.
    pub read: Vec<PathBuf>,
    /// Folders where sockets may be created, files removed and names listed.
    pub sockets: Vec<PathBuf>,
}

/// Read by system libraries: for name resolution, memory figures, and TLS roots.
const SYSTEM_PATHS: &[&str] = &[
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

/// Environment variables that name files of AWS SDKs.
const CREDENTIAL_FILES: [&str; 4] = [
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];
/// Those that name a file, and folders, of certificates to trust.
const CERTIFICATE_FILE: &str = "SSL_CERT_FILE";
const CERTIFICATE_FOLDERS: &str = "SSL_CERT_DIR";

/// The files of watermarks, which SIGHUP has read again.
fn watermarks(settings: &Settings) -> impl Iterator<Item = PathBuf> {
    let images = settings.written.iter().filter(|written| written.name.ends_with("watermark.image"));
    let paths = images.map(|written| written.value.trim_matches(['"', '\'']));
    paths.filter(|path| !path.starts_with("data:")).map(PathBuf::from)
}

/// The provider of the model that describes images.
fn provider(settings: &Settings) -> Option<&ProviderSettings> {
    settings.alt_text.as_ref().map(|alt_text| &alt_text.provider)
}

impl AllowedPaths {
    /// What a server needs: its data folder, the folders of its unix sockets, and for SIGHUP those of its settings file
    /// and certificate.
    #[must_use]
    pub fn new(settings: &Settings, config: Option<&Path>) -> Self {
        let listen = &settings.listen;
        let sockets = [&listen.s3_unix, &listen.http_unix].into_iter().flatten();
        let sockets = sockets.map(|socket| folder_of(socket)).collect();
        let mut paths = Self { written: vec![settings.data.clone()], read: Vec::new(), sockets };
        paths.read.extend(SYSTEM_PATHS.iter().map(PathBuf::from));
        let tls = listen.tls.iter().flat_map(|tls| [tls.certificate.as_path(), tls.key.as_path()]);
        tls.chain(config).for_each(|file| paths.allow_file(file));
        settings.notify.iter().flat_map(Notify::files).for_each(|file| paths.allow_file(file));
        watermarks(settings).for_each(|file| paths.allow_file(&file));
        if let Some(ProviderSettings::OpenAi { key: ApiKey::File(file), .. }) = provider(settings) {
            paths.allow_file(file);
        }
        paths
    }

    /// The same with the files where AWS SDKs look for credentials, and with the certificates that the environment names, as
    /// far as the settings need any; `variable` looks up an environment variable.
    #[must_use]
    pub fn with_credentials(
        mut self,
        settings: &Settings,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let is_bedrock = matches!(provider(settings), Some(ProviderSettings::Bedrock { .. }));
        if is_bedrock || settings.notify.iter().any(Notify::needs_aws_credentials) {
            self.allow_credentials(&variable);
        }
        let is_openai = matches!(provider(settings), Some(ProviderSettings::OpenAi { .. }));
        if is_openai || settings.notify.iter().any(Notify::may_use_tls) {
            self.allow_certificates(&variable);
        }
        self
    }

    /// What a worker needs: the files of its settings, certificate and logins, and those where AWS SDKs look for
    /// credentials; `variable` looks up an environment variable.
    #[must_use]
    pub fn of_worker(
        settings: &Settings,
        config: Option<&Path>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let mut paths = Self { read: SYSTEM_PATHS.iter().map(PathBuf::from).collect(), ..Self::default() };
        let tls = settings.listen.tls.iter().flat_map(|tls| [tls.certificate.as_path(), tls.key.as_path()]);
        tls.chain(config).for_each(|file| paths.allow_file(file));
        let worker = &settings.worker;
        let files = [&worker.token_file, &worker.creds_file, &worker.tls_ca];
        files.into_iter().flatten().for_each(|file| paths.allow_file(file));
        watermarks(settings).for_each(|file| paths.allow_file(&file));
        paths.allow_credentials(&variable);
        paths
    }

    fn allow_credentials(&mut self, variable: &impl Fn(&str) -> Option<String>) {
        // They may be fetched by TLS.
        self.allow_certificates(variable);
        let named = CREDENTIAL_FILES.into_iter().filter_map(variable).map(PathBuf::from);
        named.for_each(|file| self.allow_file(&file));
        self.read.extend(variable("HOME").map(|home| Path::new(&home).join(".aws")));
    }

    fn allow_certificates(&mut self, variable: &impl Fn(&str) -> Option<String>) {
        if let Some(file) = variable(CERTIFICATE_FILE) {
            self.allow_file(Path::new(&file));
        }
        if let Some(folders) = variable(CERTIFICATE_FOLDERS) {
            self.read.extend(std::env::split_paths(&folders));
        }
    }

    /// Allows a file's folder, because the file may be replaced; for a link also the folder of its target.
    fn allow_file(&mut self, file: &Path) {
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

/// How far a restriction is enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enforcement {
    /// Completely.
    Full,
    /// As far as this kernel can; with the reason.
    Partial(String),
    /// Not at all; with the reason.
    None(String),
}

/// What is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxStatus {
    /// The restriction of files.
    pub files: Enforcement,
    /// The restriction of system calls.
    pub system_calls: Enforcement,
}

impl SandboxStatus {
    fn weaknesses(&self) -> Vec<String> {
        let named = [("files (Landlock)", &self.files), ("system calls (seccomp)", &self.system_calls)];
        let weak = named.into_iter().filter_map(|(name, enforcement)| match enforcement {
            Enforcement::Full => None,
            Enforcement::Partial(why) => Some(format!("{name} only in part: {why}")),
            Enforcement::None(why) => Some(format!("{name} not at all: {why}")),
        });
        weak.collect()
    }
}

/// Restricts the process to `paths` as the setting `sandbox` requests, and logs the result in one line.
/// `None`: it is switched off.
///
/// # Errors
/// It is required, and this kernel cannot enforce it completely.
pub fn enforce(sandbox: Sandbox, paths: &AllowedPaths) -> anyhow::Result<Option<SandboxStatus>> {
    if sandbox == Sandbox::Off {
        tracing::info!("no sandbox: the setting \"sandbox\" is \"off\"");
        return Ok(None);
    }
    let status = restrict(paths);
    let weaknesses = status.weaknesses().join("; ");
    if weaknesses.is_empty() {
        tracing::info!("sandboxed: files by Landlock, system calls by seccomp");
    } else if sandbox == Sandbox::Require {
        anyhow::bail!(
            "the sandbox is required, but this kernel cannot enforce it: {weaknesses}. Set sandbox = \"auto\" to run all the same"
        );
    } else {
        tracing::warn!("the sandbox is not fully enforced: {weaknesses}");
    }
    Ok(Some(status))
}

/// Restricts a process in the sandbox further, once its sockets are open: no rights are changed, and no unix socket is
/// connected to.
///
/// # Errors
/// The sandbox is required, and this kernel cannot enforce it.
pub fn enforce_listening(sandbox: Sandbox) -> anyhow::Result<()> {
    if sandbox == Sandbox::Off {
        return Ok(());
    }
    match (restrict_listening(), sandbox) {
        (Enforcement::None(why), Sandbox::Require) => {
            anyhow::bail!("the sandbox is required, but this kernel cannot enforce it: {why}")
        }
        (Enforcement::None(why), _) => {
            tracing::warn!("the sandbox is not narrowed once the sockets are open: {why}");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Gives up the terminal that a server was started from, as far as it is not needed: nothing is read from it, and where
/// no stream is one, the server leaves the session of its controlling terminal. (One on a terminal stays in it, or Ctrl-C
/// would not reach it; so does one that leads its process group, whom the kernel does not let go.)
#[cfg(target_os = "linux")]
pub fn leave_terminal() {
    use std::io::IsTerminal as _;
    let (input, output, errors) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let is_on_terminal = input.is_terminal() || output.is_terminal() || errors.is_terminal();
    // Only a process with a controlling terminal can open this.
    if !is_on_terminal && std::fs::File::open("/dev/tty").is_ok() {
        let _ = rustix::process::setsid();
    }
    if input.is_terminal()
        && let Ok(nothing) = std::fs::File::open("/dev/null")
    {
        let _ = rustix::stdio::dup2_stdin(nothing);
    }
    let write_only =
        |number: u8| std::fs::File::options().write(true).open(format!("/proc/self/fd/{number}"));
    if output.is_terminal()
        && let Ok(output) = write_only(1)
    {
        let _ = rustix::stdio::dup2_stdout(output);
    }
    if errors.is_terminal()
        && let Ok(errors) = write_only(2)
    {
        let _ = rustix::stdio::dup2_stderr(errors);
    }
}

/// Gives up the terminal; only Linux needs it.
#[cfg(not(target_os = "linux"))]
pub fn leave_terminal() {}

#[cfg(target_os = "linux")]
fn restrict_listening() -> Enforcement {
    system_calls::restrict_listening()
}

#[cfg(not(target_os = "linux"))]
fn restrict_listening() -> Enforcement {
    Enforcement::None("only Linux has it".into())
}

#[cfg(target_os = "linux")]
fn restrict(paths: &AllowedPaths) -> SandboxStatus {
    // Files first: Landlock's system calls need not be allowed afterwards.
    SandboxStatus { files: files::restrict(paths), system_calls: system_calls::restrict() }
}

#[cfg(not(target_os = "linux"))]
fn restrict(_: &AllowedPaths) -> SandboxStatus {
    let none = || Enforcement::None("only Linux has it".into());
    SandboxStatus { files: none(), system_calls: none() }
}

#[cfg(test)]
mod tests {
    use tintype_pipeline::settings::Sources;

    use super::*;

    #[test]
    fn certificates_that_the_environment_names_can_be_read_where_a_target_may_use_tls() {
        let variable = |name: &str| match name {
            "SSL_CERT_FILE" => Some("/own/file/ca.pem".to_owned()),
            "SSL_CERT_DIR" => Some("/own/folder".to_owned()),
            _ => None,
        };
        for (target, is_allowed) in [
            ("https://cdn.example/purge", true),
            ("tls://nats.example/x", true),
            ("nats://nats.example/x", true),
            ("sqs:https://sqs.example/1/q", true),
            ("http://127.0.0.1:1/", false),
        ] {
            let file = Some(("tintype.toml".into(), format!("[[notify]]\ntarget = \"{target}\"\n")));
            let settings = Settings::load(Sources { file, ..Sources::default() }).unwrap();
            let paths = AllowedPaths::new(&settings, None).with_credentials(&settings, variable);
            for folder in ["/own/file", "/own/folder"] {
                assert_eq!(paths.read.iter().any(|path| path == Path::new(folder)), is_allowed, "{target}");
            }
        }
    }
}
