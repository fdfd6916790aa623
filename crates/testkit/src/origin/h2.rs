//! An HTTP/2 connection of an origin.

use super::Handler;
use super::record::{Connection, Request};
use super::reply::{After, Kind, Part, Reply};
use super::stream::Stream;
use crate::headers::Headers;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// What a stream asks of its connection.
enum Order {
    /// Say GOAWAY and finish what is open.
    GoAway,
    /// Drop the connection, with a reset if so told.
    End(After),
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Serves until either side ends the connection.
pub(super) async fn serve(
    stream: Stream,
    connection: Connection,
    handler: Handler,
    early: bool,
    builder: &h2::server::Builder,
) -> Result<(), Failure> {
    let (orders, mut ordered) = mpsc::unbounded_channel();
    // Asked for in advance: once h2 owns the stream there is no way to it.
    let ending = Ending::of(&stream);
    let mut session = builder.handshake::<_, Bytes>(stream).await?;
    let connection = Arc::new(connection);
    loop {
        tokio::select! {
            accepted = session.accept() => {
                let Some(accepted) = accepted else { return Ok(()) };
                let (request, respond) = accepted?;
                let task = Exchange { respond, orders: orders.clone(), early };
                tokio::spawn(task.run(request, Arc::clone(&connection), handler.clone()));
            }
            Some(order) = ordered.recv() => match order {
                Order::GoAway => session.graceful_shutdown(),
                Order::End(after) => {
                    ending.prepare(after);
                    return Ok(());
                }
            },
        }
    }
}

/// A second handle on the socket, for the way it closes. Both handles are dropped together.
struct Ending(Option<socket2::Socket>);

impl Ending {
    fn of(stream: &Stream) -> Self {
        Self(stream.socket().try_clone().ok())
    }

    fn prepare(&self, after: After) {
        if after == After::Reset
            && let Some(socket) = &self.0
        {
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }
}

struct Exchange {
    respond: SendResponse<Bytes>,
    orders: mpsc::UnboundedSender<Order>,
    early: bool,
}

impl Exchange {
    /// One stream. A failure is the client's doing and shows in what the client saw.
    async fn run(
        mut self,
        incoming: http::Request<RecvStream>,
        connection: Arc<Connection>,
        handler: Handler,
    ) {
        let (head, mut body) = incoming.into_parts();
        let mut request = record(&connection, &head);
        if !self.early {
            read_body(&mut request, &mut body).await;
        }
        connection.file(&request);
        if request.flaw.is_some() {
            return;
        }
        let reply = handler.ask(request.clone()).await;
        let after = reply.after;
        // When the client resets the stream, the rest of the answer is dropped with it.
        let _ = self.perform(&request, reply, body).await;
        if matches!(after, After::Close | After::Reset) {
            let _ = self.orders.send(Order::End(after));
        }
    }

    async fn perform(&mut self, request: &Request, reply: Reply, body: RecvStream) -> Result<(), Failure> {
        for (status, fields) in &reply.interim {
            let mut interim = Response::builder().status(*status).body(())?;
            *interim.headers_mut() = map(fields)?;
            self.respond.send_informational(interim)?;
        }
        if reply.goaway {
            let _ = self.orders.send(Order::GoAway);
        }
        for part in &reply.before {
            tokio::select! {
                () = wait(part) => {}
                _ = poll_fn(|cx| self.respond.poll_reset(cx)) => return Err("the client reset the stream".into()),
            }
        }
        if let Kind::Raw(_) = reply.kind {
            return self.without_answer(reply.after).await;
        }
        let mut head = Response::builder().status(reply.status).body(())?;
        *head.headers_mut() = map(&reply.headers)?;
        if let Some(crate::Framing::Length(length)) = reply.framing {
            head.headers_mut().insert("content-length", length.into());
        }
        let bodiless = request.method == "HEAD" || (reply.parts.is_empty() && reply.trailers.is_empty());
        let ends = bodiless && reply.kind == Kind::Message && reply.stream_reset.is_none();
        let mut out = self.respond.send_response(head, ends)?;
        if ends {
            return Ok(());
        }
        if reply.kind == Kind::Echo {
            return echo(body, out).await;
        }
        content(&mut out, &reply).await
    }

    /// Silence, or the end of the connection.
    async fn without_answer(&mut self, after: After) -> Result<(), Failure> {
        if after == After::Hang {
            poll_fn(|cx| self.respond.poll_reset(cx)).await?;
        }
        Ok(())
    }
}

/// Sends the body and what ends it.
async fn content(out: &mut SendStream<Bytes>, reply: &Reply) -> Result<(), Failure> {
    let mut left = reply.cut.unwrap_or(usize::MAX);
    for part in &reply.parts {
        let Part::Data(bytes) = part else {
            tokio::select! {
                () = wait(part) => {}
                _ = poll_fn(|cx| out.poll_reset(cx)) => return Err("the client reset the stream".into()),
            }
            continue;
        };
        let piece = bytes.slice(..bytes.len().min(left));
        left = left.saturating_sub(piece.len());
        send(out, piece).await?;
    }
    match (reply.stream_reset, reply.after) {
        (Some(code), _) => out.send_reset(Reason::from(code)),
        (None, After::Hang) => {
            poll_fn(|cx| out.poll_reset(cx)).await?;
        }
        _ if reply.cut.is_some() => out.send_reset(Reason::INTERNAL_ERROR),
        _ if reply.trailers.is_empty() => out.send_data(Bytes::new(), true)?,
        _ => out.send_trailers(map(&reply.trailers)?)?,
    }
    Ok(())
}

/// Waits out a pause or a gate.
async fn wait(part: &Part) {
    match part {
        Part::Pause(time) => tokio::time::sleep(*time).await,
        Part::Gate(gate) => gate.pass().await,
        Part::Data(_) => {}
    }
}

fn record(connection: &Connection, head: &http::request::Parts) -> Request {
    let mut request = connection.begin();
    request.method = head.method.to_string();
    request.target = head.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    request.authority = head.uri.authority().map_or_else(String::new, ToString::to_string);
    request.version = "HTTP/2".into();
    request.headers = Headers::from(&head.headers);
    request
}

async fn read_body(request: &mut Request, body: &mut RecvStream) {
    while let Some(piece) = body.data().await {
        match piece {
            Ok(bytes) => {
                let _ = body.flow_control().release_capacity(bytes.len());
                request.body.extend_from_slice(&bytes);
            }
            Err(error) => {
                request.flaw = Some(error.to_string());
                return;
            }
        }
    }
    match body.trailers().await {
        Ok(trailers) => request.trailers = trailers.as_ref().map(Headers::from).unwrap_or_default(),
        Err(error) => request.flaw = Some(error.to_string()),
    }
}

/// Sends back what comes, piece by piece, and the trailers.
async fn echo(mut body: RecvStream, mut out: SendStream<Bytes>) -> Result<(), Failure> {
    while let Some(piece) = body.data().await {
        let bytes = piece?;
        body.flow_control().release_capacity(bytes.len())?;
        send(&mut out, bytes).await?;
    }
    match body.trailers().await? {
        Some(trailers) => out.send_trailers(trailers)?,
        None => out.send_data(Bytes::new(), true)?,
    }
    Ok(())
}

/// Sends data as the windows allow.
pub(crate) async fn send(out: &mut SendStream<Bytes>, mut bytes: Bytes) -> Result<(), Failure> {
    while !bytes.is_empty() {
        out.reserve_capacity(bytes.len());
        let granted = poll_fn(|cx| out.poll_capacity(cx)).await.ok_or("the stream is closed")??;
        out.send_data(bytes.split_to(granted.min(bytes.len())), false)?;
    }
    Ok(())
}

/// Fields for HTTP/2.
pub(crate) fn map(fields: &Headers) -> Result<HeaderMap, Failure> {
    let mut map = HeaderMap::new();
    for (name, value) in fields.iter() {
        let name = HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes())?;
        map.append(name, HeaderValue::from_bytes(&crate::headers::latin1(value))?);
    }
    Ok(map)
}
