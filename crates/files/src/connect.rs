//! Connections that never leave the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pingora_core::connectors::L4Connect;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::{Error, ErrorType, Result};
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::respond::Responder;

/// What a request head may bring: far below what Pingora lets in, since none of it is looked at.
const MOST_HEADERS: usize = 256;
/// hyper looks at it between reads, so up to twice as much may pass.
const HEAD_BYTES: usize = 64 * 1024;

/// Makes socket pairs: one end for Pingora, the other served by us.
#[derive(Debug)]
pub(crate) struct Connector {
    responder: Arc<Responder>,
    /// One permit per connection that may be open.
    slots: Arc<Semaphore>,
    most_waiting: u32,
    wait: Duration,
    pub(crate) waiting: AtomicU32,
    pub(crate) opened: AtomicU64,
    pub(crate) refused: AtomicU64,
}

impl Connector {
    pub(crate) fn new(responder: Responder, connections: u32, most_waiting: u32, wait: Duration) -> Self {
        let connections = usize::try_from(connections).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self {
            responder: Arc::new(responder),
            slots: Arc::new(Semaphore::new(connections)),
            most_waiting,
            wait,
            waiting: AtomicU32::new(0),
            opened: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// How many more connections may be opened now.
    pub(crate) fn free(&self) -> usize {
        self.slots.available_permits()
    }

    /// Reads at the disk now.
    pub(crate) fn reading(&self) -> u32 {
        self.responder.disk.busy()
    }

    /// Bodies given up half-way.
    pub(crate) fn aborted(&self) -> u64 {
        self.responder.aborted.load(Ordering::Relaxed)
    }

    async fn slot(&self) -> Result<OwnedSemaphorePermit> {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(slot);
        }
        let in_line = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _leave = Leave(&self.waiting);
        if self.wait.is_zero() || in_line >= self.most_waiting {
            return Err(self.refuse(ErrorType::ConnectRefused, "all connections to the folder are in use"));
        }
        match tokio::time::timeout(self.wait, Arc::clone(&self.slots).acquire_owned()).await {
            Ok(Ok(slot)) => Ok(slot),
            // The semaphore is never closed, so this is the timeout.
            _ => {
                Err(self.refuse(ErrorType::ConnectTimedout, "no connection to the folder came free in time"))
            }
        }
    }

    fn refuse(&self, kind: ErrorType, why: &'static str) -> Box<Error> {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Error::explain(kind, why)
    }
}

/// Leaves the line however the wait ends, also when the request is dropped.
struct Leave<'a>(&'a AtomicU32);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl L4Connect for Connector {
    async fn connect(&self, _: &SocketAddr) -> Result<Stream> {
        let slot = self.slot().await?;
        let (ours, theirs) = UnixStream::pair().map_err(|error| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            Error::because(ErrorType::ConnectError, "making a socket pair", error)
        })?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(serve(ours, Arc::clone(&self.responder), slot));
        Ok(theirs.into())
    }
}

/// Serves one connection until the other end closes.
///
/// There are no timeouts on this side: the other end is Pingora in the same process, which has its own, and whose end
/// of the pair closes with whatever held it.
async fn serve(stream: UnixStream, responder: Arc<Responder>, slot: OwnedSemaphorePermit) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let responder = Arc::clone(&responder);
        async move {
            let (head, _) = request.into_parts();
            let disk = responder.disk.clone();
            disk.run(move || responder.answer(&head, SystemTime::now())).await
        }
    });
    let served = http1::Builder::new()
        .max_headers(MOST_HEADERS)
        .max_buf_size(HEAD_BYTES)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        // Also the ordinary end of a connection whose client went away in the middle of an answer.
        log::debug!("files: connection ended: {error}");
    }
    drop(slot);
}
