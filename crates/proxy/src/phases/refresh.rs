//! Whether a stale response that may be served has itself refreshed in the background.

use std::time::SystemTime;

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
pub(crate) fn served_stale(session: &Session, ctx: &mut Context) {
    if let Some(place) = ctx.refreshing.take()
        && session.cache.is_cache_lock_writer()
    {
        place.leave();
    }
}
