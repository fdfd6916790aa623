//! Which of a response's bytes the client is sent (RFC 9110 §14).
//!
//! The rules are [`seawall_caching::range`]; here they meet Pingora's ways of sending part of a body.

use std::time::SystemTime;

use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, HeaderValue, RANGE, TRANSFER_ENCODING};
use pingora_cache::CachePhase;
use pingora_error::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::{MultiRangeInfo, RangeType, Session};
use seawall_caching::range::{self, RangeHead, Selection};
use seawall_caching::{Request, Response};
use seawall_compress::representation;

use crate::context::{Context, Instead};
use crate::phases::{encode, parts};

/// Puts the head of the answer right and tells which bytes belong to it.
pub(crate) fn cut(session: &mut Session, response: &mut ResponseHeader, ctx: &mut Context) -> RangeType {
    if response.status == StatusCode::NOT_MODIFIED {
        // What is not sent has no range; the validator of a part speaks for the whole.
        response.remove_header(&CONTENT_RANGE);
    }
    let cut = match ctx.cache.instead {
        Some(instead) => replace(response, instead).map(|()| RangeType::Invalid),
        None => parts::cut(session, response, ctx).unwrap_or_else(|| select(session, response, ctx)),
    };
    cut.unwrap_or_else(|error| {
        // Fields made of digits are valid; were one not, the response as it is would still be right.
        log::warn!("a range could not be cut: {error}");
        RangeType::None
    })
}

fn select(session: &mut Session, response: &mut ResponseHeader, ctx: &Context) -> Result<RangeType> {
    let stored = stored_length(session);
    let complete = range::complete_length(&response.headers).or(stored);
    let whole = selection(session, response, complete, ctx);
    // Parts come in the order asked for only from a body that is there: one on its way is read once.
    let selection = if stored.is_some() { whole } else { whole.ascending() };
    match selection {
        Selection::Whole => {
            whole_of(response, complete, stored, ctx)?;
            Ok(RangeType::None)
        }
        Selection::Single(bytes) => {
            let head = Selection::Single(bytes.clone()).head(&response.headers, complete.unwrap_or(0), "");
            change(response, head)?;
            Ok(RangeType::Single(bytes))
        }
        Selection::Multi(parts) => {
            let mut info = MultiRangeInfo::new(parts.clone());
            let complete = complete.unwrap_or(0);
            let head = Selection::Multi(parts).head(&response.headers, complete, &info.boundary);
            info.set_total_length(complete);
            if let Some(content_type) = head.as_ref().and_then(|head| head.part_type.clone()) {
                info.set_content_type(content_type);
            }
            change(response, head)?;
            Ok(RangeType::Multi(info))
        }
        Selection::Unsatisfiable => {
            replace(response, Instead::Unsatisfiable(complete.unwrap_or(0)))?;
            Ok(RangeType::Invalid)
        }
    }
}

/// The head of an answer with the whole: `stored` is the length of a body that is complete in the store.
pub(crate) fn whole_of(
    response: &mut ResponseHeader,
    complete: Option<usize>,
    stored: Option<usize>,
    ctx: &Context,
) -> Result<()> {
    let unsaid = response.status == StatusCode::OK && !response.headers.contains_key(CONTENT_LENGTH);
    if let Some(length) = stored.filter(|_| unsaid) {
        response.remove_header(&TRANSFER_ENCODING);
        response.insert_header(CONTENT_LENGTH, length)?;
    }
    let whole = Response { status: response.status, headers: &response.headers };
    let has_ranges = max_ranges(ctx) > 0 && !representation::is_ours(&response.headers);
    if let Some((name, value)) = range::advertise(&whole, complete).filter(|_| has_ranges) {
        response.insert_header(name, value)?;
    }
    Ok(())
}

/// The length of the whole, when the client asks for bytes that it does not have and the head says so.
///
/// Asked before the head goes out, so that a client is not kept until a response on its way in is complete, of
/// which it gets nothing.
pub(crate) fn unsatisfiable(session: &Session, response: &ResponseHeader, ctx: &Context) -> Option<usize> {
    if !session.req_header().headers.contains_key(RANGE) {
        return None;
    }
    let complete = range::complete_length(&response.headers)?;
    (selection(session, response, Some(complete), ctx) == Selection::Unsatisfiable).then_some(complete)
}

fn selection(
    session: &Session,
    response: &ResponseHeader,
    complete: Option<usize>,
    ctx: &Context,
) -> Selection {
    let head = session.req_header();
    if !encode::may_cut(&head.headers, &response.headers) {
        return Selection::Whole;
    }
    let request = Request { method: &head.method, headers: &head.headers, has_body: false };
    let whole = Response { status: response.status, headers: &response.headers };
    range::select(&request, &whole, complete, max_ranges(ctx), SystemTime::now())
}

fn max_ranges(ctx: &Context) -> usize {
    let policy = ctx.route.as_ref().and_then(|route| route.cache.as_ref());
    policy.map_or(range::DEFAULT_MAX_RANGES, seawall_caching::CachePolicy::max_ranges)
}

/// The length of a body that is complete in the store, whatever its head says.
fn stored_length(session: &mut Session) -> Option<usize> {
    let stored = is_stored(session).then(|| seawall_store::stored_length(session.cache.hit_handler()));
    usize::try_from(stored.flatten()?).ok()
}

/// Whether the body comes from the store, and not with the client's own fetch.
pub(crate) fn is_stored(session: &Session) -> bool {
    matches!(
        session.cache.phase(),
        CachePhase::Hit
            | CachePhase::Stale
            | CachePhase::StaleUpdating
            | CachePhase::Revalidated
            | CachePhase::RevalidatedNoCache(_)
    )
}

/// Makes the head that of an answer without content.
fn replace(response: &mut ResponseHeader, instead: Instead) -> Result<()> {
    match instead {
        Instead::PreconditionFailed => {
            response.set_status(StatusCode::PRECONDITION_FAILED)?;
            response.insert_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))?;
            response.insert_header(CONTENT_LENGTH, 0)
        }
        Instead::Unsatisfiable(complete) => {
            change(response, Selection::Unsatisfiable.head(&response.headers, complete, ""))
        }
    }
}

fn change(response: &mut ResponseHeader, head: Option<RangeHead>) -> Result<()> {
    let Some(head) = head else { return Ok(()) };
    response.set_status(head.status)?;
    for name in head.remove {
        response.remove_header(name);
    }
    for (name, value) in head.set {
        response.insert_header(name, value)?;
    }
    Ok(())
}
