//! Range requests that are answered with a part of an object instead of the whole.
//!
//! Fetching the whole for a range deep inside it would make the client wait for everything before. So the range goes to
//! the origin as it is, and the 206 is stored as a variant of the URL, named by the range. Two kinds of requests
//! find it: those for the very same range, which may also validate it and fetch it anew, and, while it is fresh,
//! those for a range within it.

use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE};
use http::{Method, StatusCode};
use pingora_cache::predictor::CacheablePredictor as _;
use pingora_cache::{CacheKey, CacheMeta, CachePhase, ForcedFreshness, NoCacheReason};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{RangeType, Session};
use seawall_caching::partial::{self, Asked, ContentRange, PartAdmission, Received};
use seawall_caching::{CachePolicy, NotStored, RangeRequests, Request, Times, validation};
use seawall_store::{OrWhole, Peek};

use crate::context::{Context, Stored};
use crate::part_index::{Fit, Part, Url, part_key, variance};
use crate::phases::{encode, lookup, ranges};
use crate::predictor::OfPart;

/// A request that is answered with a part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartRequest {
    /// What the client asks for.
    wanted: Asked,
    /// What the part was, or will be, fetched for.
    asked: Asked,
    url: Url,
    /// Bytes that are still to come, when Content-Range alone says how many.
    owed: Option<u64>,
}

impl PartRequest {
    /// Whether the part is the client's own: not one that its range only lies within.
    fn is_own(&self) -> bool {
        self.wanted == self.asked
    }
}

/// Decides whether the request is for a part, and for which. The whole goes first wherever it is stored or on its way.
pub(crate) async fn plan(session: &Session, ctx: &mut Context) {
    let Some(route) = ctx.route.clone() else { return };
    let Some(policy) = route.cache.as_ref().filter(|policy| serves_parts(policy)) else { return };
    let head = session.req_header();
    if ctx.purge || head.method != Method::GET || !encode::may_ask_for_part(ctx) {
        return;
    }
    let Some(wanted) = Asked::of(&head.headers) else { return };
    let Some(zone) = route.zone else { return };
    let deep = policy.range_requests() == RangeRequests::Part || wanted.is_deep();
    let authority = lookup::authority(session, ctx);
    // A name that stands for many targets may have to be told apart by variants, which parts have already.
    if lookup::learned(policy, &authority, ctx).is_some() {
        return;
    }
    let key = policy.key().key(ctx.scheme(), &authority, ctx.target.as_bytes());
    let whole = CacheKey::new(key.primary, "");
    // What is too large to be stored as a whole may still be stored in parts.
    let too_large =
        || zone.predictor.predicted_uncacheable_reason(&whole) == Some(NoCacheReason::ResponseTooLarge);
    let url = Url::of(&whole);
    if zone.store.peek(&whole).is_some() || zone.parts.prefers_whole(url, Instant::now()) {
        return;
    }
    let now = SystemTime::now();
    let fit = |asked: &Asked| match zone.store.peek(&part_key(&whole, asked)) {
        Some(Peek::FreshUntil(until)) if until > now => Fit::Yes,
        Some(Peek::FreshUntil(_)) => Fit::No,
        // Whether it is fresh is seen when it is read.
        Some(Peek::OnDisk) => Fit::Yes,
        None => Fit::Gone,
    };
    let own = fit(&wanted);
    // The refresh of a part must find the part that it is for.
    let other = if ctx.refresh || own == Fit::Yes {
        None
    } else {
        let within = |part: &Part| wanted.within(&part.received).map_or(Fit::No, |_| fit(&part.asked));
        zone.parts.find(url, within)
    };
    let other = match other {
        Some(part) => {
            let until = zone.store.fresh_until(&part_key(&whole, &part.asked)).await;
            until.is_some_and(|until| until > now).then_some(part)
        }
        None => None,
    };
    // A range near the start is no reason to fetch a part, but one that is here answers it.
    let here = other.is_some() || own == Fit::Yes || (ctx.refresh && own == Fit::No);
    if !(deep || here || too_large()) {
        return;
    }
    ctx.part = Some(PartRequest { wanted, asked: other.map_or(wanted, |part| part.asked), url, owed: None });
}

fn serves_parts(policy: &CachePolicy) -> bool {
    policy.enabled()
        && policy.range_requests() != RangeRequests::Whole
        && policy.max_ranges() > 0
        // Their values are the variance already.
        && !policy.key().has_selectors()
}

/// Makes `key` that of the part.
pub(crate) fn name(key: &mut CacheKey, ctx: &Context) {
    if let Some(part) = &ctx.part {
        key.set_variance_key(variance(&part.asked));
        key.extensions.insert(OrWhole);
        key.extensions.insert(OfPart);
    }
}

/// The variance of a response that is stored, when it is a part.
pub(crate) fn variance_of(meta: &CacheMeta, ctx: &Context) -> Option<pingora_cache::key::HashBinary> {
    let part = ctx.part.as_ref().filter(|_| is_part(meta.response_header()))?;
    Some(variance(&part.asked))
}

fn is_part(response: &ResponseHeader) -> bool {
    response.status == StatusCode::PARTIAL_CONTENT
}

/// What becomes of a part that was found, of which `verdict` is the rules' word: a part that the client cannot use is
/// as good as none.
pub(crate) fn judge(
    session: &Session,
    meta: &CacheMeta,
    fresh: bool,
    verdict: Option<ForcedFreshness>,
    ctx: &Context,
) -> Option<ForcedFreshness> {
    let Some(part) = ctx.part.as_ref().filter(|_| is_part(meta.response_header())) else { return verdict };
    let request = &session.req_header().headers;
    let reusable = match verdict {
        None => fresh,
        Some(forced) => forced == ForcedFreshness::ForceFresh,
    };
    // To ask whether a part still holds, and whether the client's copy does, are two questions; the second is the
    // client's.
    let usable = validation::range_applies(request, meta.headers(), SystemTime::now())
        && (reusable || !request.contains_key(IF_RANGE));
    let right = part.is_own() || (reusable && within(part, meta.headers()).is_some());
    if usable && right { verdict } else { Some(ForcedFreshness::ForceMiss) }
}

fn within(part: &PartRequest, headers: &http::HeaderMap) -> Option<(ContentRange, std::ops::Range<u64>)> {
    let stored = partial::received(headers)?;
    Some((stored.range, part.wanted.within(&stored)?))
}

/// The origin is about to be asked: notes what was missing, and gives up a part that was to be there and is gone.
pub(crate) fn missing(session: &mut Session, ctx: &mut Context) {
    if session.cache.phase() != CachePhase::Miss {
        return;
    }
    let (Some(key), Some(zone)) = (session.cache.maybe_cache_key(), ctx.zone()) else { return };
    let stored = |part: &Part| {
        if zone.store.peek(&part_key(key, &part.asked)).is_some() { Fit::Yes } else { Fit::Gone }
    };
    ctx.cache.partial = zone.parts.find(Url::of(key), stored).is_some();
    if ctx.part.is_some_and(|part| !part.is_own()) {
        // Between the choice and the lookup. What is fetched now is named by another range than is asked for.
        ctx.part = None;
        ctx.cache.stored = Stored::No("part-gone");
        session.cache.disable(NoCacheReason::Deferred);
    }
}

/// Puts back the range that Pingora takes out of requests for the store.
pub(crate) fn ask(session: &Session, request: &mut RequestHeader, ctx: &Context) -> Result<()> {
    let Some(part) = ctx.part.filter(|_| session.cache.enabled()) else { return Ok(()) };
    request.insert_header(RANGE, part.asked.value())?;
    if let Some(condition) = session.req_header().headers.get(IF_RANGE) {
        request.remove_header(&IF_NONE_MATCH);
        request.remove_header(&IF_MODIFIED_SINCE);
        request.insert_header(IF_RANGE, condition.clone())?;
    }
    Ok(())
}

/// Drops the stored parts that are of another version of the object than this answer.
pub(crate) fn displace(session: &Session, response: &ResponseHeader, ctx: &Context) {
    let Some(part) = ctx.part.filter(|_| is_part(response) && session.cache.enabled()) else { return };
    let (Some(received), Some(key), Some(zone)) =
        (partial::received(&response.headers), session.cache.maybe_cache_key(), ctx.zone())
    else {
        return;
    };
    let this = Part::new(part.asked, received, &response.headers);
    for old in zone.parts.take_others(part.url, &this) {
        // A purge of its own key would keep this answer out.
        if old.asked != part.asked {
            zone.invalidate(&part_key(key, &old.asked).to_compact());
        }
    }
}

/// Whether an answer to a request for a part is stored as one. `None`: it is decided about like any other.
pub(crate) fn admit(
    session: &Session,
    request: &Request<'_>,
    header: &ResponseHeader,
    times: Times,
    policy: &CachePolicy,
    ctx: &mut Context,
) -> Option<Result<PartAdmission, NotStored>> {
    let (part, zone) = (ctx.part?, ctx.zone()?);
    match header.status {
        StatusCode::PARTIAL_CONTENT => {
            let decided = partial::decide(request, &part.asked, &header.headers, times, policy);
            if decided == Err(NotStored::PartVaries) {
                zone.parts.prefer_whole(part.url, Instant::now());
            }
            Some(decided)
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            // What is stored as lying there does not any more.
            ctx.cache.discard = session.cache.maybe_cache_meta().is_some();
            Some(Err(NotStored::Status))
        }
        StatusCode::OK if !request.headers.contains_key(IF_RANGE) => {
            zone.parts.prefer_whole(part.url, Instant::now());
            None
        }
        _ => None,
    }
}

/// A part is about to be stored: gives it the length that it must have, and lets requests for ranges within find it.
pub(crate) fn keep(header: &mut ResponseHeader, received: Received, ctx: &mut Context) -> Result<()> {
    let zone = ctx.zone();
    let Some(part) = &mut ctx.part else { return Ok(()) };
    if !header.headers.contains_key(CONTENT_LENGTH) {
        header.insert_header(CONTENT_LENGTH, received.range.length())?;
        part.owed = Some(received.range.length());
    }
    if let Some(zone) = zone {
        zone.parts.insert(part.url, Part::new(part.asked, received, &header.headers));
    }
    Ok(())
}

/// A piece of the origin's answer. A part that is not what its Content-Range says is one that broke off; it would be no
/// other the next time, so nobody asks again.
pub(crate) fn piece(ctx: &mut Context, piece: Option<&Bytes>, end: bool) -> Result<()> {
    let Some(owed) = ctx.part.as_mut().and_then(|part| part.owed.as_mut()) else { return Ok(()) };
    let length = piece.map_or(0, |piece| piece.len() as u64);
    match owed.checked_sub(length) {
        Some(left) if !end || left == 0 => *owed = left,
        _ => {
            return Err(
                Error::explain(ErrorType::Custom("wrong_length"), "not as Content-Range says").into_in()
            );
        }
    }
    Ok(())
}

/// Cuts what the client asks for out of a part.
pub(crate) fn cut(
    session: &Session,
    response: &mut ResponseHeader,
    ctx: &Context,
) -> Option<Result<RangeType>> {
    let part = ctx.part.as_ref().filter(|_| is_part(response))?;
    if part.is_own() {
        // The client who fetched it sees what the origin said; others what there is.
        let range = partial::received(&response.headers).filter(|_| ranges::is_stored(session))?.range;
        return Some(response.insert_header(CONTENT_RANGE, range.value()).map(|()| RangeType::None));
    }
    let (stored, wanted) = within(part, &response.headers)?;
    let bytes = |at: u64| usize::try_from(at.saturating_sub(stored.first)).unwrap_or(usize::MAX);
    let range = ContentRange { first: wanted.start, last: wanted.end.saturating_sub(1), ..stored };
    let described = response
        .insert_header(CONTENT_RANGE, range.value())
        .and_then(|()| response.insert_header(CONTENT_LENGTH, range.length()));
    Some(described.map(|()| RangeType::Single(bytes(wanted.start)..bytes(wanted.end))))
}

/// The status for which the client's conditions count: a part stands for its whole.
pub(crate) fn status_for_conditions(response: &ResponseHeader, ctx: &Context) -> StatusCode {
    if ctx.part.is_some() && is_part(response) { StatusCode::OK } else { response.status }
}
