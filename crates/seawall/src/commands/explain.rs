//! `seawall explain`: which way a request would take, and why.

use std::fmt::Write as _;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use seawall_guard::Limits;
use seawall_proxy::{Action, RoutePlan, UpstreamKind, UpstreamPlan};
use seawall_routing::{Outcome, RequestParts, normalize_host, normalize_path};
use seawall_upstream::SelectRequest;

use super::{Failure, print};
use crate::cli::ExplainArgs;
use crate::load::Loaded;
use crate::plan;
use crate::server::new_metrics;

/// Explains one request. Nothing is sent anywhere; every server counts as healthy.
pub(crate) fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let loaded = Loaded::read(&args.config);
    let Some(settings) = loaded.sound() else { return Err(Failure::text(loaded.report())) };
    let request = Asked::parse(args)?;
    let metrics = Arc::new(new_metrics());
    let upstreams = plan::upstreams(settings, &metrics).map_err(Failure::sentence)?;
    let router = plan::router(settings, &upstreams, &metrics, &Limits::new(&settings.limits))
        .map_err(Failure::sentence)?;

    let mut text = format!("{} {}\n", request.method, args.url);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "host      {}\npath      {}\n\nconsidered", request.host, request.path);
    for step in router.explain(&request.host, &request.method, &request.path) {
        let mark = if step.taken { "*" } else { " " };
        let name = match (step.site, step.route) {
            (Some(site), Some(route)) => router.route(site, route).map(|r| format!("route {}", r.name)),
            (Some(site), None) => router.site(site).map(|s| format!("site {}", s.name)),
            _ => None,
        };
        let _ = writeln!(text, "  {mark} {}: {}", name.unwrap_or_else(|| "-".into()), step.verdict);
    }
    text.push('\n');
    match router.find(&request.host, &request.method, &request.path) {
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
            describe(&mut text, found.route, &request, &found.captures);
        }
    }
    print(&text)
}

/// The request as it was asked for.
struct Asked {
    method: Method,
    https: bool,
    host: String,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
    client: std::net::IpAddr,
}

impl Asked {
    fn parse(args: &ExplainArgs) -> Result<Self, Failure> {
        let bad = |what: &str, why: String| Failure::sentence(format!("{what}: {why}"));
        let method =
            args.method.parse().map_err(|_| bad("-X", format!("`{}` is not a method", args.method)))?;
        let with_scheme =
            if args.url.contains("://") { args.url.clone() } else { format!("http://{}", args.url) };
        let uri: Uri =
            with_scheme.parse().map_err(|error| bad("the URL", format!("`{}`: {error}", args.url)))?;
        let mut headers = HeaderMap::new();
        for header in &args.headers {
            let wrong = || bad("-H", format!("`{header}` is not `Name: value`"));
            let (name, value) = header.split_once(':').ok_or_else(wrong)?;
            let name: HeaderName = name.trim().parse().map_err(|_| wrong())?;
            headers.append(name, HeaderValue::from_str(value.trim()).map_err(|_| wrong())?);
        }
        let authority = match headers.get(http::header::HOST).and_then(|host| host.to_str().ok()) {
            Some(host) => host.to_owned(),
            None => uri.authority().map(ToString::to_string).unwrap_or_default(),
        };
        let host =
            normalize_host(&authority).map_err(|error| bad("the host", error.to_string()))?.into_owned();
        let path =
            normalize_path(uri.path()).map_err(|error| bad("the path", error.to_string()))?.into_owned();
        Ok(Self {
            method,
            https: uri.scheme_str() == Some("https"),
            host,
            path,
            query: uri.query().map(str::to_owned),
            headers,
            client: args.client,
        })
    }

    fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }
}

fn describe(text: &mut String, route: &RoutePlan, request: &Asked, captures: &seawall_routing::Captures) {
    match &route.action {
        Action::Redirect(redirect) => {
            let parts = RequestParts {
                tls: request.https,
                host: &request.host,
                path: &request.path,
                query: request.query.as_deref(),
            };
            let to = redirect.location(&parts, captures);
            let to = to.as_ref().and_then(|value| value.to_str().ok()).unwrap_or("(refused: unsafe)");
            let _ = writeln!(text, "answer    {} to {to}", redirect.status());
        }
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
            server(text, upstream, request, &target);
            cache(text, route, request, &target);
        }
    }
}

fn server(text: &mut String, upstream: &UpstreamPlan, request: &Asked, target: &str) {
    let _ = writeln!(text, "upstream  {}", upstream.name);
    match &upstream.kind {
        UpstreamKind::Files(_) => text.push_str("server    the built-in file origin\n"),
        UpstreamKind::Pool(pool) => {
            let asked = SelectRequest { uri: target, headers: &request.headers, client: request.client };
            match pool.select(&asked, &[]) {
                Ok(selected) => {
                    let _ = writeln!(
                        text,
                        "server    {} (balance: {:?}; this choice if all are healthy)",
                        selected.server(),
                        pool.settings().balance
                    );
                }
                Err(error) => {
                    let _ =
                        writeln!(text, "server    none yet: {error} (names are resolved when Seawall runs)");
                }
            }
        }
    }
}

fn cache(text: &mut String, route: &RoutePlan, request: &Asked, target: &str) {
    let Some(policy) = &route.cache else {
        text.push_str("cache     off on this route\n");
        return;
    };
    let asked =
        seawall_caching::Request { method: &request.method, headers: &request.headers, has_body: false };
    match seawall_caching::request::assess(&asked, policy) {
        Err(reason) => {
            let _ = writeln!(text, "cache     bypassed: {}", reason.as_str());
        }
        Ok(_) => {
            let scheme = if request.https { "https" } else { "http" };
            let keyed = policy.key().target(target.as_bytes());
            let _ = writeln!(
                text,
                "cache     looked up under {scheme} | {} | {}",
                request.host,
                String::from_utf8_lossy(&keyed)
            );
        }
    }
}
