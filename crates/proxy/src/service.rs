//! Pingora's callbacks, each handed to its phase.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use pingora_cache::key::HashBinary;
use pingora_cache::{CacheKey, CacheMeta, ForcedFreshness, HitHandler, RespCacheable};
use pingora_core::modules::http::HttpModules;
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, PurgeStatus, RangeType, Session};

use crate::context::Context;
use crate::fast_path;
use crate::phases::{
    admit, background, encode, fetch, interim, invalidate, lookup, parts, post, ranges, record, refresh,
    respond, route, select, store,
};
use crate::plan::Plan;

/// The proxy application.
pub struct Seawall {
    plan: Arc<ArcSwap<Plan>>,
}

impl Seawall {
    /// A proxy that runs each request under what `plan` holds when the request begins.
    #[must_use]
    pub fn new(plan: Arc<ArcSwap<Plan>>) -> Self {
        Self { plan }
    }
}

#[async_trait]
impl ProxyHttp for Seawall {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::new(self.plan.load_full())
    }

    /// None: what they would do is done in the phases, and an empty list costs nothing per request.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    fn init_upstream_modules(&self, modules: &mut HttpModules) {
        modules.add_module(Box::new(encode::EncoderPlace));
    }

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<()> {
        admit::admit(session, ctx)
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        let answered = route::route(session, ctx).await?;
        if !answered {
            encode::negotiate(session, ctx);
            if fast_path::answer(session, ctx).await? {
                return Ok(true);
            }
            parts::plan(session, ctx).await;
        }
        Ok(answered)
    }

    fn request_cache_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<()> {
        lookup::enable(session, ctx);
        Ok(())
    }

    fn cache_key_callback(&self, session: &Session, ctx: &mut Context) -> Result<CacheKey> {
        match ctx.key.take() {
            Some(key) => Ok(key),
            None => lookup::key(session, ctx),
        }
    }

    fn is_purge(&self, _: &Session, ctx: &Context) -> bool {
        ctx.purge
    }

    fn purge_response_filter(
        &self,
        session: &Session,
        ctx: &mut Context,
        status: PurgeStatus,
        response: &mut Cow<'static, ResponseHeader>,
    ) -> Result<()> {
        respond::purged(session, ctx, &status, response)
    }

    fn cache_vary_filter(
        &self,
        meta: &CacheMeta,
        ctx: &mut Context,
        request: &RequestHeader,
    ) -> Option<HashBinary> {
        lookup::variant(meta, ctx, request)
    }

    async fn cache_hit_filter(
        &self,
        session: &mut Session,
        meta: &CacheMeta,
        _: &mut HitHandler,
        fresh: bool,
        ctx: &mut Context,
    ) -> Result<Option<ForcedFreshness>> {
        let verdict = lookup::judge(meta, fresh, ctx);
        let verdict = parts::judge(session, meta, fresh, verdict, ctx);
        Ok(refresh::judge(session, meta, fresh, verdict, ctx))
    }

    async fn proxy_upstream_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        lookup::may_forward(session, ctx).await
    }

    fn should_serve_stale(&self, session: &mut Session, ctx: &mut Context, error: Option<&Error>) -> bool {
        lookup::serve_stale(session, ctx, error)
    }

    fn cache_not_modified_filter(
        &self,
        session: &Session,
        response: &ResponseHeader,
        ctx: &mut Context,
    ) -> Result<bool> {
        Ok(respond::not_modified(session, response, ctx))
    }

    fn range_header_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> RangeType {
        ranges::cut(session, response, ctx)
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Context) -> Result<Box<HttpPeer>> {
        select::peer(session, ctx)
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        reused: bool,
        _: &HttpPeer,
        socket: std::os::unix::io::RawFd,
        digest: Option<&Digest>,
        ctx: &mut Context,
    ) -> Result<()> {
        select::connected(session, ctx, reused, socket, digest)
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        _: &HttpPeer,
        ctx: &mut Context,
        error: Box<Error>,
    ) -> Box<Error> {
        select::connect_failed(session, ctx, error)
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut Context,
        reused: bool,
    ) -> Box<Error> {
        let error = select::broken(session, ctx, error, reused);
        if error.retry() {
            store::abandon(session);
        }
        error
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        fetch::request(session, request, ctx)
    }

    async fn request_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Context,
    ) -> Result<()> {
        fetch::body(ctx, body.as_ref(), end)
    }

    async fn adjust_upstream_modules(
        &self,
        session: &mut Session,
        _: &ResponseHeader,
        end: bool,
        ctx: &mut Context,
    ) -> Result<()> {
        encode::announce(session, end, ctx);
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        if interim::forward(session, response, ctx).await? {
            return Ok(());
        }
        store::received(session, response, ctx)?;
        parts::displace(session, response, ctx);
        invalidate::after(session, response, ctx);
        post::begin(session, response, ctx);
        encode::begin(session, response, ctx)
    }

    fn upstream_response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Context,
    ) -> Result<Option<Duration>> {
        store::body_received(ctx, end)?;
        background::piece(session, body.as_ref(), end, ctx)?;
        parts::piece(ctx, body.as_ref(), end)?;
        post::piece(ctx, body.as_ref(), end);
        encode::piece(session, body, end, ctx)?;
        Ok(None)
    }

    fn response_cache_filter(
        &self,
        session: &Session,
        response: &ResponseHeader,
        ctx: &mut Context,
    ) -> Result<RespCacheable> {
        Ok(store::decide(session, response, ctx))
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        respond::header(session, response, ctx)
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Context) -> FailToProxy {
        respond::failed(session, error, ctx).await
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Context) {
        invalidate::discarded(session, ctx);
        post::finish(ctx).await;
        record::record(session, error, ctx);
    }

    /// What a client or an origin does wrong is in the access log and in the metrics; a line of Pingora's own
    /// for each would let a client fill the process log.
    fn suppress_error_log(&self, _: &Session, _: &Context, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        ctx: &Context,
        _: &Error,
        what: ProxyWarnLogContext,
    ) -> bool {
        background::noticed(ctx, &what);
        true
    }

    fn request_summary(&self, _: &Session, ctx: &Context) -> String {
        format!("request id {}", ctx.id.as_str())
    }
}
