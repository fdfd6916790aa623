//! What an origin saw.

use crate::headers::{Headers, text};
use crate::tls::TlsInfo;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// One request as an origin received it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which connection it came on, counted from 1.
    pub connection: u64,
    /// Which request of the origin's life it is, counted from 1 at its head.
    pub number: u64,
    /// The method.
    pub method: String,
    /// The request target as sent (HTTP/2: `:path`).
    pub target: String,
    /// The authority it is for: `Host`, or HTTP/2's `:authority`.
    pub authority: String,
    /// `HTTP/1.1`, `HTTP/1.0` or `HTTP/2`.
    pub version: String,
    /// The fields in order.
    pub headers: Headers,
    /// The head's bytes as received, empty in HTTP/2.
    pub raw_head: Vec<u8>,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// The sizes of the chunks, when there were any.
    pub chunks: Vec<u64>,
    /// The fields after the body.
    pub trailers: Headers,
    /// Why it is not a whole, well-formed request, if it is not.
    pub flaw: Option<String>,
    /// The client's address and port, empty on a unix socket.
    pub peer: String,
    /// The handshake, on a TLS connection.
    pub tls: Option<TlsInfo>,
    /// When its head was complete.
    pub at: Instant,
}

impl Request {
    pub(super) fn empty(connection: &Connection, number: u64) -> Self {
        Self {
            connection: connection.id,
            number,
            method: String::new(),
            target: String::new(),
            authority: String::new(),
            version: String::new(),
            headers: Headers::new(),
            raw_head: Vec::new(),
            body: Vec::new(),
            chunks: Vec::new(),
            trailers: Headers::new(),
            flaw: None,
            peer: connection.peer.clone(),
            tls: connection.tls.clone(),
            at: Instant::now(),
        }
    }

    /// The value of the first field of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// The target without its query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The head as text.
    #[must_use]
    pub fn head_text(&self) -> String {
        text(&self.raw_head)
    }
}

/// Everything an origin remembers, shared by its connections.
#[derive(Debug, Default)]
pub(super) struct Journal {
    pub(super) heads: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) open: AtomicU64,
    pub(super) failed_handshakes: AtomicU64,
    pub(super) requests: Mutex<Vec<Request>>,
    pub(super) tunnelled: Mutex<Vec<u8>>,
}

/// One accepted connection; counted as open while it lives.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: u64,
    pub(super) peer: String,
    pub(super) tls: Option<TlsInfo>,
    pub(super) journal: Arc<Journal>,
}

impl Connection {
    pub(super) fn new(journal: &Arc<Journal>, peer: String) -> Self {
        journal.open.fetch_add(1, Ordering::SeqCst);
        let id = journal.connections.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
        Self { id, peer, tls: None, journal: Arc::clone(journal) }
    }

    /// Counts a head and begins its record.
    pub(super) fn begin(&self) -> Request {
        let number = self.journal.heads.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
        Request::empty(self, number)
    }

    /// Files a request that came to its end, good or bad.
    pub(super) fn file(&self, request: &Request) {
        self.journal.requests.lock().push(request.clone());
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.journal.open.fetch_sub(1, Ordering::SeqCst);
    }
}
