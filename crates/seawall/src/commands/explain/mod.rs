//! `seawall explain`: which way a request would take, and why.

mod asked;
mod cache;
mod server;

use std::fmt::Write as _;
use std::sync::Arc;

use http::Method;
use seawall_compress::Coding;
use seawall_guard::Limits;
use seawall_proxy::{Action, Forwarding, RoutePlan, SitePlan};
use seawall_routing::{Captures, Outcome, Redirect, RequestParts, Router};

use self::asked::Asked;
use super::{Failure, print};
use crate::cli::ExplainArgs;
use crate::load::Loaded;
use crate::plan;
use crate::server::new_metrics;
use crate::settings::{RouteSettings, Settings, SiteSettings};

/// The router over all sites.
type Routes = Router<SitePlan, Arc<RoutePlan>>;

/// Explains one request. Nothing is sent anywhere; every server counts as healthy.
pub(crate) fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let loaded = Loaded::read(&args.config);
    let Some(settings) = loaded.sound() else { return Err(Failure::text(loaded.report())) };
    let forwarding = Forwarding::new(&settings.forwarding).map_err(Failure::sentence)?;
    let metrics = Arc::new(new_metrics());
    let upstreams = plan::upstreams(settings, &metrics).map_err(Failure::sentence)?;
    let router = plan::router(settings, &upstreams, &metrics, &Limits::new(&settings.limits), &[])
        .map_err(Failure::sentence)?;
    let text = match Asked::parse(args, &forwarding)? {
        Ok(request) => explain(&request, &router, settings),
        Err(refusal) => format!("{} {}\nanswer    400 Bad Request: {refusal}\n", args.method, args.url),
    };
    print(&text)
}

fn explain(request: &Asked, router: &Routes, settings: &Settings) -> String {
    let tls = if request.https { "over TLS" } else { "without TLS" };
    let mut text = format!("{} {}\nclient    {}, {tls}\n", request.method, request.url, request.client);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "host      {}\npath      {}\n\nconsidered", request.host, request.path);
    let routed = request.routed_method();
    for step in router.explain(&request.host, &routed, &request.path) {
        let mark = if step.taken { "*" } else { " " };
        let name = match (step.site, step.route) {
            (Some(site), Some(route)) => router.route(site, route).map(|r| format!("route {}", r.name)),
            (Some(site), None) => router.site(site).map(|s| format!("site {}", s.name)),
            _ => None,
        };
        let _ = writeln!(text, "  {mark} {}: {}", name.unwrap_or_else(|| "-".into()), step.verdict);
    }
    text.push('\n');
    match router.find(&request.host, &routed, &request.path) {
        Outcome::UnknownHost => text.push_str(
            "answer    421 Misdirected Request: no site has this host and there is no default site\n",
        ),
        Outcome::NoRoute { site, .. } => {
            let _ =
                writeln!(text, "site      {}\nanswer    404 Not Found: no route covers the path", site.name);
        }
        Outcome::MethodNotAllowed { site, allow, .. } => {
            let _ = writeln!(
                text,
                "site      {}\nanswer    405 Method Not Allowed: the path takes {allow}",
                site.name
            );
        }
        Outcome::Route(found) => {
            let _ = writeln!(text, "site      {}\nroute     {}", found.site.name, found.route.name);
            for (name, value) in found.captures.iter() {
                let _ = writeln!(text, "capture   {name} = {value}");
            }
            let of_site = settings.sites.get(found.site_index);
            let written = of_site.and_then(|site| Some((site, site.routes.get(found.route_index)?)));
            if request.is_purge() {
                purge(&mut text, request, settings);
            } else {
                describe(&mut text, found.route, written, request, &found.captures);
            }
        }
    }
    text
}

/// A `PURGE` is routed like a `GET`, and then asks who may.
fn purge(text: &mut String, request: &Asked, settings: &Settings) {
    let allowed = settings.cache.purge.allow.iter().any(|network| network.contains(request.peer));
    let _ = match allowed {
        true => {
            writeln!(
                text,
                "answer    purges the stored response: `cache.purge.allow` covers {}",
                request.peer
            )
        }
        false => {
            writeln!(text, "answer    403 Forbidden: `cache.purge.allow` does not cover {}", request.peer)
        }
    };
}

fn describe(
    text: &mut String,
    route: &RoutePlan,
    written: Option<(&SiteSettings, &RouteSettings)>,
    request: &Asked,
    captures: &Captures,
) {
    if let Some(redirect) = &route.to_https {
        if redirect.applies_to(request.https) {
            text.push_str("redirect  `https: true`, since the request came without TLS\n");
            return elsewhere(text, redirect, request, captures);
        }
        text.push_str("redirect  none: `https: true` is for requests without TLS\n");
    }
    match &route.action {
        Action::Redirect(redirect) if !redirect.applies_to(request.https) => text.push_str(
            "answer    404 Not Found: `https: true` is for requests without TLS, and the route has nothing else\n",
        ),
        Action::Redirect(redirect) => elsewhere(text, redirect, request, captures),
        Action::Respond(response) => {
            let _ = writeln!(text, "answer    {} from the configuration", response.header().status);
        }
        Action::Forward(upstream) => {
            let mut target = request.target();
            if let Some(rewrite) = &route.rewrite {
                match rewrite.apply(&target, captures) {
                    Ok(rewritten) => target = rewritten,
                    Err(error) => {
                        let _ = writeln!(text, "answer    400 Bad Request: {error}");
                        return;
                    }
                }
                let _ = writeln!(text, "rewritten {target}");
            }
            let rule = written.and_then(|(site, route)| Some((route.cache.as_deref()?, route.zone(site))));
            // The cache first: what is keyed is what is forwarded and hashed.
            let mut kept = String::new();
            let target = cache::describe(&mut kept, route, rule, request, target);
            server::describe(text, upstream, request, &target);
            text.push_str(&kept);
            if let Some(policy) = &route.compress {
                let coding = policy.choose(&request.headers).map_or("identity", Coding::token);
                let _ = writeln!(text, "compress  {coding}, by Accept-Encoding, of what may be compressed");
            }
        }
    }
}

fn elsewhere(text: &mut String, redirect: &Redirect, request: &Asked, captures: &Captures) {
    let parts = RequestParts {
        tls: request.https,
        host: &request.host,
        path: &request.path,
        query: request.query.as_deref(),
    };
    let _ = match redirect.location(&parts, captures).as_ref().and_then(|to| to.to_str().ok()) {
        Some(to) => writeln!(text, "answer    {} to {to}", redirect.status()),
        None => writeln!(text, "answer    400 Bad Request: the redirect needs a host, and there is none"),
    };
}

impl Asked {
    fn is_purge(&self) -> bool {
        self.method.as_str() == "PURGE"
    }

    fn routed_method(&self) -> Method {
        if self.is_purge() { Method::GET } else { self.method.clone() }
    }
}
