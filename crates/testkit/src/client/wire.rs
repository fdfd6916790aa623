//! The three kinds of connection a blocking client speaks over.

use pingora_boringssl::ssl::{ShutdownState, SslStream};
use socket2::SockRef;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A connected blocking stream.
#[derive(Debug)]
pub(super) enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<SslStream<TcpStream>>),
}

impl Wire {
    fn socket(&self) -> SockRef<'_> {
        match self {
            Self::Tcp(stream) => SockRef::from(stream),
            Self::Unix(stream) => SockRef::from(stream),
            Self::Tls(stream) => SockRef::from(stream.get_ref()),
        }
    }

    /// How long one read may block. A zero is raised to a millisecond, since zero means forever.
    pub(super) fn set_read_timeout(&self, within: Duration) -> io::Result<()> {
        self.socket().set_read_timeout(Some(within.max(Duration::from_millis(1))))
    }

    /// How long one write may block.
    pub(super) fn set_write_timeout(&self, within: Duration) -> io::Result<()> {
        self.socket().set_write_timeout(Some(within.max(Duration::from_millis(1))))
    }

    /// Makes the coming close a reset instead of an orderly end.
    pub(super) fn reset_on_close(&self) -> io::Result<()> {
        self.socket().set_linger(Some(Duration::ZERO))
    }

    /// Makes the window small, so that a slow reader is felt by the sender.
    pub(super) fn set_receive_buffer(&self, bytes: usize) -> io::Result<()> {
        self.socket().set_recv_buffer_size(bytes)
    }

    /// Says that nothing more will be sent.
    pub(super) fn half_close(&mut self) -> io::Result<()> {
        if let Self::Tls(stream) = self {
            // Without the close_notify the peer would take the end for an attack.
            if !stream.get_shutdown().contains(ShutdownState::SENT) {
                stream.shutdown().map_err(io::Error::other)?;
            }
        }
        self.socket().shutdown(Shutdown::Write)
    }

    /// The local address as text, empty for a unix socket.
    pub(super) fn local_addr(&self) -> String {
        match self {
            Self::Tcp(stream) => stream.local_addr(),
            Self::Tls(stream) => stream.get_ref().local_addr(),
            Self::Unix(_) => return String::new(),
        }
        .map(|address| address.to_string())
        .unwrap_or_default()
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
            Self::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.flush(),
            Self::Unix(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
