//! A segment's table of contents: the part of the index that survives a restart.
//!
//! One file beside each segment, appended to as records are. It is a journal while the segment grows and a
//! snapshot once it is sealed, so there is no other index on the disk, and nothing to keep in step with it. Each
//! entry has its own CRC. What it says is a hint: whoever follows it checks the record. A missing or damaged
//! table costs a scan of its segment.

use std::io;
use std::path::Path;

use super::index::Kind;
use super::io::{Files, Handle, Mode, read_exact, read_full};
use super::record::{Header, Place, UNIT, put, u32_at, u64_at, u128_at};

/// Bytes of one entry.
pub(crate) const ENTRY: usize = 64;
/// Entries read at a time.
const BATCH: usize = 4096;

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// A record.
    Record(Entry),
    /// Nothing follows, and everything before this line is on the disk.
    Sealed,
}

/// A record in the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: u128,
    pub(crate) family: u128,
    /// In bytes.
    pub(crate) offset: u64,
    /// In bytes.
    pub(crate) len: u64,
    pub(crate) seq: u64,
    pub(crate) epoch: u64,
    pub(crate) kind: Kind,
}

impl Entry {
    /// What is told of the record at `offset`.
    pub(crate) fn of(header: &Header, offset: u64) -> Self {
        Self {
            key: header.key,
            family: header.family,
            offset,
            len: header.record_len(),
            seq: header.seq,
            epoch: header.epoch,
            kind: match header.place {
                Place::Here => Kind::Whole,
                Place::File => Kind::File,
                Place::Record { .. } => Kind::Link,
            },
        }
    }
}

/// Records are told as 1 and their kind; 0 is what an unwritten block holds.
const RECORD: u8 = 1;
const SEALED: u8 = 0x80;

impl Line {
    pub(crate) fn encode(self) -> [u8; ENTRY] {
        let mut out = [0; ENTRY];
        match self {
            Self::Sealed => out[56] = SEALED,
            Self::Record(entry) => {
                put(&mut out, 0, &entry.key.to_le_bytes());
                put(&mut out, 16, &entry.family.to_le_bytes());
                put(&mut out, 32, &units(entry.offset).to_le_bytes());
                put(&mut out, 36, &units(entry.len).to_le_bytes());
                put(&mut out, 40, &entry.seq.to_le_bytes());
                put(&mut out, 48, &entry.epoch.to_le_bytes());
                out[56] = RECORD + entry.kind as u8;
            }
        }
        let crc = crc32fast::hash(&out[..60]);
        put(&mut out, 60, &crc.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..ENTRY)?;
        if u32_at(bytes, 60)? != crc32fast::hash(&bytes[..60]) {
            return None;
        }
        let kind = match bytes[56] {
            SEALED => return Some(Self::Sealed),
            kind @ RECORD..=3 => Kind::from_bits(kind - RECORD),
            _ => return None,
        };
        Some(Self::Record(Entry {
            key: u128_at(bytes, 0)?,
            family: u128_at(bytes, 16)?,
            offset: u64::from(u32_at(bytes, 32)?) * UNIT,
            len: u64::from(u32_at(bytes, 36)?) * UNIT,
            seq: u64_at(bytes, 40)?,
            epoch: u64_at(bytes, 48)?,
            kind,
        }))
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes / UNIT).unwrap_or(u32::MAX)
}

/// A table as it was read.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) entries: Vec<Entry>,
    pub(crate) sealed: bool,
    /// It broke off at an entry that is none: what follows in the segment has to be scanned.
    pub(crate) damaged: bool,
}

impl Table {
    /// Where the last record ends.
    pub(crate) fn end(&self) -> u64 {
        self.entries.iter().map(|entry| entry.offset.saturating_add(entry.len)).max().unwrap_or(0)
    }
}

/// Whether the table at `path` ends with the word that nothing follows.
pub(crate) fn is_sealed(files: &dyn Files, path: &Path) -> bool {
    let sealed = || {
        let file = files.open(path, Mode::Read)?;
        let mut last = [0; ENTRY];
        read_exact(&*file, &mut last, file.len()?.saturating_sub(ENTRY as u64))?;
        Ok::<_, io::Error>(Line::decode(&last) == Some(Line::Sealed))
    };
    sealed().unwrap_or(false)
}

/// Reads the table in `file`.
pub(crate) fn read(file: &dyn Handle) -> io::Result<Table> {
    let mut table = Table::default();
    let mut buffer = vec![0; ENTRY * BATCH];
    let mut offset = 0u64;
    loop {
        let got = read_full(file, &mut buffer, offset)?;
        for bytes in buffer[..got].chunks(ENTRY) {
            match Line::decode(bytes) {
                Some(Line::Record(entry)) if !table.sealed => table.entries.push(entry),
                Some(Line::Sealed) => table.sealed = true,
                // The tail of an append that was cut short, or damage.
                _ => {
                    table.damaged = true;
                    return Ok(table);
                }
            }
        }
        if got < buffer.len() {
            return Ok(table);
        }
        offset = offset.saturating_add(got as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(n: u64) -> Entry {
        Entry {
            key: u128::from(n),
            family: 2,
            offset: n * 128,
            len: 128,
            seq: n,
            epoch: 5,
            kind: Kind::from_bits((n % 3) as u8),
        }
    }

    #[test]
    fn reads_what_was_written_up_to_the_damage() {
        let file = tempfile::tempfile().unwrap();
        let lines: Vec<u8> = (0..5000).flat_map(|n| Line::Record(entry(n)).encode()).collect();
        super::super::io::write_all(&file, &lines, 0).unwrap();
        let table = read(&file).unwrap();
        assert_eq!(table.entries.len(), 5000);
        assert_eq!(table.entries[4999], entry(4999));
        assert_eq!(table.end(), 5000 * 128);
        assert!(!table.sealed && !table.damaged);
        super::super::io::write_all(&file, &Line::Sealed.encode(), 5000 * 64).unwrap();
        assert!(read(&file).unwrap().sealed);
        super::super::io::write_all(&file, &[1], 70).unwrap();
        let cut = read(&file).unwrap();
        assert!(cut.damaged && !cut.sealed);
        assert_eq!(cut.entries.len(), 1);
        file.set_len(100).unwrap();
        let torn = read(&file).unwrap();
        assert!(torn.damaged && torn.entries.len() == 1);
    }
}
