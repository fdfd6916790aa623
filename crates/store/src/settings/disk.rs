//! What an operator may set about a disk.

use std::path::{Path as FilePath, PathBuf};

use rustix::io::Errno;
use schemars::JsonSchema;
use seawall_config::units::{ByteSize, Span};
use seawall_config::{Diagnostics, Path};
use serde::{Deserialize, Serialize};

use super::StoreSettings;
use crate::disk::Config;

/// The smallest disk that makes sense: sixteen segments of the smallest size.
const MIN_SIZE: ByteSize = ByteSize::mib(16);
const MIN_SEGMENT: ByteSize = ByteSize::mib(1);
const MAX_SEGMENT: ByteSize = ByteSize::mib(1024);
const SEGMENT: ByteSize = ByteSize::mib(256);
/// A segment of this size holds bodies of 1 MiB, which is as much as memory keeps by default.
const AMPLE_SEGMENT: ByteSize = ByteSize::mib(4);
/// Segments that a disk is split into by default: three of them are being written or kept free, and eviction goes segment
/// by segment. With 16 a small disk found 5 of 100 requests less.
const SEGMENTS: u64 = 64;
/// Segments that a disk is split into at least.
const MIN_SEGMENTS: u64 = 16;
const MAX_THREADS: u32 = 256;
/// Fewer requests than this are forgotten before anything could be asked for again.
const MIN_ADMISSION_KEYS: u32 = 1024;
/// What even a small disk remembers, in 256 KiB.
const ADMISSION_KEYS: u32 = 1 << 16;
/// These take 256 MiB of memory.
const MAX_ADMISSION_KEYS: u32 = 1 << 26;

/// What a disk takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiskAdmission {
    /// Every response that is stored.
    #[default]
    All,
    /// What is asked for a second time: fetched again, or found in memory.
    SecondRequest,
}

/// A disk for cached responses: a folder of its own, and how much of it to use.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DiskSettings {
    /// The folder. It is made if it does not exist, and must hold nothing else. A relative path starts from the folder
    /// Seawall is started in.
    pub path: PathBuf,
    /// Bytes of it that the cache may take, tables and reserved space included.
    pub size: ByteSize,
    /// Bytes of one segment file: what is evicted at a time. A 64th of `size` when absent, from 4MiB to 256MiB, but never
    /// more than a sixteenth of `size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment: Option<ByteSize>,
    /// What the disk takes. `all`: every response that is stored. `second_request`: only what is asked for a second time; the
    /// first time it is kept in memory alone, and passed through uncached if it is larger than `memory_object`. Less is
    /// written so, which spares flash, and a large disk has fewer hits.
    pub admission: DiskAdmission,
    /// First requests that are remembered with `admission: second_request`: the last so many at least, and up to twice as
    /// many, in 4 bytes of memory each; rounded up to a power of two. One for each 32KiB of `size` when absent, and at least
    /// 65536.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admission_keys: Option<u32>,
    /// Threads that read from this disk when the page cache does not have it.
    pub io_threads: u32,
    /// Reads that may wait for these threads. Beyond it a lookup is a miss.
    pub io_queue: u32,
    /// Bytes read for clients that may wait to be taken by them, 64KiB to 256KiB of one. Beyond it clients get 16KiB at a
    /// time, which takes more reads and no more memory than that.
    pub read_buffer: ByteSize,
    /// Bytes of complete responses that may wait to be written. Beyond it new ones are kept in memory only.
    pub write_buffer: ByteSize,
    /// Threads that write large responses into files of their own, and as many that sync them.
    pub write_threads: u32,
    /// Bytes of large responses on their way in that may wait to be written, all together; a quarter of it of one. When the
    /// disk is further behind, a response is not stored.
    pub fill_buffer: ByteSize,
    /// Large responses that are there as a whole and may wait to be synced. Beyond it new ones are not stored.
    pub fill_queue: u32,
    /// How long one large response may hold its clients up, in all, because the disk is behind. After that it goes on to them
    /// and is not stored. Write `1h` to slow them down to the disk instead.
    pub fill_patience: Span,
    /// Errors a minute that are forgiven. With more failed writes the disk is only read, with more failed reads it
    /// is not used any more, until the next start.
    pub error_budget: u32,
    /// Bytes that the file system keeps free for others, as far as the cache can: when less is free, the cache takes less
    /// than `size` and gives up what is oldest. As much as a segment when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_free: Option<ByteSize>,
}

impl Default for DiskSettings {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            size: ByteSize(0),
            segment: None,
            admission: DiskAdmission::All,
            admission_keys: None,
            io_threads: 8,
            io_queue: 1024,
            read_buffer: ByteSize::mib(32),
            write_buffer: ByteSize::mib(64),
            write_threads: 4,
            fill_buffer: ByteSize::mib(64),
            fill_queue: 256,
            fill_patience: Span::millis(250),
            error_budget: 16,
            min_free: None,
        }
    }
}

impl DiskSettings {
    /// A disk with all else as it is by default.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, size: ByteSize) -> Self {
        Self { path: path.into(), size, ..Self::default() }
    }

    /// Bytes of one segment.
    #[must_use]
    pub fn segment_bytes(&self) -> u64 {
        let (size, ample) = (self.size.bytes(), AMPLE_SEGMENT.bytes());
        let share = (size / SEGMENTS).max(ample.min(size / MIN_SEGMENTS));
        self.segment.map_or(share.clamp(MIN_SEGMENT.bytes(), SEGMENT.bytes()), ByteSize::bytes)
    }

    /// Whether both are on one folder, or one inside the other.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let place = |disk: &Self| {
            let there = disk.path.canonicalize().or_else(|_| std::path::absolute(&disk.path));
            there.unwrap_or_else(|_| disk.path.clone())
        };
        let (mine, theirs) = (place(self), place(other));
        let named = !mine.as_os_str().is_empty() && !theirs.as_os_str().is_empty();
        named && (mine.starts_with(&theirs) || theirs.starts_with(&mine))
    }

    /// One key for every 32 KiB: about the number of objects of a common mix.
    fn keys(&self) -> u32 {
        u32::try_from(self.size.bytes() >> 15).map_or(MAX_ADMISSION_KEYS, |keys| keys.min(MAX_ADMISSION_KEYS))
    }

    /// First requests that are remembered.
    #[must_use]
    pub fn admission_keys(&self) -> u32 {
        self.admission_keys.unwrap_or_else(|| self.keys().max(ADMISSION_KEYS))
    }

    pub(crate) fn config(&self, _: &StoreSettings) -> Config {
        Config {
            size: self.size.bytes(),
            segment: self.segment_bytes(),
            io_threads: self.io_threads as usize,
            io_queue: self.io_queue as usize,
            read_buffer: self.read_buffer.bytes(),
            write_buffer: self.write_buffer.bytes(),
            write_threads: self.write_threads as usize,
            fill_buffer: self.fill_buffer.bytes(),
            fill_queue: u64::from(self.fill_queue),
            fill_patience: self.fill_patience.duration(),
            error_budget: self.error_budget,
            ghosts: self.keys() as usize,
            remembered: match self.admission {
                DiskAdmission::All => None,
                DiskAdmission::SecondRequest => Some(self.admission_keys() as usize),
            },
            min_free: self.min_free.map_or(self.segment_bytes(), ByteSize::bytes),
        }
    }

    pub(super) fn check(&self, at: &Path, out: &mut Diagnostics) {
        if self.path.as_os_str().is_empty() {
            out.error(at, "a disk needs a `path`")
                .hint("name a folder of its own, such as `/var/cache/seawall`");
        }
        if self.size.bytes() == 0 {
            out.error(at, "a disk needs a `size`")
                .hint("say how much of the disk may be used, such as `20GiB`");
        } else if self.size < MIN_SIZE {
            out.error(&at.key("size"), format!("a disk needs at least {MIN_SIZE}"));
        } else if let Some(segment) = self.segment
            && (segment < MIN_SEGMENT
                || segment > MAX_SEGMENT
                || segment.bytes() > self.size.bytes() / (MIN_SEGMENTS / 2))
        {
            out.error(
                &at.key("segment"),
                format!("a segment is from {MIN_SEGMENT} to {MAX_SEGMENT}, and at most an eighth of `size`"),
            )
            .hint("remove the key: a 64th of `size`, from 4MiB to 256MiB, is the default");
        }
        if let Some(keys) = self.admission_keys {
            let at = at.key("admission_keys");
            if self.admission == DiskAdmission::All {
                out.error(&at, "`admission_keys` does nothing without `admission: second_request`").on_key();
            } else if !(MIN_ADMISSION_KEYS..=MAX_ADMISSION_KEYS).contains(&keys) {
                out.error(&at, format!("it must lie between {MIN_ADMISSION_KEYS} and {MAX_ADMISSION_KEYS}"))
                    .hint("remove the key: one for each 32KiB of `size`, and at least 65536, is the default");
            }
        }
        if self.io_threads == 0 || self.io_threads > MAX_THREADS {
            out.error(&at.key("io_threads"), format!("it must lie between 1 and {MAX_THREADS}"));
        }
        if self.io_queue == 0 {
            out.error(&at.key("io_queue"), "with no place in the queue nothing is read");
        }
        if self.read_buffer < ByteSize::mib(1) {
            out.error(&at.key("read_buffer"), "what clients have not taken yet needs at least 1MiB");
        }
        if self.write_buffer < ByteSize::mib(1) {
            out.error(&at.key("write_buffer"), "responses on their way to the disk need at least 1MiB");
        }
        if self.write_threads == 0 || self.write_threads > MAX_THREADS {
            out.error(&at.key("write_threads"), format!("it must lie between 1 and {MAX_THREADS}"));
        }
        if self.fill_buffer < ByteSize::mib(4) {
            out.error(&at.key("fill_buffer"), "large responses on their way in need at least 4MiB");
        }
        if self.fill_queue == 0 {
            out.error(&at.key("fill_queue"), "with no place in the queue no large response is stored");
        }
    }

    /// Reports what the machine says against it.
    pub(super) fn check_place(&self, at: &Path, out: &mut Diagnostics) {
        if self.path.as_os_str().is_empty() {
            return;
        }
        let at_path = at.key("path");
        let shown = self.path.display();
        let place = match std::path::absolute(&self.path) {
            Ok(place) => place,
            Err(error) => {
                out.error(
                    &at_path,
                    format!("`{shown}` starts from the folder Seawall is started in: {error}"),
                )
                .hint("write the whole path, such as `/var/cache/seawall`");
                return;
            }
        };
        if self.path.is_relative() && !place.exists() {
            out.warning(
                &at_path,
                format!(
                    "`{shown}` starts from the folder Seawall is started in, and is not there: it would be made \
                     as `{}`",
                    place.display()
                ),
            )
            .hint("write the whole path: then it is one folder, wherever Seawall is started");
        }
        let existing = place.ancestors().find(|folder| folder.exists()).unwrap_or(FilePath::new("/"));
        if !existing.is_dir() {
            out.error(&at_path, format!("`{}` is not a folder", existing.display()));
            return;
        }
        let writable = rustix::fs::access(existing, rustix::fs::Access::WRITE_OK);
        if writable == Err(Errno::ROFS) {
            out.warning(&at_path, format!("`{}` is on a read-only file system", existing.display()))
                .hint("as long as it is, Seawall starts without this disk");
            return;
        }
        if let Err(error) = writable {
            out.error(&at_path, format!("`{}` cannot be written to: {error}", existing.display()))
                .hint("give the folder to the user that Seawall runs as");
            return;
        }
        let Ok(fs) = rustix::fs::statvfs(existing) else { return };
        let block = fs.f_frsize.max(1);
        let (total, free) = (fs.f_blocks.saturating_mul(block), fs.f_bavail.saturating_mul(block));
        if self.size.bytes() > total {
            out.error(
                &at.key("size"),
                format!("{} is more than the whole file system has ({} MiB)", self.size, total >> 20),
            );
        } else if existing == place.as_path() {
            // What a store that is there already takes is not free, and still counts.
        } else if self.size.bytes() > free {
            out.warning(
                &at.key("size"),
                format!("{} is more than is free there ({} MiB)", self.size, free >> 20),
            )
            .hint("while the file system has less, the cache takes less");
        }
    }
}

/// Two disks on one folder, or one inside the other.
pub(super) fn check_apart(disks: &[DiskSettings], at: &Path, out: &mut Diagnostics) {
    for (i, disk) in disks.iter().enumerate() {
        for other in &disks[..i] {
            if disk.overlaps(other) {
                out.error(
                    &at.index(i).key("path"),
                    format!("`{}` is used by another disk", disk.path.display()),
                )
                .hint("each disk needs a folder of its own");
            }
        }
    }
}
