//! What of the origin's answer may be kept, and for how long.

use std::sync::Arc;
use std::time::SystemTime;

use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, DATE, ETAG, EXPIRES, HeaderName, HeaderValue,
    TRANSFER_ENCODING, UPGRADE,
};
use pingora_cache::{CacheMeta, CachePhase, NoCacheReason, RespCacheable};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use seawall_caching::no_vary_search::SearchRule;
use seawall_caching::{Admission, CachePolicy, Request, Response, Times, storability, validation};
use seawall_compress::representation;
use seawall_store::{Epoch, Labels, Refusal, VariantLimit};
use seawall_telemetry::metrics::UpstreamResult;
use seawall_upstream::{Outcome, Reached};

use crate::context::{Context, Stored};
use crate::facts::{self, Facts};
use crate::phases::{encode, lookup, parts, route, select};
use crate::plan::Plan;
use crate::predictor::{FIRST_REQUEST, NO_ROOM, OF_ONE_MOMENT};
use crate::trouble::Trouble;
use crate::upgrade;

/// Fields of one connection (RFC 9110 §7.6.1). `Transfer-Encoding` is the framing layer's.
const HOP_BY_HOP: [HeaderName; 3] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("te"),
];

/// The head of an answer is here.
pub(crate) fn received(
    session: &mut Session,
    response: &mut ResponseHeader,
    ctx: &mut Context,
) -> Result<()> {
    if let Some(silence) = &ctx.upstream.silence {
        silence.answered();
    }
    if response.status.is_informational() && response.status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(());
    }
    if response.status == StatusCode::SWITCHING_PROTOCOLS {
        open_tunnel(session, response, ctx)?;
    }
    let status = response.status.as_u16();
    ctx.upstream.first_byte = ctx.upstream.sent.map(|sent| sent.elapsed());
    ctx.cache.origin_status = Some(status);
    ctx.cache.withheld.clear();
    let outcome = if status >= 500 { Outcome::ServerError } else { Outcome::Answered };
    select::count(ctx, UpstreamResult::Status(status), outcome);
    check_codings(response)?;
    retry_on_status(session, status, ctx)?;
    strip_hop_by_hop(response);
    // RFC 9110 §6.6.1: a recipient with a clock adds the Date that is missing.
    if !response.headers.contains_key(DATE) {
        response.insert_header(DATE, httpdate::fmt_http_date(SystemTime::now()))?;
    }
    if response.status == StatusCode::NOT_MODIFIED && session.cache.enabled() {
        // The end of the upstream's part: what follows comes from the store.
        ctx.upstream.took = ctx.upstream.began.map(|began| began.elapsed());
        validated(session, response, ctx)?;
    }
    Ok(())
}

/// A 101 that nobody asked for, or that does not prove what it claims, would make a tunnel to something that
/// still reads HTTP. Pingora takes any 101 to any `Upgrade`.
fn open_tunnel(session: &mut Session, response: &ResponseHeader, ctx: &mut Context) -> Result<()> {
    if !upgrade::is_agreed(session.req_header(), response) {
        return Err(Error::explain(select::BAD_UPGRADE, "a 101 without a right proof").into_up());
    }
    // A client may listen for as long as the origin speaks: one clock is for both.
    if let Some(silence) = &ctx.upstream.silence {
        silence.tunnelled();
        session.as_downstream_mut().set_read_timeout(None);
    }
    if !std::mem::replace(&mut ctx.tunnel, true) {
        ctx.plan.metrics.tunnel_began();
    }
    Ok(())
}

/// Fields that Pingora takes over from any 304.
const MERGED_BY_PINGORA: [HeaderName; 5] = [
    CACHE_CONTROL,
    EXPIRES,
    ETAG,
    HeaderName::from_static("cache-tag"),
    HeaderName::from_static("cdn-cache-control"),
];

/// Keeps a 304 for the update of the stored response, if it speaks of that one (RFC 9111 §4.3.4).
fn validated(session: &Session, response: &mut ResponseHeader, ctx: &mut Context) -> Result<()> {
    let Some(stored) = session.cache.maybe_cache_meta() else { return Ok(()) };
    let known = representation::as_origin_knows(stored.headers());
    let freshens = validation::freshens(&known, &response.headers, SystemTime::now());
    // Also one that is dropped serves this request, with fields of this 304.
    let allowed = encode::restate(stored.headers(), response)?;
    if freshens && allowed {
        ctx.cache.not_modified = Some(Box::new(response.clone()));
        return Ok(());
    }
    ctx.cache.discard = true;
    for name in &MERGED_BY_PINGORA {
        response.remove_header(name);
    }
    Ok(())
}

/// RFC 9112 §6.1: no coding but chunked was asked for. Pingora would pass on what another has made of the content as if
/// it were the content, and over HTTP/2 without a word about it.
fn check_codings(response: &ResponseHeader) -> Result<()> {
    let mut codings = response.headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(only), None) if only.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Error::explain(ErrorType::InvalidHTTPHeader, "unknown transfer coding").into_up()),
    }
}

/// A status that the pool retries, when policy, budget and the request's body allow.
fn retry_on_status(session: &Session, status: u16, ctx: &mut Context) -> Result<()> {
    let Some(upstream) = select::upstream(ctx) else { return Ok(()) };
    let wanted = upstream.pool().is_some_and(|pool| pool.retry_policy().retries_status(status));
    let repeatable =
        session.response_written().is_none() && !session.as_downstream().retry_buffer_truncated();
    if wanted && repeatable && select::may_retry(session, ctx, Reached::Server) {
        ctx.upstream.retry_granted = true;
        return Err(Error::explain(ErrorType::HTTPStatus(status), "the pool retries this status").into_up());
    }
    Ok(())
}

pub(crate) fn strip_hop_by_hop(response: &mut ResponseHeader) {
    let upgrading = response.status == StatusCode::SWITCHING_PROTOCOLS;
    let nominated: Vec<HeaderName> = response
        .headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| *name != CONTENT_LENGTH && *name != TRANSFER_ENCODING)
        .collect();
    if upgrading {
        return;
    }
    for name in nominated.iter().chain(&HOP_BY_HOP) {
        response.remove_header(name);
    }
    response.remove_header(&CONNECTION);
    response.remove_header(&UPGRADE);
}

/// A piece of the answer's body. An end that came because the server was cut off for its silence is no end.
pub(crate) fn body_received(ctx: &mut Context, end: bool) -> Result<()> {
    if let Some(silence) = &ctx.upstream.silence {
        if silence.expired() {
            return Err(Error::explain(ErrorType::ReadTimedout, "the server fell silent").into_up());
        }
        silence.touch();
    }
    if end {
        ctx.upstream.took = ctx.upstream.began.map(|began| began.elapsed());
    }
    Ok(())
}

/// The origin is asked again. A fill that began goes with what broke off: Pingora begins only one for a request, and the
/// next answer is passed on without.
pub(crate) fn abandon(session: &mut Session) {
    let begun = match session.cache.phase() {
        CachePhase::Miss => session.cache.miss_handler().is_some(),
        CachePhase::Expired => true,
        _ => false,
    };
    if begun {
        session.cache.disable(NoCacheReason::UpstreamError);
    }
}

/// Decides about storing. A 304 comes with Pingora's merge of five fields; RFC 9111 §3.2 wants all of them, so
/// the merge is made here from what was noted when the 304 came.
pub(crate) fn decide(session: &Session, response: &ResponseHeader, ctx: &mut Context) -> RespCacheable {
    let Some(route) = ctx.route.clone() else {
        return RespCacheable::Uncacheable(NoCacheReason::NeverEnabled);
    };
    let Some(policy) = &route.cache else { return RespCacheable::Uncacheable(NoCacheReason::NeverEnabled) };
    let received = SystemTime::now();
    if ctx.cache.discard {
        ctx.cache.stored = Stored::No("not-modified-mismatch");
        return RespCacheable::Uncacheable(NoCacheReason::Custom("not-modified-mismatch"));
    }
    let revalidated = ctx.cache.not_modified.is_some();
    let mut header = response.clone();
    if let (Some(fresh), Some(old)) = (ctx.cache.not_modified.take(), session.cache.maybe_cache_meta()) {
        let merged = validation::merge(old.headers(), &fresh.headers, received, policy);
        header = with_headers(old.response_header().status, merged);
    }
    let head = session.req_header();
    let request = Request { method: &head.method, headers: &head.headers, has_body: false };
    let answer = Response { status: header.status, headers: &header.headers };
    let times = Times { requested: ctx.upstream.requested.unwrap_or(received), received };
    let part = parts::admit(session, &request, &header, times, policy, ctx);
    let of_part = part.as_ref().and_then(|part| part.as_ref().ok()).map(|part| part.received);
    let decided = match part {
        Some(part) => part.map(|part| part.admission),
        None => storability::decide(&request, &answer, times, policy),
    };
    let admission = match decided {
        Ok(admission) => admission,
        Err(reason) => {
            ctx.cache.stored = Stored::No(reason.as_str());
            ctx.cache.discard |= revalidated;
            ctx.plan.metrics.uncacheable().inc(reason.as_str());
            let remembered = if stands_in(session, &answer, ctx) { OF_ONE_MOMENT } else { reason.as_str() };
            return RespCacheable::Uncacheable(NoCacheReason::Custom(remembered));
        }
    };
    let length = of_part.map(|part| part.range.length()).or_else(|| content_length(&header));
    let max_object = route.zone.map_or(0, |zone| zone.max_object) as u64;
    if length.is_some_and(|length| length > max_object) {
        ctx.cache.stored = Stored::No("too-large");
        // A part says nothing of the size of others.
        let reason = of_part.map(|_| NoCacheReason::Custom("part-too-large"));
        return RespCacheable::Uncacheable(reason.unwrap_or(NoCacheReason::ResponseTooLarge));
    }
    let refusal = route.zone.and_then(|zone| zone.store.refusal(session.cache.cache_key(), &header));
    if let Some(refusal) = refusal {
        // There may be room for the next, and a disk again.
        let (said, remembered) = match refusal {
            Refusal::TooLarge => ("too-large", NO_ROOM),
            Refusal::NoRoom => (NO_ROOM, NO_ROOM),
            Refusal::FirstRequest => (FIRST_REQUEST, FIRST_REQUEST),
        };
        ctx.cache.stored = Stored::No(said);
        return RespCacheable::Uncacheable(NoCacheReason::Custom(remembered));
    }
    let Some(labels) = labels(&ctx.plan, &ctx.host, &client_path(session), &header) else {
        // A purge of a tag that was left out would miss it.
        ctx.cache.stored = Stored::No("too-many-tags");
        ctx.plan.metrics.uncacheable().inc("too-many-tags");
        return RespCacheable::Uncacheable(NoCacheReason::Custom("too-many-tags"));
    };
    if let Some(part) = of_part
        && let Err(error) = parts::keep(&mut header, part, ctx)
    {
        log::warn!("a part could not be described: {error}");
        return RespCacheable::Uncacheable(NoCacheReason::InternalError);
    }
    ctx.cache.stored = Stored::Yes;
    ctx.cache.withheld = withheld(&header, &admission);
    let meta = meta(header, admission, received, policy, ctx.cache.epoch, labels);
    learn_search(session, &meta, ctx);
    RespCacheable::Cacheable(meta)
}

/// Whether the answer is a failure and something is stored that could stand in for an origin in trouble. A key that is
/// remembered as uncacheable is not looked up, and what is stored under it would be out of reach when the origin dies.
fn stands_in(session: &Session, answer: &Response<'_>, ctx: &Context) -> bool {
    answer.status.is_server_error()
        && (session.cache.maybe_cache_meta().is_some() || ctx.cache.vary_missed || ctx.cache.partial)
}

/// Remembers which query parameters make no difference, for the keys of later requests.
fn learn_search(session: &Session, meta: &CacheMeta, ctx: &Context) {
    let Some(facts) = lookup::facts(meta).filter(|facts| !facts.search.is_exact()) else { return };
    let authority = lookup::authority(session, ctx);
    if let Some(zone) = ctx.zone() {
        zone.search.learn(ctx.scheme(), &authority, ctx.target.as_bytes(), &facts.search);
    }
}

/// The path that the client asks for: operators purge what clients see, not what origins do.
fn client_path(session: &Session) -> String {
    let mut target = route::client_target(session).unwrap_or_default();
    let path = route::split(&target).0.len();
    target.truncate(path);
    target
}

/// The names by which a response is purged with others; none when it has more tags than it may.
pub(crate) fn labels(plan: &Plan, host: &str, path: &str, header: &ResponseHeader) -> Option<Labels> {
    let tags = plan.cache.tags.tags(&header.headers).ok()?;
    Some(Labels::new(host, path, tags.iter().map(|tag| &**tag)))
}

/// What the store keeps beside the body. `epoch`: when the request began in the history of purges.
pub(crate) fn meta(
    mut header: ResponseHeader,
    admission: Admission,
    received: SystemTime,
    policy: &CachePolicy,
    epoch: Option<Epoch>,
    labels: Labels,
) -> CacheMeta {
    for name in admission.remove.iter().chain(&admission.withhold) {
        header.remove_header(name);
    }
    let search =
        if policy.no_vary_search() { SearchRule::of(&header.headers) } else { SearchRule::default() };
    let date = facts::date(&header.headers, received);
    let mut meta = CacheMeta::new(
        admission.freshness.fresh_until(),
        received,
        admission.stale.while_revalidate_secs(),
        admission.stale.in_place_of_failure_secs(),
        header,
    );
    let facts =
        Facts { freshness: admission.freshness, stale: admission.stale, vary: admission.vary, search, date };
    meta.extensions_mut().insert(Arc::new(facts));
    meta.extensions_mut().insert(Arc::new(Trouble::default()));
    meta.extensions_mut().insert(labels);
    if let Some(limit) = policy.max_variants() {
        meta.extensions_mut().insert(VariantLimit(limit));
    }
    if let Some(epoch) = epoch {
        meta.extensions_mut().insert(epoch);
    }
    meta
}

/// The fields that the stored copy is without and the client who asked is not. Pingora sends that client what is stored,
/// so they are put back on the way out ([`super::respond`]).
fn withheld(header: &ResponseHeader, admission: &Admission) -> Vec<(HeaderName, HeaderValue)> {
    let names = admission.withhold.iter().filter(|name| !admission.remove.contains(name));
    let values = names
        .flat_map(|name| header.headers.get_all(name).iter().map(move |value| (name.clone(), value.clone())));
    values.collect()
}

fn content_length(header: &ResponseHeader) -> Option<u64> {
    header.headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// A head of these fields.
fn with_headers(status: StatusCode, headers: http::HeaderMap) -> ResponseHeader {
    let (mut parts, ()) = http::Response::new(()).into_parts();
    parts.status = status;
    parts.headers = headers;
    ResponseHeader::from(parts)
}
