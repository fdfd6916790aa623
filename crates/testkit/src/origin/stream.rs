//! The connections an origin accepts.

use pingora_boringssl::tokio_ssl::SslStream;
use socket2::SockRef;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// A connection of any kind.
pub(super) type Stream = Box<dyn Io>;

/// What an origin needs of a connection.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {
    /// The socket under it.
    fn socket(&self) -> SockRef<'_>;

    /// Makes the coming close a reset. A unix socket ignores it.
    fn reset_on_close(&self) {
        let _ = self.socket().set_linger(Some(Duration::ZERO));
    }
}

impl Io for TcpStream {
    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self)
    }
}

impl Io for UnixStream {
    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self)
    }
}

impl Io for SslStream<TcpStream> {
    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self.get_ref())
    }
}
