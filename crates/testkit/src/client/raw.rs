//! A client that sends bytes exactly and reads HTTP/1.1 strictly.

use super::response::{ReadError, Response};
use super::wire::Wire;
use crate::call::Call;
use crate::headers::Headers;
use crate::http1::{BodyReader, Framing, Head};
use crate::tls::TlsInfo;
use crate::wait::{DEADLINE, OrDie};
use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// More than this in one head is not something to wait for.
const HEAD_MAX: usize = 4 * 1024 * 1024;

/// What the other side did with the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// It is still open.
    Open,
    /// It was closed in an orderly way.
    Closed,
    /// It was reset.
    Reset,
    /// More bytes came instead.
    Data,
}

/// One connection, over TCP, a unix socket, or TLS (see [`crate::TlsClient`]).
#[derive(Debug)]
pub struct RawClient {
    wire: Wire,
    /// Read and not yet used.
    buffer: Vec<u8>,
    within: Duration,
    tls: Option<TlsInfo>,
    reset_on_drop: bool,
}

/// Where the next bytes came from.
enum Fill {
    Some,
    Eof,
    Reset,
    Late,
}

impl RawClient {
    /// Connects over TCP.
    ///
    /// # Panics
    /// Nobody answers there within [`DEADLINE`].
    #[track_caller]
    #[must_use]
    pub fn tcp(address: impl Display) -> Self {
        Self::try_tcp(&address).or_die(&format!("connect to {address}"))
    }

    /// Connects over TCP, when a refusal is a possible outcome.
    ///
    /// # Errors
    /// The address is refused or does not answer within [`DEADLINE`].
    pub fn try_tcp(address: impl Display) -> io::Result<Self> {
        let address: SocketAddr = address.to_string().parse().map_err(io::Error::other)?;
        let stream = TcpStream::connect_timeout(&address, DEADLINE)?;
        stream.set_nodelay(true)?;
        Ok(Self::over(Wire::Tcp(stream), None))
    }

    /// Connects to a unix socket.
    ///
    /// # Panics
    /// Nobody listens there.
    #[track_caller]
    #[must_use]
    pub fn unix(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let stream = UnixStream::connect(path).or_die(&format!("connect to {}", path.display()));
        Self::over(Wire::Unix(stream), None)
    }

    pub(super) fn over(wire: Wire, tls: Option<TlsInfo>) -> Self {
        Self { wire, buffer: Vec::new(), within: DEADLINE, tls, reset_on_drop: false }
    }

    /// Sets how long each later read or write may take as a whole; [`DEADLINE`] unless set.
    pub fn deadline(&mut self, within: Duration) -> &mut Self {
        self.within = within;
        self
    }

    /// The handshake, when this is a TLS connection.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.tls.as_ref()
    }

    /// This side's `address:port`, empty on a unix socket.
    #[must_use]
    pub fn local_addr(&self) -> String {
        self.wire.local_addr()
    }

    /// Makes the kernel take only about so many bytes ahead of the reader.
    ///
    /// # Panics
    /// The kernel refuses.
    pub fn receive_buffer(&mut self, bytes: usize) -> &mut Self {
        self.wire.set_receive_buffer(bytes).or_die("shrink the receive buffer");
        self
    }

    /// Sends these bytes and nothing else.
    ///
    /// # Panics
    /// They cannot be sent; use [`RawClient::try_send`] when that is a possible outcome.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.try_send(bytes).or_die("send");
        self
    }

    /// Sends these bytes.
    ///
    /// # Errors
    /// The other side closed, or took nothing until the deadline.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.set_write_timeout(self.within)?;
        self.wire.write_all(bytes.as_ref())?;
        self.wire.flush()
    }

    /// Sends a request.
    ///
    /// # Panics
    /// It cannot be sent.
    #[track_caller]
    pub fn call(&mut self, call: &Call) -> &mut Self {
        self.send(call.to_bytes())
    }

    /// Stays silent for a while: the behaviour of a slow client, not a way to wait for something.
    pub fn pause(&mut self, time: Duration) -> &mut Self {
        thread::sleep(time);
        self
    }

    /// Closes the sending direction.
    ///
    /// # Panics
    /// The connection is gone already.
    #[track_caller]
    pub fn half_close(&mut self) -> &mut Self {
        self.wire.half_close().or_die("close the sending direction");
        self
    }

    /// Ends the connection with a reset.
    pub fn reset(mut self) {
        self.reset_on_drop = true;
    }

    /// Sends a request and reads its response.
    ///
    /// # Errors
    /// Whatever [`RawClient::read_response`] says; a request that cannot be sent is [`ReadError::Io`].
    pub fn exchange(&mut self, call: &Call) -> Result<Response, ReadError> {
        // A server may refuse a request early and stop reading it: its answer counts, not the broken pipe.
        let sent = self.try_send(call.to_bytes());
        match self.read_response(&call.method) {
            Err(ReadError::Closed { .. }) if sent.is_err() => {
                Err(ReadError::Io(sent.err().unwrap_or_else(|| ErrorKind::BrokenPipe.into())))
            }
            outcome => outcome,
        }
    }

    /// Reads the response to a `GET` (or `POST`, …).
    ///
    /// # Panics
    /// It does not come, or not whole, or it is malformed.
    #[track_caller]
    #[must_use]
    pub fn response(&mut self) -> Response {
        self.read_response("GET").or_die("read a response")
    }

    /// Reads the response to a request with this method (it decides whether there is a body).
    ///
    /// # Errors
    /// It does not come, or not whole, or it is malformed.
    pub fn read_response(&mut self, method: &str) -> Result<Response, ReadError> {
        let started = Instant::now();
        let mut interim = Vec::new();
        loop {
            let mut response = self.read_head(method, started)?;
            if (100..200).contains(&response.status) && response.status != 101 {
                interim.push((response.status, response.headers));
                continue;
            }
            response.interim = interim;
            return self.read_body(response, started);
        }
    }

    fn read_head(&mut self, method: &str, started: Instant) -> Result<Response, ReadError> {
        loop {
            if let Some(end) = Head::end(&self.buffer) {
                let raw: Vec<u8> = self.buffer.drain(..end).collect();
                let elapsed = started.elapsed();
                let parsed = parse_head(method, &raw, elapsed);
                return parsed.map_err(|reason| ReadError::Malformed { reason, received: raw });
            }
            if self.buffer.len() > HEAD_MAX {
                return Err(self.malformed("an endless head".into()));
            }
            match self.fill(started)? {
                Fill::Some => {}
                Fill::Late => return Err(self.late("a response head")),
                Fill::Eof => return Err(ReadError::Closed { reset: false, received: self.take() }),
                Fill::Reset => return Err(ReadError::Closed { reset: true, received: self.take() }),
            }
        }
    }

    fn read_body(&mut self, mut response: Response, started: Instant) -> Result<Response, ReadError> {
        let mut reader = BodyReader::new(response.framing);
        let mut cut = None;
        while !reader.advance(&mut self.buffer).map_err(|reason| self.malformed(reason))? {
            match self.fill(started)? {
                Fill::Some => {}
                Fill::Late => return Err(self.late(&reader.awaited())),
                Fill::Eof if reader.ends_at_close() => break,
                Fill::Eof => cut = Some(false),
                Fill::Reset => cut = Some(true),
            }
            if cut.is_some() {
                break;
            }
        }
        let awaited = reader.awaited();
        (response.body, response.chunks, response.trailers) = (reader.data, reader.chunks, reader.trailers);
        response.elapsed = started.elapsed();
        match cut {
            None => Ok(response),
            Some(reset) => Err(ReadError::Truncated { reset, awaited, partial: Box::new(response) }),
        }
    }

    /// Exactly so many bytes, for what follows a 101.
    ///
    /// # Panics
    /// They do not come.
    #[track_caller]
    #[must_use]
    pub fn read_exact(&mut self, count: usize) -> Vec<u8> {
        self.try_read_exact(count).or_die("read so many bytes")
    }

    /// Exactly so many bytes.
    ///
    /// # Errors
    /// They do not come before the deadline or the end.
    pub fn try_read_exact(&mut self, count: usize) -> Result<Vec<u8>, ReadError> {
        let started = Instant::now();
        while self.buffer.len() < count {
            match self.fill(started)? {
                Fill::Some => {}
                Fill::Late => return Err(self.late(&format!("{count} bytes"))),
                Fill::Eof => return Err(ReadError::Closed { reset: false, received: self.take() }),
                Fill::Reset => return Err(ReadError::Closed { reset: true, received: self.take() }),
            }
        }
        Ok(self.buffer.drain(..count).collect())
    }

    /// Everything until the other side closes or resets, and which of the two.
    ///
    /// # Panics
    /// It does neither until the deadline.
    #[track_caller]
    #[must_use]
    pub fn read_to_close(&mut self) -> (Vec<u8>, Closing) {
        let started = Instant::now();
        loop {
            match self.fill(started).or_die("read") {
                Fill::Some => {}
                Fill::Eof => return (self.take(), Closing::Closed),
                Fill::Reset => return (self.take(), Closing::Reset),
                Fill::Late => panic!("{}", self.late("the end of the connection")),
            }
        }
    }

    /// What the other side does with the connection within this time, sending nothing more.
    pub fn closing(&mut self, within: Duration) -> Closing {
        if !self.buffer.is_empty() {
            return Closing::Data;
        }
        let usual = std::mem::replace(&mut self.within, within);
        let filled = self.fill(Instant::now());
        self.within = usual;
        match filled {
            Ok(Fill::Some) => Closing::Data,
            Ok(Fill::Late) => Closing::Open,
            Ok(Fill::Eof) => Closing::Closed,
            Ok(Fill::Reset) | Err(_) => Closing::Reset,
        }
    }

    /// One read, as far as the deadline counted from `started` allows.
    fn fill(&mut self, started: Instant) -> io::Result<Fill> {
        let left = self.within.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Ok(Fill::Late);
        }
        self.wire.set_read_timeout(left)?;
        let mut piece = [0; 16 * 1024];
        match self.wire.read(&mut piece) {
            Ok(0) => Ok(Fill::Eof),
            Ok(count) => {
                self.buffer.extend_from_slice(&piece[..count]);
                Ok(Fill::Some)
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Ok(Fill::Late),
                ErrorKind::Interrupted => Ok(Fill::Some),
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Ok(Fill::Reset),
                _ => Err(error),
            },
        }
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    fn late(&mut self, awaited: &str) -> ReadError {
        ReadError::Timeout { within: self.within, awaited: awaited.into(), received: self.take() }
    }

    fn malformed(&mut self, reason: String) -> ReadError {
        ReadError::Malformed { reason, received: self.take() }
    }
}

impl Drop for RawClient {
    fn drop(&mut self) {
        if self.reset_on_drop {
            let _ = self.wire.reset_on_close();
        }
    }
}

fn parse_head(method: &str, raw: &[u8], first_byte: Duration) -> Result<Response, String> {
    let head = Head::parse(raw)?;
    let (version, status, reason) = head.status_line()?;
    Ok(Response {
        framing: Framing::of_response(method, status, &head.headers)?,
        version,
        status,
        reason,
        headers: head.headers,
        body: Vec::new(),
        trailers: Headers::new(),
        interim: Vec::new(),
        chunks: Vec::new(),
        raw_head: raw.to_vec(),
        first_byte,
        elapsed: first_byte,
    })
}
