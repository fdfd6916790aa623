//! Reading from files: at once when the page cache has it, through the pool otherwise.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::Disk;
use super::io::{Handle, read_exact};
use super::pool::Busy;
use super::stats::{add, count};

/// How long a read may take, waiting included.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Why nothing came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("too many reads wait for the disk")]
    Busy,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the content is damaged")]
    Corrupt,
}

impl Disk {
    /// Reads `len` bytes at `offset`. Gives up at once when too many reads wait already.
    pub(super) async fn read(
        &self,
        file: &Arc<dyn Handle>,
        offset: u64,
        len: usize,
    ) -> Result<Bytes, ReadError> {
        match self.read_cached(file, offset, BytesMut::zeroed(len)) {
            Ok(bytes) => Ok(bytes),
            Err(buffer) => self.read_waiting(file, offset, (buffer, len), false, |bytes| bytes).await,
        }
    }

    /// Fills `buffer` from `offset` on without a thread in between, if the page cache has all of it. A part does not count:
    /// the rest would have to wait anyhow. Hands the buffer back otherwise.
    pub(super) fn read_cached(
        &self,
        file: &Arc<dyn Handle>,
        offset: u64,
        mut buffer: BytesMut,
    ) -> Result<Bytes, BytesMut> {
        if !file.read_cached_at(&mut buffer, offset).is_ok_and(|read| read == buffer.len()) {
            return Err(buffer);
        }
        count(&self.counters.reads_cached);
        add(&self.counters.read_bytes, buffer.len() as u64);
        Ok(buffer.freeze())
    }

    /// Reads so many bytes from `offset` on into a buffer, in the pool, and makes something of them there. An empty buffer
    /// takes no memory before its turn has come. With `patient` it waits for a place in the queue.
    pub(super) async fn read_waiting<T: Send + 'static>(
        &self,
        file: &Arc<dyn Handle>,
        offset: u64,
        (mut buffer, len): (BytesMut, usize),
        patient: bool,
        then: impl FnOnce(Bytes) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        let file = Arc::clone(file);
        let call = move || {
            buffer.resize(len, 0);
            read_exact(&*file, &mut buffer, offset).map(|()| then(buffer.freeze()))
        };
        let done = async { if patient { self.pool.run(call).await } else { self.pool.try_run(call).await } };
        // A disk that hangs is no reason for a client to hang.
        match tokio::time::timeout(PATIENCE, done).await.unwrap_or(Err(Busy)) {
            Ok(Ok(read)) => {
                count(&self.counters.reads_waited);
                add(&self.counters.read_bytes, len as u64);
                Ok(read)
            }
            Ok(Err(error)) => {
                count(&self.counters.read_errors);
                // A file that ends too early is damage, not trouble of the disk.
                if error.kind() == io::ErrorKind::UnexpectedEof {
                    count(&self.counters.corrupt);
                    return Err(ReadError::Corrupt);
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
