//! The disks of a store: which one a URL belongs to, and purges on all of them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;

use crate::disk::io::Files;
use crate::disk::stats::DiskStats;
use crate::disk::{Config, Disk, DiskError, Shared};
use crate::purges::{Purge, Scope};
use crate::storage::Names;

/// Purges that may wait to be recorded. Beyond it a purge is refused.
const PURGE_QUEUE: usize = 4096;

/// How long recording a purge may take.
const RECORD_PATIENCE: Duration = Duration::from_secs(30);

type Recorded = oneshot::Sender<bool>;

/// A purge on its way to the journals.
#[derive(Debug)]
#[must_use = "a purge is done when it is recorded"]
pub(crate) struct Recording(oneshot::Receiver<bool>);

impl Recording {
    /// Whether no restart will undo it.
    pub(crate) async fn done(self) -> bool {
        matches!(tokio::time::timeout(RECORD_PATIENCE, self.0).await, Ok(Ok(true)))
    }
}

/// All disks. A URL and its variants are on one of them, chosen by rendezvous hashing: when a disk goes out of use,
/// only its own URLs move.
pub(crate) struct Disks {
    disks: Vec<Arc<Disk>>,
    weights: Vec<f64>,
    /// Those that could not be had at the start.
    absent: Vec<DiskStats>,
    shared: Shared,
    to_record: crossbeam_channel::Sender<(Purge, Recorded)>,
}

impl std::fmt::Debug for Disks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Disks").field(&self.disks).finish()
    }
}

impl Disks {
    /// Opens all disks, learns the purges of each, and starts them. One that is full, fails or is read-only is left out: it
    /// costs hits, and no start.
    pub(crate) fn open(
        files: &Arc<dyn Files>,
        wanted: &[(&Path, Config)],
        shared: Shared,
    ) -> Result<Self, DiskError> {
        let mut absent = Vec::new();
        let mut or_absent = |error: DiskError, path: &Path, config: &Config| {
            if !error.is_trouble() {
                return Err(error);
            }
            log::error!("disk {} is not used until the next start: {error}", path.display());
            absent.push(DiskStats::absent(path, config.size));
            Ok(())
        };
        let mut opened = Vec::new();
        for (number, (path, config)) in wanted.iter().enumerate() {
            match Disk::open(Arc::clone(files), number, path, config.clone(), &shared) {
                Ok(disk) => opened.push((disk, *path, config)),
                Err(error) => or_absent(error, path, config)?,
            }
        }
        let (mut disks, mut weights) = (Vec::new(), Vec::new());
        for (disk, path, config) in opened {
            match disk.start() {
                Ok(disk) => {
                    disks.push(disk);
                    weights.push(config.size as f64);
                }
                Err(error) => or_absent(error, path, config)?,
            }
        }
        let (to_record, todo) = crossbeam_channel::bounded::<(Purge, Recorded)>(PURGE_QUEUE);
        let recorders = disks.clone();
        let run = move || {
            while let Ok(first) = todo.recv() {
                // All that wait share one write and one sync.
                let (purges, done): (Vec<Purge>, Vec<Recorded>) =
                    std::iter::once(first).chain(todo.try_iter()).unzip();
                let recorded = record(&recorders, &purges);
                for done in done {
                    let _ = done.send(recorded);
                }
                recorders.iter().filter(|disk| disk.is_usable()).for_each(|disk| disk.ready_journal());
            }
        };
        std::thread::Builder::new().name("disk-purges".into()).spawn(run).map_err(|source| {
            DiskError::Io {
                path: disks.first().map(|disk| disk.root().to_owned()).unwrap_or_default(),
                source,
            }
        })?;
        Ok(Self { disks, weights, absent, shared, to_record })
    }

    pub(crate) fn all(&self) -> &[Arc<Disk>] {
        &self.disks
    }

    /// The disk that a URL belongs to; none when all are out of use.
    pub(crate) fn of(&self, family: u128) -> Option<&Arc<Disk>> {
        if let [only] = &self.disks[..] {
            return Some(only).filter(|disk| disk.is_usable());
        }
        let usable = self.disks.iter().zip(&self.weights).filter(|(disk, _)| disk.is_usable());
        let score = |disk: &Disk, weight: f64| weight / -unit(family, disk.root()).ln();
        usable.max_by(|a, b| score(a.0, *a.1).total_cmp(&score(b.0, *b.1))).map(|(disk, _)| disk)
    }

    /// Purges `names`, hard or as stale since `soft`. It holds at once, for the disks; what is handed out tells
    /// whether anything was there, and waits until it is recorded for good.
    pub(crate) fn purge(&self, names: Names, soft: Option<SystemTime>) -> (bool, Recording) {
        let epoch = self.shared.clock.advance();
        let purge = match soft {
            None => Purge::hard(Scope::Url, names.key, epoch),
            Some(since) => Purge::soft(Scope::Url, names.key, epoch, since),
        };
        self.shared.purges.add(&purge);
        let there = match self.of(names.family) {
            Some(disk) if soft.is_some() => disk.may_have(names.key),
            Some(disk) => disk.forget(names.key),
            None => false,
        };
        (there, self.recorded(purge))
    }

    /// Purges everything. Hands out how many objects went.
    pub(crate) fn purge_all(&self) -> (u64, Recording) {
        let purge = Purge::hard(Scope::Everything, 0, self.shared.clock.advance());
        self.shared.purges.add(&purge);
        let gone = self.disks.iter().map(|disk| disk.forget_all()).sum();
        (gone, self.recorded(purge))
    }

    /// What waits until a purge that is in the table is recorded for good.
    pub(crate) fn recorded(&self, purge: Purge) -> Recording {
        let (done, answer) = oneshot::channel();
        // A queue that is full drops `done`, and the answer is no.
        let _ = self.to_record.try_send((purge, done));
        Recording(answer)
    }

    /// Whether there may be an object with this key, or one that has not been found again yet.
    pub(crate) fn may_have(&self, names: Names) -> bool {
        self.of(names.family).is_some_and(|disk| disk.may_have(names.key) || !disk.is_recovered())
    }

    /// Forgets one key, without a word to the future.
    pub(crate) fn forget(&self, names: Names) -> bool {
        self.of(names.family).is_some_and(|disk| disk.forget(names.key))
    }

    pub(crate) fn stats(&self) -> Vec<DiskStats> {
        self.disks.iter().map(|disk| disk.stats()).chain(self.absent.iter().cloned()).collect()
    }

    /// Leaves the folders to a younger process.
    pub(crate) fn step_down(&self) {
        self.disks.iter().for_each(|disk| disk.step_down());
    }

    /// Makes what is there findable for a process that opens the folders now.
    pub(crate) fn seal(&self) {
        self.disks.iter().for_each(|disk| disk.seal());
    }

    /// Writes what waits, and ends.
    pub(crate) fn close(&self) {
        self.disks.iter().for_each(|disk| disk.close());
    }
}

/// Records purges on every disk: what one disk missed, the others tell it at the next start. Whether at least one has
/// them, and no disk that lacks them will be asked.
fn record(disks: &[Arc<Disk>], purges: &[Purge]) -> bool {
    let usable: Vec<&Arc<Disk>> = disks.iter().filter(|disk| disk.is_usable()).collect();
    let Some((first, others)) = usable.split_first() else { return false };
    // All at once: a purge waits for the slowest of them and not for their sum.
    std::thread::scope(|scope| {
        let spawn = |disk: &Arc<Disk>| {
            let disk = Arc::clone(disk);
            let run = move || disk.record_purges(purges);
            std::thread::Builder::new().name("disk-purge".into()).spawn_scoped(scope, run)
        };
        let running: Vec<_> = others.iter().map(|disk| (*disk, spawn(disk))).collect();
        let mut recorded = first.record_purges(purges);
        for (disk, thread) in running {
            recorded |= match thread {
                Ok(thread) => thread.join().unwrap_or(false),
                // No thread to be had: one after the other then.
                Err(_) => disk.record_purges(purges),
            };
        }
        recorded
    })
}

/// A number in (0, 1) that depends on the URL and the disk alone.
fn unit(family: u128, path: &Path) -> f64 {
    let mut bytes = family.to_le_bytes().to_vec();
    bytes.extend_from_slice(path.as_os_str().as_encoded_bytes());
    let hash = u128::from_le_bytes(pingora_cache::key::hash_key(bytes));
    ((hash >> 75) as f64 + 0.5) / (1u64 << 53) as f64
}
