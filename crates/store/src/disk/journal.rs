//! The journal of purges: a purge is acknowledged once it is on the disk, so that no restart undoes it.
//!
//! Each run appends to a file of its own. At a start the files of all runs are read, and what they come to is
//! written into the file of the new run. Purges that arrive together share one write and one `fdatasync`.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::folder::Folder;
use super::io::{Files, Handle, Mode, read_full, write_all};

use super::record::{put, u32_at, u64_at, u128_at};
use crate::purges::Purge;

const LINE: usize = 48;
const MAGIC: u32 = u32::from_le_bytes(*b"SWRP");
const HARD: u8 = 1;
const SOFT: u8 = 2;

fn encode(purge: &Purge) -> [u8; LINE] {
    let mut out = [0; LINE];
    put(&mut out, 0, &MAGIC.to_le_bytes());
    put(&mut out, 4, &[if purge.stale_since.is_some() { SOFT } else { HARD }, purge.scope]);
    put(&mut out, 8, &purge.name.to_le_bytes());
    put(&mut out, 24, &purge.epoch.to_le_bytes());
    put(&mut out, 32, &purge.stale_since.unwrap_or(0).to_le_bytes());
    let crc = crc32fast::hash(&out[..44]);
    put(&mut out, 44, &crc.to_le_bytes());
    out
}

fn decode(bytes: &[u8]) -> Option<Purge> {
    let bytes = bytes.get(..LINE)?;
    if u32_at(bytes, 0)? != MAGIC || u32_at(bytes, 44)? != crc32fast::hash(&bytes[..44]) {
        return None;
    }
    let stale_since = match bytes[4] {
        HARD => None,
        SOFT => Some(u64_at(bytes, 32)?),
        _ => return None,
    };
    Some(Purge { scope: bytes[5], name: u128_at(bytes, 8)?, epoch: u64_at(bytes, 24)?, stale_since })
}

/// What a file of purges says.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) purges: Vec<Purge>,
    /// Bytes read that were sound.
    pub(crate) len: u64,
    /// A line in the middle is damaged: purges may be missing.
    pub(crate) damaged: bool,
}

/// Reads `file` from `offset` on. A tail that was cut short was never acknowledged and is left out; a bad line
/// with good ones behind it is damage.
pub(crate) fn read(file: &dyn Handle, offset: u64) -> io::Result<Told> {
    let len = usize::try_from(file.len()?.saturating_sub(offset)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; len];
    let got = read_full(file, &mut bytes, offset)?;
    let mut told = Told { len: offset, ..Told::default() };
    let mut bad = false;
    for line in bytes[..got].chunks(LINE) {
        match decode(line) {
            Some(_) if bad => {
                told.damaged = true;
                break;
            }
            Some(purge) => {
                told.purges.push(purge);
                told.len = told.len.saturating_add(LINE as u64);
            }
            None => bad = true,
        }
    }
    Ok(told)
}

/// A journal up to this size is not worth being shortened.
const SHORT: u64 = 1 << 20;

/// The file of this run.
#[derive(Debug)]
pub(crate) struct Journal {
    file: Arc<dyn Handle>,
    len: u64,
}

impl Journal {
    /// Starts the file of this run with `purges`; returns once it is on the disk.
    pub(crate) fn start(files: &dyn Files, folder: &Folder, purges: &[Purge]) -> io::Result<Self> {
        let file = files.open(&folder.purges(folder.run()), Mode::Create)?;
        let mut journal = Self { file, len: 0 };
        journal.append(purges)?;
        files.sync_folder(&folder.purges_folder())?;
        Ok(journal)
    }

    /// Whether most of it is about purges that `live` no longer has.
    pub(crate) fn is_long(&self, live: usize) -> bool {
        self.len > SHORT && self.len / 4 > (live as u64).saturating_mul(LINE as u64)
    }

    /// Starts anew with `purges`, in one step: at any moment the old file or the new one is there.
    pub(crate) fn shorten(&mut self, files: &dyn Files, folder: &Folder, purges: &[Purge]) -> io::Result<()> {
        let (path, fresh) = (folder.purges(folder.run()), folder.fresh_purges());
        let mut journal = Self { file: files.open(&fresh, Mode::Write)?, len: 0 };
        journal.file.set_len(0)?;
        journal.append(purges)?;
        files.rename(&fresh, &path)?;
        files.sync_folder(&folder.purges_folder())?;
        *self = journal;
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn swap_file(&mut self, file: Arc<dyn Handle>) {
        self.file = file;
    }

    /// Appends `purges`; returns once they are on the disk. After an error the same place is written again.
    pub(crate) fn append(&mut self, purges: &[Purge]) -> io::Result<()> {
        let bytes: Vec<u8> = purges.iter().flat_map(encode).collect();
        write_all(&*self.file, &bytes, self.len)?;
        self.file.sync()?;
        self.len = self.len.saturating_add(bytes.len() as u64);
        Ok(())
    }
}

/// The journal of another run that may still grow.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) run: u32,
    path: PathBuf,
    read: u64,
}

impl Tail {
    pub(crate) fn new(run: u32, path: PathBuf, read: u64) -> Self {
        Self { run, path, read }
    }

    /// What was added since the last time.
    pub(crate) fn more(&mut self, files: &dyn Files) -> io::Result<Vec<Purge>> {
        let file = match files.open(&self.path, Mode::Read) {
            // Not begun yet, or taken over by a later run.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            file => file?,
        };
        if file.len()? < self.read {
            // It was shortened.
            self.read = 0;
        }
        let told = read(&*file, self.read)?;
        self.read = told.len;
        Ok(told.purges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::purges::Scope;
    use std::time::SystemTime;

    #[test]
    fn a_long_journal_is_shortened_and_followed() {
        let root = tempfile::tempdir().unwrap();
        let files = crate::disk::io::RealFiles;
        let (folder, _) = Folder::open(&files, root.path()).unwrap();
        let mut journal = Journal::start(&files, &folder, &[]).unwrap();
        let mut tail = Tail::new(1, folder.purges(1), 0);
        let purges: Vec<Purge> = (0..40_000u64).map(|n| Purge::hard(Scope::Url, 7, n)).collect();
        journal.append(&purges).unwrap();
        assert_eq!(tail.more(&files).unwrap().len(), 40_000);
        assert!(journal.is_long(1) && !journal.is_long(20_000));
        journal.shorten(&files, &folder, &purges[39_999..]).unwrap();
        journal.append(&purges[..1]).unwrap();
        assert_eq!(tail.more(&files).unwrap(), [purges[39_999], purges[0]]);
        assert_eq!(std::fs::read_dir(folder.purges_folder()).unwrap().count(), 1);
        assert!(!journal.is_long(0), "it is short now");
    }

    #[test]
    fn a_torn_tail_is_cut_and_damage_is_told() {
        let file = tempfile::tempfile().unwrap();
        let purges: Vec<Purge> = (0..10u64)
            .map(|n| {
                let hard = Purge::hard(Scope::Url, u128::from(n), n);
                if n.is_multiple_of(2) { hard } else { Purge::soft(Scope::Url, 5, n, SystemTime::now()) }
            })
            .collect();
        let bytes: Vec<u8> = purges.iter().flat_map(encode).collect();
        write_all(&file, &bytes, 0).unwrap();
        assert_eq!(read(&file, 0).unwrap().purges, purges);
        file.set_len(bytes.len() as u64 - 1).unwrap();
        let told = read(&file, 0).unwrap();
        assert!(!told.damaged);
        assert_eq!((told.purges.len(), told.len), (9, 9 * LINE as u64));
        write_all(&file, &[0xff], 100).unwrap();
        let told = read(&file, 0).unwrap();
        assert!(told.damaged);
        assert_eq!(told.purges.len(), 2);
    }
}
