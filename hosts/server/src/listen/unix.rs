//! Unix sockets: who may connect is a matter of the file's permissions.

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::net::{UnixListener, UnixStream};

use super::{ListenError, Listener, Peer};

/// Who may connect: the owner, and the group that the operator gives the file or its folder.
const MODE: u32 = 0o660;
/// Connections that wait to be accepted; as many as for a port.
const BACKLOG: u32 = 1024;
/// Attempts to lock the folder, and the time between them: another server that starts holds it for a few milliseconds.
const LOCK_ATTEMPTS: usize = 100;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(20);

/// A socket that listens. Its file goes with it.
#[derive(Debug)]
pub struct UnixSocket {
    // Dropped first: a file whose listener is closed would be replaced as stale while it is removed here.
    _file: SocketFile,
    listener: UnixListener,
}

impl Listener for UnixSocket {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Peer)> {
        Ok((self.listener.accept().await?.0, Peer::Unix))
    }
}

/// The file of a socket of this program.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and number: another program may have put its own socket there since.
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

/// Takes a socket's path: a new one, or that of a socket whose program is gone.
///
/// # Errors
/// Another program listens there, or the path cannot be used; says what to do.
pub async fn bind_unix(path: &Path, setting: &'static str) -> Result<UnixSocket, ListenError> {
    let bound = bind(path).await;
    bound.map_err(|words| ListenError { at: path.display().to_string(), setting, words })
}

/// Binds beside the path and links the socket to it once it listens: a socket under its final name that refuses
/// connections is stale, always. The folder is locked meanwhile, or two servers that find the same stale socket would
/// remove each other's.
async fn bind(path: &Path) -> Result<UnixSocket, String> {
    let (folder, name) = match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) if folder.as_os_str().is_empty() => (Path::new("."), name),
        (Some(folder), Some(name)) => (folder, name),
        _ => return Err("it is no path of a file; choose another path".into()),
    };
    let _lock = lock(folder).await?;
    remove_stale(path).await?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    let hidden = folder.join(hidden);
    // What a server left that was killed between the steps below.
    remove_stale(&hidden).await?;
    let (listener, _hidden) = listen(&hidden).map_err(refused)?;
    fs::hard_link(&hidden, path).map_err(refused)?;
    Ok(UnixSocket { _file: SocketFile::new(path), listener })
}

/// Locks a folder against other servers that take a path in it.
async fn lock(folder: &Path) -> Result<File, String> {
    let file = File::open(folder).map_err(refused)?;
    for _ in 0..LOCK_ATTEMPTS {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(BETWEEN_ATTEMPTS).await,
            Err(TryLockError::Error(error)) => return Err(refused(error)),
        }
    }
    Err("another program holds a lock (flock) on its folder; stop that one, or choose another path".into())
}

fn refused(error: io::Error) -> String {
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

/// A listener with the mode that this file promises, whatever the umask.
fn listen(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let socket = tokio::net::UnixSocket::new_stream()?;
    socket.bind(path)?;
    let file = SocketFile::new(path);
    // Until `listen` the kernel refuses every connection, so nobody comes in by the mode that the umask left; a umask
    // of its own would be that of all threads.
    set_mode(path)?;
    Ok((socket.listen(BACKLOG)?, file))
}

/// Gives a socket its mode; a link that somebody has put in its place is not followed.
#[cfg(target_os = "linux")]
fn set_mode(path: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;

    use rustix::fs::{Mode, OFlags};

    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    check_socket(&file.metadata()?)?;
    // fchmod refuses a descriptor of O_PATH; its name in /proc leads to the very file that was opened.
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

/// Removes what a program left there that was killed.
async fn remove_stale(path: &Path) -> Result<(), String> {
    let Ok(file) = fs::symlink_metadata(path) else { return Ok(()) };
    if !file.file_type().is_socket() {
        return Err(format!(
            "{} is something else than a socket; remove it, or choose another path",
            path.display()
        ));
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| {
                format!("the socket of a program that is gone cannot be removed: {error}; remove it")
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err("the socket there is another user's; choose another path".into())
        }
        // A full backlog, too.
        _ => Err("another program listens there; stop that one, or choose another path".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTING: &str = "listen.http_unix";

    #[tokio::test]
    async fn who_may_connect_does_not_depend_on_the_umask_and_the_file_goes_with_the_socket() {
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
    async fn a_live_socket_is_left_alone_and_a_dead_ones_file_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("http.sock");
        let first = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let error = bind_unix(&path, SETTING).await.unwrap_err().to_string();
        assert!(error.contains("another program listens there") && error.contains(SETTING), "{error}");
        drop(first);
        assert!(path.exists(), "what a killed program leaves");
        let ours = bind_unix(&path, SETTING).await.unwrap();
        // Somebody else's file of this name stays.
        fs::remove_file(&path).unwrap();
        let theirs = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(ours);
        assert!(path.exists());
        drop(theirs);
    }

    /// A stale socket, as a killed program leaves it.
    fn leave_stale(path: &Path) {
        let _ = fs::remove_file(path);
        drop(std::os::unix::net::UnixListener::bind(path).unwrap());
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn of_servers_that_start_at_once_one_gets_the_path_and_keeps_it() {
        const SERVERS: usize = 4;
        const ROUNDS: usize = 300;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("http.sock");
        let together = std::sync::Barrier::new(SERVERS);
        // Nothing is asserted before all have ended: they wait for each other.
        let server = |number| {
            let runtime = runtime();
            let mut outcomes = Vec::new();
            for _ in 0..ROUNDS {
                if number == 0 {
                    leave_stale(&path);
                }
                together.wait();
                let bound = runtime.block_on(bind_unix(&path, SETTING));
                together.wait();
                let is_live = std::os::unix::net::UnixStream::connect(&path).is_ok();
                together.wait();
                outcomes.push((bound.map(drop).map_err(|error| error.to_string()), is_live));
                together.wait();
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
            let of_round: Vec<_> = outcomes.iter().map(|outcomes| &outcomes[round]).collect();
            assert_eq!(of_round.iter().filter(|(bound, _)| bound.is_ok()).count(), 1, "{of_round:?}");
            for (bound, is_live) in &of_round {
                let refused_rightly = |error: &String| error.contains("another program listens there");
                assert!(*is_live && bound.as_ref().err().is_none_or(refused_rightly), "{of_round:?}");
            }
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_starting_or_ending_server_never_looks_like_one_that_is_gone() {
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
    async fn what_a_killed_start_left_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("http.sock");
        leave_stale(&folder.path().join(".http.sock"));
        let socket = bind_unix(&path, SETTING).await.unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        drop(socket);
        // Nor is a live one of that name taken, though nobody would choose it.
        let other = bind_unix(&folder.path().join(".http.sock"), SETTING).await.unwrap();
        assert!(bind_unix(&path, SETTING).await.unwrap_err().to_string().contains("another program listens"));
        drop(other);
    }

    #[test]
    fn the_mode_goes_to_no_file_that_a_link_names() {
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
    async fn a_folder_that_stays_locked_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let held = File::open(folder.path()).unwrap();
        held.lock().unwrap();
        tokio::time::pause();
        let error = bind_unix(&folder.path().join("a.sock"), SETTING).await.unwrap_err().to_string();
        assert!(error.contains("holds a lock (flock)"), "{error}");
    }

    #[tokio::test]
    async fn nothing_but_sockets_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "text").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for path in [&file, &link, &folder.path().to_owned()] {
            let error = bind_unix(path, SETTING).await.unwrap_err().to_string();
            assert!(error.contains("something else than a socket"), "{error}");
        }
        assert_eq!(fs::read(&file).unwrap(), b"text");
        let error = bind_unix(&folder.path().join("none/a.sock"), SETTING).await.unwrap_err().to_string();
        assert!(error.contains("its folder does not exist"), "{error}");
    }
}
