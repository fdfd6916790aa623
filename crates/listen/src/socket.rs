//! An accepted socket, with the traits Pingora asks of one.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use pingora_core::protocols::l4::socket::SocketAddr as PeerAddress;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::{GetProxyDigest, GetSocketDigest, GetTimingDigest, SocketDigest, TimingDigest};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// BoringSSL reads a record's five bytes of header by themselves. With this much read ahead that costs no
/// system call, and ordinary requests need one instead of two.
const AHEAD: usize = 4096;

#[derive(Debug)]
enum Raw {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A client's socket.
#[derive(Debug)]
pub(crate) struct Socket {
    raw: Raw,
    digest: Arc<SocketDigest>,
    accepted: SystemTime,
    ahead: Option<Box<Ahead>>,
}

/// Bytes read before they were asked for.
#[derive(Debug)]
struct Ahead {
    bytes: [u8; AHEAD],
    from: usize,
    to: usize,
}

impl Socket {
    pub(crate) fn tcp(stream: TcpStream, peer: std::net::SocketAddr) -> Self {
        Self::new(Raw::Tcp(stream), Some(PeerAddress::Inet(peer)))
    }

    pub(crate) fn unix(stream: UnixStream, peer: tokio::net::unix::SocketAddr) -> Self {
        // Clients that bound no name have no address.
        Self::new(Raw::Unix(stream), PeerAddress::try_from(peer).ok())
    }

    fn new(raw: Raw, peer: Option<PeerAddress>) -> Self {
        let digest = SocketDigest::from_raw_fd(match &raw {
            Raw::Tcp(stream) => stream.as_raw_fd(),
            Raw::Unix(stream) => stream.as_raw_fd(),
        });
        // Fresh, so nothing is in the cell yet.
        let _ = digest.peer_addr.set(peer);
        Self { raw, digest: Arc::new(digest), accepted: SystemTime::now(), ahead: None }
    }

    /// Reads ahead from now on.
    pub(crate) fn read_ahead(mut self) -> Self {
        self.ahead = Some(Box::new(Ahead { bytes: [0; AHEAD], from: 0, to: 0 }));
        self
    }

    /// Lets the close be a reset: for connections that never got a place (it leaves no state here), and for answers whose
    /// proper end it would otherwise seem to be. A unix socket knows no resets.
    pub(crate) fn reset_on_close(&self) {
        if let Raw::Tcp(stream) = &self.raw {
            // A failure means only that the close is an ordinary one.
            let _ = socket2::SockRef::from(&stream.as_fd()).set_linger(Some(Duration::ZERO));
        }
    }

    pub(crate) fn id(&self) -> i32 {
        match &self.raw {
            Raw::Tcp(stream) => stream.as_raw_fd(),
            Raw::Unix(stream) => stream.as_raw_fd(),
        }
    }

    fn poll_read_raw(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.raw {
            Raw::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Raw::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(mut ahead) = this.ahead.take() else {
            return this.poll_read_raw(cx, buf);
        };
        let outcome = poll_through(this, &mut ahead, cx, buf);
        this.ahead = Some(ahead);
        outcome
    }
}

fn poll_through(
    socket: &mut Socket,
    ahead: &mut Ahead,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    if ahead.from == ahead.to {
        if buf.remaining() >= AHEAD {
            return socket.poll_read_raw(cx, buf);
        }
        let mut space = ReadBuf::new(&mut ahead.bytes);
        ready!(socket.poll_read_raw(cx, &mut space))?;
        (ahead.from, ahead.to) = (0, space.filled().len());
    }
    let take = (ahead.to - ahead.from).min(buf.remaining());
    buf.put_slice(&ahead.bytes[ahead.from..ahead.from + take]);
    ahead.from += take;
    Poll::Ready(Ok(()))
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().raw {
            Raw::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Raw::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().raw {
            Raw::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Raw::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Sockets keep nothing back.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().raw {
            Raw::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Raw::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl GetTimingDigest for Socket {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        vec![Some(TimingDigest { established_ts: self.accepted, ..TimingDigest::default() })]
    }
}

impl GetProxyDigest for Socket {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Socket {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        // Looked up now: a request over HTTP/2 may outlive its connection, and the number of the socket may be another one's by
        // the time somebody asks.
        let _ = self.digest.local_addr();
        Some(Arc::clone(&self.digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_addresses_are_known_after_the_socket_is_closed() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let local = listener.local_addr().unwrap();
        let client = TcpStream::connect(local).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let socket = Socket::tcp(stream, peer);
        let digest = socket.get_socket_digest().unwrap();
        drop((socket, client, listener));
        let inet = |address: Option<&PeerAddress>| address.and_then(|address| address.as_inet().copied());
        assert_eq!(inet(digest.local_addr()), Some(local));
        assert_eq!(inet(digest.peer_addr()), Some(peer));
    }
}
