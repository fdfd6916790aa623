//! The bytes of an answer, read from the file as they are asked for.

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use crate::disk::Disk;
use crate::range::Slice;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// The most that is in memory for one answer: one chunk being sent. A socket pair holds about three more.
const CHUNK: u64 = 64 * 1024;

/// A file as it was when its answer began.
#[derive(Debug)]
pub(crate) struct Opened {
    file: File,
    size: u64,
    written: (i64, i64),
    path: PathBuf,
    disk: Disk,
    aborted: Arc<AtomicU64>,
}

impl Opened {
    /// `path` is for the log; `aborted` counts the bodies given up half-way.
    pub(crate) fn new(
        file: File,
        seen: &Metadata,
        path: PathBuf,
        disk: Disk,
        aborted: Arc<AtomicU64>,
    ) -> Self {
        Self { file, size: seen.size(), written: (seen.mtime(), seen.mtime_nsec()), path, disk, aborted }
    }

    /// Reads one chunk, whole or not at all. Blocks.
    ///
    /// With `last`, the file is looked at once more before the final bytes are handed over: when it was cut or
    /// rewritten meanwhile, the answer is a mixture and must not end as if it were whole. A file that has only grown
    /// (a log) still holds what was promised.
    fn read(&self, slice: Slice, last: bool) -> io::Result<Bytes> {
        let length = usize::try_from(slice.len()).map_err(io::Error::other)?;
        let mut chunk = vec![0; length];
        self.file.read_exact_at(&mut chunk, slice.start)?;
        if last {
            let now = self.file.metadata()?;
            let rewritten = now.size() == self.size && (now.mtime(), now.mtime_nsec()) != self.written;
            if now.size() < self.size || rewritten {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "it was changed while it was being sent",
                ));
            }
        }
        Ok(chunk.into())
    }
}

/// A piece of a body.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Bytes at hand.
    Text(Bytes),
    /// Bytes to read.
    Slice(Slice),
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Self::Text(bytes) => bytes.len() as u64,
            Self::Slice(slice) => slice.len(),
        }
    }
}

/// A body made of pieces of text and of one file. It yields exactly [`FileBody::len`] bytes or an error, at which hyper
/// closes the connection without ending the message.
#[derive(Default)]
pub(crate) struct FileBody {
    pieces: VecDeque<Piece>,
    file: Option<Arc<Opened>>,
    reading: Option<Pin<Box<dyn Future<Output = io::Result<Bytes>> + Send>>>,
    left: u64,
}

impl FileBody {
    /// A body of text alone.
    pub(crate) fn text(text: impl Into<Bytes>) -> Self {
        let text = text.into();
        let left = text.len() as u64;
        let pieces = if text.is_empty() { VecDeque::new() } else { VecDeque::from([Piece::Text(text)]) };
        Self { pieces, left, ..Self::default() }
    }

    /// A body of pieces. The first chunk of the file is read here and now, so that a small file costs one visit to the
    /// blocking pool, and a failure can still become an error status. Blocks.
    ///
    /// # Errors
    /// When the file cannot be read, or changed since it was opened.
    pub(crate) fn from_pieces(file: Opened, pieces: Vec<Piece>) -> io::Result<Self> {
        let left = pieces.iter().map(Piece::len).fold(0, u64::saturating_add);
        let mut body = Self { pieces: pieces.into(), file: Some(Arc::new(file)), reading: None, left };
        let first = body.pieces.iter().position(|piece| matches!(piece, Piece::Slice(_)));
        if let (Some(at), Some(file)) = (first, body.file.clone())
            && let Some((slice, last)) = body.take_chunk(at)
        {
            let chunk = file.read(slice, last)?;
            body.pieces.insert(at, Piece::Text(chunk));
        }
        Ok(body)
    }

    /// How many bytes are still to come.
    pub(crate) fn len(&self) -> u64 {
        self.left
    }

    /// Cuts the next chunk off the slice at `at`; also tells whether it is the last of the file.
    fn take_chunk(&mut self, at: usize) -> Option<(Slice, bool)> {
        let Some(Piece::Slice(slice)) = self.pieces.get_mut(at) else { return None };
        let chunk = Slice { start: slice.start, end: slice.end.min(slice.start.saturating_add(CHUNK)) };
        slice.start = chunk.end;
        if slice.len() == 0 {
            self.pieces.remove(at);
        }
        let last = !self.pieces.iter().any(|piece| matches!(piece, Piece::Slice(_)));
        Some((chunk, last))
    }

    fn hand_over(&mut self, bytes: Bytes) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.left = self.left.saturating_sub(bytes.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn give_up(&mut self, error: io::Error) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.pieces.clear();
        if let Some(file) = self.file.take() {
            file.aborted.fetch_add(1, Ordering::Relaxed);
            log::warn!("files: gave up sending {:?} with {} bytes to go: {error}", file.path, self.left);
        }
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.reading.is_none() {
            match (self.pieces.front(), self.file.clone()) {
                (Some(Piece::Text(_)), _) => {
                    if let Some(Piece::Text(bytes)) = self.pieces.pop_front() {
                        return self.hand_over(bytes);
                    }
                }
                (Some(Piece::Slice(_)), Some(file)) => {
                    if let Some((slice, last)) = self.take_chunk(0) {
                        self.reading = Some(Box::pin(async move {
                            let disk = file.disk.clone();
                            disk.run(move || file.read(slice, last)).await?
                        }));
                    }
                }
                _ => return Poll::Ready(None),
            }
        }
        let Some(reading) = &mut self.reading else { return Poll::Ready(None) };
        let read = ready!(reading.as_mut().poll(cx));
        self.reading = None;
        match read {
            Ok(bytes) => self.hand_over(bytes),
            Err(error) => self.give_up(error),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.reading.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
