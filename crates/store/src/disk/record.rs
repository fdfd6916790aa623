//! The form of an object on disk.
//!
//! ```text
//! header 128 | metadata | tags, 16 each | body: 64 KiB chunks, each with its CRC | footer 32 | padding to 64
//! ```
//!
//! Integers are little-endian. A record is whole only if its footer matches its header. Every chunk's CRC is
//! seeded with the record's number and the chunk's place, so that a chunk of another record, or of an older life
//! of the same blocks, never passes. A record without a body of its own (`Kind::Link`) is the metadata of a
//! body elsewhere: in a file of its own, or in an older record whose metadata it replaces.

use std::time::{Duration, SystemTime};

/// Records begin and end on multiples of this.
pub(crate) const UNIT: u64 = 64;
/// Bytes of body under one CRC.
pub(crate) const CHUNK: u64 = 64 << 10;
/// A CRC.
const CRC: u64 = 4;
/// A chunk as it lies on the disk.
pub(crate) const STORED_CHUNK: u64 = CHUNK + CRC;
/// The fixed part in front.
pub(crate) const HEADER: usize = 128;
/// The fixed part behind.
pub(crate) const FOOTER: usize = 32;
/// One tag.
const TAG: u64 = 16;
/// More metadata than any response header may have; a larger number is damage.
pub(crate) const MAX_META: u32 = 8 << 20;
/// More tags than anybody may give one object.
pub(crate) const MAX_TAGS: u32 = 4096;

const MAGIC: u32 = u32::from_le_bytes(*b"SWRH");
const END_MAGIC: u32 = u32::from_le_bytes(*b"SWRE");
const VERSION: u8 = 1;

/// Where the body of a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the record.
    Here,
    /// In the file that bears the record's number.
    File,
    /// In an older record of the same number: its run, the number of its segment, and where in the segment the
    /// record and its body begin, in bytes.
    Record { run: u32, segment: u32, offset: u64, body_at: u64 },
}

/// The fixed part of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// The number of the fill that brought the object; larger is newer.
    pub(crate) seq: u64,
    /// The moment in the history of purges up to which the object is known to be valid.
    pub(crate) epoch: u64,
    /// The hash of primary key and variance.
    pub(crate) key: u128,
    /// The hash of the primary key.
    pub(crate) family: u128,
    /// Bytes of metadata.
    pub(crate) meta_len: u32,
    /// Number of tags.
    pub(crate) tags: u32,
    /// Bytes of body.
    pub(crate) body_len: u64,
    pub(crate) place: Place,
    /// The CRC of metadata and tags.
    pub(crate) meta_crc: u32,
}

/// Bytes on disk of a body of `len` bytes.
pub(crate) fn stored_len(len: u64) -> u64 {
    len.saturating_add(len.div_ceil(CHUNK).saturating_mul(CRC))
}

impl Header {
    /// Where the body begins, counted from the record's begin.
    pub(crate) fn body_at(&self) -> u64 {
        (HEADER as u64).saturating_add(u64::from(self.meta_len)).saturating_add(u64::from(self.tags) * TAG)
    }

    /// Where the footer begins.
    pub(crate) fn footer_at(&self) -> u64 {
        let body = if self.place == Place::Here { stored_len(self.body_len) } else { 0 };
        self.body_at().saturating_add(body)
    }

    /// The whole length on disk.
    pub(crate) fn record_len(&self) -> u64 {
        self.footer_at().saturating_add(FOOTER as u64).next_multiple_of(UNIT)
    }

    pub(crate) fn encode(&self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        let (kind, run, segment, offset, body_at) = match self.place {
            Place::Here => (0, 0, 0, 0, 0),
            Place::File => (1, 0, 0, 0, 0),
            Place::Record { run, segment, offset, body_at } => (2, run, segment, offset, body_at),
        };
        put(&mut out, 0, &MAGIC.to_le_bytes());
        put(&mut out, 4, &[VERSION, kind]);
        put(&mut out, 8, &self.seq.to_le_bytes());
        put(&mut out, 16, &self.epoch.to_le_bytes());
        put(&mut out, 24, &self.key.to_le_bytes());
        put(&mut out, 40, &self.family.to_le_bytes());
        put(&mut out, 56, &self.meta_len.to_le_bytes());
        put(&mut out, 60, &self.tags.to_le_bytes());
        put(&mut out, 64, &self.body_len.to_le_bytes());
        put(&mut out, 72, &run.to_le_bytes());
        put(&mut out, 76, &segment.to_le_bytes());
        put(&mut out, 80, &offset.to_le_bytes());
        put(&mut out, 88, &body_at.to_le_bytes());
        // 96 to 119: room for the place of an extent map (objects of which only ranges are stored).
        put(&mut out, 120, &self.meta_crc.to_le_bytes());
        let crc = crc32fast::hash(&out[..124]);
        put(&mut out, 124, &crc.to_le_bytes());
        out
    }

    /// The header in `bytes`; none if that is not one, or one that cannot be.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER)?;
        if u32_at(bytes, 0)? != MAGIC
            || bytes[4] != VERSION
            || u32_at(bytes, 124)? != crc32fast::hash(&bytes[..124])
        {
            return None;
        }
        let place = match bytes[5] {
            0 => Place::Here,
            1 => Place::File,
            2 => Place::Record {
                run: u32_at(bytes, 72)?,
                segment: u32_at(bytes, 76)?,
                offset: u64_at(bytes, 80)?,
                body_at: u64_at(bytes, 88)?,
            },
            _ => return None,
        };
        let header = Self {
            seq: u64_at(bytes, 8)?,
            epoch: u64_at(bytes, 16)?,
            key: u128_at(bytes, 24)?,
            family: u128_at(bytes, 40)?,
            meta_len: u32_at(bytes, 56)?,
            tags: u32_at(bytes, 60)?,
            body_len: u64_at(bytes, 64)?,
            place,
            meta_crc: u32_at(bytes, 120)?,
        };
        (header.meta_len <= MAX_META && header.tags <= MAX_TAGS).then_some(header)
    }

    /// The footer that makes the record whole.
    pub(crate) fn footer(&self) -> [u8; FOOTER] {
        let mut out = [0; FOOTER];
        put(&mut out, 0, &END_MAGIC.to_le_bytes());
        put(&mut out, 4, &crc32fast::hash(&self.encode()).to_le_bytes());
        put(&mut out, 8, &self.seq.to_le_bytes());
        put(&mut out, 16, &self.record_len().to_le_bytes());
        let crc = crc32fast::hash(&out[..28]);
        put(&mut out, 28, &crc.to_le_bytes());
        out
    }

    /// Whether `bytes` are this record's footer.
    pub(crate) fn is_footer(&self, bytes: &[u8]) -> bool {
        bytes.get(..FOOTER).is_some_and(|bytes| bytes == self.footer())
    }
}

/// The length of chunk `index` of a body of `body_len` bytes, without its CRC.
pub(crate) fn chunk_len(body_len: u64, index: u64) -> usize {
    let left = body_len.saturating_sub(index.saturating_mul(CHUNK)).min(CHUNK);
    usize::try_from(left).unwrap_or(0)
}

/// The CRC of chunk `index` of the object with number `seq`.
pub(crate) fn chunk_crc(seq: u64, index: u64, data: &[u8]) -> u32 {
    let mut hasher = chunk_hasher(seq, index);
    hasher.update(data);
    hasher.finalize()
}

/// The beginning of the CRC of a chunk.
pub(crate) fn chunk_hasher(seq: u64, index: u64) -> crc32fast::Hasher {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&seq.to_le_bytes());
    hasher.update(&index.to_le_bytes());
    hasher
}

/// Whether `stored` is chunk `index` of the object with number `seq`: data, then CRC.
pub(crate) fn chunk_is_sound(seq: u64, index: u64, stored: &[u8]) -> bool {
    let Some((data, crc)) = stored.split_last_chunk::<4>() else { return false };
    u32::from_le_bytes(*crc) == chunk_crc(seq, index, data)
}

/// Appends chunk `index` and its CRC to `out`.
#[cfg(test)]
pub(crate) fn push_chunk(out: &mut Vec<u8>, seq: u64, index: u64, data: &[u8]) {
    out.extend_from_slice(data);
    out.extend_from_slice(&chunk_crc(seq, index, data).to_le_bytes());
}

/// The tags behind the metadata.
pub(crate) fn decode_tags(bytes: &[u8]) -> Vec<u128> {
    bytes.chunks_exact(16).filter_map(|tag| u128_at(tag, 0)).collect()
}

pub(crate) fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = out.get_mut(at..at.saturating_add(bytes.len())) {
        place.copy_from_slice(bytes);
    }
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}

pub(crate) fn u128_at(bytes: &[u8], at: usize) -> Option<u128> {
    bytes.get(at..)?.first_chunk().copied().map(u128::from_le_bytes)
}

/// Microseconds since 1970, as purges and epochs are counted.
pub(crate) fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The other way round.
pub(crate) fn from_micros(micros: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(micros)).unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(place: Place) -> Header {
        Header {
            seq: 7,
            epoch: 8,
            key: 9,
            family: 10,
            meta_len: 100,
            tags: 2,
            body_len: 70_000,
            place,
            meta_crc: 3,
        }
    }

    #[test]
    fn lengths_add_up() {
        let here = header(Place::Here);
        assert_eq!(here.body_at(), 128 + 100 + 32);
        assert_eq!(here.footer_at(), 260 + 70_008);
        assert_eq!(here.record_len() % UNIT, 0);
        assert_eq!((chunk_len(70_000, 0), chunk_len(70_000, 1), chunk_len(70_000, 2)), (65_536, 4464, 0));
        assert_eq!(header(Place::File).footer_at(), 260, "the body is elsewhere");
        assert_eq!(stored_len(0), 0);
    }

    #[test]
    fn a_chunk_of_another_record_or_place_does_not_pass() {
        let mut stored = Vec::new();
        push_chunk(&mut stored, 5, 1, b"data");
        assert!(chunk_is_sound(5, 1, &stored));
        assert!(!chunk_is_sound(6, 1, &stored) && !chunk_is_sound(5, 2, &stored));
        stored[0] ^= 1;
        assert!(!chunk_is_sound(5, 1, &stored));
        assert!(!chunk_is_sound(5, 1, b"abc"));
    }

    #[test]
    fn absurd_lengths_are_refused() {
        let bytes = Header { meta_len: MAX_META + 1, ..header(Place::Here) }.encode();
        assert_eq!(Header::decode(&bytes), None);
        let bytes = Header { tags: u32::MAX, ..header(Place::Here) }.encode();
        assert_eq!(Header::decode(&bytes), None);
    }

    proptest! {
        #[test]
        fn decodes_what_it_encodes_and_nothing_else(
            seq: u64, epoch: u64, key: u128, family: u128, meta_len in 0..=MAX_META, tags in 0..=MAX_TAGS,
            body_len: u64, kind in 0..3u8, a: u32, b: u32, c: u64, d: u64, meta_crc: u32, flip in 0..1024usize,
        ) {
            let place = match kind {
                0 => Place::Here,
                1 => Place::File,
                _ => Place::Record { run: a, segment: b, offset: c, body_at: d },
            };
            let header = Header { seq, epoch, key, family, meta_len, tags, body_len, place, meta_crc };
            let mut bytes = header.encode();
            prop_assert_eq!(Header::decode(&bytes), Some(header));
            let mut footer = header.footer();
            prop_assert!(header.is_footer(&footer));
            footer[flip % FOOTER] ^= 1;
            prop_assert!(!header.is_footer(&footer));
            bytes[flip / 8] ^= 1 << (flip % 8);
            prop_assert_eq!(Header::decode(&bytes), None, "one flipped bit");
        }
    }
}
