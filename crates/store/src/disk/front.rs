//! The front of a record: made, and read without haste.

use std::io;

use super::find::Head as FoundHead;
use super::index::Found;
use super::io::{Handle, read_exact};
use super::record::{FOOTER, HEADER, Header, Place, decode_tags, stored_len};
use crate::storage::Names;

/// The content of a record.
pub(super) struct Parts<'a> {
    pub(super) meta: &'a [u8],
    pub(super) tags: &'a [u8],
    /// Chunks with their CRCs.
    pub(super) body: &'a [u8],
}

/// The header of a record with these parts.
pub(super) fn header(
    names: Names,
    seq: u64,
    epoch: u64,
    parts: &Parts<'_>,
    body_len: u64,
    place: Place,
) -> Header {
    let mut crc = crc32fast::Hasher::new();
    crc.update(parts.meta);
    crc.update(parts.tags);
    Header {
        seq,
        epoch,
        key: names.key,
        family: names.family,
        meta_len: u32::try_from(parts.meta.len()).unwrap_or(u32::MAX),
        tags: u32::try_from(parts.tags.len() / 16).unwrap_or(u32::MAX),
        body_len,
        place,
        meta_crc: crc.finalize(),
    }
}

/// Header, metadata and tags of a record, read without haste.
pub(super) fn read_front(file: &dyn Handle, found: Found) -> io::Result<FoundHead> {
    let damaged = || io::Error::from(io::ErrorKind::InvalidData);
    let mut bytes = vec![0; HEADER];
    read_exact(file, &mut bytes, found.place.offset)?;
    let header = Header::decode(&bytes).ok_or_else(damaged)?;
    if header.footer_at().saturating_add(FOOTER as u64) > found.len {
        return Err(damaged());
    }
    let mut bytes = vec![0; usize::try_from(header.body_at()).map_err(|_| damaged())?];
    read_exact(file, &mut bytes, found.place.offset)?;
    FoundHead::parse(&bytes.into()).ok().flatten().ok_or_else(damaged)
}

/// A body as it is stored.
pub(super) fn read_body(file: &dyn Handle, at: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut body = vec![0; usize::try_from(stored_len(len)).map_err(|_| io::ErrorKind::InvalidData)?];
    read_exact(file, &mut body, at)?;
    Ok(body)
}

/// The tags of a front, for a judgement.
pub(super) fn names_of(front: &FoundHead) -> impl Iterator<Item = u128> {
    [front.header.key, front.header.family].into_iter().chain(decode_tags(&front.tags))
}
