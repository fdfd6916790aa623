//! The clock of what comes in.

use std::io;
use std::mem::MaybeUninit;
use std::task::{Context, Poll};

use seawall_guard::Phase;
use tokio::io::ReadBuf;
use tokio::time::Instant;

use super::alarm::Alarm;
use super::line::LineScan;
use super::meter::{Meter, Slow};
use super::{Answered, DoorStream};
use crate::observer::Cut;

/// The client's side of an HTTP/2 connection begins with so many bytes (RFC 9113 section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const TIMED_OUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const TOO_LARGE: &[u8] =
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Where reading stands.
#[derive(Debug)]
pub(super) struct Reading {
    alarm: Alarm,
    body: Meter,
    /// The phase when last looked at; the proxy changes it behind our back.
    phase: Phase,
    /// When the phase began, as far as it is timed.
    since: Option<Instant>,
    /// When the connection began; taken by the first head, whose time starts then.
    opened: Option<Instant>,
    /// Bytes of the head, or of the HTTP/2 preface.
    head_bytes: usize,
    line: LineScan,
    pub(super) ended: bool,
}

impl Reading {
    pub(super) fn new() -> Self {
        Self {
            alarm: Alarm::default(),
            body: Meter::default(),
            phase: Phase::Idle,
            since: None,
            opened: Some(Instant::now()),
            head_bytes: 0,
            line: LineScan::default(),
            ended: false,
        }
    }

    fn enter(&mut self, phase: Phase) {
        if phase != self.phase {
            self.phase = phase;
            self.since = None;
            self.body.restart();
        }
    }
}

impl DoorStream {
    /// Reads from the client, within the time that the phase allows.
    pub(super) fn poll_read_timed(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let phase = self.state.phase();
        self.reading.enter(phase);
        // Whoever reads on has found no end of the head in what it got.
        if phase == Phase::Head && !self.multiplexed && self.reading.head_bytes >= self.deadlines.max_head {
            return Poll::Ready(Err(self.refuse_head(cx, Cut::HeadTooLarge)));
        }
        let head = !self.multiplexed && matches!(phase, Phase::Idle | Phase::Head);
        if phase == Phase::Idle {
            self.ahead.begin();
        }
        if phase == Phase::Serving && !self.multiplexed {
            return self.poll_ahead(cx);
        }
        if !self.ahead.is_empty() {
            let bytes = self.ahead.take(buf.remaining(), head);
            self.arrived(phase, &bytes);
            buf.put_slice(&bytes);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        match self.transport.poll_read(cx, buf) {
            Poll::Ready(outcome) => {
                let bytes = &buf.filled()[before..];
                self.reading.ended |= bytes.is_empty();
                if !bytes.is_empty() {
                    if head {
                        let count = self.ahead.of_head(bytes);
                        self.ahead.keep(&bytes[count..]);
                        buf.set_filled(before + count);
                    }
                    self.arrived(phase, &buf.filled()[before..]);
                }
                Poll::Ready(outcome)
            }
            Poll::Pending => {
                self.output.poll_idle(&mut self.transport, cx)?;
                self.poll_read_deadline(cx, phase)
            }
        }
    }

    /// Reads while the answer is made: to see the client leave, and to keep what it sends for after that.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut piece = [MaybeUninit::uninit(); 1024];
        loop {
            let room = self.ahead.room().min(piece.len());
            if room == 0 {
                // Whoever sends so much is still there.
                break;
            }
            let mut space = ReadBuf::uninit(&mut piece[..room]);
            match self.transport.poll_read(cx, &mut space) {
                Poll::Ready(Ok(())) if space.filled().is_empty() => {
                    self.reading.ended = true;
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(())) => self.ahead.keep(space.filled()),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
        }
        self.output.poll_idle(&mut self.transport, cx)?;
        Poll::Pending
    }

    fn arrived(&mut self, phase: Phase, bytes: &[u8]) {
        match phase {
            Phase::Idle | Phase::Head if self.multiplexed => {
                self.reading.head_bytes = self.reading.head_bytes.saturating_add(bytes.len());
                if self.reading.head_bytes >= PREFACE.len() {
                    self.state.streaming();
                }
            }
            Phase::Idle => {
                self.begin_head();
                self.head_arrived(bytes);
            }
            Phase::Head => self.head_arrived(bytes),
            Phase::Body => self.reading.body.moved(bytes.len()),
            Phase::Serving | Phase::Streaming => {}
        }
    }

    fn begin_head(&mut self) {
        self.state.head_begins();
        self.output.begin_message();
        self.answered = Answered::No;
        let reading = &mut self.reading;
        reading.enter(Phase::Head);
        reading.since = Some(reading.opened.take().unwrap_or_else(Instant::now));
        reading.head_bytes = 0;
        reading.line = LineScan::default();
    }

    fn head_arrived(&mut self, bytes: &[u8]) {
        self.reading.head_bytes = self.reading.head_bytes.saturating_add(bytes.len());
        if let Some(fault) = self.reading.line.feed(bytes) {
            self.state.note_line_fault(fault);
        }
    }

    /// Nothing to read now: how long may that last?
    fn poll_read_deadline(&mut self, cx: &mut Context<'_>, phase: Phase) -> Poll<io::Result<()>> {
        let deadlines = &self.deadlines;
        let reading = &mut self.reading;
        let cut = match phase {
            Phase::Idle => {
                let (at, cut) = match reading.opened {
                    Some(opened) => (opened + deadlines.head, Cut::HeadTimeout),
                    None => (*reading.since.get_or_insert_with(Instant::now) + deadlines.idle, Cut::Idle),
                };
                std::task::ready!(reading.alarm.poll(cx, at));
                cut
            }
            Phase::Head => {
                let since = *reading.since.get_or_insert_with(Instant::now);
                std::task::ready!(reading.alarm.poll(cx, since + deadlines.head));
                Cut::HeadTimeout
            }
            Phase::Body => loop {
                match reading.body.wait(deadlines.body, deadlines.body_rate) {
                    Ok(at) => std::task::ready!(reading.alarm.poll(cx, at)),
                    Err(Slow::Stalled) => break Cut::BodyStalled,
                    Err(Slow::BelowRate) => break Cut::BodyTooSlow,
                }
            },
            // The first reads elsewhere.
            Phase::Serving | Phase::Streaming => return Poll::Pending,
        };
        if phase == Phase::Head && !self.multiplexed {
            return Poll::Ready(Err(self.refuse_head(cx, cut)));
        }
        self.cut(cut);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, cut.label())))
    }

    /// Answers a head that will never be complete. Nobody above can: Pingora only sees that reading fails.
    fn refuse_head(&mut self, cx: &mut Context<'_>, why: Cut) -> io::Error {
        let answer = if why == Cut::HeadTooLarge { TOO_LARGE } else { TIMED_OUT };
        if !self.cut {
            // One attempt: a fresh connection has room for a line, and if not there is no harm.
            let _ = self.transport.poll_write(cx, answer);
            let _ = self.transport.poll_flush(cx);
            self.answered = Answered::Head;
        }
        self.cut(why);
        io::Error::new(io::ErrorKind::TimedOut, why.label())
    }
}
