//! Is the head lawful and within limits, who is asking, and under which id.

use std::sync::atomic::Ordering;

use pingora_error::{Error, ErrorType, Result};
use pingora_proxy::Session;
use seawall_guard::head::{HeadFault, check_h1, check_h2};
use seawall_guard::{head::Framing, with_current_connection};

use crate::context::Context;
use crate::request_id::RequestId;

/// Runs before anything else sees the request.
pub(crate) fn admit(session: &mut Session, ctx: &mut Context) -> Result<()> {
    ctx.refresh = session.subrequest_ctx.is_some();
    ctx.method = session.req_header().method.clone();
    set_timeouts(session, ctx);
    identify(session, ctx);
    if ctx.refresh {
        return Ok(());
    }
    check_head(session, ctx).map_err(|fault| refuse(ctx, fault))?;
    if ctx.plan.forwarding.is_loop(&session.req_header().headers) {
        return Err(refuse(ctx, LOOP));
    }
    Ok(())
}

/// RFC 8586 §2: a request that has been here is refused, before it costs an origin anything.
const LOOP: HeadFault = HeadFault { status: 508, reason: "loop" };

fn refuse(ctx: &mut Context, fault: HeadFault) -> Box<Error> {
    ctx.error = fault.reason;
    ctx.plan.metrics.refused().inc(fault.reason);
    Error::explain(ErrorType::HTTPStatus(fault.status), fault.reason).into_down()
}

fn check_head(session: &mut Session, ctx: &Context) -> Result<(), HeadFault> {
    let limits = &ctx.plan.limits.head;
    let Some(h1) = session.as_downstream().as_http1() else {
        return check_h2(session.req_header(), limits);
    };
    let framing = check_h1(&h1.get_headers_raw_bytes(), limits);
    let line_fault = with_current_connection(|connection| {
        let fault = connection.line_fault();
        if fault.is_none() {
            connection.head_complete(framing.as_ref().is_ok_and(|framing| framing.has_body()));
        }
        fault
    });
    match line_fault.flatten() {
        Some(fault) => Err(fault.into()),
        None => framing.map(|_: Framing| ()),
    }
}

fn set_timeouts(session: &mut Session, ctx: &Context) {
    let deadlines = &ctx.plan.limits.deadlines;
    let downstream = session.as_downstream_mut();
    // Left off where Pingora has found that the client wants no more: `close`, or HTTP/1.0 without `keep-alive`. A client
    // that is told to close opens its next connection where requests are still taken.
    if downstream.get_keepalive().is_some() {
        let draining = ctx.plan.draining.load(Ordering::Relaxed);
        downstream.set_keepalive((!draining).then(|| deadlines.idle.as_secs().max(1)));
    }
    downstream.set_read_timeout(Some(deadlines.body));
    downstream.set_write_timeout(Some(deadlines.write));
    downstream.set_total_drain_timeout(Some(deadlines.body));
    // So that a slow first client does not stall the readers of the same fill.
    downstream.set_proxy_tasks_enabled(true);
}

fn identify(session: &mut Session, ctx: &mut Context) {
    let downstream = session.as_downstream();
    ctx.https = downstream.digest().is_some_and(|digest| digest.ssl_digest.is_some());
    let peer = downstream.client_addr().and_then(|address| address.as_inet()).map(std::net::SocketAddr::ip);
    let headers = &downstream.req_header().headers;
    if ctx.plan.access_log.is_on() {
        ctx.socket = downstream.digest().and_then(|digest| digest.socket_digest.clone());
    }
    ctx.client = ctx.plan.forwarding.client(peer, headers);
    // What the origin is told is what the key says, so a trusted peer's word counts for both.
    if let Some(https) = ctx.client.forwarded_https(headers) {
        ctx.https = https;
    }
    if let Some(id) = ctx.plan.forwarding.inherited_request_id(&ctx.client, headers) {
        ctx.id = RequestId::Inherited(id.into());
    }
}
