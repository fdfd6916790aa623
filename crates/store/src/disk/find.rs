//! A lookup: from key to a checked header and a reader of the body.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use super::Disk;
use super::chunks::Chunks;
use super::index::{Found, Kind, Place as At};
use super::io::{Handle, Mode};
use super::pool::Busy;
use super::reading::{PATIENCE, ReadError};
use super::record::{CHUNK, HEADER, Header, Place, decode_tags, stored_len};
use super::stats::count;
use crate::codec::{Decoded, decode_meta};
use crate::labels::Labels;
use crate::purged::Verdict;
use crate::ready::ReadFromDisk;
use crate::storage::Names;

/// Records up to this size are read in one go.
const WHOLE: u64 = 64 << 10;
/// Of larger ones this is read first: header, metadata and some of the body.
const FIRST: u64 = 16 << 10;

/// An object on disk.
#[derive(Debug)]
pub(crate) struct OnDisk {
    pub(crate) meta: Decoded,
    pub(crate) labels: Labels,
    /// The number of the fill that brought it.
    pub(crate) seq: u64,
    /// The moment in the history of purges up to which it was known to be valid when it was written.
    pub(crate) epoch: u64,
    pub(crate) body: Chunks,
    pub(crate) body_len: u64,
    /// How often it was read before.
    pub(crate) reads: u8,
}

/// A record's header, metadata and tags.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) header: Header,
    pub(super) meta: Bytes,
    pub(super) tags: Bytes,
    /// What else was read: the begin of the body as stored.
    pub(super) rest: Bytes,
}

impl Head {
    /// Takes apart what was read of a record; none when it is not one. `Err` tells how many bytes are needed.
    pub(super) fn parse(bytes: &Bytes) -> Result<Option<Self>, usize> {
        let Some(header) = Header::decode(bytes) else { return Ok(None) };
        let Ok(body_at) = usize::try_from(header.body_at()) else { return Ok(None) };
        if bytes.len() < body_at {
            return Err(body_at);
        }
        if crc32fast::hash(&bytes[HEADER..body_at]) != header.meta_crc {
            return Ok(None);
        }
        let tags_at = HEADER + header.meta_len as usize;
        Ok(Some(Self {
            header,
            meta: bytes.slice(HEADER..tags_at),
            tags: bytes.slice(tags_at..body_at),
            rest: bytes.slice(body_at..),
        }))
    }
}

impl Disk {
    /// What is stored under `names` and may be used; counts as a read of it.
    pub(crate) async fn find(self: &Arc<Self>, names: Names) -> Option<OnDisk> {
        let found = self.look(names, |_| true).await;
        match found {
            Some(_) => self.count_hit(names),
            None => count(&self.counters.misses),
        }
        found
    }

    /// Counts a read of `names`.
    pub(crate) fn count_hit(&self, names: Names) {
        self.index.touch(names.key);
        count(&self.counters.hits);
    }

    /// The response under `names` with its body, if that is short, and at hand in one piece. It counts as no read of it.
    /// `epoch` is a moment before now.
    pub(crate) async fn ready(self: &Arc<Self>, names: Names, epoch: u64) -> Option<ReadFromDisk> {
        let is_short = |found: Found| found.len <= WHOLE && found.kind != Kind::File;
        let mut object = self.look(names, is_short).await.filter(|object| object.body_len <= CHUNK)?;
        let len = object.body_len;
        let body = object.body.read(0, len, len).await.ok()?.unwrap_or_default();
        let disk = Arc::clone(self);
        (body.len() as u64 == len).then_some(ReadFromDisk { disk, names, epoch, object, body })
    }

    /// What is stored under `names`, if it is what `wanted` says.
    async fn look(self: &Arc<Self>, names: Names, wanted: impl Fn(Found) -> bool) -> Option<OnDisk> {
        if !self.health.may_read() {
            return None;
        }
        // An object may be moved while it is looked for; a second look finds it in its new place.
        for _ in 0..2 {
            let found = self.index.get(names.key).filter(|found| wanted(*found))?;
            match self.open_at(names, found).await {
                Ok(object) => return object,
                Err(ReadError::Busy) => return None,
                Err(_) if self.index.get(names.key).is_some_and(|now| now.place != found.place) => {}
                Err(_) => {
                    self.index.remove_at(names.key, found.place);
                    return None;
                }
            }
        }
        None
    }

    /// Until when what is stored under `names` is fresh. It counts as no read.
    pub(crate) async fn peek(self: &Arc<Self>, names: Names) -> Option<SystemTime> {
        let found = self.index.get(names.key).filter(|_| self.health.may_read())?;
        let segment = self.segments.get(found.place.segment)?;
        let (meta, _) = self.judged(names, found, &self.head(&segment.file, found).await.ok()?).ok()??;
        Some(meta.meta.fresh_until())
    }

    /// The metadata of `head`, if it is what `names` mean and no purge forbids it.
    fn judged(
        &self,
        names: Names,
        found: Found,
        head: &Head,
    ) -> Result<Option<(Decoded, Labels)>, ReadError> {
        let header = head.header;
        if header.key != names.key || header.family != names.family {
            // Two keys that look alike to the index.
            return Ok(None);
        }
        let labels = Labels::from_names(&decode_tags(&head.tags));
        let all = [header.key, header.family].into_iter().chain(labels.names().iter().copied());
        let verdict = self.purges.judge(all, header.epoch);
        if verdict == Verdict::Gone {
            count(&self.counters.purged);
            if self.index.remove_at(names.key, found.place) {
                self.discard(found);
            }
            return Ok(None);
        }
        let Some(mut meta) = decode_meta(&head.meta, &*self.codec) else { return Err(ReadError::Corrupt) };
        if let Verdict::StaleSince(instant) = verdict {
            meta.meta.expire_at(instant);
        }
        Ok(Some((meta, labels)))
    }

    async fn open_at(self: &Arc<Self>, names: Names, found: Found) -> Result<Option<OnDisk>, ReadError> {
        let segment = self.segments.get(found.place.segment).ok_or(ReadError::Corrupt)?;
        let head = self.head(&segment.file, found).await?;
        let Some((meta, labels)) = self.judged(names, found, &head)? else { return Ok(None) };
        let header = head.header;
        let entry = Some((names.key, found.place));
        let body = match header.place {
            Place::Here => {
                let base = found.place.offset.saturating_add(header.body_at());
                Chunks::new(Arc::clone(self), segment.file.clone(), base, header.seq, Some(head.rest), entry)
            }
            Place::File => {
                let file = self.open_body(&header).await?;
                Chunks::alone(Arc::clone(self), file, header.seq, entry)
            }
            Place::Record { run, segment, body_at, .. } => {
                let other = self.segments.named(run, segment).ok_or(ReadError::Corrupt)?;
                Chunks::new(Arc::clone(self), other.file.clone(), body_at, header.seq, None, entry)
            }
        };
        let (seq, epoch, body_len) = (header.seq, header.epoch, header.body_len);
        Ok(Some(OnDisk { meta, labels, seq, epoch, body, body_len, reads: found.reads }))
    }

    /// Reads the front of the record at `found`.
    pub(super) async fn head(&self, file: &Arc<dyn Handle>, found: Found) -> Result<Head, ReadError> {
        let mut want = if found.len <= WHOLE { found.len } else { FIRST };
        for _ in 0..2 {
            let len = usize::try_from(want).map_err(|_| ReadError::Corrupt)?;
            let bytes = self.read(file, found.place.offset, len).await?;
            match Head::parse(&bytes) {
                Ok(Some(head)) => return Ok(head),
                Ok(None) => break,
                Err(needed) if needed as u64 <= found.len => want = needed as u64,
                Err(_) => break,
            }
        }
        count(&self.counters.corrupt);
        Err(ReadError::Corrupt)
    }

    /// Opens the file with the body of `header`, and sees that it is as long as it must be.
    async fn open_body(self: &Arc<Self>, header: &Header) -> Result<Arc<dyn Handle>, ReadError> {
        let (path, stored) = (self.folder.object(header.seq), stored_len(header.body_len));
        let whole = move |opened: io::Result<Arc<dyn Handle>>| -> io::Result<_> {
            let file = opened?;
            Ok((file.len()? == stored).then_some(file))
        };
        let opened = match self.files.open_cached(&path) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let disk = Arc::clone(self);
                let open = self.pool.try_run(move || whole(disk.files.open(&path, Mode::Read)));
                tokio::time::timeout(PATIENCE, open).await.unwrap_or(Err(Busy))
            }
            opened => Ok(whole(opened)),
        };
        match opened {
            Ok(Ok(Some(file))) => Ok(file),
            Ok(Ok(None)) => {
                count(&self.counters.corrupt);
                Err(ReadError::Corrupt)
            }
            Ok(Err(error)) => {
                if error.kind() != io::ErrorKind::NotFound {
                    count(&self.counters.read_errors);
                }
                self.health.read_failed(&error);
                Err(error.into())
            }
            Err(_) => {
                count(&self.counters.reads_refused);
                Err(ReadError::Busy)
            }
        }
    }
}

/// Where a record is, once it is written.
pub(super) fn place(segment: u32, offset: u64) -> At {
    At { segment, offset }
}
