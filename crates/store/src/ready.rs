//! A complete response as it lies in memory, or as it was read from a disk, for those who copy nothing of it.
//!
//! Pingora wants a copy of the header for each hit ([`Storage::lookup`](pingora_cache::storage::Storage::lookup)). Who
//! answers without Pingora's cache finds the same objects here, under the same rules: what a purge forbids is not found,
//! and neither is anything on its way in, which has readers of its own. Of what is on disk, only what has a short body is
//! here: all of it is read and checked before the answer begins.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::Extensions;
use pingora_cache::key::HashBinary;
use pingora_error::Result;
use pingora_http::ResponseHeader;

use crate::body::Builder;
use crate::disk::{Disk, OnDisk};
use crate::entry::{Entry, Object};
use crate::memory::MemoryStore;
use crate::storage::Names;

/// A response in the store. Until it is [counted](crate::Store::count_hit) nobody has asked for it.
#[derive(Debug)]
pub struct Ready {
    from: From,
}

#[derive(Debug)]
enum From {
    Memory { object: Arc<Object>, entry: Arc<Entry> },
    Disk(Box<ReadFromDisk>),
}

/// A response that was read from a disk.
#[derive(Debug)]
pub(crate) struct ReadFromDisk {
    pub(crate) disk: Arc<Disk>,
    pub(crate) names: Names,
    /// A moment before it was looked for.
    pub(crate) epoch: u64,
    /// Its reader has room for the body, and keeps it as long as this is here.
    pub(crate) object: OnDisk,
    /// All of it.
    pub(crate) body: Bytes,
}

/// What memory has under a key.
#[derive(Debug)]
pub(crate) enum InMemory {
    Complete(Ready),
    /// A response on its way in.
    Arriving,
    Nothing,
}

impl Ready {
    pub(crate) fn from_disk(read: ReadFromDisk) -> Self {
        Self { from: From::Disk(Box::new(read)) }
    }

    /// Its head as it was stored.
    #[must_use]
    pub fn header(&self) -> &ResponseHeader {
        match &self.from {
            From::Memory { object, .. } => object.head.header(),
            From::Disk(read) => read.object.meta.meta.response_header(),
        }
    }

    /// Its head, to be changed for a client. What was read for this request alone is handed out itself: ask once, and last.
    ///
    /// # Errors
    /// When no header can be made.
    pub fn take_header(&mut self) -> Result<ResponseHeader> {
        match &mut self.from {
            From::Memory { object, .. } => Ok(object.head.header().clone()),
            From::Disk(read) => {
                let blank = ResponseHeader::build_no_case(200, Some(0))?;
                Ok(std::mem::replace(read.object.meta.meta.response_header_mut(), blank))
            }
        }
    }

    /// What was stored with it.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        match &self.from {
            From::Memory { object, .. } => object.head.extensions(),
            From::Disk(read) => read.object.meta.meta.extensions(),
        }
    }

    /// Until when it is fresh.
    #[must_use]
    pub fn fresh_until(&self) -> SystemTime {
        match &self.from {
            From::Memory { object, .. } => object.head.fresh_until(),
            From::Disk(read) => read.object.meta.meta.fresh_until(),
        }
    }

    /// When it was admitted.
    #[must_use]
    pub fn created(&self) -> SystemTime {
        match &self.from {
            From::Memory { object, .. } => object.head.created(),
            From::Disk(read) => read.object.meta.meta.created(),
        }
    }

    /// Variants that were admitted before this moment do not count.
    #[must_use]
    pub fn provenance(&self) -> SystemTime {
        match &self.from {
            From::Memory { object, .. } => object.head.provenance(),
            From::Disk(read) => read.object.meta.meta.provenance(),
        }
    }

    /// Which variant of its URL it is.
    #[must_use]
    pub fn variance(&self) -> Option<HashBinary> {
        match &self.from {
            From::Memory { object, .. } => object.head.variance(),
            From::Disk(read) => read.object.meta.meta.variance(),
        }
    }

    /// Bytes of its body.
    #[must_use]
    pub fn body_len(&self) -> u64 {
        match &self.from {
            From::Memory { object, .. } => object.body.len(),
            From::Disk(read) => read.object.body_len,
        }
    }

    /// The bytes of its body from `at` to the end of their piece, without a copy; none at the end.
    #[must_use]
    pub fn piece(&self, at: u64) -> Option<Bytes> {
        match &self.from {
            From::Memory { object, .. } => object.body.read(at, u64::MAX),
            From::Disk(read) => {
                let rest = usize::try_from(at).ok().filter(|at| *at < read.body.len())?;
                Some(read.body.slice(rest..))
            }
        }
    }
}

impl MemoryStore {
    /// What is under `names`. While a newer response is on its way in, the complete one does not count.
    pub(crate) fn ready(&self, names: Names) -> InMemory {
        let table = self.table().pin();
        let Some(entry) = table.get(&names.key) else { return InMemory::Nothing };
        if entry.fill().is_some() {
            return InMemory::Arriving;
        }
        match entry.object().and_then(|object| self.valid(entry, object)) {
            Some(object) => {
                InMemory::Complete(Ready { from: From::Memory { object, entry: Arc::clone(entry) } })
            }
            None => InMemory::Nothing,
        }
    }

    /// Counts `ready` as used, and brings up what is read from a disk for the second time.
    pub(crate) fn count_hit(&self, ready: &Ready) {
        match &ready.from {
            From::Memory { entry, .. } => {
                self.touch(entry);
                self.counters().hit();
            }
            From::Disk(read) => {
                self.counters().miss();
                read.disk.count_hit(read.names);
                if self.wants(&read.object) {
                    let mut builder = Builder::new(Some(read.object.body_len));
                    builder.append(&read.body);
                    // Memory may have no room for it.
                    let _ = self.promote(read.names, &read.object, builder.finish(), read.epoch);
                }
            }
        }
    }
}
