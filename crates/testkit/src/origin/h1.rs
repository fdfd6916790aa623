//! An HTTP/1 connection of an origin.

use super::Handler;
use super::record::{Connection, Request};
use super::reply::{After, Kind, Part, Reply};
use super::stream::Stream;
use crate::headers::latin1;
use crate::http1::{BodyReader, Framing, Head};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How requests are taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manners {
    /// Answer `Expect: 100-continue` with a 100.
    pub(super) continues: bool,
    /// Ask the handler as soon as the head is there.
    pub(super) early: bool,
}

pub(super) struct Session {
    stream: Stream,
    /// Read and not yet used.
    buffer: Vec<u8>,
    connection: Connection,
    handler: Handler,
    manners: Manners,
}

impl Session {
    pub(super) fn new(stream: Stream, connection: Connection, handler: Handler, manners: Manners) -> Self {
        Self { stream, buffer: Vec::new(), connection, handler, manners }
    }

    /// Serves until either side ends the connection.
    pub(super) async fn run(mut self) -> io::Result<()> {
        while let Some(raw) = self.head().await? {
            let mut request = self.connection.begin();
            let framing = fill_in(&mut request, raw);
            let framing = match framing {
                Ok(framing) => framing,
                Err(flaw) => {
                    request.flaw = Some(flaw);
                    self.connection.file(&request);
                    return self.perform(&request, Reply::new(400).close()).await.map(drop);
                }
            };
            if !self.exchange(request, framing).await? {
                break;
            }
        }
        Ok(())
    }

    /// One request and its answer; whether the connection goes on.
    async fn exchange(&mut self, mut request: Request, framing: Framing) -> io::Result<bool> {
        let expects =
            request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"));
        if expects && self.manners.continues {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        if !self.manners.early {
            self.body(&mut request, framing).await;
        }
        self.connection.file(&request);
        if request.flaw.is_some() {
            return Ok(false);
        }
        let leaves = request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let reply = self.handler.ask(request.clone()).await;
        let goes_on = self.perform(&request, reply).await?;
        if self.manners.early && goes_on {
            self.body(&mut request, framing).await;
        }
        Ok(goes_on && !leaves && request.flaw.is_none())
    }

    /// The bytes of the next head; `None` when the client closed between requests.
    async fn head(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = Head::end(&self.buffer) {
                return Ok(Some(self.buffer.drain(..end).collect()));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                if !self.buffer.is_empty() {
                    let mut request = self.connection.begin();
                    request.raw_head = std::mem::take(&mut self.buffer);
                    request.flaw = Some("the connection ended inside the head".into());
                    self.connection.file(&request);
                }
                return Ok(None);
            }
        }
    }

    /// Reads the body into the record, or notes why it could not.
    async fn body(&mut self, request: &mut Request, framing: Framing) {
        let mut reader = BodyReader::new(framing);
        loop {
            match reader.advance(&mut self.buffer) {
                Ok(true) => break,
                Ok(false) => {}
                Err(reason) => {
                    request.flaw = Some(reason);
                    break;
                }
            }
            if !matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..)) {
                request.flaw = Some(format!("the connection ended, missing {}", reader.awaited()));
                break;
            }
        }
        (request.body, request.chunks, request.trailers) = (reader.data, reader.chunks, reader.trailers);
    }

    /// Carries out an answer; whether the connection goes on.
    async fn perform(&mut self, request: &Request, reply: Reply) -> io::Result<bool> {
        for (status, fields) in &reply.interim {
            let mut head = latin1(&format!("HTTP/1.1 {status} Interim\r\n"));
            head.extend(fields.to_lines());
            head.extend_from_slice(b"\r\n");
            self.stream.write_all(&head).await?;
        }
        for part in &reply.before {
            self.wait(part).await?;
        }
        let mut out = match &reply.kind {
            Kind::Raw(bytes) => bytes.to_vec(),
            Kind::Message | Kind::Echo => reply.head(),
        };
        if request.method != "HEAD" {
            self.content(&mut out, &reply).await?;
        }
        out.extend_from_slice(&reply.extra);
        self.flush(&mut out).await?;
        if reply.kind == Kind::Echo {
            self.echo().await?;
            return Ok(false);
        }
        self.finish(reply.after).await
    }

    async fn content(&mut self, out: &mut Vec<u8>, reply: &Reply) -> io::Result<()> {
        let mut left = reply.cut.unwrap_or(usize::MAX);
        for part in &reply.parts {
            let Part::Data(bytes) = part else {
                self.flush(out).await?;
                self.wait(part).await?;
                continue;
            };
            let piece = &bytes[..bytes.len().min(left)];
            left = left.saturating_sub(piece.len());
            if reply.is_chunked() && !bytes.is_empty() {
                // The whole chunk is announced, so that a cut falls inside it.
                out.extend(latin1(&format!("{:x}\r\n", bytes.len())));
            }
            out.extend_from_slice(piece);
            if reply.cut.is_some() && left == 0 {
                return Ok(());
            }
            if reply.is_chunked() && !bytes.is_empty() {
                out.extend_from_slice(b"\r\n");
            }
        }
        if reply.is_chunked() && reply.cut.is_none() {
            out.extend_from_slice(b"0\r\n");
            out.extend(reply.trailers.to_lines());
            out.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    async fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.stream.write_all(out).await?;
        out.clear();
        self.stream.flush().await
    }

    /// Waits out a pause or a gate, or fails as soon as the client leaves.
    async fn wait(&mut self, part: &Part) -> io::Result<()> {
        let waited = async {
            match part {
                Part::Pause(time) => tokio::time::sleep(*time).await,
                Part::Gate(gate) => gate.pass().await,
                Part::Data(_) => {}
            }
        };
        tokio::select! {
            () = waited => Ok(()),
            () = gone(&mut self.stream, &mut self.buffer) => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    async fn finish(&mut self, after: After) -> io::Result<bool> {
        match after {
            After::KeepAlive => return Ok(true),
            After::Close => self.stream.shutdown().await?,
            After::Reset => self.stream.reset_on_close(),
            After::Hang => gone(&mut self.stream, &mut self.buffer).await,
        }
        Ok(false)
    }

    async fn echo(&mut self) -> io::Result<()> {
        loop {
            if !self.buffer.is_empty() {
                let bytes = std::mem::take(&mut self.buffer);
                self.connection.journal.tunnelled.lock().extend_from_slice(&bytes);
                self.stream.write_all(&bytes).await?;
                self.stream.flush().await?;
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(());
            }
        }
    }
}

/// Returns when the client has closed its side. What it sends before is kept.
async fn gone(stream: &mut Stream, buffer: &mut Vec<u8>) {
    while matches!(stream.read_buf(buffer).await, Ok(1..)) {}
}

/// Fills the record from a head, and says how the body comes.
fn fill_in(request: &mut Request, raw: Vec<u8>) -> Result<Framing, String> {
    request.raw_head = raw;
    let head = Head::parse(&request.raw_head)?;
    request.headers = head.headers.clone();
    (request.method, request.target, request.version) = head.request_line()?;
    request.authority = head.headers.get("host").unwrap_or_default().into();
    Framing::of_request(&head.headers)
}
