//! What only shows when the whole configuration is seen: each capability checks its own settings first.

mod zones;

use std::collections::BTreeSet;

use seawall_config::{Diagnostics, Document, Path, did_you_mean};
use seawall_listen::{ListenAddress, ListenerSettings, check_listeners};
use seawall_routing::{HeaderTarget, RouteMatch, RouteView, SiteView, check_sites};

use crate::settings::{RouteSettings, ServerSettings, Settings, SiteSettings};

/// Reports everything that is wrong with decoded settings.
pub(crate) fn check(settings: &Settings, document: &Document, out: &mut Diagnostics) {
    let root = Path::root();
    check_front(settings, document, out);
    for (name, upstream) in &settings.upstreams {
        upstream.check(&root.key("upstreams").key(name), out);
    }
    zones::check(settings, document, out);
    settings.cache.purge.check(&root.key("cache").key("purge"), out);
    if settings.cache.uncacheable_keys == 0 {
        out.error(&root.key("cache").key("uncacheable_keys"), "`uncacheable_keys` cannot be zero")
            .hint("without it every uncacheable request would wait for the one before; write 1024 or more");
    }
    for (key, span) in [("wait", settings.cache.collapse.wait), ("fetch", settings.cache.collapse.fetch)] {
        if span.is_zero() {
            out.error(&root.key("cache").key("collapse").key(key), format!("`{key}` cannot be zero"))
                .hint("to switch collapsing off write `enabled: false`");
        }
    }
    let collapse = &settings.cache.collapse;
    for (key, count) in
        [("refreshes", collapse.refreshes), ("upstream_refreshes", collapse.upstream_refreshes)]
    {
        if count == 0 {
            out.error(&root.key("cache").key("collapse").key(key), format!("`{key}` cannot be zero"))
                .hint("to refresh nothing in the background, leave `stale_while_revalidate` out");
        }
    }
    if let Some(compress) = &settings.compress {
        compress.check(&root.key("compress"), out);
        compress.check_memory(settings.limits.compression_memory, &root.key("compress"), out);
    }
    settings.limits.check(&root.key("limits"), out);
    settings.forwarding.check(&root.key("forwarding"), out);
    if let Some(metrics) = &settings.metrics {
        metrics.check(&root.key("metrics"), out);
    }
    if let Some(admin) = &settings.admin {
        admin.check(&root.key("admin"), out);
    }
    settings.tls.check(&root.key("tls"), out);
    settings.access_log.check(&root.key("access_log"), out);
    settings.log.check(&root.key("log"), out);
    settings.server.check(&root.key("server"), out);
    check_all_sites(settings, out);
    check_references(settings, document, out);
    check_loops(settings, out);
}

impl ServerSettings {
    fn check(&self, at: &Path, out: &mut Diagnostics) {
        if self.threads.is_some_and(|threads| threads == 0 || threads > 1024) {
            out.error(&at.key("threads"), "`threads` is from 1 to 1024").hint("remove it for one a core");
        }
        if self.upstream_connections == 0 {
            out.error(&at.key("upstream_connections"), "`upstream_connections` cannot be zero");
        }
    }
}

fn check_front(settings: &Settings, document: &Document, out: &mut Diagnostics) {
    let at = Path::root().key("listeners");
    let listeners: Vec<ListenerSettings> = settings.listeners.clone();
    // Listeners that could not be read are missing for a reason that was told already.
    if !(listeners.is_empty() && document.is_pruned(&at)) {
        check_listeners(&listeners, &at, out);
    }
    if let Some(address) = settings.metrics.as_ref().and_then(|metrics| metrics.address())
        && listeners.iter().any(|listener| listener.address.overlaps(&ListenAddress::Tcp(address)))
    {
        out.error(
            &Path::root().key("metrics").key("listen"),
            format!("`{address}` is a listener's address, too"),
        )
        .hint("metrics need an address of their own");
    }
}

fn check_all_sites(settings: &Settings, out: &mut Diagnostics) {
    let root = Path::root().key("sites");
    let views: Vec<SiteView<'_>> =
        settings.sites.iter().enumerate().map(|(i, site)| view(site, root.index(i))).collect();
    check_sites(&views, out);
    let tls = settings.listeners.iter().any(|listener| listener.tls.is_some());
    for (i, site) in settings.sites.iter().enumerate() {
        for (j, route) in site.routes.iter().enumerate() {
            let at = root.index(i).key("routes").index(j);
            check_actions(route, tls, &at, out);
            check_route(route, &at, out);
            check_encodings(route, settings, &at, out);
        }
    }
}

fn view(site: &SiteSettings, at: Path) -> SiteView<'_> {
    let routes = site
        .routes
        .iter()
        .enumerate()
        .map(|(j, route)| RouteView {
            at: at.key("routes").index(j),
            matching: route.matching(),
            redirect: route.redirect.as_deref(),
            rewrite: route.rewrite.as_ref(),
        })
        .collect();
    SiteView { at, hosts: &site.hosts, default: site.default, routes }
}

impl RouteSettings {
    /// The conditions, as routing wants them.
    pub(crate) fn matching(&self) -> RouteMatch {
        RouteMatch::from_parts(
            self.exact.as_deref(),
            self.path.as_deref(),
            self.pattern.as_deref(),
            self.regex.as_deref(),
            self.methods.as_deref().unwrap_or_default(),
        )
    }

    /// The name in metrics and logs.
    pub(crate) fn label(&self) -> String {
        let condition = || {
            let prefix = self.path.clone();
            let exact = self.exact.as_ref().map(|text| format!("={text}"));
            let pattern = self.pattern.clone();
            let regex = self.regex.as_ref().map(|text| format!("~{text}"));
            prefix.or(exact).or(pattern).or(regex).unwrap_or_else(|| "?".into())
        };
        self.name.clone().unwrap_or_else(condition)
    }
}

/// One action a route; only `https: true`, which is for requests without TLS, stands beside another. `tls` is whether
/// any listener speaks TLS.
fn check_actions(route: &RouteSettings, tls: bool, at: &Path, out: &mut Diagnostics) {
    let to_https = route.redirect.as_ref().is_some_and(|redirect| redirect.https);
    let actions = [
        ("upstream", route.upstream.is_some()),
        ("redirect", route.redirect.is_some() && !to_https),
        ("respond", route.respond.is_some()),
    ];
    let given: Vec<&str> = actions.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
    match given[..] {
        [] if to_https && !tls => {}
        [] if to_https => {
            out.warning(
                &at.key("redirect"),
                "requests over TLS get 404 here: `https: true` is for the others",
            )
            .on_key()
            .hint("add the `upstream` or `respond` that answers over TLS");
        }
        [] => {
            out.error(at, "the route has no action").hint("add one of `upstream`, `redirect` and `respond`");
        }
        [_] => {}
        [first, second, ..] => {
            out.error(&at.key(second), format!("the route has `{first}` and `{second}`"))
                .on_key()
                .hint("a route has one action; only `redirect: { https: true }` stands beside another");
        }
    }
}

fn check_route(route: &RouteSettings, at: &Path, out: &mut Diagnostics) {
    if route.upstream.is_none() {
        for (key, given) in [
            ("cache", route.cache.as_ref().is_some_and(|cache| cache.enabled)),
            ("compress", route.compress.as_ref().is_some_and(|compress| compress.enabled)),
            ("rewrite", route.rewrite.is_some()),
            ("request_headers", route.request_headers.is_some()),
        ] {
            if given {
                out.error(&at.key(key), format!("`{key}` does nothing without `upstream`")).on_key();
            }
        }
    }
    if let Some(ops) = &route.request_headers {
        ops.check(HeaderTarget::Request, &at.key("request_headers"), out);
    }
    if let Some(ops) = &route.response_headers {
        ops.check(HeaderTarget::Response, &at.key("response_headers"), out);
    }
    if let Some(respond) = &route.respond {
        respond.check(&at.key("respond"), out);
    }
    if let Some(cache) = &route.cache {
        cache.check(&at.key("cache"), out);
    }
}

/// What the cache of a route would do to its compression.
fn check_encodings(route: &RouteSettings, settings: &Settings, at: &Path, out: &mut Diagnostics) {
    if let Some(compress) = &route.compress {
        compress.check(&at.key("compress"), out);
        compress.check_memory(settings.limits.compression_memory, &at.key("compress"), out);
    }
    let rule = route.compress.as_ref().or(settings.compress.as_ref());
    let compresses = rule.is_some_and(|compress| compress.enabled);
    let Some(cache) = route.cache.as_ref().filter(|cache| compresses && cache.enabled) else { return };
    let at = at.key("cache");
    for (index, name) in cache.vary_ignore.iter().enumerate() {
        if name.eq_ignore_ascii_case("accept-encoding") {
            out.error(
                &at.key("vary_ignore").index(index),
                "the route compresses: a client would be given an encoding that it does not know",
            )
            .hint("remove `accept-encoding`; with `compress` there is one variant for each encoding at most");
        }
    }
    if cache.key.accept_encoding.is_some() {
        out.warning(
            &at.key("key").key("accept_encoding"),
            "`accept_encoding` does nothing beside `compress`",
        )
        .on_key()
        .hint("`compress.encodings` says which encodings there are");
    }
}

/// Routes to upstreams that do not exist, and upstreams no route leads to.
fn check_references(settings: &Settings, document: &Document, out: &mut Diagnostics) {
    let root = Path::root();
    let known: Vec<&str> = settings.upstreams.keys().map(String::as_str).collect();
    let mut used = BTreeSet::new();
    for (i, site) in settings.sites.iter().enumerate() {
        for (j, route) in site.routes.iter().enumerate() {
            let Some(name) = &route.upstream else { continue };
            used.insert(name.as_str());
            // One that could not be read is missing for a reason that was told already.
            if known.contains(&name.as_str()) || document.is_pruned(&root.key("upstreams")) {
                continue;
            }
            let at = root.key("sites").index(i).key("routes").index(j).key("upstream");
            let found = out.error(&at, format!("there is no upstream `{name}`"));
            match did_you_mean(name, known.iter().copied()) {
                Some(near) => found.hint(format!("did you mean `{near}`?")),
                None if known.is_empty() => found.hint("add it under `upstreams:`"),
                None => found.hint(format!("upstreams: {}", known.join(", "))),
            };
        }
    }
    for name in known.iter().filter(|name| !used.contains(**name)) {
        if !document.is_pruned(&root.key("sites")) {
            out.warning(&root.key("upstreams").key(*name), format!("no route uses the upstream `{name}`"))
                .on_key();
        }
    }
}

/// A server that is this node itself: each request would come back until something gives.
fn check_loops(settings: &Settings, out: &mut Diagnostics) {
    for (name, upstream) in &settings.upstreams {
        for (i, server) in upstream.servers.iter().enumerate() {
            let at = Path::root().key("upstreams").key(name).key("servers").index(i);
            for listener in &settings.listeners {
                let own = match (&listener.address, server.socket_addr()) {
                    (ListenAddress::Tcp(own), Some(server)) => {
                        own.port() == server.port()
                            && (own.ip() == server.ip()
                                || (own.ip().is_unspecified() && server.ip().is_loopback()))
                    }
                    (ListenAddress::AnyAddress(port), Some(server)) => {
                        *port == server.port() && server.ip().is_loopback()
                    }
                    (ListenAddress::Unix(own), None) => server.address.unix_path() == Some(own.as_path()),
                    _ => false,
                };
                if own {
                    out.error(&at, format!("`{}` is a listener of this node", server.address))
                        .hint("a request would be sent to Seawall itself, again and again");
                }
            }
        }
    }
}
