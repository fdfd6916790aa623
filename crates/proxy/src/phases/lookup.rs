//! Whether the cache is asked, under which key, for which variant, and when a stale answer may be given.

use std::sync::Arc;
use std::time::SystemTime;

use pingora_cache::key::{HashBinary, hash_key};
use pingora_cache::{CacheKey, CacheMeta, CacheOptionOverrides, ForcedFreshness};
use pingora_error::{Error, ErrorSource, Result};
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use seawall_caching::request::{Verdict, assess};
use seawall_caching::{Freshness, Request, StaleWindows, vary};
use seawall_telemetry::CacheResult;

use crate::answer::Answer;
use crate::context::Context;

/// What the rules decided about a stored response, kept with it so that no hit decides it anew.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) freshness: Freshness,
    pub(crate) stale: StaleWindows,
    pub(crate) vary: Vec<http::HeaderName>,
}

/// The facts of a stored response.
pub(crate) fn facts(meta: &CacheMeta) -> Option<&Arc<Facts>> {
    meta.extensions().get()
}

/// Puts the cache between this request and the origin, if the rules let it.
pub(crate) fn enable(session: &mut Session, ctx: &mut Context) {
    let Some(route) = ctx.route.clone() else { return };
    let Some(policy) = &route.cache else { return };
    if !ctx.purge {
        let has_body = !session.is_body_empty();
        let head = session.req_header();
        let request = Request { method: &head.method, headers: &head.headers, has_body };
        match assess(&request, policy) {
            Ok(terms) => ctx.cache.terms = terms,
            Err(reason) => {
                ctx.cache.bypass = Some(reason);
                ctx.cache.result = CacheResult::Bypass;
                return;
            }
        }
    }
    let cache = &ctx.plan.cache;
    let mut overrides = CacheOptionOverrides::default();
    overrides.wait_timeout = Some(cache.lock_wait);
    session.cache.enable(cache.store, None, Some(cache.predictor), cache.lock, Some(overrides));
    ctx.cache.epoch = Some(cache.store.epoch());
}

/// The name of the response in the store. What is keyed is what is forwarded, so the target may change here.
pub(crate) fn key(session: &Session, ctx: &mut Context) -> Result<CacheKey> {
    let Some(policy) = ctx.route.as_ref().and_then(|route| route.cache.as_ref()) else {
        return Error::e_explain(pingora_error::ErrorType::InternalError, "a key without a cache policy");
    };
    let authority = authority(session, ctx);
    let key = policy.key().key(ctx.scheme(), &authority, ctx.target.as_bytes());
    let primary = key.primary;
    if let std::borrow::Cow::Owned(target) = key.target {
        ctx.target = String::from_utf8(target)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    }
    Ok(CacheKey::new(primary, ""))
}

/// The authority as it is forwarded: two ports of one name are two servers.
fn authority(session: &Session, ctx: &Context) -> String {
    let request = session.req_header();
    let port = match request.uri.authority() {
        Some(authority) => authority.port_u16(),
        None => request
            .headers
            .get(http::header::HOST)
            .and_then(|host| host.to_str().ok())
            .and_then(|host| host.parse::<http::uri::Authority>().ok())
            .and_then(|authority| authority.port_u16()),
    };
    match port {
        Some(port) => format!("{}:{port}", ctx.host),
        None => ctx.host.clone(),
    }
}

/// The variant this request wants of a stored response.
pub(crate) fn variant(meta: &CacheMeta, ctx: &Context, request: &RequestHeader) -> Option<HashBinary> {
    let policy = ctx.route.as_ref()?.cache.as_ref()?;
    let fields = facts(meta).map_or(&[][..], |facts| &facts.vary);
    if fields.is_empty() && !policy.key().has_selectors() {
        return None;
    }
    // A key leads to one route and so to one upstream: no realm is needed.
    let selection = vary::Selection { realm: "", key: policy.key(), vary: fields };
    vary::variance_key(&request.headers, &selection).map(hash_key)
}

/// What a client that may demand it makes of a stored response.
pub(crate) fn judge(meta: &CacheMeta, ctx: &Context) -> Option<ForcedFreshness> {
    let demand = ctx.cache.terms.demand.as_ref()?;
    let facts = facts(meta)?;
    let now = SystemTime::now();
    let fresh_until = facts.freshness.fresh_until();
    let left = fresh_until.duration_since(now).unwrap_or_default();
    let staleness = now.duration_since(fresh_until).unwrap_or_default();
    match demand.judge(facts.freshness.age_at(now), left, staleness, facts.stale.is_closed()) {
        Verdict::AsUsual => None,
        Verdict::ServeStale => Some(ForcedFreshness::ForceFresh),
        Verdict::Validate => Some(ForcedFreshness::ForceExpired),
    }
}

/// The windows themselves are in the stored metadata, which Pingora has looked at.
pub(crate) fn serve_stale(ctx: &mut Context, error: Option<&Error>) -> bool {
    let serve = match error {
        None => !ctx.refresh,
        Some(error) => *error.esource() == ErrorSource::Upstream,
    };
    if serve {
        ctx.cache.result = CacheResult::Stale;
    }
    serve
}

/// `only-if-cached`: the origin is not asked (RFC 9111 §5.2.1.7). True when the request may go on.
pub(crate) async fn may_forward(session: &mut Session, ctx: &mut Context) -> Result<bool> {
    if !ctx.cache.terms.only_if_cached || ctx.refresh {
        return Ok(true);
    }
    ctx.error = "only_if_cached";
    Answer::error(504, ctx.id.as_str())?.send(session, ctx).await?;
    Ok(false)
}
