//! Reading a stored response, or one that is still on its way in.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use async_trait::async_trait;
use bytes::Bytes;
use pingora_cache::storage::{HandleHit, Storage};
use pingora_cache::trace::SpanHandle;
use pingora_cache::{CacheKey, HitHandler};
use pingora_error::{Error, ErrorType, Result};
use tokio::sync::watch;

use crate::disk::chunks::Chunks;
use crate::disk::reading::ReadError;
use crate::entry::Object;
use crate::fill::{Fill, Progress, Read, State};

/// The response broke off on its way in: whoever reads it must not see a clean end.
pub const FILL_FAILED: ErrorType = ErrorType::Custom("cache fill failed");
/// A reader of a response that is not stored fell behind by more than the window.
pub const READER_TOO_SLOW: ErrorType = ErrorType::Custom("cache reader too slow");
/// The body could not be read from the disk, or was damaged there.
pub const DISK_READ_FAILED: ErrorType = ErrorType::Custom("cache disk read failed");
/// A range that the body does not have.
pub const OUT_OF_RANGE: ErrorType = ErrorType::Custom("cache range out of body");

#[derive(Debug)]
enum Source {
    Whole(Arc<Object>),
    Filling {
        fill: Arc<Fill>,
        progress: watch::Receiver<Progress>,
        owner: bool,
        /// Its client has gone; it is counted out already.
        left: AtomicBool,
        /// For what is only in the fill's file.
        file: Option<Chunks>,
    },
    OnDisk {
        body: Chunks,
        len: u64,
    },
}

/// A reader: a position in a body, and where it stops.
#[derive(Debug)]
pub(crate) struct Hit {
    source: Source,
    at: u64,
    end: Option<u64>,
}

impl Hit {
    pub(crate) fn whole(object: Arc<Object>) -> HitHandler {
        Box::new(Self { source: Source::Whole(object), at: 0, end: None })
    }

    /// A reader of a running fill; the owner is the request that the fill belongs to.
    pub(crate) fn filling(fill: Arc<Fill>, owner: bool) -> HitHandler {
        fill.enter(owner);
        let progress = fill.watch();
        Box::new(Self {
            source: Source::Filling { fill, progress, owner, left: AtomicBool::new(false), file: None },
            at: 0,
            end: None,
        })
    }

    /// Counts the reader of a fill out, once.
    fn leave(&self) {
        if let Source::Filling { fill, owner, left, .. } = &self.source
            && !left.swap(true, Relaxed)
        {
            fill.leave(*owner);
        }
    }

    /// A reader of an object on disk.
    pub(crate) fn on_disk(body: Chunks, len: u64) -> HitHandler {
        Box::new(Self { source: Source::OnDisk { body, len }, at: 0, end: None })
    }
}

fn disk_failed(error: &ReadError) -> Box<Error> {
    Error::explain(DISK_READ_FAILED, error.to_string())
}

/// The length in bytes of the body that `handler` reads, when that is known: it is stored, or its head says so.
///
/// A response that came without Content-Length has a length once it is complete.
#[must_use]
pub fn stored_length(handler: &HitHandler) -> Option<u64> {
    match &handler.as_any().downcast_ref::<Hit>()?.source {
        Source::Whole(object) => Some(object.body.len()),
        Source::Filling { fill, .. } => fill.length(),
        Source::OnDisk { len, .. } => Some(*len),
    }
}

/// Whether the body that `handler` reads is still on its way in.
#[must_use]
pub fn is_arriving(handler: &HitHandler) -> bool {
    let hit = handler.as_any().downcast_ref::<Hit>();
    matches!(hit.map(|hit| &hit.source), Some(Source::Filling { fill, .. }) if fill.progress().state == State::Running)
}

/// A response on its way in, as the request that it belongs to sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FillProgress {
    /// Bytes that are there.
    pub there: u64,
    /// Bytes of the whole, where its head says so.
    pub length: Option<u64>,
    /// Who reads along.
    pub readers: usize,
    /// It is to be stored; false when it only passes through by now.
    pub stored: bool,
}

/// Notes that the client has gone for whom `handler` reads a response on its way in: nobody waits for that reader any
/// more. Hands out what is left to be done; `None` when it reads something else.
#[must_use]
pub fn client_left(handler: &HitHandler) -> Option<FillProgress> {
    let hit = handler.as_any().downcast_ref::<Hit>()?;
    let Source::Filling { fill, .. } = &hit.source else { return None };
    hit.leave();
    Some(FillProgress {
        there: fill.progress().len,
        length: fill.expected,
        readers: fill.readers(),
        stored: !fill.is_passing(),
    })
}

impl Drop for Hit {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Waits until `fill` has bytes at `at`, or ended.
async fn next(
    fill: &Fill,
    progress: &mut watch::Receiver<Progress>,
    file: &mut Option<Chunks>,
    at: u64,
    end: Option<u64>,
) -> Result<Option<Bytes>> {
    loop {
        if end.is_some_and(|end| at >= end) {
            return Ok(None);
        }
        let now = *progress.borrow_and_update();
        if at < now.len {
            match fill.read(at, end.unwrap_or(u64::MAX).min(now.len)) {
                Read::Bytes(bytes) => return Ok(Some(bytes)),
                Read::InFile(spill) => {
                    if file.is_none() {
                        *file = spill.reader();
                    }
                    let Some(file) = file else {
                        return Error::e_explain(FILL_FAILED, "announced bytes are missing");
                    };
                    let read = file.read(at, end.unwrap_or(u64::MAX), spill.written()).await;
                    match read.map_err(|error| disk_failed(&error))? {
                        Some(bytes) => return Ok(Some(bytes)),
                        None => return Error::e_explain(FILL_FAILED, "announced bytes are missing"),
                    }
                }
                Read::TooLate => {
                    return Error::e_explain(READER_TOO_SLOW, "it fell behind a response that is not stored");
                }
                // What was announced must be there.
                Read::Nothing => return Error::e_explain(FILL_FAILED, "announced bytes are missing"),
            }
        }
        match now.state {
            State::Running => {}
            State::Complete if at == now.len => return Ok(None),
            State::Complete => {
                return Error::e_explain(OUT_OF_RANGE, format!("byte {at} of a body of {}", now.len));
            }
            State::Failed => return Error::e_explain(FILL_FAILED, "the response broke off on its way in"),
        }
        if progress.changed().await.is_err() {
            return Error::e_explain(FILL_FAILED, "the response broke off on its way in");
        }
    }
}

#[async_trait]
impl HandleHit for Hit {
    async fn read_body(&mut self) -> Result<Option<Bytes>> {
        let limit = self.end.unwrap_or(u64::MAX);
        let found = match &mut self.source {
            Source::Whole(object) => object.body.read(self.at, limit),
            Source::Filling { fill, progress, file, .. } => {
                next(fill, progress, file, self.at, self.end).await?
            }
            Source::OnDisk { body, len } => {
                body.read(self.at, limit, *len).await.map_err(|error| disk_failed(&error))?
            }
        };
        if let Some(bytes) = &found {
            self.at = self.at.saturating_add(bytes.len() as u64);
            if let Source::Filling { fill, owner, .. } = &self.source {
                fill.reached(self.at, *owner);
            }
        }
        Ok(found)
    }

    async fn finish(
        self: Box<Self>,
        _storage: &'static (dyn Storage + Sync),
        _key: &CacheKey,
        _trace: &SpanHandle,
    ) -> Result<()> {
        Ok(())
    }

    fn can_seek(&self) -> bool {
        true
    }

    /// Bytes `start` up to and without `end`. A start right behind the last byte reads nothing; an end
    /// behind it is cut. On a fill the bytes are waited for.
    fn seek(&mut self, start: usize, end: Option<usize>) -> Result<()> {
        let (start, end) = (start as u64, end.map(|end| end as u64));
        let known = match &self.source {
            Source::Whole(object) => Some(object.body.len()),
            Source::Filling { fill, .. } => fill.length(),
            Source::OnDisk { len, .. } => Some(*len),
        };
        if end.is_some_and(|end| end < start) || known.is_some_and(|len| start > len) {
            return Error::e_explain(
                OUT_OF_RANGE,
                format!("bytes {start}-{end:?} of a body of {known:?} bytes"),
            );
        }
        (self.at, self.end) = (start, end);
        Ok(())
    }

    fn should_count_access(&self) -> bool {
        // The store ranks its objects itself; Pingora's eviction managers have nothing to count.
        false
    }

    fn get_eviction_weight(&self) -> usize {
        match &self.source {
            Source::Whole(object) => usize::try_from(object.weight).unwrap_or(usize::MAX),
            Source::Filling { .. } | Source::OnDisk { .. } => 0,
        }
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }

    fn as_any_mut(&mut self) -> &mut (dyn Any + Send + Sync) {
        self
    }
}
