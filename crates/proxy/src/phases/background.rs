//! Responses on their way into the store whose clients have left.
//!
//! Pingora goes on with them and tells nobody but the filter of its log lines, which is where it is noted.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use pingora_error::{Error, ErrorType, Result};
use pingora_proxy::{ProxyWarnLogContext, Session};

use crate::context::Context;

/// How long after its head a response goes on in any case: whoever waited for it has to find it first.
const GRACE: Duration = Duration::from_secs(1);

/// Something is about to be logged: perhaps that a client has left its fill.
pub(crate) fn noticed(ctx: &Context, what: &ProxyWarnLogContext) {
    if matches!(what, ProxyWarnLogContext::DownstreamCache) {
        ctx.client_left.store(true, Relaxed);
    }
}

/// A piece of the answer's body has come. Whether anybody or anything still wants it.
pub(crate) fn piece(session: &mut Session, body: Option<&Bytes>, end: bool, ctx: &mut Context) -> Result<()> {
    if !ctx.client_left.load(Relaxed) || end {
        return Ok(());
    }
    let Some(fill) = session.cache.miss_body_reader().and_then(|reader| seawall_store::client_left(reader))
    else {
        return Ok(());
    };
    let (Some(sent), Some(first_byte)) = (ctx.upstream.sent, ctx.upstream.first_byte) else { return Ok(()) };
    let policy = ctx.route.as_ref().and_then(|route| route.cache.as_ref());
    let there = fill.there.saturating_add(body.map_or(0, |body| body.len() as u64));
    // What only passes through is for its readers alone.
    let goes_on = fill.stored
        && (policy.is_none_or(|policy| policy.background_fill().goes_on(there, fill.length))
            || sent.elapsed() < first_byte.saturating_add(GRACE));
    if fill.readers > 0 || goes_on {
        return Ok(());
    }
    ctx.fill_stopped = true;
    Error::e_explain(ErrorType::ConnectionClosed, "all clients of the response have left")
        .map_err(Error::into_down)
}

/// The request is over. Hands out what became of the fill that went on without its client.
pub(crate) fn outcome(ctx: &Context, error: Option<&Error>) -> Option<&'static str> {
    match error {
        _ if !ctx.client_left.load(Relaxed) => None,
        _ if ctx.fill_stopped => Some("stopped"),
        // The store finds that out, too, of what it has just given up.
        Some(error) if *error.etype() == seawall_store::FILL_ABANDONED => Some("stopped"),
        Some(_) => Some("failed"),
        None => Some("finished"),
    }
}
