//! The folder of a disk: its layout, its version, and who is in it.
//!
//! ```text
//! seawall-store          "seawall-store 1": what this folder is, and the version of its form
//! open.lock              held while a process finds its place here
//! evict.lock             held by the one process that may remove what others wrote
//! runs/RUN               a process: locked while it lives; holds the id of the boot it runs under
//! segments/RUN-N.small   records, and RUN-N.small.toc, their table of contents; `.main` likewise
//! objects/XX/SEQ         bodies in files of their own
//! purges/RUN             the purges that RUN acknowledged
//! ```
//!
//! A *run* is one process's stay. Each appends only to files that bear its number, so that two processes, as in
//! an upgrade, never write to one file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::health::is_full;
use super::io::{Files, Handle, Mode, read_full, write_all};
use super::segment::Class;

const MARK: &str = "seawall-store";
const VERSION: u32 = 1;
/// How long a process waits for another one that is just finding its place.
const PATIENCE: Duration = Duration::from_secs(10);
/// Names that a fresh file system or an unfinished start may have left.
const HARMLESS: [&str; 4] = ["lost+found", "open.lock", MARK, ".write-test"];

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file system call failed.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something else is in the folder.
    #[error("{0} is not empty and is not a Seawall store: give the disk tier a folder of its own")]
    Foreign(PathBuf),
    /// A newer version wrote it.
    #[error(
        "{path} has form {found} of the store and this version knows form {VERSION}: empty the folder to go back to this version"
    )]
    Newer {
        /// The folder.
        path: PathBuf,
        /// The version found.
        found: u32,
    },
    /// Another process keeps the entrance locked.
    #[error("{0} is being opened by another process that does not get done")]
    Busy(PathBuf),
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    let path = path.to_owned();
    move |source| FolderError::Io { doing, path, source }
}

/// An earlier process's stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) number: u32,
    /// It is over.
    pub(crate) dead: bool,
    /// The machine has not been started anew since, so what it wrote is there even if it was never synced.
    pub(crate) same_boot: bool,
}

/// A folder in use.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    run: u32,
    /// What this process holds as long as it stays.
    locks: Mutex<Option<Locks>>,
    others: Vec<Run>,
}

#[derive(Debug)]
struct Locks {
    _life: Arc<dyn Handle>,
    /// None once this process has stepped down.
    evict: Option<Arc<dyn Handle>>,
}

/// Lets the next process in when dropped.
#[derive(Debug)]
pub(crate) struct Entrance(#[expect(dead_code, reason = "it is the lock")] Arc<dyn Handle>);

impl Folder {
    /// Takes a place in `root`, which is made if need be. Others wait until the entrance is dropped.
    pub(crate) fn open(files: &dyn Files, root: &Path) -> Result<(Self, Entrance), FolderError> {
        files.make_folder(root).map_err(failed("make", root))?;
        let entrance = Self::enter(files, root)?;
        Self::check_version(files, root)?;
        Self::make_folders(files, root)?;
        let (others, highest) = Self::others(files, root)?;
        let run = highest.saturating_add(1);
        let path = root.join("runs").join(format!("{run:08x}"));
        let life = files.open(&path, Mode::Create).map_err(failed("make", &path))?;
        let locks = Self::lock(files, root, &path, life)?;
        Ok((Self { root: root.to_owned(), run, locks: Mutex::new(Some(locks)), others }, Entrance(entrance)))
    }

    /// Takes the locks of a stay, on its file `life` under `path`.
    fn lock(
        files: &dyn Files,
        root: &Path,
        path: &Path,
        life: Arc<dyn Handle>,
    ) -> Result<Locks, FolderError> {
        // Others may just be looking whether this run is over.
        Self::wait_for(&*life, path, root)?;
        match write_all(&*life, boot_id().as_bytes(), 0) {
            // Without it the next process only looks more closely at what this one wrote.
            Err(error) if is_full(&error) => {}
            written => written.map_err(failed("write", path))?,
        }
        let path = root.join("evict.lock");
        let evict = files.open(&path, Mode::Write).map_err(failed("open", &path))?;
        Ok(Locks { _life: life, evict: Some(evict) })
    }

    /// Whether what this process has put there is still there.
    pub(crate) fn is_whole(&self, files: &dyn Files) -> io::Result<bool> {
        for path in [self.life(self.run), self.segments_folder(), self.purges(self.run), self.root.join(MARK)]
        {
            match files.open(&path, Mode::Read) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                there => drop(there?),
            }
        }
        Ok(true)
    }

    /// Makes the folder again, and takes the same place in it, after it was removed. Others wait until the entrance is dropped.
    pub(crate) fn renew(&self, files: &dyn Files) -> Result<Entrance, FolderError> {
        let root = &self.root;
        files.make_folder(root).map_err(failed("make", root))?;
        let entrance = Self::enter(files, root)?;
        Self::mark(files, root)?;
        Self::make_folders(files, root)?;
        let path = self.life(self.run);
        let life = files.open(&path, Mode::Write).map_err(failed("make", &path))?;
        let mut locks = self.locks.lock();
        // It may be the file that is locked already.
        *locks = None;
        *locks = Some(Self::lock(files, root, &path, life)?);
        Ok(Entrance(entrance))
    }

    fn make_folders(files: &dyn Files, root: &Path) -> Result<(), FolderError> {
        for name in ["runs", "segments", "objects", "purges"] {
            let folder = root.join(name);
            files.make_folder(&folder).map_err(failed("make", &folder))?;
        }
        Ok(())
    }

    fn enter(files: &dyn Files, root: &Path) -> Result<Arc<dyn Handle>, FolderError> {
        let path = root.join("open.lock");
        let lock = files.open(&path, Mode::Write).map_err(failed("open", &path))?;
        Self::wait_for(&*lock, &path, root)?;
        Ok(lock)
    }

    fn wait_for(lock: &dyn Handle, path: &Path, root: &Path) -> Result<(), FolderError> {
        let began = Instant::now();
        while !lock.try_lock().map_err(failed("lock", path))? {
            if began.elapsed() > PATIENCE {
                return Err(FolderError::Busy(root.to_owned()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn check_version(files: &dyn Files, root: &Path) -> Result<(), FolderError> {
        let names = files.list(root).map_err(failed("list", root))?;
        let path = root.join(MARK);
        let mark = files.open(&path, Mode::Write).map_err(failed("open", &path))?;
        let mut text = [0; 64];
        let got = read_full(&*mark, &mut text, 0).map_err(failed("read", &path))?;
        let whole = format!("{MARK} {VERSION}\n");
        // A start that was cut short may have left a part of the mark.
        let unfinished = got < whole.len() && whole.as_bytes().starts_with(&text[..got]);
        let harmless = names.iter().all(|name| HARMLESS.contains(&name.as_str()));
        if unfinished && (got == 0 || harmless) {
            if !harmless {
                // The mark was not there before.
                let _ = files.remove(&path);
                return Err(FolderError::Foreign(root.to_owned()));
            }
            return Self::mark(files, root);
        }
        let found = std::str::from_utf8(&text[..got])
            .ok()
            .and_then(|text| text.strip_prefix(MARK))
            .and_then(|rest| rest.trim().parse::<u32>().ok());
        match found {
            Some(VERSION) => Ok(()),
            Some(found) => Err(FolderError::Newer { path: root.to_owned(), found }),
            None => Err(FolderError::Foreign(root.to_owned())),
        }
    }

    /// Says what the folder is.
    fn mark(files: &dyn Files, root: &Path) -> Result<(), FolderError> {
        let path = root.join(MARK);
        let mark = files.open(&path, Mode::Write).map_err(failed("open", &path))?;
        write_all(&*mark, format!("{MARK} {VERSION}\n").as_bytes(), 0)
            .and_then(|()| mark.sync())
            .and_then(|()| files.sync_folder(root))
            .map_err(failed("write", &path))
    }

    /// The other runs, and the highest number that was ever used.
    fn others(files: &dyn Files, root: &Path) -> Result<(Vec<Run>, u32), FolderError> {
        let boot = boot_id();
        let mut highest = 0;
        let mut runs = Vec::new();
        for folder in ["runs", "segments", "purges"] {
            let folder_path = root.join(folder);
            for name in files.list(&folder_path).map_err(failed("list", &folder_path))? {
                let Some(number) = name.get(..8).and_then(|run| u32::from_str_radix(run, 16).ok()) else {
                    continue;
                };
                highest = highest.max(number);
                if folder == "runs" {
                    let path = folder_path.join(&name);
                    let file = files.open(&path, Mode::Write).map_err(failed("open", &path))?;
                    let dead = file.try_lock().map_err(failed("lock", &path))?;
                    let mut text = [0; 64];
                    let got = read_full(&*file, &mut text, 0).map_err(failed("read", &path))?;
                    runs.push(Run {
                        number,
                        dead,
                        same_boot: text[..got] == *boot.as_bytes() && !boot.is_empty(),
                    });
                }
            }
        }
        Ok((runs, highest))
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The number of this process's stay.
    pub(crate) fn run(&self) -> u32 {
        self.run
    }

    /// The stays that had not been cleared away when this one began.
    pub(crate) fn other_runs(&self) -> &[Run] {
        &self.others
    }

    /// Whether the process of `run`, another one, was alive when this stay began.
    pub(crate) fn lives(&self, run: u32) -> bool {
        self.others.iter().any(|other| other.number == run && !other.dead)
    }

    /// The segments that other runs wrote, the oldest first.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub(crate) fn segments_of_others(&self, files: &dyn Files) -> io::Result<Vec<(u32, u32, Class)>> {
        let names = files.list(&self.segments_folder())?;
        let mut segments: Vec<_> = names.iter().filter_map(|name| parse_segment(name)).collect();
        segments.retain(|(run, ..)| *run != self.run);
        segments.sort_unstable_by_key(|(run, number, _)| (*run, *number));
        Ok(segments)
    }

    /// The numbers of all runs that left a trace of life, this one apart.
    pub(crate) fn present_runs(&self, files: &dyn Files) -> io::Result<Vec<u32>> {
        let names = files.list(&self.root.join("runs"))?;
        let numbers = names.iter().filter_map(|name| u32::from_str_radix(name, 16).ok());
        Ok(numbers.filter(|number| *number != self.run).collect())
    }

    /// Whether the run with this number is over, as far as its lock tells now.
    pub(crate) fn is_over(&self, files: &dyn Files, run: u32) -> bool {
        match files.open(&self.life(run), Mode::Read) {
            Ok(file) => file.try_lock().unwrap_or(false),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Keeps others out while what is handed out lives; none when another process is in, or just on its way.
    pub(crate) fn keep_out(&self, files: &dyn Files) -> io::Result<Option<Entrance>> {
        let lock = files.open(&self.root.join("open.lock"), Mode::Write)?;
        if !lock.try_lock()? {
            return Ok(None);
        }
        let others = self.present_runs(files)?;
        Ok(others.into_iter().all(|run| self.is_over(files, run)).then(|| Entrance(lock)))
    }

    /// Tries to become the one process that may remove what others wrote.
    pub(crate) fn try_evict_lock(&self) -> io::Result<bool> {
        match self.locks.lock().as_ref().and_then(|locks| locks.evict.as_ref()) {
            Some(evict) => evict.try_lock(),
            None => Ok(false),
        }
    }

    /// Leaves the eviction to others from now on.
    pub(crate) fn leave_eviction(&self) {
        if let Some(locks) = self.locks.lock().as_mut() {
            locks.evict = None;
        }
    }

    /// Ends the stay: the locks are free from now on.
    pub(crate) fn leave(&self) {
        *self.locks.lock() = None;
    }

    pub(crate) fn life(&self, run: u32) -> PathBuf {
        self.root.join("runs").join(format!("{run:08x}"))
    }

    pub(crate) fn segments_folder(&self) -> PathBuf {
        self.root.join("segments")
    }

    pub(crate) fn segment(&self, run: u32, number: u32, class: Class) -> PathBuf {
        self.segments_folder().join(format!("{run:08x}-{number:08x}.{}", class.as_str()))
    }

    pub(crate) fn table(&self, run: u32, number: u32, class: Class) -> PathBuf {
        self.segments_folder().join(format!("{run:08x}-{number:08x}.{}.toc", class.as_str()))
    }

    pub(crate) fn objects_folder(&self) -> PathBuf {
        self.root.join("objects")
    }

    pub(crate) fn object(&self, seq: u64) -> PathBuf {
        self.objects_folder().join(format!("{:02x}", seq & 0xff)).join(format!("{seq:016x}"))
    }

    pub(crate) fn purges_folder(&self) -> PathBuf {
        self.root.join("purges")
    }

    /// Where a shorter journal of this run is made.
    pub(crate) fn fresh_purges(&self) -> PathBuf {
        self.purges_folder().join(format!("{:08x}.new", self.run))
    }

    pub(crate) fn purges(&self, run: u32) -> PathBuf {
        self.purges_folder().join(format!("{run:08x}"))
    }
}

/// The run, number and class in the name of a segment; none for anything else, tables among it.
pub(crate) fn parse_segment(name: &str) -> Option<(u32, u32, Class)> {
    let (numbers, class) = name.split_once('.')?;
    let (run, number) = numbers.split_once('-')?;
    Some((u32::from_str_radix(run, 16).ok()?, u32::from_str_radix(number, 16).ok()?, Class::from_str(class)?))
}

/// Tells boots of the machine apart; empty where the system does not say.
fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::io::RealFiles;

    fn open(root: &Path) -> Result<Folder, FolderError> {
        Folder::open(&RealFiles, root).map(|(folder, _)| folder)
    }

    #[test]
    fn a_new_folder_is_made_and_runs_are_numbered() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        let first = open(&path).unwrap();
        assert_eq!(first.run(), 1);
        assert!(first.other_runs().is_empty());
        let second = open(&path).unwrap();
        assert_eq!(second.run(), 2);
        assert_eq!(second.other_runs(), [Run { number: 1, dead: false, same_boot: true }]);
        assert!(first.try_evict_lock().unwrap());
        assert!(!second.try_evict_lock().unwrap());
        assert!(!second.is_over(&RealFiles, 1));
        drop(first);
        assert!(second.is_over(&RealFiles, 1));
        assert!(second.try_evict_lock().unwrap());
        drop(second);
        let third = open(&path).unwrap();
        assert!(third.other_runs().iter().all(|run| run.dead));
        assert_eq!(third.run(), 3);
    }

    #[test]
    fn foreign_and_newer_folders_are_refused_and_left_alone() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("precious"), "x").unwrap();
        assert!(matches!(open(root.path()), Err(FolderError::Foreign(_))));
        assert!(!root.path().join(MARK).exists());
        assert!(!root.path().join("runs").exists());
        std::fs::write(root.path().join(MARK), "seawall-st").unwrap();
        assert!(matches!(open(root.path()), Err(FolderError::Foreign(_))));
        std::fs::remove_file(root.path().join("precious")).unwrap();
        assert!(open(root.path()).is_ok(), "a start that was cut short");
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join(MARK), "seawall-store 9\n").unwrap();
        assert!(matches!(open(root.path()), Err(FolderError::Newer { found: 9, .. })));
        std::fs::write(root.path().join(MARK), "other").unwrap();
        assert!(matches!(open(root.path()), Err(FolderError::Foreign(_))));
    }

    #[test]
    fn others_are_kept_out_unless_one_is_in_or_on_its_way() {
        let root = tempfile::tempdir().unwrap();
        let (first, entrance) = Folder::open(&RealFiles, root.path()).unwrap();
        let alone = || first.keep_out(&RealFiles).unwrap();
        assert!(alone().is_none(), "somebody is just finding a place");
        drop(entrance);
        let kept = alone().unwrap();
        let door = RealFiles.open(&root.path().join("open.lock"), Mode::Write).unwrap();
        assert!(!door.try_lock().unwrap(), "nobody comes in");
        drop((kept, door));
        let (second, entrance) = Folder::open(&RealFiles, root.path()).unwrap();
        drop(entrance);
        assert!(alone().is_none(), "another one is in");
        drop(second);
        assert!(alone().is_some());
    }

    #[test]
    fn names_are_read_back() {
        assert_eq!(parse_segment("0000000a-00000002.main"), Some((10, 2, Class::Main)));
        for name in ["0000000a-00000002.main.toc", "x-00000002.main", "0000000a.small", ""] {
            assert_eq!(parse_segment(name), None, "{name}");
        }
    }
}
