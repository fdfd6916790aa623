//! Clients that leave while their request waits for another's (the cache collapses requests for one key).
//!
//! Pingora looks at the client again only when there is something to write, so a request whose client has gone would keep
//! its task, its memory and its place until the one it waits for is answered. While a request waits, and only then,
//! its socket is watched here. As everywhere in the proxy a client that has closed its sending side counts as gone.

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use seawall_guard::ConnectionState;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Returns once the client has gone while its request waited. Never returns otherwise.
///
/// The socket is not read: what the client may have sent stays where it is.
pub(crate) async fn while_waiting(state: &ConnectionState, socket: RawFd) {
    loop {
        state.until_waiting(true).await;
        let Some(watched) = watch(socket) else {
            // No descriptor to spare: the request waits out its time, as it would without this.
            std::future::pending::<()>().await;
            return;
        };
        tokio::select! {
            () = state.until_waiting(false) => {}
            () = closed(&watched) => return,
        }
    }
}

/// A second registration of the socket needs a descriptor of its own.
fn watch(socket: RawFd) -> Option<AsyncFd<OwnedFd>> {
    if socket < 0 {
        return None;
    }
    // SAFETY: the stream that owns the socket lives in the future that this one is polled beside, and both are dropped
    // together; a stream that ended is no longer waiting, and its future is over.
    let borrowed = unsafe { BorrowedFd::borrow_raw(socket) };
    let own = borrowed.try_clone_to_owned().ok()?;
    // SAFETY: an `OwnedFd` always names the same open descriptor until it is dropped.
    unsafe { AsyncFd::register_with_interest(own, Interest::READABLE) }.ok()
}

async fn closed(socket: &AsyncFd<OwnedFd>) {
    loop {
        let Ok(mut guard) = socket.readable().await else { return };
        if guard.ready().is_read_closed() {
            return;
        }
        // Bytes of a next request: they are for later, and only the end is of interest.
        guard.clear_ready();
    }
}
