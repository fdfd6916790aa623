//! Unix sockets: their file, its permissions, and what a process that died left behind.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::FileMode;

/// The file of a unix socket; removed when dropped, unless another process has put its own there meanwhile.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
    kept: Arc<AtomicBool>,
}

impl SocketFile {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)?, kept: Arc::default() })
    }

    /// Set to true, it lets the file stay: another process listens there with the same socket.
    pub(crate) fn kept(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.kept)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Relaxed)
            && identity(&self.path).is_ok_and(|now| now == self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            log::warn!("cannot remove socket {}: {error}", self.path.display());
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()))
}

/// Listens on `path`. A socket that nobody listens on is replaced; anything else that has the name stays.
pub(crate) fn listen(path: &Path, mode: FileMode, backlog: i32) -> io::Result<(UnixListener, SocketFile)> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::of(path)?;
    // Before `listen`, so that nobody can connect while the permissions are still those of the umask.
    fs::set_permissions(path, fs::Permissions::from_mode(mode.bits()))?;
    socket.listen(backlog)?;
    Ok((socket.into(), file))
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !meta.file_type().is_socket() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::listen;
    use crate::{BoundListener, FileMode, ListenAddress, ListenerSettings};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn the_mode_is_as_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        for (text, bits) in [("0600", 0o600), ("0666", 0o666)] {
            let _held = listen(&path, text.parse().unwrap(), 16).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, bits);
        }
        let _held = listen(&path, FileMode::default(), 16).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    }

    #[test]
    fn a_socket_left_behind_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let held = listen(&path, FileMode::default(), 16).unwrap();
        UnixStream::connect(&path).unwrap();
        drop(held);
        assert!(!path.exists(), "and taken away at the end");
    }

    #[test]
    fn a_socket_somebody_listens_on_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let _other = UnixListener::bind(&path).unwrap();
        let settings = ListenerSettings::new(ListenAddress::Unix(path.clone()));
        let error = BoundListener::bind(&settings).unwrap_err().to_string();
        assert!(error.ends_with("a process listens on this socket already"), "{error}");
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_file_that_is_no_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        fs::write(&path, "data").unwrap();
        let settings = ListenerSettings::new(ListenAddress::Unix(path.clone()));
        let error = BoundListener::bind(&settings).unwrap_err().to_string();
        assert!(error.ends_with("a file that is not a socket has this name"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "data");
    }

    #[test]
    fn a_missing_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let settings = ListenerSettings::new(ListenAddress::Unix(folder.path().join("no/a.sock")));
        let error = BoundListener::bind(&settings).unwrap_err().to_string();
        assert!(error.ends_with("its folder does not exist — create it first"), "{error}");
    }

    #[test]
    fn the_socket_of_a_successor_is_not_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let (_listener, file) = listen(&path, FileMode::default(), 16).unwrap();
        fs::remove_file(&path).unwrap();
        // Another file first, so that the inode number of the old one is not given out again.
        fs::write(folder.path().join("other"), "").unwrap();
        let _successor = UnixListener::bind(&path).unwrap();
        drop(file);
        assert!(path.exists());
    }
}
