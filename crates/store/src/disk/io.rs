//! All that the disk tier asks of a file system: one small trait, so that tests can make any call fail.

#[cfg(test)]
pub(crate) mod faulty;
#[cfg(feature = "simulation")]
pub(crate) mod sparse;

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Advice, CWD, FallocateFlags, FlockOperation, OFlags, ResolveFlags, fadvise, openat2};
use rustix::io::{Errno, ReadWriteFlags};

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// For reading; it must exist.
    Read,
    /// For reading and writing; it must not exist.
    Create,
    /// For reading and writing, made if need be.
    Write,
}

/// A device and a number on it. While a file is open no other one gets its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId(pub(crate) u64, pub(crate) u64);

/// An open file. Positions are explicit, so that any number of threads may use one handle.
pub(crate) trait Handle: Debug + Send + Sync {
    /// Reads at `offset`; fewer bytes than asked for is no error.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Reads at `offset` what the page cache holds, without waiting for the disk: `WouldBlock` otherwise.
    fn read_cached_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Tells the system whether to read ahead of what is asked for. It is a hint, and holds for this handle.
    fn read_ahead(&self, _ahead: bool) {}
    /// Writes at `offset`; fewer bytes than given is no error.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Writes at `offset` what is in `buffers`, one after the other; fewer bytes than given is no error.
    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        buffers.iter().find(|buffer| !buffer.is_empty()).map_or(Ok(0), |buffer| self.write_at(buffer, offset))
    }
    /// Reserves the blocks of the first `len` bytes, so that writing them cannot run out of space.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Makes the file `len` bytes long.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// How long the file is.
    fn len(&self) -> io::Result<u64>;
    /// Returns once the content is on the disk.
    fn sync(&self) -> io::Result<()>;
    /// Tells the file from every other of its file system that is there or open.
    fn id(&self) -> io::Result<FileId>;
    /// Takes the exclusive lock of the file; false when another process has it. It goes with the handle.
    fn try_lock(&self) -> io::Result<bool>;
}

/// A file system.
pub(crate) trait Files: Debug + Send + Sync {
    /// Opens a file.
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn Handle>>;
    /// Opens a file for reading if that can be done without waiting for the disk: `WouldBlock` otherwise.
    fn open_cached(&self, path: &Path) -> io::Result<Arc<dyn Handle>>;
    /// Removes a file. Whoever has it open may go on reading.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Gives a file another name, in the place of the one that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// The names in a folder, in no order.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Makes a folder and those above it.
    fn make_folder(&self, folder: &Path) -> io::Result<()>;
    /// Bytes that the file system of `folder` has left for this user; `u64::MAX` when it does not say.
    fn free(&self, folder: &Path) -> io::Result<u64>;
    /// Returns once the names in a folder are on the disk.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// Reads exactly `buffer.len()` bytes; the end of the file before that is an error.
pub(crate) fn read_exact(file: &dyn Handle, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match file.read_at(buffer, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                buffer = &mut buffer[read..];
                offset = offset.saturating_add(read as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads up to `buffer.len()` bytes: fewer only at the end of the file.
pub(crate) fn read_full(file: &dyn Handle, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset.saturating_add(done as u64)) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Writes all of `bytes`.
pub(crate) fn write_all(file: &dyn Handle, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                offset = offset.saturating_add(written as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The most buffers of one call (`IOV_MAX` of Linux).
const MAX_BUFFERS: usize = 1024;

/// Writes all of what is in `buffers`, one after the other.
pub(crate) fn write_all_vectored(
    file: &dyn Handle,
    mut buffers: &mut [IoSlice<'_>],
    mut offset: u64,
) -> io::Result<()> {
    // Drops those that are empty.
    IoSlice::advance_slices(&mut buffers, 0);
    while !buffers.is_empty() {
        match file.write_vectored_at(&buffers[..buffers.len().min(MAX_BUFFERS)], offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                IoSlice::advance_slices(&mut buffers, written);
                offset = offset.saturating_add(written as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The file system of this machine.
#[derive(Debug)]
pub(crate) struct RealFiles;

impl Files for RealFiles {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn Handle>> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).mode(0o600);
        match mode {
            Mode::Read => &mut options,
            Mode::Create => options.write(true).create_new(true),
            Mode::Write => options.write(true).create(true),
        };
        Ok(Arc::new(options.open(path)?))
    }

    fn open_cached(&self, path: &Path) -> io::Result<Arc<dyn Handle>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match openat2(CWD, path, flags, rustix::fs::Mode::empty(), ResolveFlags::CACHED) {
            Ok(file) => Ok(Arc::new(File::from(file))),
            // Kernels before 5.12 do not know the flag, those before 5.6 and some sandboxes not the call.
            Err(Errno::AGAIN | Errno::INVAL | Errno::NOSYS | Errno::PERM) => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder)
    }

    fn free(&self, folder: &Path) -> io::Result<u64> {
        let fs = rustix::fs::statvfs(folder)?;
        // Some network file systems have no numbers.
        Ok(if fs.f_blocks == 0 { u64::MAX } else { fs.f_bavail.saturating_mul(fs.f_frsize.max(1)) })
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

impl Handle for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }

    fn read_cached_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut buffers = [io::IoSliceMut::new(buffer)];
        match rustix::io::preadv2(self, &mut buffers, offset, ReadWriteFlags::NOWAIT) {
            // Some file systems do not know the flag: to them everything is on the disk.
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS) => Err(io::ErrorKind::WouldBlock.into()),
            read => Ok(read?),
        }
    }

    fn read_ahead(&self, ahead: bool) {
        let advice = if ahead { Advice::Normal } else { Advice::Random };
        // Without it more is read than is needed: no harm.
        let _ = fadvise(self, 0, None, advice);
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pwritev(self, buffers, offset)?)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(self, FallocateFlags::empty(), 0, len) {
            // Then ENOSPC shows later, at a write.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => File::set_len(self, len),
            done => Ok(done?),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn id(&self) -> io::Result<FileId> {
        let metadata = self.metadata()?;
        Ok(FileId(metadata.dev(), metadata.ino()))
    }

    fn try_lock(&self) -> io::Result<bool> {
        match rustix::fs::flock(self, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
