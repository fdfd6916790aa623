//! Which site and route; answers that need no upstream end here.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, EXPECT, HOST};
use http::{Method, StatusCode};
use pingora_error::{Error, ErrorType, Result};
use pingora_proxy::Session;
use seawall_routing::{Outcome, Redirect, RequestParts, normalize_host, normalize_path};

use crate::answer::Answer;
use crate::context::Context;
use crate::phases::invalidate;
use crate::plan::{Action, RoutePlan};

/// True when the request is answered.
pub(crate) async fn route(session: &mut Session, ctx: &mut Context) -> Result<bool> {
    locate(session, ctx)?;
    let purge = session.req_header().method.as_str() == "PURGE";
    let found = if purge { find(ctx, &Method::GET) } else { find(ctx, &session.req_header().method) };
    let route = match found? {
        Ok(route) => route,
        Err(answer) => {
            answer.send(session, ctx).await?;
            return Ok(true);
        }
    };
    ctx.route = Some(Arc::clone(&route));
    if purge {
        allow_purge(ctx)?;
        invalidate::purged(session, ctx).await?;
        return Ok(false);
    }
    check_expectation(session, ctx)?;
    announce_body(session, ctx, &route)?;
    if let Some(redirect) = route.to_https.as_ref().filter(|redirect| redirect.applies_to(ctx.https)) {
        return send_elsewhere(session, ctx, redirect).await;
    }
    match &route.action {
        Action::Forward(upstream) => {
            if let Some(pool) = upstream.pool() {
                pool.budget().deposit();
            }
            rewrite(ctx, &route)?;
            Ok(false)
        }
        // `https: true` and nothing beside it: over TLS nobody is there to answer.
        Action::Redirect(redirect) if !redirect.applies_to(ctx.https) => {
            nowhere(ctx, 404, "no_route")?.send(session, ctx).await?;
            Ok(true)
        }
        Action::Redirect(redirect) => send_elsewhere(session, ctx, redirect).await,
        Action::Respond(response) => {
            let answer =
                Answer { header: Box::new(response.header().clone()), body: response.body().clone() };
            answer.send(session, ctx).await?;
            Ok(true)
        }
    }
}

async fn send_elsewhere(session: &mut Session, ctx: &mut Context, redirect: &Redirect) -> Result<bool> {
    let (path, query) = split(&ctx.target);
    let parts = RequestParts { tls: ctx.https, host: &ctx.host, path, query };
    let Some(location) = redirect.location(&parts, &ctx.captures) else {
        return Err(refuse(ctx, 400, "unsafe_redirect"));
    };
    let location = location.to_str().unwrap_or("/").to_owned();
    Answer::redirect(redirect.status().as_u16(), &location)?.send(session, ctx).await?;
    Ok(true)
}

fn refuse(ctx: &mut Context, status: u16, reason: &'static str) -> Box<Error> {
    ctx.error = reason;
    ctx.plan.metrics.refused().inc(reason);
    Error::explain(ErrorType::HTTPStatus(status), reason).into_down()
}

/// Host and path in their one normal form.
fn locate(session: &Session, ctx: &mut Context) -> Result<()> {
    let request = session.req_header();
    let authority = match request.uri.authority() {
        Some(authority) => authority.as_str(),
        None => request.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or(""),
    };
    // HTTP/1.0 may come without a host: that is the default site's.
    if !authority.is_empty() {
        match normalize_host(authority) {
            Ok(host) => ctx.host = host.into_owned(),
            Err(_) => return Err(refuse(ctx, 400, "bad_host")),
        }
    }
    match client_target(session) {
        Some(target) => ctx.target = target,
        None => return Err(refuse(ctx, 400, "bad_path")),
    }
    Ok(())
}

/// Path and query as the client asks for them, the path normalised. `None` when it cannot be.
pub(crate) fn client_target(session: &Session) -> Option<String> {
    // `OPTIONS *` asks about the server as a whole; it is routed like the root.
    let raw = session.req_header().uri.path_and_query().map_or("/", |target| target.as_str());
    normal(if raw == "*" || raw.is_empty() { "/" } else { raw })
}

/// A target in the form in which it is routed. `None` when its path cannot be normalised.
pub(crate) fn normal(target: &str) -> Option<String> {
    let (path, query) = split(target);
    let path = normalize_path(path).ok()?;
    Some(match query {
        Some(query) => format!("{path}?{query}"),
        None => path.into_owned(),
    })
}

pub(crate) fn split(target: &str) -> (&str, Option<&str>) {
    match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    }
}

fn find(ctx: &mut Context, method: &Method) -> Result<Result<Arc<RoutePlan>, Answer>> {
    let plan = Arc::clone(&ctx.plan);
    let (path, _) = split(&ctx.target);
    let outcome = plan.router.find(&ctx.host, method, path);
    let (status, reason) = match outcome {
        Outcome::Route(found) => {
            ctx.captures = found.captures;
            return Ok(Ok(Arc::clone(found.route)));
        }
        Outcome::MethodNotAllowed { allow, .. } => {
            ctx.error = "method_not_allowed";
            plan.metrics.refused().inc(ctx.error);
            return Ok(Err(Answer::method_not_allowed(&allow.to_string(), ctx.id.as_str())?));
        }
        Outcome::NoRoute { .. } => (404, "no_route"),
        Outcome::UnknownHost => (421, "unknown_host"),
    };
    nowhere(ctx, status, reason).map(Err)
}

/// The answer to a request that no route takes.
fn nowhere(ctx: &mut Context, status: u16, reason: &'static str) -> Result<Answer> {
    ctx.error = reason;
    ctx.plan.metrics.refused().inc(reason);
    Answer::error(status, ctx.id.as_str())
}

/// RFC 9110 §10.1.1: what is not understood is refused; `100-continue` is passed on.
fn check_expectation(session: &Session, ctx: &mut Context) -> Result<()> {
    match session.req_header().headers.get(EXPECT) {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            Err(refuse(ctx, StatusCode::EXPECTATION_FAILED.as_u16(), "expectation"))
        }
        _ => Ok(()),
    }
}

/// A body that is announced too large is refused before it is sent.
fn announce_body(session: &Session, ctx: &mut Context, route: &RoutePlan) -> Result<()> {
    ctx.body = seawall_guard::BodyMeter::new(route.max_body);
    let length = session.req_header().headers.get(CONTENT_LENGTH);
    let length =
        length.and_then(|value| value.to_str().ok()).and_then(|text| text.trim().parse::<u64>().ok());
    if length.is_some_and(|length| ctx.body.announce(length).is_err()) {
        return Err(refuse(ctx, 413, "body_too_large"));
    }
    Ok(())
}

fn rewrite(ctx: &mut Context, route: &RoutePlan) -> Result<()> {
    if let Some(rewrite) = &route.rewrite {
        match rewrite.apply(&ctx.target, &ctx.captures) {
            Ok(target) => ctx.target = target,
            Err(_) => return Err(refuse(ctx, 400, "bad_rewrite")),
        }
    }
    Ok(())
}

/// The address on the connection decides, never a header: a purge is no place to trust a chain.
fn allow_purge(ctx: &mut Context) -> Result<()> {
    let allowed = ctx.client.peer.is_some_and(|peer| ctx.plan.cache.purge_allow.contains(peer));
    if !allowed {
        return Err(refuse(ctx, 403, "purge_not_allowed"));
    }
    ctx.purge = true;
    let route = ctx.route.clone();
    route.map_or(Ok(()), |route| rewrite(ctx, &route))
}
