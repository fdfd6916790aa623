//! Opening files below a folder, and nowhere else.
//!
//! The kernel does the containing: `openat2(2)` with `RESOLVE_BENEATH` follows symbolic links as long as they stay
//! below the folder, without a moment between check and use. Where the kernel or a sandbox lacks it (before Linux
//! 5.6), every component is opened on its own with `O_NOFOLLOW`, so links are refused altogether.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::sys::stat::Mode;

/// `O_NONBLOCK`: the opening of a FIFO must not wait for its writer. For regular files it means nothing.
const READ: OFlag = OFlag::O_RDONLY.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY).union(OFlag::O_CLOEXEC);
const STEP: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);
/// The kernel gives up with `EAGAIN` when something is renamed during a resolution.
const RENAME_TRIES: usize = 8;

/// How paths are kept below the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Containment {
    /// `openat2` with `RESOLVE_BENEATH`.
    Beneath,
    /// One `openat` per component; no links at all.
    Walk,
}

/// The folder that is served.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    containment: Containment,
}

/// The folder as one request sees it: a switch of the root to another release does not mix two releases.
pub(crate) struct Root {
    fd: OwnedFd,
    containment: Containment,
}

/// Why a file was not opened.
#[derive(Debug)]
pub(crate) enum Miss {
    /// There is nothing to serve, or the way leads out of the root: 404.
    NotFound,
    /// It is there, but closed to us: 403.
    Forbidden,
    /// The system failed: 500.
    Broken(io::Error),
}

impl Folder {
    /// A folder at an absolute path.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn new(root: PathBuf) -> io::Result<Self> {
        let fd = open_root(&root)?;
        let containment = match openat2(&fd, ".", beneath(STEP)) {
            // Sandboxes answer EPERM to calls they do not know.
            Err(Errno::ENOSYS | Errno::EPERM) => Containment::Walk,
            _ => Containment::Beneath,
        };
        Ok(Self { root, containment })
    }

    #[cfg(test)]
    pub(crate) fn contained_by(mut self, containment: Containment) -> Self {
        self.containment = containment;
        self
    }

    /// How paths are kept below the root.
    pub(crate) fn containment(&self) -> Containment {
        self.containment
    }

    /// Where it is, for logs only.
    pub(crate) fn path(&self) -> &Path {
        &self.root
    }

    /// The folder as it is now.
    ///
    /// # Errors
    /// When it has gone or cannot be opened.
    pub(crate) fn now(&self) -> io::Result<Root> {
        Ok(Root { fd: open_root(&self.root)?, containment: self.containment })
    }
}

impl Root {
    /// Opens what `relative` names (the root itself when empty), for reading.
    pub(crate) fn open(&self, relative: &Path) -> Result<File, Miss> {
        let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
        let opened = match self.containment {
            Containment::Beneath => self.open_beneath(relative),
            Containment::Walk => self.open_walking(relative),
        };
        opened.map(File::from).map_err(Miss::from)
    }

    fn open_beneath(&self, relative: &Path) -> nix::Result<OwnedFd> {
        for _ in 1..RENAME_TRIES {
            match openat2(&self.fd, relative, beneath(READ)) {
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                other => return other,
            }
        }
        openat2(&self.fd, relative, beneath(READ))
    }

    fn open_walking(&self, relative: &Path) -> nix::Result<OwnedFd> {
        let mut at: Option<OwnedFd> = None;
        let mut parts = relative.iter().peekable();
        while let Some(part) = parts.next() {
            if part == ".." || Path::new(part).is_absolute() {
                return Err(Errno::EXDEV);
            }
            let flags = if parts.peek().is_some() { STEP } else { READ };
            let from = at.as_ref().unwrap_or(&self.fd);
            at = Some(openat(from, part, flags | OFlag::O_NOFOLLOW, Mode::empty())?);
        }
        at.ok_or(Errno::ENOENT)
    }
}

fn open_root(root: &Path) -> io::Result<OwnedFd> {
    Ok(open(root, STEP, Mode::empty())?)
}

fn beneath(flags: OFlag) -> OpenHow {
    OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS)
}

impl From<Errno> for Miss {
    fn from(errno: Errno) -> Self {
        match errno {
            // EXDEV: a link out of the root. ELOOP: a circle, or any link when walking. ENXIO: a socket.
            Errno::ENOENT
            | Errno::ENOTDIR
            | Errno::ENAMETOOLONG
            | Errno::EXDEV
            | Errno::ELOOP
            | Errno::EINVAL
            | Errno::ENXIO
            | Errno::ENODEV => Self::NotFound,
            Errno::EACCES | Errno::EPERM => Self::Forbidden,
            other => Self::Broken(other.into()),
        }
    }
}

#[cfg(test)]
mod tests;
