//! Which server takes the request, and whether another may be tried.

use std::os::unix::io::RawFd;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, ErrorSource, ErrorType, Result};
use pingora_proxy::Session;
use seawall_telemetry::metrics::{RetryReason, UpstreamResult};
use seawall_upstream::{Outcome, Pool, Reached, SelectRequest, Selected};

use crate::context::Context;
use crate::plan::{Action, UpstreamKind, UpstreamPlan};

/// The error type of a pool with nobody to ask; the client gets 503.
const NO_SERVER: ErrorType = ErrorType::HTTPStatus(503);

/// The error type of a 101 that must not become a tunnel; the client gets 502.
pub(crate) const BAD_UPGRADE: ErrorType = ErrorType::Custom("bad_upgrade");

pub(crate) fn upstream(ctx: &Context) -> Option<Arc<UpstreamPlan>> {
    match &ctx.route.as_ref()?.action {
        Action::Forward(upstream) => Some(Arc::clone(upstream)),
        Action::Redirect(_) | Action::Respond(_) => None,
    }
}

/// Chooses for one try.
pub(crate) fn peer(session: &Session, ctx: &mut Context) -> Result<Box<HttpPeer>> {
    let Some(upstream) = upstream(ctx) else {
        return Error::e_explain(ErrorType::InternalError, "a request without an upstream came to selection");
    };
    ctx.upstream.tries = ctx.upstream.tries.saturating_add(1);
    ctx.upstream.began.get_or_insert_with(Instant::now);
    ctx.upstream.requested = Some(SystemTime::now());
    ctx.upstream.reported = false;
    ctx.upstream.sent = None;
    ctx.upstream.first_byte = None;
    ctx.upstream.silence = None;
    match &upstream.kind {
        UpstreamKind::Files(files) => {
            ctx.upstream.server.clear();
            ctx.upstream.server.push_str("files");
            Ok(files.peer())
        }
        UpstreamKind::Pool(pool) => choose(session, ctx, pool, &upstream),
    }
}

fn choose(
    session: &Session,
    ctx: &mut Context,
    pool: &Pool,
    upstream: &UpstreamPlan,
) -> Result<Box<HttpPeer>> {
    let request = SelectRequest {
        uri: &ctx.target,
        headers: &session.req_header().headers,
        // A client on a unix socket has no address; all of them are one client.
        client: ctx.client.address.unwrap_or(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)),
    };
    let selected = pool.select(&request, &ctx.upstream.tried).map_err(|why| {
        ctx.error = "no_server";
        upstream.metrics.no_server();
        Error::explain(NO_SERVER, why.to_string()).into_up()
    })?;
    ctx.upstream.server.clear();
    ctx.upstream.server.push_str(selected.server());
    ctx.upstream.tried.push(selected.id());
    let upgrade = session.is_upgrade_req();
    let peer = if upgrade { selected.peer_for_upgrade() } else { selected.peer() };
    ctx.upstream.selected = Some(selected);
    Ok(peer)
}

/// A connection is there, new or kept.
pub(crate) fn connected(
    session: &Session,
    ctx: &mut Context,
    reused: bool,
    socket: RawFd,
    digest: Option<&Digest>,
) -> Result<()> {
    ctx.upstream.sent = Some(Instant::now());
    let Some(upstream) = upstream(ctx) else { return Ok(()) };
    upstream.metrics.connected(reused);
    let Some(pool) = upstream.pool() else { return Ok(()) };
    pool.check_connection(digest)
        .map_err(|weak| Error::explain(ErrorType::TLSHandshakeFailure, weak.to_string()).into_up())?;
    let upgrade = session.is_upgrade_req();
    let socket = ctx.upstream.selected.as_ref().and_then(Selected::descriptor).unwrap_or(socket);
    ctx.upstream.silence = match pool.watch_silence(socket, upgrade) {
        Ok(watch) => watch,
        // Nothing else would end a silent tunnel.
        Err(error) if upgrade => {
            return Error::e_because(ErrorType::InternalError, "no descriptor to watch a tunnel with", error);
        }
        // Without a descriptor to spare Pingora's longer timeout still holds.
        Err(_) => None,
    };
    Ok(())
}

/// No connection came about: nothing was sent, so any method may go elsewhere.
pub(crate) fn connect_failed(session: &Session, ctx: &mut Context, error: Box<Error>) -> Box<Error> {
    count(ctx, UpstreamResult::ConnectFailed, Outcome::ConnectFailed);
    again(session, ctx, error, Reached::Nothing, RetryReason::Connect)
}

/// The connection broke, timed out, or a phase gave up on the response.
pub(crate) fn broken(session: &Session, ctx: &mut Context, error: Box<Error>, reused: bool) -> Box<Error> {
    let mut error = error;
    let silent = ctx.upstream.silence.as_ref().is_some_and(seawall_upstream::SilenceWatch::expired);
    if silent {
        error.etype = ErrorType::ReadTimedout;
        error = error.into_up();
        if ctx.tunnel {
            ctx.error = "tunnel_idle";
            ctx.plan.metrics.tunnel_idle();
        }
    }
    if *error.esource() != ErrorSource::Upstream {
        count(ctx, UpstreamResult::Abandoned, Outcome::Answered);
        error.set_retry(false);
        return error;
    }
    let reason = match error.etype() {
        ErrorType::HTTPStatus(_) => RetryReason::Status,
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => RetryReason::Timeout,
        _ => RetryReason::Broken,
    };
    match reason {
        RetryReason::Timeout => count(ctx, UpstreamResult::TimedOut, Outcome::Broken),
        RetryReason::Broken => count(ctx, UpstreamResult::Broken, Outcome::Broken),
        RetryReason::Connect | RetryReason::Status => {}
    }
    if std::mem::take(&mut ctx.upstream.retry_granted) {
        note_retry(ctx, RetryReason::Status);
        error.set_retry(true);
        return error;
    }
    let repeatable = error.etype() != &BAD_UPGRADE
        && session.response_written().is_none()
        && !session.as_downstream().retry_buffer_truncated();
    if !repeatable {
        error.set_retry(false);
        return error;
    }
    // A kept connection that the server had closed already: the server saw nothing it would act on, and this
    // is no sign of trouble, so another server is no better and the budget is not asked.
    if reused && reason == RetryReason::Broken && session.req_header().method.is_idempotent() {
        ctx.upstream.tried.pop();
        let retry = ctx.upstream.tries < MAX_TRIES;
        if retry {
            note_retry(ctx, reason);
        }
        error.set_retry(retry);
        return error;
    }
    again(session, ctx, error, Reached::Server, reason)
}

/// Tries of one request, whatever the settings and however many kept connections turn out dead.
pub const MAX_TRIES: u32 = 16;

fn again(
    session: &Session,
    ctx: &mut Context,
    mut error: Box<Error>,
    reached: Reached,
    reason: RetryReason,
) -> Box<Error> {
    let retry = may_retry(session, ctx, reached);
    if retry {
        note_retry(ctx, reason);
    }
    error.set_retry(retry);
    error
}

/// Whether policy and budget allow one more try. Takes it out of the budget.
pub(crate) fn may_retry(session: &Session, ctx: &Context, reached: Reached) -> bool {
    let Some(upstream) = upstream(ctx) else { return false };
    let Some(pool) = upstream.pool() else { return false };
    if !pool.retry_policy().allows(reached, &session.req_header().method, ctx.upstream.tries) {
        return false;
    }
    let granted = pool.budget().try_withdraw();
    if !granted {
        upstream.metrics.budget_exhausted();
    }
    granted
}

fn note_retry(ctx: &Context, reason: RetryReason) {
    if let Some(upstream) = upstream(ctx) {
        upstream.metrics.retried(reason);
    }
}

/// Counts how the latest try ended, once.
pub(crate) fn count(ctx: &mut Context, result: UpstreamResult, outcome: Outcome) {
    if std::mem::replace(&mut ctx.upstream.reported, true) {
        return;
    }
    if let Some(upstream) = upstream(ctx) {
        upstream.metrics.tried(result, ctx.upstream.first_byte);
    }
    if let Some(selected) = &ctx.upstream.selected {
        selected.report(outcome);
    }
}
