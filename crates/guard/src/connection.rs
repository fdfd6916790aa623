//! What the front door and the proxy know about one client connection together.
//!
//! The front door sees bytes, the proxy sees requests; a deadline on a request head needs both. The proxy
//! finds the state of the connection it serves through [`current_connection`] and says where the request
//! stands; the front door's stream reads that and times accordingly.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use tokio::sync::Notify;

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// No byte of a request yet. Held to the idle timeout (before the first request: to the head timeout).
    Idle = 0,
    /// A request head is arriving. Held to the head timeout, which bytes do not renew.
    Head = 1,
    /// The head is complete and a request body is awaited. Held to the body timeout and rate.
    Body = 2,
    /// The whole request is here and the answer is being made. Reads are not timed.
    Serving = 3,
    /// Requests share the connection (HTTP/2) or it carries no requests any more (an upgraded connection).
    /// Reads are not timed here: the HTTP/2 layer and the proxy do it.
    Streaming = 4,
}

impl Phase {
    fn from_bits(bits: u8) -> Self {
        match bits {
            0 => Self::Idle,
            1 => Self::Head,
            2 => Self::Body,
            3 => Self::Serving,
            _ => Self::Streaming,
        }
    }
}

/// What is wrong with a request line as it came over the wire. Pingora percent-encodes such bytes before
/// anybody can look at them, so the stream looks first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum LineFault {
    /// A control byte, a space too many or a byte beyond ASCII.
    IllegalByte = 1,
    /// A line that ends with a bare LF.
    BareLineFeed = 2,
    /// The stream did not know that a head was coming, so nobody has looked.
    Unwatched = 3,
}

/// One client connection, shared by the stream, the accept loop and the proxy.
#[derive(Debug, Default)]
pub struct ConnectionState {
    phase: AtomicU8,
    line_fault: AtomicU8,
    requests: AtomicU32,
    /// The Date of the next final response in seconds since 1970; 0 when it may have the current one.
    date: AtomicU64,
    torn: AtomicBool,
    live: AtomicBool,
    waiting: AtomicBool,
    /// Told whenever `waiting` changes.
    turned: Notify,
}

impl ConnectionState {
    /// A fresh connection.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Where the connection stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        Phase::from_bits(self.phase.load(Ordering::Relaxed))
    }

    /// The first byte of a request head is here. Called by the stream.
    pub fn head_begins(&self) {
        self.line_fault.store(0, Ordering::Relaxed);
        self.set(Phase::Head);
    }

    /// The request head is complete. Called by the proxy as soon as it sees the request; `body` says whether a
    /// body is to come. Nothing changes on an HTTP/2 or upgraded connection.
    pub fn head_complete(&self, body: bool) {
        self.date.store(0, Ordering::Relaxed);
        self.live.store(false, Ordering::Relaxed);
        if self.phase() != Phase::Streaming {
            self.requests.fetch_add(1, Ordering::Relaxed);
            self.set(if body { Phase::Body } else { Phase::Serving });
        }
    }

    /// The request body has ended. Called by the proxy at `end_of_stream`.
    pub fn body_complete(&self) {
        if self.phase() == Phase::Body {
            self.set(Phase::Serving);
        }
    }

    /// The request is over and the next may come. Called by the proxy when it logs the request. With a request
    /// body still on its way (`body_complete` was not called) the connection stays on the body's clock while
    /// what is left is read and thrown away; the next answer's end makes it idle.
    pub fn request_done(&self) {
        match self.phase() {
            Phase::Streaming | Phase::Body => {}
            Phase::Idle | Phase::Head | Phase::Serving => self.set(Phase::Idle),
        }
    }

    /// The connection carries many requests at once, or none any more. Called by the stream for HTTP/2 and by
    /// the proxy after a 101.
    pub fn streaming(&self) {
        self.set(Phase::Streaming);
    }

    /// The answer broke off and only the end of the connection could tell that it was not whole. Called by the proxy;
    /// the stream then ends with a reset (RFC 9112 §8: a body without a length is whole when the connection is closed
    /// as it should be).
    pub fn tear(&self) {
        self.torn.store(true, Ordering::Relaxed);
    }

    /// Whether the connection is to end with a reset.
    #[must_use]
    pub fn is_torn(&self) -> bool {
        self.torn.load(Ordering::Relaxed)
    }

    /// The answer's body is still arriving and read along: what is written leaves at once, until the next request.
    /// Called by the proxy.
    pub fn set_live(&self) {
        self.live.store(true, Ordering::Relaxed);
    }

    /// Whether what is written leaves at once.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live.load(Ordering::Relaxed)
    }

    /// Notes what the stream saw in the request line. The first fault of a head stays.
    pub fn note_line_fault(&self, fault: LineFault) {
        let _ = self.line_fault.compare_exchange(0, fault as u8, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// What the stream saw in the request line of the current head. The proxy asks before it says
    /// [`Self::head_complete`]. A head that came when none was due (pipelined, or behind a body that was never
    /// called complete) was not looked at, and that is a fault too.
    #[must_use]
    pub fn line_fault(&self) -> Option<LineFault> {
        if !matches!(self.phase(), Phase::Head | Phase::Streaming) {
            return Some(LineFault::Unwatched);
        }
        match self.line_fault.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(LineFault::IllegalByte),
            _ => Some(LineFault::BareLineFeed),
        }
    }

    /// HTTP/1 requests whose head was complete on this connection.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The next final response has this Date, in seconds since 1970. Called by the proxy: Pingora writes the time of
    /// sending into every response, and a cache must not change the Date of what it stored.
    pub fn note_date(&self, seconds: u64) {
        self.date.store(seconds, Ordering::Relaxed);
    }

    /// The Date that was noted, once. Called by the stream when it sees the response's head.
    #[must_use]
    pub fn take_date(&self) -> Option<u64> {
        // Most responses have the current date: a load costs less than a swap.
        if self.date.load(Ordering::Relaxed) == 0 {
            return None;
        }
        Some(self.date.swap(0, Ordering::Relaxed)).filter(|seconds| *seconds > 0)
    }

    /// Whether a Date was noted and not taken yet.
    #[must_use]
    pub fn has_date(&self) -> bool {
        self.date.load(Ordering::Relaxed) != 0
    }

    /// The request waits for another one's answer, or does so no longer. Called by the proxy.
    pub fn set_waiting(&self, waiting: bool) {
        // Nearly every call says what is known already.
        if self.waiting.load(Ordering::Relaxed) != waiting {
            self.waiting.store(waiting, Ordering::Relaxed);
            self.turned.notify_one();
        }
    }

    /// Returns once the request waits (`true`) or does so no longer (`false`). For one task at a time: the front door's.
    pub async fn until_waiting(&self, waiting: bool) {
        while self.waiting.load(Ordering::Relaxed) != waiting {
            self.turned.notified().await;
        }
    }

    fn set(&self, phase: Phase) {
        // Relaxed: stream and proxy run in one task for HTTP/1, and nothing else is published by it.
        self.phase.store(phase as u8, Ordering::Relaxed);
    }
}

tokio::task_local! {
    /// The connection that the current task serves. Set by the front door around each connection. The task of an HTTP/2
    /// request has one for itself alone, which is [`Phase::Streaming`] and tells no more than whether the request waits.
    pub static CONNECTION: Arc<ConnectionState>;
}

/// Calls `f` with the connection that the current task serves; `None` when it serves none (a refresh in the background).
pub fn with_current_connection<R>(f: impl FnOnce(&ConnectionState) -> R) -> Option<R> {
    CONNECTION.try_with(|connection| f(connection)).ok()
}

/// The connection that the current task serves.
#[must_use]
pub fn current_connection() -> Option<Arc<ConnectionState>> {
    CONNECTION.try_with(Arc::clone).ok()
}

#[cfg(test)]
mod tests {
    use super::{CONNECTION, ConnectionState, LineFault, Phase, current_connection};
    use std::sync::Arc;

    #[test]
    fn a_request_without_a_body() {
        let state = ConnectionState::new();
        assert_eq!(state.phase(), Phase::Idle);
        state.head_begins();
        assert_eq!(state.phase(), Phase::Head);
        state.head_complete(false);
        assert_eq!(state.phase(), Phase::Serving);
        state.request_done();
        assert_eq!((state.phase(), state.requests()), (Phase::Idle, 1));
    }

    #[test]
    fn an_unread_body_stays_on_its_clock() {
        let state = ConnectionState::new();
        state.head_begins();
        state.head_complete(true);
        state.request_done();
        assert_eq!(state.phase(), Phase::Body);
        state.body_complete();
        state.request_done();
        assert_eq!(state.phase(), Phase::Idle);
    }

    #[test]
    fn nothing_leaves_streaming() {
        let state = ConnectionState::new();
        state.streaming();
        state.head_complete(true);
        state.body_complete();
        state.request_done();
        assert_eq!((state.phase(), state.requests()), (Phase::Streaming, 0));
    }

    #[test]
    fn a_line_fault_lasts_one_head() {
        let state = ConnectionState::new();
        state.head_begins();
        state.note_line_fault(LineFault::IllegalByte);
        state.note_line_fault(LineFault::BareLineFeed);
        assert_eq!(state.line_fault(), Some(LineFault::IllegalByte), "the first stays");
        state.head_begins();
        assert_eq!(state.line_fault(), None);
    }

    #[test]
    fn a_head_that_was_not_due_is_a_fault() {
        let state = ConnectionState::new();
        assert_eq!(state.line_fault(), Some(LineFault::Unwatched));
        state.head_begins();
        state.head_complete(true);
        state.request_done();
        assert_eq!(state.line_fault(), Some(LineFault::Unwatched), "it came as part of the body");
        state.streaming();
        assert_eq!(state.line_fault(), None, "HTTP/2 has no line");
    }

    #[tokio::test]
    async fn waiting_is_told_to_who_awaits_it() {
        let state = ConnectionState::new();
        state.until_waiting(false).await;
        let other = Arc::clone(&state);
        let watcher = tokio::spawn(async move {
            other.until_waiting(true).await;
            other.until_waiting(false).await;
        });
        state.set_waiting(true);
        tokio::task::yield_now().await;
        state.set_waiting(false);
        // Missed in between or not, it ends once the request waits again and stops.
        while !watcher.is_finished() {
            state.set_waiting(true);
            tokio::task::yield_now().await;
            state.set_waiting(false);
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn the_task_finds_its_connection() {
        assert!(current_connection().is_none());
        let state = ConnectionState::new();
        let found = CONNECTION.scope(Arc::clone(&state), async { current_connection() }).await;
        assert!(found.is_some_and(|found| Arc::ptr_eq(&found, &state)));
    }
}
