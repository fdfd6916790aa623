//! What an unsafe request makes unusable (RFC 9111 §4.4).
//!
//! The stored response of a URI may belong to another route than the request that changed it (`POST` is often
//! routed elsewhere than `GET`), so each target is routed anew, as a GET.

use http::Method;
use pingora_cache::CacheKey;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use seawall_caching::invalidation::{self, Origin};
use seawall_routing::Outcome;

use crate::context::Context;
use crate::phases::{lookup, route};
use crate::plan::{Plan, RoutePlan};

/// Called with the head of every answer of an origin, before the client sees it: who has been told that a
/// change was made does not get the old response afterwards.
pub(crate) fn after(session: &Session, response: &ResponseHeader, ctx: &Context) {
    let method = &session.req_header().method;
    if invalidation::is_safe(method) {
        return;
    }
    let Some(target) = route::client_target(session) else { return };
    let authority = lookup::authority(session, ctx);
    let origin = Origin { scheme: ctx.scheme(), authority: &authority, path_and_query: target.as_bytes() };
    for target in invalidation::invalidated(method, response.status, &origin, &response.headers) {
        let Ok(target) = String::from_utf8(target) else { continue };
        if let Some(named) = named(&ctx.plan, &ctx.host, &origin, &target) {
            remove(&ctx.plan, &named.key);
            if let Some(key) = searched(&ctx.plan, &named, &origin) {
                remove(&ctx.plan, &key);
            }
        }
    }
}

/// Drops what the origin's answer made unfit: a 304 that speaks of another response, or that forbids to store. The
/// request itself was served from it, since the origin confirmed it (RFC 9111 §4.3.3).
pub(crate) fn discarded(session: &Session, ctx: &Context) {
    if ctx.cache.discard
        && let Some(key) = session.cache.maybe_cache_key()
    {
        remove(&ctx.plan, key);
    }
}

/// Where the response to a GET is stored.
pub(crate) struct Named<'p> {
    pub(crate) key: CacheKey,
    pub(crate) route: &'p RoutePlan,
    /// Path and query as forwarded.
    target: String,
}

/// Where the response to a GET for this target is stored, when its route has a cache.
pub(crate) fn named<'p>(plan: &'p Plan, host: &str, origin: &Origin<'_>, target: &str) -> Option<Named<'p>> {
    let mut target = route::normal(target)?;
    let (path, _) = route::split(&target);
    let Outcome::Route(found) = plan.router.find(host, &Method::GET, path) else { return None };
    let policy = found.route.cache.as_ref().filter(|policy| policy.enabled())?;
    if let Some(rewrite) = &found.route.rewrite {
        target = rewrite.apply(&target, &found.captures).ok()?;
    }
    let key = policy.key().key(origin.scheme, origin.authority, target.as_bytes());
    Some(Named { key: lookup::cache_key(key.primary), route: found.route, target })
}

/// The key that a GET has by what was learned from No-Vary-Search, when that is another one.
pub(crate) fn searched(plan: &Plan, named: &Named<'_>, origin: &Origin<'_>) -> Option<CacheKey> {
    let policy = named.route.cache.as_ref()?;
    let target = named.target.as_bytes();
    let learned = plan.cache.search.find(origin.scheme, origin.authority, &policy.key().target(target))?;
    let key = policy.key().key_by(origin.scheme, origin.authority, target, Some(&learned));
    Some(lookup::cache_key(key.primary))
}

/// A PURGE removes what stands under the key of today. What was stored before the rule for its path was learned has a
/// key of its own, which would count again once the rule is forgotten; it goes too.
pub(crate) fn purged(session: &Session, ctx: &Context) {
    if ctx.plan.cache.search.is_empty() {
        return;
    }
    let Some(policy) = ctx.route.as_ref().and_then(|route| route.cache.as_ref()) else { return };
    let authority = lookup::authority(session, ctx);
    let key = policy.key().key(ctx.scheme(), &authority, ctx.target.as_bytes());
    remove(&ctx.plan, &lookup::cache_key(key.primary));
}

pub(crate) fn remove(plan: &Plan, key: &CacheKey) {
    plan.cache.store.invalidate(&key.to_compact());
}
