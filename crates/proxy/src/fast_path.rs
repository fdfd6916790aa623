//! Fresh responses from memory, and short ones from disk, answered before Pingora's cache begins.
//!
//! Most requests that a cache sees are for what it has. Pingora takes such a request through the machinery that any other
//! needs: a state that may turn out to ask or to fill, a copy of all that is stored beside the body, a lock, a reader. That
//! costs more than what is decided about a hit. Here the same decisions are made by the same functions as the
//! [phases](crate::phases) call, in the same order, once the request is admitted and routed, and the answer goes out through
//! Pingora's session.
//!
//! It is for requests whose answer is the whole of a fresh response. Whatever may want anything else (a body, a range, a
//! condition, an upgrade, directives that demand something, HTTP/1.0) is not answered here, and nothing has happened
//! then: the request goes its ordinary way.

use std::sync::Arc;
use std::time::SystemTime;

use http::header::{
    AGE, CONTENT_LENGTH, EXPECT, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
    RANGE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderName, Method, StatusCode, Version};
use pingora_cache::key::CacheHashKey as _;
use pingora_cache::predictor::CacheablePredictor as _;
use pingora_cache::{CacheKey, CachePhase};
use pingora_error::Result;
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use seawall_caching::range;
use seawall_store::{Ready, Store};

use crate::context::Context;
use crate::facts::Facts;
use crate::phases::{lookup, ranges, respond};

/// With one of these the answer may not be the whole of what is stored.
const ASK_FOR_MORE: [HeaderName; 8] =
    [RANGE, IF_RANGE, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_MATCH, IF_UNMODIFIED_SINCE, UPGRADE, EXPECT];

/// What the store has for a request.
struct Found {
    store: &'static Store,
    key: CacheKey,
    response: Ready,
    /// The one that stands for all variants, when this is another of them.
    primary: Option<Ready>,
    facts: Arc<Facts>,
}

/// Answers the request if it may. True when it is answered.
///
/// # Errors
/// When the client cannot be written to.
pub(crate) async fn answer(session: &mut Session, ctx: &mut Context) -> Result<bool> {
    if !ctx.plan.cache.fast_path || ctx.refresh || ctx.purge || !asks_for_the_whole(session) {
        return Ok(false);
    }
    let Some(mut found) = find(session, ctx).await else { return Ok(false) };
    if !is_plain(&found.response) {
        leave(found.key, ctx);
        return Ok(false);
    }
    ctx.answering = true;
    found.count();
    ctx.plan.metrics.fast_hit();
    let header = head(session, &mut found, ctx)?;
    respond::keep_date(found.facts.date);
    let headless = session.req_header().method == Method::HEAD;
    send(session, &found.response, header, headless).await?;
    Ok(true)
}

fn asks_for_the_whole(session: &mut Session) -> bool {
    let request = session.req_header();
    let plain = matches!(request.method, Method::GET | Method::HEAD)
        && request.version >= Version::HTTP_11
        && !request.headers.keys().any(|name| ASK_FOR_MORE.contains(name));
    plain && session.is_body_empty()
}

/// Looks the response up. What was found out on the way is kept in `ctx` for whoever goes on.
async fn find(session: &mut Session, ctx: &mut Context) -> Option<Found> {
    let route = ctx.route.clone()?;
    let (policy, zone) = (route.cache.as_ref()?, route.zone?);
    if !lookup::meet(session, policy, ctx) || ctx.cache.terms.demand.is_some() {
        return None;
    }
    let mut key = lookup::key(session, ctx).ok()?;
    // What is predicted not to be cacheable is not looked up. Asked last: mostly nothing is stored then.
    let found = of_key(zone.store, &mut key, session.req_header(), ctx).await;
    let found = found.filter(|_| zone.predictor.cacheable_prediction(&key));
    match found {
        Some((response, primary, facts)) => Some(Found { store: zone.store, key, response, primary, facts }),
        None => {
            leave(key, ctx);
            None
        }
    }
}

/// Leaves the request to the ordinary way, which begins without the name of a variant.
fn leave(mut key: CacheKey, ctx: &mut Context) {
    key.remove_variance_key();
    ctx.cache.vary_missed = false;
    ctx.key = Some(key);
}

async fn of_key(
    store: &Store,
    key: &mut CacheKey,
    request: &RequestHeader,
    ctx: &mut Context,
) -> Option<(Ready, Option<Ready>, Arc<Facts>)> {
    let first = store.ready(key).await?;
    let facts = first.extensions().get::<Arc<Facts>>();
    let wanted = lookup::variant_of(&first.header().headers, facts, first.variance(), ctx, request);
    let (found, primary) = match wanted.filter(|_| wanted != first.variance()) {
        None => (first, None),
        Some(variant) => {
            key.set_variance_key(variant);
            let found = store.ready(key).await?;
            // Purged with the one that stands for all of them, or not the one that was meant.
            if found.variance() != key.variance_bin() || found.created() < first.provenance() {
                return None;
            }
            (found, Some(first))
        }
    };
    ctx.cache.vary_missed = false;
    let facts = Arc::clone(found.extensions().get::<Arc<Facts>>()?);
    (found.fresh_until() >= SystemTime::now()).then_some((found, primary, facts))
}

/// Whether what is stored can be sent as it is: with a body, of the length that its head says or is going to say.
fn is_plain(response: &Ready) -> bool {
    let header = response.header();
    let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED, StatusCode::PARTIAL_CONTENT];
    if header.status.is_informational() || bodiless.contains(&header.status) {
        return false;
    }
    let Ok(length) = usize::try_from(response.body_len()) else { return false };
    if !header.headers.contains_key(CONTENT_LENGTH) {
        // Another status may have no length.
        return header.status == StatusCode::OK;
    }
    range::complete_length(&header.headers) == Some(length) && !header.headers.contains_key(TRANSFER_ENCODING)
}

/// The head of the answer. The steps and their order are those that Pingora and the phases make for a hit.
fn head(session: &mut Session, found: &mut Found, ctx: &mut Context) -> Result<ResponseHeader> {
    let length = usize::try_from(found.response.body_len()).ok();
    let mut header = found.response.take_header()?;
    // The place of the field; its value comes later.
    header.insert_header(AGE, 0u64)?;
    header.set_version(Version::HTTP_11);
    let complete = range::complete_length(&header.headers).or(length);
    ranges::whole_of(&mut header, complete, length, ctx)?;
    respond::farewell(session, ctx);
    respond::classify(CachePhase::Hit, ctx);
    let decided = Some((found.facts.as_ref(), found.response.fresh_until()));
    respond::dress(&mut header, ctx, CachePhase::Hit, decided, Some(&found.key))?;
    respond::finish_header(session, &mut header, ctx)?;
    Ok(header)
}

async fn send(session: &mut Session, response: &Ready, header: ResponseHeader, headless: bool) -> Result<()> {
    let client = session.as_downstream_mut();
    client.write_response_header(Box::new(header)).await.map_err(|error| error.into_down())?;
    if headless {
        return Ok(());
    }
    let (length, mut sent) = (response.body_len(), 0);
    loop {
        let piece = response.piece(sent).unwrap_or_default();
        sent = sent.saturating_add(piece.len() as u64);
        let end = piece.is_empty() || sent >= length;
        client.write_response_body(piece, end).await.map_err(|error| error.into_down())?;
        if end {
            return Ok(());
        }
    }
}

impl Found {
    /// It is used.
    fn count(&self) {
        for response in self.primary.iter().chain([&self.response]) {
            self.store.count_hit(response);
        }
    }
}
