//! What the client is sent.

use std::borrow::Cow;
use std::time::SystemTime;

use http::header::{AGE, DATE, TRANSFER_ENCODING, VIA};
use http::{Method, StatusCode, Version};
use pingora_cache::{CacheKey, CachePhase};
use pingora_error::{Error, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::{FailToProxy, PurgeStatus, Session};
use seawall_caching::directives::SURROGATE_CONTROL;
use seawall_caching::status::{self, CACHE_STATUS};
use seawall_caching::validation::{self, Outcome};
use seawall_caching::{CacheStatus, LifetimeSource, Request, Response};
use seawall_compress::representation::UNCODED_ETAG;
use seawall_guard::{ConnectionState, with_current_connection};
use seawall_store::ObjectKey;
use seawall_telemetry::CacheResult;

use crate::answer::Answer;
use crate::cache_status;
use crate::collapse;
use crate::context::{Context, Instead};
use crate::facts::{self, Facts};
use crate::failure::Failure;
use crate::phases::{lookup, parts, ranges, refresh};

/// Any response on its way to the client, from the store or from the origin.
pub(crate) fn header(session: &mut Session, response: &mut ResponseHeader, ctx: &mut Context) -> Result<()> {
    refresh::take_head_back(session);
    if response.status.is_informational() && response.status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(());
    }
    if response.status == StatusCode::SWITCHING_PROTOCOLS {
        // What the client sends from here on is not for us.
        with_current_connection(seawall_guard::ConnectionState::streaming);
    } else {
        farewell(session, ctx);
    }
    let phase = session.cache.phase();
    classify(phase, ctx);
    note_cache(session, ctx);
    if phase == CachePhase::Stale && ctx.cache.asked {
        // Pingora closes the client's connection after a stale response in place of an error, and does not say so.
        session.set_keepalive(None);
    }
    if session.req_header().method == Method::HEAD && phase_fetches(phase) {
        // The whole is fetched for the store, and Pingora takes no other request on this connection before it is here.
        session.set_keepalive(None);
    }
    // Set by the answer to this very request: who reads along has none.
    for (name, value) in std::mem::take(&mut ctx.cache.withheld) {
        response.append_header(name, value)?;
    }
    let stored = session.cache.maybe_cache_meta();
    let stored = stored.and_then(|meta| Some((lookup::facts(meta)?.as_ref(), meta.fresh_until())));
    let date = stored.map(|(facts, _)| facts.date);
    dress(response, ctx, phase, stored, session.cache.maybe_cache_key())?;
    if ranges::is_stored(session) && seawall_store::is_arriving(session.cache.hit_handler()) {
        with_current_connection(seawall_guard::ConnectionState::set_live);
    }
    keep_date(date.unwrap_or_else(|| facts::date(&response.headers, SystemTime::now())));
    end_with_connection(session, response, ctx);
    finish_header(session, response, ctx)
}

/// What the cache has to say in the head of an answer: its age, and what was done for it. What was meant for the cache is
/// taken out. `stored`: the decisions about the response in the store, and until when that is fresh.
pub(crate) fn dress(
    response: &mut ResponseHeader,
    ctx: &mut Context,
    phase: CachePhase,
    stored: Option<(&Facts, SystemTime)>,
    key: Option<&CacheKey>,
) -> Result<()> {
    if let Some((facts, fresh_until)) = stored {
        let now = SystemTime::now();
        ctx.cache.ttl = Some(ttl(fresh_until, facts, now));
        let age = facts.freshness.age_at(now).as_secs();
        // A response that came from the origin just now has the age that it came with, which may be none.
        if matches!(phase, CachePhase::Hit | CachePhase::Stale | CachePhase::StaleUpdating) || age > 0 {
            // Age goes before Date: who reads the fields in order, as REDbot does, takes an old Date for a wrong
            // clock otherwise.
            let date = response.remove_header(&DATE);
            response.insert_header(AGE, age)?;
            if let Some(date) = date {
                response.insert_header(DATE, date)?;
            }
        } else {
            response.remove_header(&AGE);
        }
    }
    if ctx.route.as_ref().is_some_and(|route| route.cache.is_some()) {
        let key = key.filter(|_| ctx.plan.cache.show_key);
        let key = key.map(|key| ObjectKey::of(key).to_string());
        let status = cache_status::describe(&ctx.cache, phase, response.status);
        let value = CacheStatus { key: key.as_deref(), ..status }.value(&response.headers);
        response.insert_header(CACHE_STATUS, value)?;
        response.remove_header(&SURROGATE_CONTROL);
        for name in ctx.plan.cache.tags.hidden() {
            response.remove_header(name);
        }
    }
    response.remove_header(&UNCODED_ETAG);
    Ok(())
}

/// Whether a body is on its way from the origin into the store.
fn phase_fetches(phase: CachePhase) -> bool {
    matches!(phase, CachePhase::Miss | CachePhase::Expired)
}

/// HTTP/1.0 has no chunks (RFC 9112 §6.1), which Pingora makes for everyone: a body without a length ends with
/// its connection there.
fn end_with_connection(session: &mut Session, response: &mut ResponseHeader, ctx: &mut Context) {
    if session.req_header().version < Version::HTTP_11 && response.remove_header(&TRANSFER_ENCODING).is_some()
    {
        session.set_keepalive(None);
        ctx.ends_with_connection = true;
    }
}

/// Pingora writes the time of sending into every response; the front door puts the origin's date back, in seconds since
/// 1970. There is no such place over HTTP/2.
pub(crate) fn keep_date(date: Option<u64>) {
    if let Some(seconds) = date {
        with_current_connection(|connection| connection.note_date(seconds));
    }
}

/// What Pingora knows of the cache's part.
fn note_cache(session: &Session, ctx: &mut Context) {
    ctx.cache.asked = ctx.upstream.tries > 0;
    ctx.cache.collapsed |= session.cache.lock_duration().is_some();
    ctx.cache.predicted |= session.cache.bypassing();
}

/// Seconds of freshness left, negative when stale. What is never fresh is as stale as it is old.
fn ttl(fresh_until: SystemTime, facts: &Facts, now: SystemTime) -> i64 {
    if facts.freshness.source == LifetimeSource::NoCache {
        return status::ttl(facts.freshness.epoch(), now);
    }
    status::ttl(fresh_until, now)
}

pub(crate) fn classify(phase: CachePhase, ctx: &mut Context) {
    if ctx.cache.bypass.is_some() {
        return;
    }
    ctx.cache.result = match phase {
        CachePhase::Hit if ctx.cache.stands_in || ctx.cache.unasked.is_some() => CacheResult::Stale,
        CachePhase::Hit => CacheResult::Hit,
        CachePhase::Stale | CachePhase::StaleUpdating => CacheResult::Stale,
        CachePhase::Revalidated | CachePhase::RevalidatedNoCache(_) => CacheResult::Revalidated,
        CachePhase::Expired => CacheResult::Expired,
        CachePhase::Miss => CacheResult::Miss,
        CachePhase::Bypass => CacheResult::Bypass,
        CachePhase::Disabled(_) | CachePhase::Uninit | CachePhase::CacheKey => {
            if ctx.route.as_ref().is_some_and(|route| route.cache.is_some()) {
                CacheResult::Miss
            } else {
                CacheResult::None
            }
        }
    };
}

/// Tells an HTTP/1 client of a process that is about to end to connect anew, with the answer it waited for.
pub(crate) fn farewell(session: &mut Session, ctx: &Context) {
    if ctx.plan.draining.load(std::sync::atomic::Ordering::Relaxed) {
        session.set_keepalive(None);
    }
}

/// The last touches, the same for every response, also for those Seawall makes itself.
pub(crate) fn finish_header(
    session: &Session,
    response: &mut ResponseHeader,
    ctx: &mut Context,
) -> Result<()> {
    collapse::waits_no_more();
    ctx.first_byte.get_or_insert_with(|| ctx.started.elapsed());
    if let Some(via) = ctx.plan.forwarding.via(session.req_header().version) {
        response.append_header(VIA, via)?;
    }
    response.insert_header(ctx.plan.forwarding.request_id_header(), ctx.id.as_str())?;
    if let Some(ops) = ctx.route.as_ref().and_then(|route| route.response_headers.as_ref()) {
        ops.apply_response(response)?;
    }
    Ok(())
}

/// The client's own conditions against what would be served (RFC 9110 §13.2.2).
pub(crate) fn not_modified(session: &Session, response: &ResponseHeader, ctx: &mut Context) -> bool {
    let head = session.req_header();
    let request = Request { method: &head.method, headers: &head.headers, has_body: false };
    let status = parts::status_for_conditions(response, ctx);
    let stored = Response { status, headers: &response.headers };
    let now = SystemTime::now();
    let received = session
        .cache
        .maybe_cache_meta()
        .and_then(lookup::facts)
        .map_or(now, |facts| facts.freshness.received);
    match validation::evaluate(&request, &stored, received, now) {
        Outcome::NotModified => return true,
        Outcome::PreconditionFailed => ctx.cache.instead = Some(Instead::PreconditionFailed),
        Outcome::Continue => {
            ctx.cache.instead = ranges::unsatisfiable(session, response, ctx).map(Instead::Unsatisfiable);
        }
    }
    // Pingora knows one way to leave out the body: a 304. `ranges::cut` puts the status right.
    ctx.cache.instead.is_some()
}

/// The answer to a PURGE.
pub(crate) fn purged(
    session: &Session,
    ctx: &mut Context,
    status: &PurgeStatus,
    response: &mut Cow<'static, ResponseHeader>,
) -> Result<()> {
    match status {
        PurgeStatus::NoCache => ctx.error = "purge_without_cache",
        PurgeStatus::Found | PurgeStatus::NotFound | PurgeStatus::Error(_) => {
            let ok = !matches!(status, PurgeStatus::Error(_));
            ctx.plan.metrics.purged("url", false, ok, ctx.started.elapsed());
        }
    }
    let response = response.to_mut();
    response.remove_header(&http::header::SERVER);
    finish_header(session, response, ctx)
}

/// The answer when something failed, unless one is on its way already: then the connection is cut, so that no
/// part can pass for the whole.
pub(crate) async fn failed(session: &mut Session, error: &Error, ctx: &mut Context) -> FailToProxy {
    let failure = Failure::classify(error);
    if ctx.error.is_empty() {
        ctx.error = failure.reason;
    }
    log::debug!("request {} failed: {error}", ctx.id.as_str());
    let begun = session.response_written().is_some_and(|response| !response.status.is_informational());
    if begun && ctx.ends_with_connection {
        with_current_connection(ConnectionState::tear);
    }
    if begun || ctx.answering || failure.status == 0 {
        return FailToProxy { error_code: 0, can_reuse_downstream: false };
    }
    session.set_keepalive(None);
    note_cache(session, ctx);
    // Refused before the cache was asked, the request has no part of it.
    if ctx.cache.asked {
        classify(session.cache.phase(), ctx);
    }
    let sent = match Answer::error(failure.status, ctx.id.as_str()) {
        Ok(answer) => answer.with_cache_status(session, ctx).send(session, ctx).await,
        Err(error) => Err(error),
    };
    if let Err(error) = sent {
        log::debug!("request {}: the error could not be sent: {error}", ctx.id.as_str());
    }
    FailToProxy { error_code: failure.status, can_reuse_downstream: false }
}
