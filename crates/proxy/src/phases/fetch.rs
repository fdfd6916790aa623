//! What the origin is sent.

use bytes::Bytes;
use http::Version;
use http::header::{HOST, HeaderName, HeaderValue, TE};
use pingora_error::{Error, ErrorType, OrErr, Result};
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use seawall_caching::directives::{CAPABILITY, SURROGATE_CAPABILITY};
use seawall_guard::{ConnectionState, with_current_connection};

use crate::context::Context;
use crate::forwarding::{Said, has_extensions};
use crate::phases::{encode, parts, select};

/// Fields that some frameworks let override the target or the method, all of which begin with `x-`. No cache key has them, so an origin that
/// believed them could put one page into the cache under the name of another.
const OVERRIDES: [HeaderName; 8] = [
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-method-override"),
    HeaderName::from_static("x-forwarded-scheme"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-host"),
];

/// The request's head.
pub(crate) fn request(session: &Session, request: &mut RequestHeader, ctx: &mut Context) -> Result<()> {
    let Some(route) = ctx.route.clone() else { return Ok(()) };
    let Some(upstream) = select::upstream(ctx) else { return Ok(()) };
    // Pingora falls back to HTTP/1.1 when the server's TLS does not choose h2; gRPC would fail on that in odd ways.
    if upstream.pool().is_some_and(|pool| pool.wants_only_http2()) && request.version != Version::HTTP_2 {
        return Err(Error::explain(ErrorType::H2Downgrade, "the server does not speak HTTP/2").into_up());
    }
    let target = http::Uri::try_from(ctx.target.as_str()).or_err(ErrorType::InternalError, "target")?;
    request.set_uri(target);
    if has_extensions(&request.headers) {
        for name in &OVERRIDES {
            request.remove_header(name);
        }
    }
    let host = match upstream.pool().and_then(|pool| pool.host()) {
        Some(host) => host.clone(),
        // As the client wrote it: with its port, which the normalised host does not have.
        None => client_host(session, ctx)?,
    };
    request.insert_header(HOST, host)?;
    // Pingora strips TE as a field of the connection; gRPC wants to know that trailers are understood.
    if session.req_header().headers.get(TE).is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"))
    {
        request.insert_header(TE, HeaderValue::from_static("trailers"))?;
    }
    let said = Said {
        host: &ctx.host,
        https: ctx.https,
        received: session.req_header().version,
        request_id: ctx.id.as_str(),
        shared: session.cache.enabled() || session.cache.bypassing(),
    };
    ctx.plan.forwarding.write(request, &ctx.client, &said)?;
    if said.shared {
        // In the place of a client's own, with which it could have content made that the cache would share.
        request.insert_header(SURROGATE_CAPABILITY, CAPABILITY)?;
    }
    parts::ask(session, request, ctx)?;
    encode::ask(session, request, ctx)?;
    if let Some(ops) = &route.request_headers {
        ops.apply_request(request)?;
    }
    Ok(())
}

fn client_host(session: &Session, ctx: &Context) -> Result<HeaderValue> {
    let client = session.req_header();
    if let Some(authority) = client.uri.authority() {
        return HeaderValue::from_str(authority.as_str()).or_err(ErrorType::InvalidHTTPHeader, "authority");
    }
    match client.headers.get(HOST) {
        Some(host) => Ok(host.clone()),
        None => HeaderValue::from_str(&ctx.host).or_err(ErrorType::InvalidHTTPHeader, "host"),
    }
}

/// A piece of the request's body.
pub(crate) fn body(ctx: &mut Context, piece: Option<&Bytes>, end: bool) -> Result<()> {
    if let Some(piece) = piece {
        if let Some(silence) = &ctx.upstream.silence {
            silence.touch();
        }
        // What a tunnel carries is no body.
        if !ctx.tunnel && ctx.body.add(piece.len()).is_err() {
            ctx.error = "body_too_large";
            ctx.plan.metrics.refused().inc(ctx.error);
            return Err(Error::explain(ErrorType::HTTPStatus(413), ctx.error).into_down());
        }
    }
    if end {
        with_current_connection(ConnectionState::body_complete);
    }
    Ok(())
}
