//! Whether a stale response that may be served has itself refreshed in the background.

use std::time::SystemTime;

use http::Version;
use http::header::HOST;
use pingora_cache::{CacheMeta, ForcedFreshness};
use pingora_proxy::Session;

use crate::context::Context;
use crate::plan::Action;
use crate::refreshes::Wish;

/// The response is being refreshed already.
const UNDER_WAY: &str = "stale-while-revalidate";
/// It is to be, but as many as may be are.
const TOO_MANY: &str = "refresh-limit";

/// Asks for a place among the refreshes where Pingora would start one. Who gets none is served what there is, as if it
/// were fresh, so that nothing is started.
pub(crate) fn judge(
    session: &Session,
    meta: &CacheMeta,
    fresh: bool,
    verdict: Option<ForcedFreshness>,
    ctx: &mut Context,
) -> Option<ForcedFreshness> {
    if ctx.refresh {
        return verdict;
    }
    // This is asked again after a request has waited for another.
    ctx.cache.unasked = None;
    ctx.refreshing = None;
    let cache = &ctx.plan.cache;
    let would_start = !fresh
        && verdict.is_none()
        && cache.lock.is_some()
        && meta.serve_stale_while_revalidate(SystemTime::now());
    let Some(Action::Forward(upstream)) =
        ctx.route.as_ref().map(|route| &route.action).filter(|_| would_start)
    else {
        return verdict;
    };
    ctx.cache.unasked =
        match cache.refreshes.wish(session.cache.cache_key(), &upstream.name, cache.refresh_limits) {
            Wish::Granted(place) => {
                ctx.refreshing = Some(place);
                return None;
            }
            Wish::UnderWay => Some(UNDER_WAY),
            Wish::Refused => Some(TOO_MANY),
        };
    Some(ForcedFreshness::ForceFresh)
}

/// A stale response is served: its refresh is about to be started, or somebody else asks the origin for it already.
pub(crate) fn served_stale(session: &mut Session, ctx: &mut Context) {
    let begins = session.cache.is_cache_lock_writer();
    if let Some(place) = ctx.refreshing.take().filter(|_| begins) {
        place.leave();
    }
    if begins && session.is_http2() {
        lend_head(session);
    }
}

/// Pingora hands a refresh the head of the request as the text of HTTP/1, with the version as it is and without the authority
/// of the target: over HTTP/2 nobody could read it. So the head has the form of HTTP/1.1 while that happens.
fn lend_head(session: &mut Session) {
    let head = session.req_header_mut();
    head.set_version(Version::HTTP_11);
    let authority = head.uri.authority().map(|authority| authority.as_str().to_owned());
    if let Some(authority) = authority
        && let Err(error) = head.insert_header(HOST, authority)
    {
        log::warn!("a refresh has no host: {error}");
    }
}

/// The refresh has its head: the request is what it was.
pub(crate) fn take_head_back(session: &mut Session) {
    if session.is_http2() {
        session.req_header_mut().set_version(Version::HTTP_2);
    }
}
