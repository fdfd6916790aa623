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

/// The file of a unix socket; removed when dropped, if it is ours.
#[derive(Debug)]
pub(crate) struct SocketFile(Arc<FileOwner>);

/// Whether a socket's file is to be removed, and by whom.
#[derive(Debug)]
pub(crate) struct FileOwner {
    path: PathBuf,
    identity: (u64, u64),
    ours: AtomicBool,
}

impl SocketFile {
    /// The file of a socket that this process made.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        Self::owned(path, true)
    }

    /// The file of a socket that another process handed over: it stays that one's until [`FileOwner::claim`], whatever becomes
    /// of this process.
    pub(crate) fn adopted(path: &Path) -> io::Result<Self> {
        Self::owned(path, false)
    }

    fn owned(path: &Path, ours: bool) -> io::Result<Self> {
        let owner = FileOwner { path: path.to_owned(), identity: identity(path)?, ours: ours.into() };
        Ok(Self(Arc::new(owner)))
    }

    pub(crate) fn owner(&self) -> Arc<FileOwner> {
        Arc::clone(&self.0)
    }
}

impl FileOwner {
    /// From now on it is ours.
    pub(crate) fn claim(&self) {
        self.ours.store(true, Ordering::Relaxed);
    }

    /// From now on it is another process's, which listens there with the same socket.
    pub(crate) fn leave(&self) {
        self.ours.store(false, Ordering::Relaxed);
    }

    /// Takes it away once, if it is ours and another process has not put its own there.
    pub(crate) fn remove(&self) {
        if self.ours.swap(false, Ordering::Relaxed)
            && identity(&self.path).is_ok_and(|now| now == self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            log::warn!("cannot remove socket {}: {error}", self.path.display());
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.0.remove();
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
    use super::{SocketFile, listen};
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
    fn a_socket_that_was_handed_over_is_removed_only_once_claimed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let (_listener, file) = listen(&path, FileMode::default(), 16).unwrap();
        // A successor that comes to nothing.
        drop(SocketFile::adopted(&path).unwrap());
        assert!(path.exists());
        // One that takes over; the process before leaves.
        let adopted = SocketFile::adopted(&path).unwrap();
        file.owner().leave();
        adopted.owner().claim();
        drop(file);
        assert!(path.exists());
        adopted.owner().remove();
        assert!(!path.exists());
        // Somebody else's by then.
        fs::write(&path, "").unwrap();
        drop(adopted);
        assert!(path.exists());
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
