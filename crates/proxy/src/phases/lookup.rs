//! Whether the cache is asked, under which key, for which variant, and when a stale answer may be given.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, HOST};
use pingora_cache::key::{HashBinary, hash_key};
use pingora_cache::{CacheKey, CacheMeta, CacheOptionOverrides, ForcedFreshness};
use pingora_error::{Error, ErrorSource, ErrorType, Result};
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use seawall_caching::directives::ResponseDirectives;
use seawall_caching::key::Change;
use seawall_caching::no_vary_search::Learned;
use seawall_caching::request::{Verdict, assess};
use seawall_caching::{CachePolicy, Request, StaleWindows, vary};
use seawall_telemetry::CacheResult;

use crate::answer::Answer;
use crate::collapse;
use crate::context::Context;
use crate::facts::Facts;
use crate::phases::{parts, refresh};
use crate::trouble::{Failing, Trouble};

/// The facts of a stored response.
pub(crate) fn facts(meta: &CacheMeta) -> Option<&Arc<Facts>> {
    meta.extensions().get()
}

/// Puts the cache between this request and the origin, if the rules let it.
pub(crate) fn enable(session: &mut Session, ctx: &mut Context) {
    let Some(route) = ctx.route.clone() else { return };
    let (Some(policy), Some(zone)) = (&route.cache, route.zone) else { return };
    if !ctx.purge && !meet(session, policy, ctx) {
        return;
    }
    let cache = &ctx.plan.cache;
    let mut overrides = CacheOptionOverrides::default();
    overrides.wait_timeout = Some(cache.lock_wait);
    session.cache.enable(zone.store, None, Some(&zone.predictor), cache.lock, Some(overrides));
    ctx.cache.epoch = Some(zone.store.epoch());
}

/// Whether the request may ask the store: decides on which terms, and brings it into the form in which it is compared. Once
/// decided it stays so.
pub(crate) fn meet(session: &mut Session, policy: &CachePolicy, ctx: &mut Context) -> bool {
    if !std::mem::replace(&mut ctx.cache.met, true) {
        let has_body = !session.is_body_empty();
        let head = session.req_header();
        let request = Request { method: &head.method, headers: &head.headers, has_body };
        let assessed = match policy.bypass(&head.headers, ctx.target.as_bytes()) {
            Some(reason) => Err(reason),
            None => assess(&request, policy),
        };
        match assessed {
            Ok(terms) => {
                ctx.cache.terms = terms;
                normalize(session, policy, ctx.encoding.is_some());
            }
            Err(reason) => {
                ctx.cache.bypass = Some(reason);
                ctx.cache.result = CacheResult::Bypass;
            }
        }
    }
    ctx.cache.bypass.is_none()
}

/// What tells no two responses of this route apart is taken out of the request: for the variant, and for the origin.
/// An encoding that was agreed on stays as it is.
fn normalize(session: &mut Session, policy: &CachePolicy, agreed: bool) {
    let changes = policy.key().normalize(&session.req_header().headers);
    let request = session.req_header_mut();
    for Change { name, value } in changes {
        if agreed && name == ACCEPT_ENCODING {
            continue;
        }
        request.remove_header(&name);
        if let Some(value) = value
            && let Err(error) = request.insert_header(name, value)
        {
            log::warn!("a request field could not be normalised: {error}");
        }
    }
}

/// The name of the response in the store. What is keyed is what is forwarded, so the target may change here.
pub(crate) fn key(session: &Session, ctx: &mut Context) -> Result<CacheKey> {
    let Some(policy) = ctx.route.as_ref().and_then(|route| route.cache.as_ref()) else {
        return Error::e_explain(pingora_error::ErrorType::InternalError, "a key without a cache policy");
    };
    let authority = authority(session, ctx);
    let learned = learned(policy, &authority, ctx);
    let key = policy.key().key_by(ctx.scheme(), &authority, ctx.target.as_bytes(), learned.as_ref());
    let primary = key.primary;
    if let std::borrow::Cow::Owned(target) = key.target {
        ctx.target = String::from_utf8(target)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    }
    ctx.cache.search = learned;
    let mut key = cache_key(primary);
    if ctx.refresh {
        ctx.refreshing = ctx.plan.cache.refreshes.take(&key);
    }
    parts::name(&mut key, ctx);
    Ok(key)
}

/// Which query parameters make no difference, as the origin has said for this path.
pub(crate) fn learned(policy: &CachePolicy, authority: &str, ctx: &Context) -> Option<Learned> {
    let target = policy.no_vary_search().then(|| policy.key().target(ctx.target.as_bytes()))?;
    ctx.zone()?.search.find(ctx.scheme(), authority, &target)
}

/// The key with its hash, which Pingora would else make anew for each of its look-ups.
pub(crate) fn cache_key(primary: Vec<u8>) -> CacheKey {
    let hash = hash_key(&primary);
    let mut key = CacheKey::new(primary, "");
    key.set_primary_bin_override(hash);
    key
}

/// The authority as it is forwarded: two ports of one name are two servers.
pub(crate) fn authority<'c>(session: &Session, ctx: &'c Context) -> Cow<'c, str> {
    let request = session.req_header();
    let port = match request.uri.authority() {
        Some(authority) => authority.port_u16(),
        None => request.headers.get(HOST).and_then(|host| port(host.to_str().ok()?)),
    };
    match port {
        Some(port) => Cow::Owned(format!("{}:{port}", ctx.host)),
        None => Cow::Borrowed(&ctx.host),
    }
}

/// The port in a Host that [`normalize_host`](seawall_routing::normalize_host) took.
fn port(host: &str) -> Option<u16> {
    host.rsplit_once(':')?.1.parse().ok()
}

/// The variant this request wants of a stored response.
pub(crate) fn variant(meta: &CacheMeta, ctx: &mut Context, request: &RequestHeader) -> Option<HashBinary> {
    if let Some(part) = parts::variance_of(meta, ctx) {
        return Some(part);
    }
    variant_of(meta.headers(), facts(meta), meta.variance(), ctx, request)
}

/// The same of a whole response of which this is known.
pub(crate) fn variant_of(
    stored: &HeaderMap,
    facts: Option<&Arc<Facts>>,
    variance: Option<HashBinary>,
    ctx: &mut Context,
    request: &RequestHeader,
) -> Option<HashBinary> {
    let policy = ctx.route.as_ref()?.cache.as_ref()?;
    let fields = facts.map_or(&[][..], |facts| &facts.vary);
    // A key leads to one route and so to one upstream; but one that was made by a rule of No-Vary-Search stands for many
    // targets, and a response that states another rule is for its own only.
    let realm = match (&ctx.cache.search, facts) {
        (Some(learned), Some(facts)) => learned.realm(&facts.search, &ctx.target),
        _ => "",
    };
    if fields.is_empty() && realm.is_empty() && !policy.key().has_selectors() {
        return None;
    }
    let selection = vary::Selection { realm, key: policy.key(), vary: fields };
    let variant = vary::variance_key(&request.headers, &selection).map(hash_key);
    // Asked with a response of the origin in hand it is the name of a new variant, no miss.
    if ctx.cache.origin_status.is_some() {
        return variant;
    }
    let liked = policy.serves_preferred_language()
        && realm.is_empty()
        && !policy.key().has_selectors()
        && vary::is_in_preferred_language(&request.headers, fields, stored);
    if liked {
        return variance;
    }
    ctx.cache.vary_missed = variance != variant;
    variant
}

/// What a client that may demand it makes of a stored response.
pub(crate) fn judge(meta: &CacheMeta, fresh: bool, ctx: &mut Context) -> Option<ForcedFreshness> {
    // A response was found: whatever other variants there are, this request has its own.
    ctx.cache.vary_missed = false;
    ctx.cache.stale_found = !fresh;
    if let Some(verdict) = demanded(meta, fresh, ctx) {
        return Some(verdict);
    }
    ctx.cache.stands_in = !fresh && stands_in(meta, ctx);
    ctx.cache.stands_in.then_some(ForcedFreshness::ForceFresh)
}

fn demanded(meta: &CacheMeta, fresh: bool, ctx: &mut Context) -> Option<ForcedFreshness> {
    let demand = ctx.cache.terms.demand?;
    let facts = facts(meta)?;
    let immutable = fresh && ResponseDirectives::effective(meta.headers()).immutable;
    let demand = if immutable { demand.of_immutable() } else { demand };
    let now = SystemTime::now();
    let fresh_until = meta.fresh_until();
    let left = fresh_until.duration_since(now).unwrap_or_default();
    let staleness = now.duration_since(fresh_until).unwrap_or_default();
    match demand.judge(facts.freshness.age_at(now), left, staleness, facts.stale.forbidden) {
        Verdict::AsUsual => None,
        Verdict::ServeStale => Some(ForcedFreshness::ForceFresh),
        Verdict::Validate => {
            ctx.cache.demanded = fresh;
            Some(ForcedFreshness::ForceExpired)
        }
    }
}

/// Whether the origin failed since this request came, and this stale response stood in for it: then it does so for this
/// request too, which has waited for the same answer.
fn stands_in(meta: &CacheMeta, ctx: &Context) -> bool {
    let trouble = meta.extensions().get::<Arc<Trouble>>().filter(|_| !ctx.refresh);
    let failing = trouble.and_then(|trouble| trouble.since(ctx.started));
    failing.is_some_and(|failing| covers(meta, failing))
}

/// Whether a stale response may still stand in for an origin that fails so.
fn covers(meta: &CacheMeta, failing: Failing) -> bool {
    let windows = facts(meta).map_or_else(StaleWindows::default, |facts| facts.stale);
    let window = match failing {
        Failing::Answered => windows.if_error,
        Failing::Disconnected => windows.if_error.max(windows.if_disconnected),
    };
    SystemTime::now().duration_since(meta.fresh_until()).unwrap_or_default() <= window
}

/// Whether a stale response is served: while it is refreshed (no error), or in place of a failure.
///
/// Pingora has compared the wider of the windows; which failure is covered by which is decided here.
pub(crate) fn serve_stale(session: &mut Session, ctx: &mut Context, error: Option<&Error>) -> bool {
    let serve = match error {
        None => !ctx.refresh,
        Some(error) if *error.esource() != ErrorSource::Upstream => false,
        Some(error) => session.cache.maybe_cache_meta().is_some_and(|meta| {
            let answered = matches!(error.etype(), ErrorType::HTTPStatus(_)) && ctx.error != "no_server";
            let failing = if answered { Failing::Answered } else { Failing::Disconnected };
            let covered = covers(meta, failing);
            if covered && let Some(trouble) = meta.extensions().get::<Arc<Trouble>>() {
                trouble.note(failing);
            }
            covered
        }),
    };
    if serve {
        if error.is_none() {
            refresh::served_stale(session, ctx);
        }
        ctx.cache.result = CacheResult::Stale;
    }
    serve
}

/// `only-if-cached`: the origin is not asked (RFC 9111 §5.2.1.7). True when the request may go on.
pub(crate) async fn may_forward(session: &mut Session, ctx: &mut Context) -> Result<bool> {
    collapse::waits_no_more();
    // Noted now: once the answer is known to be uncacheable Pingora's phase says no more that it was expected.
    ctx.cache.predicted = session.cache.bypassing();
    parts::missing(session, ctx);
    if !ctx.cache.terms.only_if_cached || ctx.refresh {
        return Ok(true);
    }
    ctx.error = "only_if_cached";
    Answer::error(504, ctx.id.as_str())?.with_cache_status(session, ctx).send(session, ctx).await?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pingora_cache::key::CacheHashKey as _;
    use proptest::prelude::*;
    use seawall_routing::normalize_host;

    #[test]
    fn the_hash_is_pingoras() {
        for primary in [&b""[..], b"/", &[7; 300]] {
            let (ours, plain) = (cache_key(primary.to_vec()), CacheKey::new(primary, ""));
            assert_eq!(ours.primary_bin(), plain.primary_bin());
            assert_eq!(ours.to_compact(), plain.to_compact());
        }
    }

    proptest! {
        /// The reference is a parser of authorities.
        #[test]
        fn ports_are_found_where_they_are(
            host in "[a-z]{1,9}(\\.[a-z]{1,9}){0,2}|\\[::[0-9a-f]{1,4}\\]",
            rest in "(:[0-9]{0,5})?",
        ) {
            let authority = format!("{host}{rest}");
            prop_assume!(normalize_host(&authority).is_ok());
            let parsed: http::uri::Authority = authority.parse().unwrap();
            prop_assert_eq!(port(&authority), parsed.port_u16());
        }
    }
}
