//! Files that fail when they are told to.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};

use parking_lot::{Condvar, Mutex};

use super::{FileId, Files, Handle, Mode, RealFiles};

/// What happens at the chosen call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails with this number, once.
    Once(i32),
    /// It and every later call of its kind (reading or changing) fail with this number.
    From(i32),
    /// It and every later write find no space, until a file is removed.
    Full,
    /// It transfers half of the bytes, which is no error.
    Short,
    /// It transfers half of the bytes; after that nothing works any more: the process is dead.
    Death,
}

#[derive(Debug)]
struct Plan {
    fault: Fault,
    /// Calls until it happens; it has happened once this is negative.
    left: AtomicI64,
    /// Only calls that change something count.
    writes_only: AtomicBool,
    calls: AtomicU64,
    happened: AtomicBool,
    /// Writes and syncs hang as long as this is set.
    hangs: Mutex<bool>,
    goes_on: Condvar,
    /// Nothing is in the page cache.
    cold: AtomicBool,
    /// What the file system says that it has left, when it is to say something else than the truth.
    free: AtomicU64,
}

/// What a call is to do.
enum Verdict {
    Work,
    Half,
}

impl Plan {
    /// As long as the disk hangs.
    fn wait(&self) {
        self.goes_on.wait_while(&mut self.hangs.lock(), |hangs| *hangs);
    }

    /// A call that takes space.
    fn grow(&self) -> io::Result<Verdict> {
        if self.fault == Fault::Full && self.left.load(SeqCst) <= 0 {
            self.happened.store(true, SeqCst);
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.call(true)
    }

    fn call(&self, changes: bool) -> io::Result<Verdict> {
        if self.fault == Fault::Full {
            return Ok(Verdict::Work);
        }
        if self.writes_only.load(SeqCst) && !changes {
            return Ok(Verdict::Work);
        }
        self.calls.fetch_add(1, SeqCst);
        let left = self.left.fetch_sub(1, SeqCst);
        if left > 0 {
            return Ok(Verdict::Work);
        }
        let first = left == 0;
        if first {
            self.happened.store(true, SeqCst);
        }
        match self.fault {
            Fault::Once(number) if first => Err(io::Error::from_raw_os_error(number)),
            Fault::From(number) => Err(io::Error::from_raw_os_error(number)),
            Fault::Short | Fault::Death if first => Ok(Verdict::Half),
            Fault::Death => Err(io::Error::other("the process is dead")),
            Fault::Once(_) | Fault::Short | Fault::Full => Ok(Verdict::Work),
        }
    }
}

/// The real files, with one fault.
#[derive(Debug, Clone)]
pub(crate) struct FaultyFiles(Arc<Plan>);

impl FaultyFiles {
    /// The fault happens at call number `nth`, counted from 0. With `writes_only` calls that only read are not
    /// counted and never fail.
    pub(crate) fn new(fault: Fault, nth: u64, writes_only: bool) -> Self {
        Self(Arc::new(Plan {
            fault,
            left: AtomicI64::new(i64::try_from(nth).unwrap_or(i64::MAX)),
            writes_only: AtomicBool::new(writes_only),
            calls: AtomicU64::new(0),
            happened: AtomicBool::new(false),
            hangs: Mutex::new(false),
            goes_on: Condvar::new(),
            cold: AtomicBool::new(false),
            free: AtomicU64::new(u64::MAX),
        }))
    }

    /// Files that work until [`break_now`](Self::break_now).
    pub(crate) fn sound(fault: Fault, writes_only: bool) -> Self {
        Self::new(fault, u64::MAX, writes_only)
    }

    /// The next call fails.
    pub(crate) fn break_now(&self) {
        self.0.left.store(0, SeqCst);
    }

    /// From now on writes and syncs hang, until [`go_on`](Self::go_on).
    pub(crate) fn hang(&self) {
        *self.0.hangs.lock() = true;
    }

    pub(crate) fn go_on(&self) {
        *self.0.hangs.lock() = false;
        self.0.goes_on.notify_all();
    }

    /// From now on the page cache has nothing.
    pub(crate) fn chill(&self) {
        self.0.cold.store(true, SeqCst);
    }

    /// From now on the file system has `bytes` left.
    pub(crate) fn leave(&self, bytes: u64) {
        self.0.free.store(bytes, SeqCst);
    }

    /// Nothing fails any more.
    pub(crate) fn mend(&self) {
        self.0.left.store(i64::MAX, SeqCst);
    }

    pub(crate) fn fault(&self) -> Fault {
        self.0.fault
    }

    pub(crate) fn calls(&self) -> u64 {
        self.0.calls.load(SeqCst)
    }

    pub(crate) fn happened(&self) -> bool {
        self.0.happened.load(SeqCst)
    }
}

impl Files for FaultyFiles {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn Handle>> {
        self.0.call(mode == Mode::Create)?;
        Ok(Arc::new(FaultyHandle { file: RealFiles.open(path, mode)?, plan: Arc::clone(&self.0) }))
    }
    fn open_cached(&self, path: &Path) -> io::Result<Arc<dyn Handle>> {
        self.0.call(false)?;
        Ok(Arc::new(FaultyHandle { file: RealFiles.open_cached(path)?, plan: Arc::clone(&self.0) }))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.call(true)?;
        if self.0.fault == Fault::Full {
            self.mend();
        }
        RealFiles.remove(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.call(true)?;
        RealFiles.rename(from, to)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.0.call(false)?;
        RealFiles.list(folder)
    }
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        self.0.call(true)?;
        RealFiles.make_folder(folder)
    }
    fn free(&self, _: &Path) -> io::Result<u64> {
        Ok(self.0.free.load(SeqCst))
    }
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.0.call(true)?;
        RealFiles.sync_folder(folder)
    }
}

#[derive(Debug)]
struct FaultyHandle {
    file: Arc<dyn Handle>,
    plan: Arc<Plan>,
}

impl Handle for FaultyHandle {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let len = match self.plan.call(false)? {
            Verdict::Work => buffer.len(),
            Verdict::Half => buffer.len().div_ceil(2),
        };
        self.file.read_at(&mut buffer[..len], offset)
    }
    fn read_cached_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.plan.cold.load(SeqCst) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let len = match self.plan.call(false)? {
            Verdict::Work => buffer.len(),
            Verdict::Half => buffer.len().div_ceil(2),
        };
        self.file.read_cached_at(&mut buffer[..len], offset)
    }
    fn read_ahead(&self, ahead: bool) {
        self.file.read_ahead(ahead);
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.plan.wait();
        let len = match self.plan.grow()? {
            Verdict::Work => bytes.len(),
            Verdict::Half => bytes.len().div_ceil(2),
        };
        self.file.write_at(&bytes[..len], offset)
    }
    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        self.plan.wait();
        let all: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        let mut left = match self.plan.grow()? {
            Verdict::Work => all,
            Verdict::Half => all.div_ceil(2),
        };
        let mut some = Vec::new();
        for buffer in buffers {
            let now = buffer.len().min(left);
            some.push(IoSlice::new(&buffer[..now]));
            left -= now;
        }
        self.file.write_vectored_at(&some, offset)
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.plan.grow()?;
        self.file.allocate(len)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.plan.call(true)?;
        self.file.set_len(len)
    }
    fn len(&self) -> io::Result<u64> {
        self.plan.call(false)?;
        self.file.len()
    }
    fn id(&self) -> io::Result<FileId> {
        self.plan.call(false)?;
        self.file.id()
    }
    fn sync(&self) -> io::Result<()> {
        self.plan.wait();
        self.plan.call(true)?;
        self.file.sync()
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }
}
