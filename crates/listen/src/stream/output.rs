//! What goes out: small writes are gathered, large ones go through.
//!
//! Pingora writes a response head and its body apart and says with a flush when they should leave. Gathered,
//! they are one system call and one packet, under TLS one record.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use seawall_guard::Deadlines;

use super::alarm::Alarm;
use super::date;
use super::meter::{Meter, Slow};
use super::transport::Transport;
use crate::observer::Cut;

/// Gathered at most without TLS: larger data is cheaper to hand over as it is, together with what was gathered.
const PLAIN_LIMIT: usize = 4 * 1024;
/// Gathered at most under TLS: the most that fits a record (RFC 8446 section 5.1).
const TLS_LIMIT: usize = 16 * 1024;
/// A connection keeps no more memory than this between messages.
const KEPT: usize = 4 * 1024;
/// Buffers handed to the system at once.
const SLICES: usize = 16;

/// Where writing stands.
#[derive(Debug)]
pub(super) struct Output {
    gathered: BytesMut,
    /// Somebody had nothing to write since the last write.
    idled: bool,
    tls: bool,
    alarm: Alarm,
    meter: Meter,
}

impl Output {
    pub(super) fn new(tls: bool) -> Self {
        Self {
            gathered: BytesMut::new(),
            idled: false,
            tls,
            alarm: Alarm::default(),
            meter: Meter::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.gathered.is_empty()
    }

    /// Another request: what its client did before does not count.
    pub(super) fn begin_message(&mut self) {
        self.meter.restart();
    }

    /// Sends what was gathered.
    pub(super) fn poll_drain(
        &mut self,
        transport: &mut Transport,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            let sent = ready!(transport.poll_write(cx, &self.gathered))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.meter.moved(sent);
            self.gathered.advance(sent);
        }
        if self.gathered.capacity() > KEPT {
            self.gathered = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Called when the connection's task waits for others. The first time it is asked to come again, when those who
    /// are ready have had their turn; if it still waits then, what was gathered leaves: a body of known length may
    /// take as long to arrive as any other, and Pingora says with a flush only where it ends.
    pub(super) fn poll_idle(&mut self, transport: &mut Transport, cx: &mut Context<'_>) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        if !self.idled {
            self.idled = true;
            cx.waker().wake_by_ref();
            return Ok(());
        }
        match self.poll_drain(transport, cx) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => Ok(()),
        }
    }

    /// Gathers or sends the beginning of `bufs`; says how many bytes of them are taken care of.
    pub(super) fn poll_write(
        &mut self,
        transport: &mut Transport,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let limit = if self.tls { TLS_LIMIT } else { PLAIN_LIMIT };
        let total = bufs.iter().fold(0usize, |sum, buf| sum.saturating_add(buf.len()));
        loop {
            if self.gathered.len().saturating_add(total) <= limit {
                self.gather(bufs, total);
                return Poll::Ready(Ok(total));
            }
            if self.tls {
                let first = bufs.iter().map(|buf| buf.len()).find(|len| *len > 0).unwrap_or(0);
                if self.gathered.is_empty() && first >= limit {
                    return self.poll_direct(transport, cx, bufs);
                }
                let room = limit.saturating_sub(self.gathered.len());
                if room > 0 {
                    return Poll::Ready(Ok(self.gather(bufs, room)));
                }
                ready!(self.poll_drain(transport, cx))?;
            } else {
                let sent = ready!(self.poll_direct(transport, cx, bufs))?;
                if sent > 0 {
                    return Poll::Ready(Ok(sent));
                }
            }
        }
    }

    /// Gathers a response's head with another date in it. It may go beyond the limit: it is one head.
    pub(super) fn gather_dated(&mut self, head: &[u8], seconds: u64) -> usize {
        self.idled = false;
        let from = self.gathered.len();
        self.gathered.extend_from_slice(head);
        date::replace(&mut self.gathered[from..], seconds);
        head.len()
    }

    /// Sends what was gathered and `bufs` in one call; says how much of `bufs` went.
    fn poll_direct(
        &mut self,
        transport: &mut Transport,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = {
            let mut slices = [IoSlice::new(&[]); SLICES];
            slices[0] = IoSlice::new(&self.gathered);
            let mut count = 1;
            for buf in bufs.iter().filter(|buf| !buf.is_empty()).take(SLICES - 1) {
                slices[count] = IoSlice::new(buf);
                count += 1;
            }
            let from = usize::from(self.gathered.is_empty());
            ready!(transport.poll_write_vectored(cx, &slices[from..count]))?
        };
        if sent == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.meter.moved(sent);
        let of_gathered = sent.min(self.gathered.len());
        self.gathered.advance(of_gathered);
        Poll::Ready(Ok(sent - of_gathered))
    }

    /// Copies at most `room` bytes.
    fn gather(&mut self, bufs: &[IoSlice<'_>], room: usize) -> usize {
        self.idled = false;
        let mut left = room;
        for buf in bufs {
            let take = buf.len().min(left);
            self.gathered.extend_from_slice(&buf[..take]);
            left -= take;
        }
        room - left
    }

    /// The client takes nothing now: how long may that last? Pending, or why it has lasted too long.
    pub(super) fn poll_deadline(&mut self, cx: &mut Context<'_>, deadlines: &Deadlines) -> Poll<Cut> {
        loop {
            match self.meter.wait(deadlines.write, deadlines.send_rate) {
                Ok(at) => ready!(self.alarm.poll(cx, at)),
                Err(Slow::Stalled) => return Poll::Ready(Cut::WriteStalled),
                Err(Slow::BelowRate) => return Poll::Ready(Cut::ReadsTooSlowly),
            }
        }
    }
}
