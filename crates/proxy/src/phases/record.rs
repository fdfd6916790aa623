//! Metrics and the access log, once a request is over.

use std::time::SystemTime;

use http::Version;
use http::header::{CONTENT_ENCODING, HeaderMap, HeaderName, REFERER, USER_AGENT};
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_error::Error;
use pingora_proxy::Session;
use seawall_caching::status::CACHE_STATUS;
use seawall_guard::with_current_connection;
use seawall_telemetry::metrics::{RequestSample, UpstreamResult};
use seawall_telemetry::{AccessRecord, Listener};
use seawall_upstream::Outcome;

use crate::context::Context;
use crate::failure::Failure;
use crate::phases::{background, select};

/// A request that ended without an end: its client left while it waited for another's answer, or its task panicked. It
/// is counted and logged with what is still known of it.
pub(crate) fn abandoned(ctx: &Context) {
    if ctx.refresh || ctx.recorded {
        return;
    }
    let metrics = ctx.route.as_ref().map_or(&ctx.plan.unrouted, |route| &route.metrics);
    metrics.record(&RequestSample {
        method: &ctx.method,
        status: CLIENT_GONE,
        cache: ctx.cache.result,
        duration: ctx.started.elapsed(),
        first_byte: None,
        upstream: None,
        bytes_received: 0,
        bytes_sent: 0,
    });
    let log = &ctx.plan.access_log;
    if log.is_on() {
        let local = ctx.socket.as_ref().and_then(|socket| socket.local_addr());
        with_listener(local, |listener| {
            log.write(&AccessRecord { listener, status: CLIENT_GONE, error: "client_gone", ..line(ctx) });
        });
    }
}

/// The line of the access log, as far as the request's own memory has it; its connection knows the rest.
fn line(ctx: &Context) -> AccessRecord<'_> {
    let route = ctx.route.as_deref();
    AccessRecord {
        time: SystemTime::now(),
        request_id: ctx.id.as_str(),
        client: ctx.client.address,
        listener: Listener::Other(""),
        scheme: ctx.scheme(),
        host: ctx.host.as_bytes(),
        method: ctx.method.as_str().as_bytes(),
        uri: ctx.target.as_bytes(),
        protocol: "",
        status: 0,
        bytes_sent: 0,
        bytes_received: 0,
        duration: ctx.started.elapsed(),
        upstream_duration: None,
        first_byte: ctx.first_byte,
        site: route.map_or("", |route| &route.site),
        route: route.map_or("", |route| &route.name),
        upstream: "",
        server: &ctx.upstream.server,
        tries: ctx.upstream.tries,
        cache: ctx.cache.result,
        cache_status: b"",
        encoding: b"",
        referer: b"",
        user_agent: b"",
        error: ctx.error,
    }
}

/// Nobody was there to be told; the number that nginx made usual for it.
const CLIENT_GONE: u16 = 499;

/// The end of a request, good or bad.
pub(crate) fn record(session: &mut Session, error: Option<&Error>, ctx: &mut Context) {
    ctx.recorded = true;
    if ctx.upstream.tries > 0 {
        let (result, outcome) = if error.is_some() {
            (UpstreamResult::Abandoned, Outcome::Answered)
        } else {
            (UpstreamResult::Status(ctx.cache.origin_status.unwrap_or(0)), Outcome::Answered)
        };
        select::count(ctx, result, outcome);
    }
    ctx.upstream.silence = None;
    ctx.upstream.selected = None;
    if ctx.error.is_empty()
        && let Some(error) = error
    {
        ctx.error = Failure::classify(error).reason;
    }
    if let Some(outcome) = background::outcome(ctx, error) {
        ctx.plan.metrics.background_fills().inc(outcome);
    }
    // The refresh of a stale response is the origin's business: no client asked for it.
    if ctx.refresh {
        return;
    }
    with_current_connection(seawall_guard::ConnectionState::request_done);
    let duration = ctx.started.elapsed();
    // Without an end of its answer (a failure, an answer without a body, a client that left) the upstream had
    // the request until now.
    let upstream_duration = ctx.upstream.took.or_else(|| ctx.upstream.began.map(|began| began.elapsed()));
    let downstream = session.as_downstream();
    let unanswered = if ctx.error == "client_gone" { CLIENT_GONE } else { 0 };
    let status = downstream.response_written().map_or(unanswered, |response| response.status.as_u16());
    let bytes_sent = downstream.body_bytes_sent() as u64;
    let bytes_received = downstream.body_bytes_read() as u64;
    let metrics = ctx.route.as_ref().map_or(&ctx.plan.unrouted, |route| &route.metrics);
    metrics.record(&RequestSample {
        method: &downstream.req_header().method,
        status,
        cache: ctx.cache.result,
        duration,
        first_byte: ctx.first_byte,
        upstream: upstream_duration,
        bytes_received,
        bytes_sent,
    });
    if ctx.cache.collapsed {
        metrics.collapsed();
    }
    let log = &ctx.plan.access_log;
    if !log.is_on() {
        return;
    }
    let request = downstream.req_header();
    let upstream = select::upstream(ctx).filter(|_| ctx.upstream.tries > 0);
    let sent =
        |name: &HeaderName| downstream.response_written().map_or(&b""[..], |h| field(&h.headers, name));
    with_listener(downstream.server_addr(), |listener| {
        log.write(&AccessRecord {
            listener,
            method: request.method.as_str().as_bytes(),
            uri: request.raw_path(),
            protocol: protocol(request.version),
            status,
            bytes_sent,
            bytes_received,
            duration,
            upstream_duration,
            upstream: upstream.as_ref().map_or("", |upstream| &upstream.name),
            cache_status: sent(&CACHE_STATUS),
            encoding: sent(&CONTENT_ENCODING),
            referer: field(&request.headers, &REFERER),
            user_agent: field(&request.headers, &USER_AGENT),
            ..line(ctx)
        });
    });
}

/// Hands on where the client's connection came in, which `local` says.
fn with_listener(local: Option<&SocketAddr>, write: impl FnOnce(Listener<'_>)) {
    match local.map(|local| (local, local.as_inet())) {
        Some((_, Some(tcp))) => write(Listener::Tcp(*tcp)),
        Some((unix, None)) => write(Listener::Other(&unix.to_string())),
        None => write(Listener::Other("")),
    }
}

fn field<'h>(headers: &'h HeaderMap, name: &HeaderName) -> &'h [u8] {
    headers.get(name).map_or(b"", |value| value.as_bytes())
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/0.9",
    }
}
