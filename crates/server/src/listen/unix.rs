//! Unix sockets: who may connect is a matter of the file's permissions.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixStream};

use super::{ListenError, Listener, Peer};

/// Who may connect: the owner, and the group that the operator gives the file or its folder.
const MODE: u32 = 0o660;
/// Connections that wait to be accepted; as many as for a port.
const BACKLOG: u32 = 1024;

/// A socket that listens. Its file goes with it.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    _file: SocketFile,
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
    let bound = match remove_stale(path).await {
        Ok(()) => bind(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => "its folder does not exist; create it, or choose another path".into(),
            io::ErrorKind::PermissionDenied => {
                "this user may not create files in its folder; change that, or choose another path".into()
            }
            _ => format!("{error}; choose another path"),
        }),
        Err(words) => Err(words),
    };
    bound.map_err(|words| ListenError { at: path.display().to_string(), setting, words })
}

fn bind(path: &Path) -> io::Result<UnixSocket> {
    let socket = tokio::net::UnixSocket::new_stream()?;
    socket.bind(path)?;
    let file = SocketFile::new(path);
    // Until `listen` the kernel refuses every connection, so nobody comes in by the mode that the umask left; a umask
    // of its own would be that of all threads.
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    Ok(UnixSocket { listener: socket.listen(BACKLOG)?, _file: file })
}

/// Removes what a program left there that was killed.
async fn remove_stale(path: &Path) -> Result<(), String> {
    let Ok(file) = fs::symlink_metadata(path) else { return Ok(()) };
    if !file.file_type().is_socket() {
        return Err("there is something else than a socket; remove it, or choose another path".into());
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
