//! A POST response that is kept for later GETs (RFC 9110 §9.3.3).
//!
//! Pingora's cache knows one request and one response; a POST goes past it. So the body is copied as it passes and put
//! into the store when the request is over.

use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use http::Method;
use pingora_cache::storage::Storage;
use pingora_cache::trace::Span;
use pingora_cache::{CacheKey, CacheMeta};
use pingora_error::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use seawall_caching::invalidation::Origin;
use seawall_caching::{Response, Times, post};

use crate::context::Context;
use crate::phases::{invalidate, lookup, route, store};
use crate::zone::Zone;

/// The largest body that is copied, in bytes. What is POSTed for is seldom large, and it is held twice.
const MAX_BODY: usize = 256 * 1024;

/// A response on its way into the store.
pub(crate) struct Copy {
    zone: &'static Zone,
    key: CacheKey,
    meta: CacheMeta,
    body: BytesMut,
    complete: bool,
}

/// Called with the head of an answer, after what it changes was invalidated.
pub(crate) fn begin(session: &Session, response: &ResponseHeader, ctx: &mut Context) {
    let head = session.req_header();
    if head.method != Method::POST || response.headers.get(http::header::CONTENT_LOCATION).is_none() {
        return;
    }
    let Some(target) = route::client_target(session) else { return };
    let authority = lookup::authority(session, ctx);
    let origin = Origin { scheme: ctx.scheme(), authority: &authority, path_and_query: target.as_bytes() };
    let Some(named) = invalidate::named(&ctx.plan, &ctx.host, &origin, &target) else { return };
    let (Some(policy), Some(zone)) = (&named.route.cache, named.route.zone) else { return };
    // Selectors of the route would have to be read from a request that was no GET.
    if policy.key().has_selectors() {
        return;
    }
    let received = SystemTime::now();
    let times = Times { requested: ctx.upstream.requested.unwrap_or(received), received };
    let answer = Response { status: response.status, headers: &response.headers };
    let Ok(admission) = post::decide(&head.headers, &answer, &origin, times, policy) else { return };
    let epoch = zone.store.epoch();
    let path = route::split(&target).0;
    let Some(labels) = store::labels(&ctx.plan, &ctx.host, path, response) else { return };
    let meta = store::meta(response.clone(), admission, received, policy, Some(epoch), labels);
    ctx.copy = Some(Box::new(Copy { zone, key: named.key, meta, body: BytesMut::new(), complete: false }));
}

/// A piece of the body passes.
pub(crate) fn piece(ctx: &mut Context, piece: Option<&Bytes>, end: bool) {
    let Some(copy) = &mut ctx.copy else { return };
    if let Some(piece) = piece {
        if copy.body.len().saturating_add(piece.len()) > MAX_BODY {
            ctx.copy = None;
            return;
        }
        copy.body.extend_from_slice(piece);
    }
    copy.complete |= end;
}

/// The request is over: a whole body is stored.
pub(crate) async fn finish(ctx: &mut Context) {
    let Some(copy) = ctx.copy.take().filter(|copy| copy.complete) else { return };
    if let Err(error) = keep(*copy).await {
        log::debug!("request {}: its response was not stored for GET: {error}", ctx.id.as_str());
    }
}

async fn keep(copy: Copy) -> Result<()> {
    let span = Span::inactive();
    let mut fill = copy.zone.store.get_miss_handler(&copy.key, &copy.meta, &span.handle()).await?;
    fill.write_body(copy.body.freeze(), true).await?;
    fill.finish().await.map(|_| ())
}
