//! The end of a connection whose client is still sending.
//!
//! When a socket is closed with bytes in it that nobody read, the system sends a reset, and a reset makes the
//! client's system throw away the answer it had not yet read. An early 413 or 400 would thus often be lost. So
//! the write side is closed and what still comes is read and thrown away for a short time.

use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Waker};

use seawall_guard::Phase;
use tokio::io::AsyncReadExt;

use super::{Answered, DoorStream, Place, Transport};
use crate::gate::Lingering;

impl Drop for DoorStream {
    fn drop(&mut self) {
        if !self.output.is_empty() && !self.reading.ended {
            // Whoever wrote forgot to flush. One attempt, as Pingora's own stream makes.
            let mut cx = Context::from_waker(Waker::noop());
            let _ = self.output.poll_drain(&mut self.transport, &mut cx);
        }
        if self.state.is_torn() {
            if let Some(socket) = self.transport.socket() {
                socket.reset_on_close();
            }
            return;
        }
        if self.should_linger()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
            && let Some(lingering) = self.gate.begin_linger()
        {
            let transport = mem::replace(&mut self.transport, Transport::Gone);
            let time = self.deadlines.linger;
            let place = self.place.take();
            runtime.spawn(tokio::time::timeout(time, linger(transport, place, lingering)));
        }
    }
}

impl DoorStream {
    /// Whether an answer is out while the request is still on its way.
    fn should_linger(&self) -> bool {
        let unread = match self.answered {
            Answered::No => false,
            Answered::Head => true,
            Answered::Body => self.state.phase() == Phase::Body,
        };
        let unread = unread || self.ahead.room() == 0;
        unread && !self.reading.ended && !self.deadlines.linger.is_zero()
    }
}

async fn linger(mut transport: Transport, _place: Option<Place>, _lingering: Lingering) {
    if poll_fn(|cx| transport.poll_shutdown(cx)).await.is_err() {
        return;
    }
    let Some(socket) = transport.socket_mut() else {
        return;
    };
    let mut scrap = [0u8; 4096];
    while Pin::new(&mut *socket).read(&mut scrap).await.is_ok_and(|read| read > 0) {}
}
