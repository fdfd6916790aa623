//! The traits that Pingora asks of a stream.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::{SslDigest, TlsRef};
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID,
};
use seawall_guard::Phase;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::date;
use super::reading::PREFACE;
use super::{Answered, DoorStream, Transport};

impl AsyncRead for DoorStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.replay.is_empty() {
            return this.poll_read_timed(cx, buf);
        }
        let take = this.replay.len().min(buf.remaining());
        buf.put_slice(&this.replay[..take]);
        this.replay.advance(take);
        Poll::Ready(Ok(()))
    }
}

impl DoorStream {
    /// Something is written. Before the head was called complete that is an answer to a bad one.
    fn note_answer(&mut self) {
        if self.multiplexed {
            return;
        }
        match self.state.phase() {
            Phase::Head => {
                self.answered = Answered::Head;
                self.state.head_complete(false);
            }
            Phase::Body => self.answered = Answered::Body,
            Phase::Idle | Phase::Serving | Phase::Streaming => {}
        }
    }

    /// After a write of `taken` bytes: sends them at once where the answer is read along while it arrives.
    fn poll_live(&mut self, cx: &mut Context<'_>, taken: usize) -> Poll<io::Result<usize>> {
        if self.state.is_live()
            && let Poll::Ready(Err(error)) = self.output.poll_drain(&mut self.transport, cx)
        {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(taken))
    }

    /// Holds a write that has to wait to its deadline.
    fn within_time<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            return outcome;
        }
        let cut = ready!(self.output.poll_deadline(cx, &self.deadlines));
        self.cut(cut);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, cut.label())))
    }
}

impl AsyncWrite for DoorStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.note_answer();
        if this.state.has_date()
            && let Some(head) = bufs.iter().find(|buf| !buf.is_empty())
            && date::is_final_head(head)
            && let Some(seconds) = this.state.take_date()
        {
            let taken = this.output.gather_dated(head, seconds);
            return this.poll_live(cx, taken);
        }
        let outcome = this.output.poll_write(&mut this.transport, cx, bufs);
        match this.within_time(cx, outcome) {
            Poll::Ready(Ok(taken)) => this.poll_live(cx, taken),
            other => other,
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = match this.output.poll_drain(&mut this.transport, cx) {
            Poll::Ready(Ok(())) => this.transport.poll_flush(cx),
            other => other,
        };
        this.within_time(cx, outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = match this.output.poll_drain(&mut this.transport, cx) {
            Poll::Ready(Ok(())) if this.state.is_torn() => Poll::Ready(Ok(())),
            Poll::Ready(Ok(())) => this.transport.poll_shutdown(cx),
            other => other,
        };
        this.within_time(cx, outcome)
    }
}

#[async_trait]
impl Shutdown for DoorStream {
    async fn shutdown(&mut self) {
        let ended = poll_fn(|cx| Pin::new(&mut *self).poll_shutdown(cx)).await;
        if let Err(error) = ended {
            // A client that left first: the ordinary case.
            log::debug!("closing {:?}: {error}", self);
        }
    }
}

#[async_trait]
impl Peek for DoorStream {
    /// Asked by Pingora before the first request, when the application has `h2c` on, whether the bytes of the
    /// HTTP/2 preface are next. Reads no further than they agree with it: a short HTTP/1 request is not kept
    /// waiting for more bytes. Where h2c is not taken the answer is made without reading; it must not be
    /// `false`, which Pingora takes for HTTP/2.
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        if buf.len() != PREFACE.len() {
            return Ok(false);
        }
        if !self.entrance.h2c || self.transport.is_tls() {
            return Ok(true);
        }
        let mut seen = 0;
        while seen < buf.len() && PREFACE.starts_with(&buf[..seen]) {
            match self.read(&mut buf[seen..]).await? {
                0 => break,
                read => seen += read,
            }
        }
        self.replay = Bytes::copy_from_slice(&buf[..seen]);
        if buf == PREFACE {
            self.multiplexed = true;
            self.state.streaming();
        }
        Ok(true)
    }
}

impl UniqueID for DoorStream {
    fn id(&self) -> i32 {
        self.transport.id()
    }
}

impl Ssl for DoorStream {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.transport.tls().and_then(|tls| tls.get_ssl())
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.transport.tls().and_then(|tls| tls.get_ssl_digest())
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.transport.tls().and_then(|tls| tls.selected_alpn_proto())
    }
}

impl GetTimingDigest for DoorStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        match &self.transport {
            Transport::Plain(socket) => socket.get_timing_digest(),
            Transport::Tls(stream) => stream.get_timing_digest(),
            Transport::Gone => Vec::new(),
        }
    }
}

impl GetProxyDigest for DoorStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for DoorStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.transport.socket().and_then(GetSocketDigest::get_socket_digest)
    }
}
