//! What an unsafe request makes unusable (RFC 9111 §4.4).
//!
//! The stored response of a URI may belong to another route than the request that changed it (`POST` is often
//! routed elsewhere than `GET`), so each target is routed anew, as a GET.

use http::Method;
use pingora_cache::CacheKey;
use pingora_cache::key::CompactCacheKey;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use seawall_caching::invalidation::{self, Origin};
use seawall_routing::Outcome;

use crate::context::Context;
use crate::phases::{lookup, route};
use crate::plan::{Plan, RoutePlan};
use crate::purge::purge_keys;
use crate::zone::Zone;

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
            for (zone, key) in everywhere(&ctx.plan.cache.zones, &named, &origin) {
                zone.invalidate(&key);
            }
        }
    }
}

/// Drops what the origin's answer made unfit: a 304 that speaks of another response, or that forbids to store. The
/// request itself was served from it, since the origin confirmed it (RFC 9111 §4.3.3).
pub(crate) fn discarded(session: &Session, ctx: &Context) {
    if ctx.cache.discard
        && let (Some(key), Some(zone)) = (session.cache.maybe_cache_key(), ctx.zone())
    {
        zone.invalidate(&key.to_compact());
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

/// All keys under which the response to a GET may be in these zones. The route may have been in another zone before, and
/// may be there again after the next reload; other methods of the URL may have routes in other zones.
pub(crate) fn everywhere<'n>(
    zones: &'n [&'static Zone],
    named: &'n Named<'_>,
    origin: &'n Origin<'_>,
) -> impl Iterator<Item = (&'static Zone, CompactCacheKey)> {
    let plain = named.key.to_compact();
    zones.iter().flat_map(move |zone| {
        let searched = searched(zone, named, origin).map(|key| key.to_compact());
        std::iter::once(plain.clone()).chain(searched).map(|key| (*zone, key))
    })
}

/// The key that a GET has by what the zone learned from No-Vary-Search, when it learned something.
fn searched(zone: &Zone, named: &Named<'_>, origin: &Origin<'_>) -> Option<CacheKey> {
    let policy = named.route.cache.as_ref()?;
    let target = named.target.as_bytes();
    let learned = zone.search.find(origin.scheme, origin.authority, &policy.key().target(target))?;
    let key = policy.key().key_by(origin.scheme, origin.authority, target, Some(&learned));
    Some(lookup::cache_key(key.primary))
}

/// A PURGE removes what stands under the key of today in the zone of today; Pingora does that. What was stored before the
/// rule for its path was learned has a key of its own, which would count again once the rule is forgotten; it goes too,
/// and so does what other zones have.
///
/// # Errors
/// When the purge of another zone could not be recorded.
pub(crate) async fn purged(session: &Session, ctx: &Context) -> Result<()> {
    let zones = &ctx.plan.cache.zones;
    let Some(route) = &ctx.route else { return Ok(()) };
    let (Some(policy), Some(home)) = (&route.cache, route.zone) else { return Ok(()) };
    if zones.len() == 1 && home.search.is_empty() {
        return Ok(());
    }
    let authority = lookup::authority(session, ctx);
    let key = policy.key().key(ctx.scheme(), &authority, ctx.target.as_bytes());
    let named = Named { key: lookup::cache_key(key.primary), route, target: ctx.target.clone() };
    if !home.search.is_empty() {
        home.invalidate(&named.key.to_compact());
    }
    let origin =
        Origin { scheme: ctx.scheme(), authority: &authority, path_and_query: ctx.target.as_bytes() };
    let elsewhere =
        everywhere(zones, &named, &origin).filter(|(zone, _)| !std::ptr::eq(*zone, home)).collect();
    match purge_keys(elsewhere, false).await {
        Ok(_) => Ok(()),
        Err(error) => Error::e_explain(ErrorType::InternalError, error.to_string()),
    }
}
