//! Unix sockets: the file's permissions decide who may connect.

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::net::{UnixListener, UnixStream};

use super::{BACKLOG, ListenError, Listener};
use crate::auth::Peer;

/// The owner may connect, and the group that the operator gives the file or its folder.
const MODE: u32 = 0o660;
/// Attempts to lock the folder: another server that starts holds the lock for a few milliseconds.
const LOCK_ATTEMPTS: usize = 100;
const LOCK_INTERVAL: Duration = Duration::from_millis(20);

/// A listening socket; its file is removed when it is dropped.
#[derive(Debug)]
pub struct UnixSocket {
    // Dropped first: after the listener is closed another server could replace the file as stale.
    _file: SocketFile,
    listener: UnixListener,
}

impl Listener for UnixSocket {
    const HAS_ADDRESSES: bool = false;
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Peer)> {
        Ok((self.listener.accept().await?.0, Peer::Unix))
    }
}

/// The file of a socket of this program, removed on drop.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode: another program may have put its own socket there since.
    id: Option<(u64, u64)>,
}

impl SocketFile {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), id: id(path) }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.id.is_some()
            && self.id == id(&self.path)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "the file of a unix socket could not be removed");
        }
    }
}

fn id(path: &Path) -> Option<(u64, u64)> {
    let file = fs::symlink_metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

/// Listens on a unix socket; replaces a stale one.
///
/// # Errors
/// Another program listens there, or the path cannot be used; the message says what to do.
pub async fn bind_unix(path: &Path, setting: &'static str) -> Result<UnixSocket, ListenError> {
    let bound = bind(path).await;
    bound.map_err(|reason| ListenError { at: path.display().to_string(), setting, reason })
}

/// Binds under a hidden name and links the socket to `path` once it listens, so a socket there that refuses connections
/// is always stale. The folder is locked meanwhile, or two servers could remove each other's new socket.
async fn bind(path: &Path) -> Result<UnixSocket, String> {
    let (folder, name) = match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) if folder.as_os_str().is_empty() => (Path::new("."), name),
        (Some(folder), Some(name)) => (folder, name),
        _ => return Err("it is not a file's path; choose another path".into()),
    };
    let _lock = lock(folder).await?;
    remove_stale(path).await?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    let hidden = folder.join(hidden);
    // Left by a server that was killed between the steps below.
    remove_stale(&hidden).await?;
    let (listener, _hidden) = listen(&hidden).map_err(reason)?;
    fs::hard_link(&hidden, path).map_err(reason)?;
    Ok(UnixSocket { _file: SocketFile::new(path), listener })
}

/// Locks a folder against other servers that bind a socket in it.
async fn lock(folder: &Path) -> Result<File, String> {
    let file = File::open(folder).map_err(reason)?;
    for _ in 0..LOCK_ATTEMPTS {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_INTERVAL).await,
            Err(TryLockError::Error(error)) => return Err(reason(error)),
        }
    }
    Err("another program holds a lock (flock) on its folder; stop that one, or choose another path".into())
}

fn reason(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "its folder does not exist; create it, or choose another path".into(),
        io::ErrorKind::PermissionDenied => {
            "this user may not list its folder and create files there; change that, or choose another path"
                .into()
        }
        io::ErrorKind::AlreadyExists => {
            "another program has just created a file there; choose another path".into()
        }
        _ => format!("{error}; choose another path"),
    }
}

/// A listener whose file has [`MODE`], whatever the umask.
fn listen(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let socket = tokio::net::UnixSocket::new_stream()?;
    socket.bind(path)?;
    let file = SocketFile::new(path);
    // Until `listen` the kernel refuses every connection, so the umask's mode is never in effect. Setting the umask
    // instead would change it for all threads.
    set_mode(path)?;
    Ok((socket.listen(BACKLOG)?, file))
}

/// Sets a socket's mode; does not follow a link put in its place.
#[cfg(target_os = "linux")]
fn set_mode(path: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;

    use rustix::fs::{Mode, OFlags};

    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    check_socket(&file.metadata()?)?;
    // fchmod refuses an O_PATH descriptor; its name in /proc refers to the file that was opened.
    let opened = format!("/proc/self/fd/{}", file.as_raw_fd());
    fs::set_permissions(&opened, fs::Permissions::from_mode(MODE))
        .map_err(|error| io::Error::other(format!("its mode cannot be set by {opened}: {error}")))
}

#[cfg(not(target_os = "linux"))]
fn set_mode(path: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, Mode, chmodat};

    check_socket(&fs::symlink_metadata(path)?)?;
    let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP;
    Ok(chmodat(CWD, path, mode, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn check_socket(file: &fs::Metadata) -> io::Result<()> {
    match file.file_type().is_socket() {
        true => Ok(()),
        false => Err(io::Error::other("another program has replaced the new socket")),
    }
}

/// Removes the socket of a program that was killed.
async fn remove_stale(path: &Path) -> Result<(), String> {
    let Ok(file) = fs::symlink_metadata(path) else { return Ok(()) };
    if !file.file_type().is_socket() {
        return Err(format!("{} is not a socket; remove it, or choose another path", path.display()));
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)
            .map_err(|error| format!("a stale socket cannot be removed: {error}; remove it")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err("the socket there belongs to another user; choose another path".into())
        }
        // Also where its backlog is full.
        _ => Err("another program listens there; stop that one, or choose another path".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTING: &str = "listen.http_unix";

    #[tokio::test]
    async fn the_mode_does_not_depend_on_the_umask_and_the_file_is_removed_with_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("http.sock");
        let socket = bind_unix(&path, SETTING).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, MODE);
        let (accepted, connected) = tokio::join!(socket.accept(), UnixStream::connect(&path));
        assert_eq!((accepted.unwrap().1, connected.is_ok()), (Peer::Unix, true));
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_live_socket_is_not_replaced_and_a_stale_one_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("http.sock");
        let first = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let error = bind_unix(&path, SETTING).await.unwrap_err().to_string();
        assert!(error.contains("another program listens there") && error.contains(SETTING), "{error}");
        drop(first);
        assert!(path.exists(), "std leaves the file, as a killed program does");
        let own = bind_unix(&path, SETTING).await.unwrap();
        // Another program's file under this name is not removed.
        fs::remove_file(&path).unwrap();
        let foreign = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(own);
        assert!(path.exists());
        drop(foreign);
    }

    /// Creates a stale socket, as a killed program leaves it.
    fn create_stale(path: &Path) {
        let _ = fs::remove_file(path);
        drop(std::os::unix::net::UnixListener::bind(path).unwrap());
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn one_of_several_concurrent_servers_binds_the_path() {
        const SERVERS: usize = 4;
        const ROUNDS: usize = 300;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("http.sock");
        let barrier = std::sync::Barrier::new(SERVERS);
        // Asserts come after all threads have ended: a panic would leave the others at the barrier.
        let server = |number| {
            let runtime = runtime();
            let mut outcomes = Vec::new();
            for _ in 0..ROUNDS {
                if number == 0 {
                    create_stale(&path);
                }
                barrier.wait();
                let bound = runtime.block_on(bind_unix(&path, SETTING));
                barrier.wait();
                let is_live = std::os::unix::net::UnixStream::connect(&path).is_ok();
                barrier.wait();
                outcomes.push((bound.map(drop).map_err(|error| error.to_string()), is_live));
                barrier.wait();
            }
            outcomes
        };
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let servers: Vec<_> = (0..SERVERS)
                .map(|number| {
                    scope.spawn({
                        let server = &server;
                        move || server(number)
                    })
                })
                .collect();
            servers.into_iter().map(|server| server.join().unwrap()).collect()
        });
        for round in 0..ROUNDS {
            let results: Vec<_> = outcomes.iter().map(|outcomes| &outcomes[round]).collect();
            assert_eq!(results.iter().filter(|(bound, _)| bound.is_ok()).count(), 1, "{results:?}");
            for (bound, is_live) in &results {
                let is_in_use = |error: &String| error.contains("another program listens there");
                assert!(*is_live && bound.as_ref().err().is_none_or(is_in_use), "{results:?}");
            }
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_starting_or_stopping_server_never_appears_stale() {
        use std::sync::atomic::{AtomicBool, Ordering};

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("http.sock");
        let is_over = AtomicBool::new(false);
        let (live, refused) = std::thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let (mut live, mut refused) = (0, 0);
                while !is_over.load(Ordering::Relaxed) {
                    match std::os::unix::net::UnixStream::connect(&path) {
                        Ok(_) => live += 1,
                        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => refused += 1,
                        Err(_) => {}
                    }
                }
                (live, refused)
            });
            runtime().block_on(async {
                for _ in 0..500 {
                    let socket = bind_unix(&path, SETTING).await.unwrap();
                    socket.accept().await.unwrap();
                }
            });
            is_over.store(true, Ordering::Relaxed);
            watcher.join().unwrap()
        });
        assert!(live >= 500 && refused == 0, "{live} live, {refused} refused");
    }

    #[tokio::test]
    async fn the_hidden_file_of_a_killed_start_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("http.sock");
        create_stale(&folder.path().join(".http.sock"));
        let socket = bind_unix(&path, SETTING).await.unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        drop(socket);
        // A live socket of the hidden name is not replaced.
        let other = bind_unix(&folder.path().join(".http.sock"), SETTING).await.unwrap();
        assert!(bind_unix(&path, SETTING).await.unwrap_err().to_string().contains("another program listens"));
        drop(other);
    }

    #[test]
    fn setting_the_mode_follows_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let (secret, link) = (folder.path().join("secret"), folder.path().join("link"));
        fs::write(&secret, "text").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&secret, &link).unwrap();
        for path in [&link, &secret] {
            assert!(set_mode(path).unwrap_err().to_string().contains("replaced the new socket"));
        }
        assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o7777, 0o600);
    }

    #[tokio::test]
    async fn a_folder_that_stays_locked_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let locked = File::open(folder.path()).unwrap();
        locked.lock().unwrap();
        tokio::time::pause();
        let error = bind_unix(&folder.path().join("a.sock"), SETTING).await.unwrap_err().to_string();
        assert!(error.contains("holds a lock (flock)"), "{error}");
    }

    #[tokio::test]
    async fn only_sockets_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "text").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for path in [&file, &link, &folder.path().to_owned()] {
            let error = bind_unix(path, SETTING).await.unwrap_err().to_string();
            assert!(error.contains("is not a socket"), "{error}");
        }
        assert_eq!(fs::read(&file).unwrap(), b"text");
        let error = bind_unix(&folder.path().join("none/a.sock"), SETTING).await.unwrap_err().to_string();
        assert!(error.contains("its folder does not exist"), "{error}");
    }
}
