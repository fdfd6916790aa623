//! Connections for requests that upgrade.
//!
//! Pingora takes the end of the request's own empty body, and the server's answer, out of one `select!` in random order
//! (proxy_h1.rs, `proxy_handle_upstream`). A 101 that is there at the first look may so be seen before that end, which
//! is then taken for the tunnel's: the tunnel closes as soon as it is open. A server on the same machine answers that
//! fast. Here the first read behind a write always has to wait for a turn, in which the other side of the `select!`
//! is looked at too.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::connectors::L4Connect;
use pingora_core::protocols::l4::ext::{connect, connect_uds, set_tcp_keepalive};
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora_core::{Error, ErrorType, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// Connects to servers as Pingora would.
#[derive(Debug)]
pub(crate) struct PatientConnector {
    timeout: Option<Duration>,
    /// Of the latest connection; -1 for none.
    descriptor: AtomicI32,
}

impl PatientConnector {
    pub(crate) fn new(timeout: Option<Duration>) -> Self {
        Self { timeout, descriptor: AtomicI32::new(-1) }
    }

    /// The descriptor of the latest connection.
    pub(crate) fn descriptor(&self) -> Option<RawFd> {
        Some(self.descriptor.load(Ordering::Relaxed)).filter(|descriptor| *descriptor >= 0)
    }

    async fn open(&self, address: &SocketAddr) -> Result<Stream> {
        match address {
            SocketAddr::Inet(address) => Ok(self.give(connect(address, None).await?)),
            SocketAddr::Unix(address) => match address.as_pathname() {
                Some(path) => Ok(self.give(connect_uds(path).await?)),
                None => Error::e_explain(ErrorType::ConnectError, "a unix socket without a path"),
            },
        }
    }

    fn give<S: AsRawFd + 'static>(&self, socket: S) -> Stream
    where
        Patient<S>: VirtualSocket,
    {
        self.descriptor.store(socket.as_raw_fd(), Ordering::Relaxed);
        VirtualSocketStream::new(Box::new(Patient { socket, written: false })).into()
    }
}

#[async_trait]
impl L4Connect for PatientConnector {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        match self.timeout {
            Some(timeout) => match tokio::time::timeout(timeout, self.open(address)).await {
                Ok(opened) => opened,
                Err(_) => {
                    let why = format!("connecting to {address} took more than {timeout:?}");
                    Error::e_explain(ErrorType::ConnectTimedout, why)
                }
            },
            None => self.open(address).await,
        }
    }
}

/// A group of its own for each connection: Pingora finds kept connections by their group, and within one tells them
/// apart by their descriptors, which these do not have.
pub(crate) fn group_of_one() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // Far from the hashes of pools by chance alone, as those are from each other.
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut hasher = DefaultHasher::new();
    ("upgrade", number).hash(&mut hasher);
    hasher.finish()
}

/// A socket of which the first read behind a write waits for a turn.
#[derive(Debug)]
struct Patient<S> {
    socket: S,
    written: bool,
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.written) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.written = true;
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.written = true;
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl VirtualSocket for Patient<TcpStream> {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            VirtualSockOpt::NoDelay => self.socket.set_nodelay(true),
            VirtualSockOpt::KeepAlive(keepalive) => set_tcp_keepalive(&self.socket, &keepalive)
                .map_err(|error| io::Error::other(error.to_string())),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// None of these means anything there.
impl VirtualSocket for Patient<UnixStream> {
    fn set_socket_option(&self, _: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// What is there already is read in the second turn behind a write, and at once otherwise.
    #[tokio::test]
    async fn the_first_read_behind_a_write_waits_for_a_turn() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = SocketAddr::Inet(listener.local_addr().unwrap());
        let connector = PatientConnector::new(Some(Duration::from_secs(10)));
        let (stream, accepted) = tokio::join!(connector.connect(&address), listener.accept());
        let (mut stream, (mut server, _)) = (stream.unwrap(), accepted.unwrap());
        server.write_all(b"answer, more").await.unwrap();
        // Both ends are on this machine: what was written is there.
        stream.write_all(b"question").await.unwrap();
        stream.flush().await.unwrap();
        let mut buf = [0; 6];
        tokio::select! {
            biased;
            _ = stream.read_exact(&mut buf) => panic!("it did not wait"),
            () = std::future::ready(()) => {}
        }
        stream.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"answer");
        let mut rest = [0; 6];
        stream.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b", more");
    }

    #[tokio::test]
    async fn failures_are_what_pingora_calls_them() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = SocketAddr::Inet(listener.local_addr().unwrap());
        drop(listener);
        let refused = PatientConnector::new(None).connect(&address).await.err().unwrap();
        assert_eq!(refused.etype(), &ErrorType::ConnectRefused);
    }

    #[test]
    fn no_two_share_a_group() {
        assert_ne!(group_of_one(), group_of_one());
    }
}
