//! The journal of purges: a purge is acknowledged once it is on the disk, so that no restart undoes it.
//!
//! Each run appends to a file of its own. At a start the files of all runs are read, and what they come to is
//! written into the file of the new run. Purges that arrive together share one write and one `fdatasync`.
//!
//! What is appended overwrites zeros that are on the disk already, in whole pages. So nothing but the content has to be
//! synced: no size, no blocks, which have the file system commit its own journal, and with it what others write; and nothing
//! has to be read first.

use std::io;
use std::sync::Arc;

use super::folder::Folder;
use super::io::{Files, Handle, Mode, read_full, write_all};
use super::record::{put, u32_at, u64_at, u128_at};
use crate::purges::Purge;

const LINE: usize = 48;
const MAGIC: u32 = u32::from_le_bytes(*b"SWRP");
const HARD: u8 = 1;
const SOFT: u8 = 2;

/// A line. `place` is its place among those that are appended with it.
fn encode(place: usize, purge: &Purge) -> [u8; LINE] {
    let mut out = [0; LINE];
    put(&mut out, 0, &MAGIC.to_le_bytes());
    put(&mut out, 4, &[if purge.stale_since.is_some() { SOFT } else { HARD }, purge.scope]);
    put(&mut out, 8, &purge.name.to_le_bytes());
    put(&mut out, 24, &purge.epoch.to_le_bytes());
    put(&mut out, 32, &purge.stale_since.unwrap_or(0).to_le_bytes());
    put(&mut out, 40, &u32::try_from(place).unwrap_or(u32::MAX).to_le_bytes());
    let crc = crc32fast::hash(&out[..44]);
    put(&mut out, 44, &crc.to_le_bytes());
    out
}

fn encode_all(purges: &[Purge]) -> impl Iterator<Item = u8> {
    purges.iter().enumerate().flat_map(|(place, purge)| encode(place, purge))
}

/// The purge of a line, and its place.
fn decode(bytes: &[u8]) -> Option<(Purge, usize)> {
    let bytes = bytes.get(..LINE)?;
    if u32_at(bytes, 0)? != MAGIC || u32_at(bytes, 44)? != crc32fast::hash(&bytes[..44]) {
        return None;
    }
    let stale_since = match bytes[4] {
        HARD => None,
        SOFT => Some(u64_at(bytes, 32)?),
        _ => return None,
    };
    let purge = Purge { scope: bytes[5], name: u128_at(bytes, 8)?, epoch: u64_at(bytes, 24)?, stale_since };
    Some((purge, usize::try_from(u32_at(bytes, 40)?).ok()?))
}

/// What a file of purges says.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) purges: Vec<Purge>,
    /// Bytes read that were sound.
    pub(crate) len: u64,
    /// A line in the middle is damaged: purges may be missing. There it goes on.
    pub(crate) damaged: Option<u64>,
}

/// Reads `file` from `offset` on.
pub(crate) fn read(file: &dyn Handle, offset: u64) -> io::Result<Told> {
    let len = usize::try_from(file.len()?.saturating_sub(offset)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; len];
    let got = read_full(file, &mut bytes, offset)?;
    Ok(told(&bytes[..got], offset))
}

/// What `bytes` from `offset` on say. What was appended last may be there in parts: it was never acknowledged, and is left
/// out from the first bad line on. A bad line with something behind it that was appended later is damage.
fn told(bytes: &[u8], offset: u64) -> Told {
    let mut told = Told { len: offset, ..Told::default() };
    let mut first_bad = None;
    for (at, line) in bytes.chunks(LINE).enumerate() {
        match (decode(line), first_bad) {
            (Some((purge, _)), None) => {
                told.purges.push(purge);
                told.len = told.len.saturating_add(LINE as u64);
            }
            (Some((_, place)), Some(bad)) if at.checked_sub(place).is_some_and(|first| first > bad) => {
                told.damaged = Some(offset.saturating_add((at as u64).saturating_mul(LINE as u64)));
                break;
            }
            (None, None) => first_bad = Some(at),
            (_, Some(_)) => {}
        }
    }
    told
}

/// A journal up to this size is not worth being shortened.
const SHORT: u64 = 1 << 20;

/// What is written at once, so that a page that is not in memory need not be read.
const PAGE: usize = 4096;
/// Zeros written ahead: some 1300 purges.
const AHEAD: usize = 64 << 10;

/// The file of this run.
#[derive(Debug)]
pub(crate) struct Journal {
    file: Arc<dyn Handle>,
    len: u64,
    /// Bytes that are on the disk, zeros included.
    room: u64,
    /// The lines in the page that the next one goes to.
    page: Vec<u8>,
}

impl Journal {
    /// Starts the file of this run with `purges`; returns once it is on the disk.
    pub(crate) fn start(files: &dyn Files, folder: &Folder, purges: &[Purge]) -> io::Result<Self> {
        let file = files.open(&folder.purges(folder.run()), Mode::Create)?;
        let journal = Self::begin(file, purges)?;
        files.sync_folder(&folder.purges_folder())?;
        Ok(journal)
    }

    /// Writes `purges` and the room for more into an empty file.
    fn begin(file: Arc<dyn Handle>, purges: &[Purge]) -> io::Result<Self> {
        let mut journal = Self { file, len: 0, room: 0, page: Vec::new() };
        journal.append(purges)?;
        // Without it purges take longer, and that is all.
        let _ = journal.make_room();
        Ok(journal)
    }

    /// Whether most of it is about purges that `live` no longer has.
    pub(crate) fn is_long(&self, live: usize) -> bool {
        self.len > SHORT && self.len / 4 > (live as u64).saturating_mul(LINE as u64)
    }

    /// Starts anew with `purges`, in one step: at any moment the old file or the new one is there.
    pub(crate) fn shorten(&mut self, files: &dyn Files, folder: &Folder, purges: &[Purge]) -> io::Result<()> {
        let (path, fresh) = (folder.purges(folder.run()), folder.fresh_purges());
        let file = files.open(&fresh, Mode::Write)?;
        file.set_len(0)?;
        let journal = Self::begin(file, purges)?;
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
        let begin = self.len.saturating_sub(self.page.len() as u64);
        let mut bytes = self.page.clone();
        bytes.extend(encode_all(purges));
        let used = bytes.len();
        bytes.resize(used.next_multiple_of(PAGE), 0);
        write_all(&*self.file, &bytes, begin)?;
        self.file.sync()?;
        self.len = begin.saturating_add(used as u64);
        self.room = self.room.max(begin.saturating_add(bytes.len() as u64));
        self.page = bytes[used / PAGE * PAGE..used].to_vec();
        Ok(())
    }

    /// Writes zeros ahead when few are left; returns once they are on the disk.
    pub(crate) fn make_room(&mut self) -> io::Result<()> {
        if self.room.saturating_sub(self.len) >= (AHEAD / 2) as u64 {
            return Ok(());
        }
        write_all(&*self.file, &[0; AHEAD], self.room)?;
        self.file.sync()?;
        self.room = self.room.saturating_add(AHEAD as u64);
        Ok(())
    }
}

mod tail;
pub(crate) use tail::{Next, Tail};

#[cfg(test)]
mod tests;
