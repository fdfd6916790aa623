//! Ends a connection whose server has been silent for too long, where Pingora's one read timeout cannot.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{MsgFlags, Shutdown, recv, shutdown};
use pingora_core::protocols::l4::ext::get_tcp_info;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use seawall_config::units::Span;

use crate::settings::Timeouts;

/// Keeps `timeouts.first_byte` and `timeouts.read` apart for one request over HTTP/1.
///
/// Pingora has one timeout for every read, so a peer gets the longer of the two and this guard keeps the shorter. It
/// only counts real silence: bytes the kernel has received but Pingora has not yet read, because the client is slow,
/// are no silence of the server.
///
/// Dropping it ends the watch.
pub struct SilenceWatch {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    /// A descriptor of our own: Pingora's may be closed, and its number given to another connection.
    socket: OwnedFd,
    started: Instant,
    /// The latest sign of life, in milliseconds since `started`.
    touched: AtomicU64,
    stage: AtomicU8,
    expired: AtomicBool,
    /// By stage.
    limits: [Duration; 3],
}

/// What is waited for; an index into the limits.
#[derive(Clone, Copy)]
enum Stage {
    FirstByte,
    Answer,
    Tunnel,
}

impl SilenceWatch {
    /// Begins with the wait for the first byte. `None` when the two timeouts are equal: then Pingora's is enough.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub(crate) fn start(timeouts: &Timeouts, socket: RawFd) -> io::Result<Option<Self>> {
        if timeouts.first_byte == timeouts.read {
            return Ok(None);
        }
        Self::start_for_upgrade(timeouts, socket).map(Some)
    }

    /// The same for a request that may become a tunnel, whatever the timeouts: Pingora times each direction of a
    /// tunnel by itself, and one may be silent for as long as the other is not.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub(crate) fn start_for_upgrade(timeouts: &Timeouts, socket: RawFd) -> io::Result<Self> {
        // SAFETY: Pingora names the descriptor while it holds the connection open and awaits our callback; we only
        // borrow it for the length of this call, to make a copy of our own.
        let socket = unsafe { BorrowedFd::borrow_raw(socket) }.try_clone_to_owned()?;
        let shared = Arc::new(Shared {
            socket,
            started: Instant::now(),
            touched: AtomicU64::new(0),
            stage: AtomicU8::new(Stage::FirstByte as u8),
            expired: AtomicBool::new(false),
            limits: [timeouts.first_byte, timeouts.read, timeouts.tunnel].map(Span::duration),
        });
        let task = tokio::spawn(Arc::clone(&shared).watch());
        Ok(Self { shared, task })
    }

    /// A piece of the request went out, or a piece of the answer's body came in; in a tunnel, a piece of either.
    pub fn touch(&self) {
        self.shared.touched.store(self.shared.now(), Ordering::Relaxed);
    }

    /// The head of the answer has come: from now on `timeouts.read` counts.
    pub fn answered(&self) {
        self.enter(Stage::Answer);
    }

    /// The connection is a tunnel: from now on `timeouts.tunnel` counts.
    pub fn tunnelled(&self) {
        self.enter(Stage::Tunnel);
    }

    fn enter(&self, stage: Stage) {
        self.touch();
        self.shared.stage.store(stage as u8, Ordering::Relaxed);
    }

    /// Whether the connection was ended for silence: the error that follows is a timeout (504), and an end of the body
    /// that follows is no proper end.
    #[must_use]
    pub fn expired(&self) -> bool {
        self.shared.expired.load(Ordering::Relaxed)
    }
}

impl Drop for SilenceWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn watch(self: Arc<Self>) {
        loop {
            let left = self.limit().saturating_sub(self.silence());
            if left.is_zero() {
                match self.pending() {
                    Ok(true) => self.touched.store(self.now(), Ordering::Relaxed),
                    Ok(false) => break,
                    // The connection is over; Pingora sees that by itself.
                    Err(_) => return,
                }
                continue;
            }
            // Not only at the end: the limit changes when the head comes.
            let shortest = self.limits.iter().min().copied().unwrap_or(left);
            tokio::time::sleep(left.min(shortest)).await;
        }
        self.expired.store(true, Ordering::Relaxed);
        self.end();
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn limit(&self) -> Duration {
        self.limits[usize::from(self.stage.load(Ordering::Relaxed))]
    }

    /// How long nothing has been heard; the kernel knows best, and for unix sockets only we know.
    fn silence(&self) -> Duration {
        let ours = self.now().saturating_sub(self.touched.load(Ordering::Relaxed));
        let kernels = get_tcp_info(self.socket.as_raw_fd()).map(|info| u64::from(info.tcpi_last_data_recv));
        Duration::from_millis(kernels.map_or(ours, |kernels| kernels.min(ours)))
    }

    /// Whether there are bytes that Pingora has not yet read. An error when there will be none any more.
    fn pending(&self) -> io::Result<bool> {
        let mut byte = [0];
        match recv(self.socket.as_raw_fd(), &mut byte, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes Pingora's read fail. Not by `shutdown`, where it can be avoided: that reads as a proper end of a body that
    /// ends with its connection, and a torn answer would pass for whole.
    fn end(&self) {
        let nowhere = libc::sockaddr {
            sa_family: u16::try_from(libc::AF_UNSPEC).unwrap_or_default(),
            sa_data: [0; 14],
        };
        let length = u32::try_from(size_of::<libc::sockaddr>()).unwrap_or_default();
        // SAFETY: the descriptor is ours and open, and the address is a live value of the length we give. Connecting
        // TCP to AF_UNSPEC breaks the connection: the peer gets a reset, and so does whoever reads here (connect(2)).
        let broken = unsafe { libc::connect(self.socket.as_raw_fd(), &raw const nowhere, length) } == 0;
        if !broken && shutdown(self.socket.as_raw_fd(), Shutdown::Both).is_err() {
            log::debug!("a silent connection was already gone");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SilenceWatch;
    use crate::settings::Timeouts;
    use seawall_config::units::Span;
    use std::os::fd::AsRawFd as _;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream, UnixStream};

    const PATIENCE: Duration = Duration::from_secs(10);

    fn timeouts(first_byte: u64, read: u64) -> Timeouts {
        Timeouts { first_byte: Span::millis(first_byte), read: Span::millis(read), ..Timeouts::default() }
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    async fn read(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> std::io::Result<usize> {
        let mut buffer = [0; 64];
        tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await.expect("the read must end")
    }

    #[tokio::test]
    async fn no_first_byte_breaks_the_connection() {
        let (mut client, _server) = pair().await;
        let watch = SilenceWatch::start(&timeouts(50, 60_000), client.as_raw_fd()).unwrap().unwrap();
        let error = read(&mut client).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "not a proper end");
        assert!(watch.expired());
    }

    #[tokio::test]
    async fn a_pause_in_the_body_breaks_the_connection() {
        let (mut client, mut server) = pair().await;
        let watch = SilenceWatch::start(&timeouts(60_000, 50), client.as_raw_fd()).unwrap().unwrap();
        server.write_all(b"head").await.unwrap();
        assert_eq!(read(&mut client).await.unwrap(), 4);
        watch.answered();
        assert!(read(&mut client).await.is_err());
        assert!(watch.expired());
    }

    #[tokio::test]
    async fn bytes_that_wait_for_a_slow_client_are_no_silence() {
        let (mut client, mut server) = pair().await;
        let watch = SilenceWatch::start(&timeouts(60_000, 40), client.as_raw_fd()).unwrap().unwrap();
        watch.answered();
        server.write_all(b"body").await.unwrap();
        client.readable().await.unwrap();
        // Not read for many times the limit.
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert!(!watch.expired());
        assert_eq!(read(&mut client).await.unwrap(), 4);
        assert!(read(&mut client).await.is_err(), "and then real silence counts");
        assert!(watch.expired());
    }

    #[tokio::test]
    async fn a_steady_server_is_left_alone() {
        let (mut client, mut server) = pair().await;
        let watch = SilenceWatch::start(&timeouts(60_000, 400), client.as_raw_fd()).unwrap().unwrap();
        watch.answered();
        for _ in 0..8 {
            server.write_all(b"x").await.unwrap();
            assert_eq!(read(&mut client).await.unwrap(), 1);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(!watch.expired());
    }

    #[tokio::test]
    async fn a_tunnel_has_a_time_of_its_own_and_both_directions_count() {
        let (mut client, mut server) = pair().await;
        let timeouts = Timeouts { tunnel: Span::millis(400), ..timeouts(60, 60) };
        let watch = SilenceWatch::start_for_upgrade(&timeouts, client.as_raw_fd()).unwrap();
        server.write_all(b"101").await.unwrap();
        assert_eq!(read(&mut client).await.unwrap(), 3);
        watch.answered();
        watch.tunnelled();
        for _ in 0..8 {
            // Only the client speaks.
            watch.touch();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(!watch.expired(), "neither the shorter times nor the one direction");
        assert!(read(&mut client).await.is_err(), "and then nobody");
        assert!(watch.expired());
    }

    #[tokio::test]
    async fn a_dropped_watch_does_nothing() {
        let (mut client, mut server) = pair().await;
        drop(SilenceWatch::start(&timeouts(30, 60_000), client.as_raw_fd()).unwrap());
        tokio::time::sleep(Duration::from_millis(150)).await;
        server.write_all(b"x").await.unwrap();
        assert_eq!(read(&mut client).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn unix_sockets_are_watched_too() {
        let (mut client, _server) = UnixStream::pair().unwrap();
        let watch = SilenceWatch::start(&timeouts(50, 60_000), client.as_raw_fd()).unwrap().unwrap();
        assert!(matches!(read(&mut client).await, Ok(0) | Err(_)));
        assert!(watch.expired(), "which tells this end from a proper one");
    }

    #[tokio::test]
    async fn equal_timeouts_need_no_watch() {
        let (client, _server) = pair().await;
        assert!(SilenceWatch::start(&timeouts(50, 50), client.as_raw_fd()).unwrap().is_none());
    }
}
