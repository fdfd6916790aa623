//! `seawall check`: what is wrong, or what would run.

use std::fmt::Write as _;

use seawall_config::{Path, Severity};

use super::{Failure, print};
use crate::cli::CheckArgs;
use crate::load::Loaded;
use crate::plan::site_name;
use crate::settings::{DEFAULT_ZONE, RouteSettings, Settings};

/// Checks a file. Errors (and with `--strict` warnings) make it fail.
pub(crate) fn run(args: &CheckArgs) -> Result<(), Failure> {
    let mut loaded = Loaded::read(&args.file.config);
    warn_of_descriptors(&mut loaded);
    let report = loaded.report();
    let Some(settings) = loaded.sound() else { return Err(Failure::text(report)) };
    if args.strict && loaded.diagnostics.count(Severity::Warning) > 0 {
        return Err(Failure::text(report));
    }
    eprint!("{report}");
    if args.dump {
        let text = serde_yaml::to_string(settings).map_err(Failure::sentence)?;
        return print(&text);
    }
    if args.quiet { Ok(()) } else { print(&summary(settings, &args.file.config.display().to_string())) }
}

/// What would run, in words.
fn summary(settings: &Settings, file: &str) -> String {
    let mut text = format!("{file} is sound. It would run:\n\nlisteners\n");
    // Writing to a String cannot fail.
    for listener in &settings.listeners {
        let tls = listener
            .tls
            .as_ref()
            .map_or(String::new(), |tls| format!("  TLS with {} certificate(s)", tls.certificates.len()));
        let _ = writeln!(text, "  {}{tls}{}", listener.address, if listener.h2c { "  h2c" } else { "" });
    }
    if let Some(address) = settings.metrics.as_ref().and_then(|metrics| metrics.address()) {
        let _ = writeln!(text, "  {address}  metrics");
    }
    if let Some(address) = settings.admin.as_ref().and_then(|admin| admin.listen.as_ref()) {
        let _ = writeln!(text, "  {address}  control API");
    }
    let _ = writeln!(
        text,
        "cache\n  {} of memory, objects up to {}",
        settings.cache.memory, settings.cache.max_object
    );
    for disk in settings.cache.disk.iter() {
        let _ = writeln!(text, "  {} of {}", disk.size, disk.path.display());
    }
    for zone in &settings.cache.zones {
        let largest = zone.store(&settings.cache).max_object;
        let _ = writeln!(text, "  zone {}: {} of memory, objects up to {largest}", zone.name, zone.memory);
        for disk in zone.disk.iter() {
            let _ = writeln!(text, "    {} of {}", disk.size, disk.path.display());
        }
    }
    let _ = writeln!(text, "upstreams");
    for (name, upstream) in &settings.upstreams {
        let what = match &upstream.files {
            Some(files) => format!("files in {}", files.root.display()),
            None => upstream.servers.iter().map(|s| s.address.to_string()).collect::<Vec<_>>().join(", "),
        };
        let _ = writeln!(text, "  {name}: {what}");
    }
    let _ = writeln!(text, "sites");
    for (i, site) in settings.sites.iter().enumerate() {
        let hosts: Vec<String> = site.hosts.iter().map(ToString::to_string).collect();
        let also = if site.default { "  (and every unknown host)" } else { "" };
        let _ = writeln!(text, "  {}: {}{also}", site_name(site, i), hosts.join(", "));
        for route in &site.routes {
            let compress = route.compress.as_deref().or(settings.compress.as_deref());
            let compressed = compress.is_some_and(|compress| compress.enabled) && route.upstream.is_some();
            let more = if compressed { ", compressed" } else { "" };
            let cached = route.cache.as_ref().is_some_and(|cache| cache.enabled);
            let zone = match route.zone(site) {
                name if cached && name != DEFAULT_ZONE => format!(" in the zone {name}"),
                _ => String::new(),
            };
            let _ = writeln!(text, "    {} -> {}{zone}{more}", route.label(), action(route));
        }
    }
    text
}

/// What the file asks for and this machine, or whoever asks on it, has not.
fn warn_of_descriptors(loaded: &mut Loaded) {
    let Ok(limit) = seawall_guard::raise_file_limit() else { return };
    if let Some(complaint) = loaded.sound().and_then(|settings| crate::resources::complaint(settings, limit))
    {
        loaded.diagnostics.warning(&Path::root().key("limits").key("max_connections"), complaint);
    }
}

fn action(route: &RouteSettings) -> String {
    let cached = match &route.cache {
        Some(cache) if cache.enabled => match cache.ttl {
            Some(ttl) => format!(", cached (ttl {ttl} when the origin says nothing)"),
            None => ", cached as the origin says".into(),
        },
        _ => String::new(),
    };
    let to_https = route.redirect.as_ref().filter(|redirect| redirect.https);
    let first = to_https.map_or(String::new(), |redirect| format!("to https ({}), else ", redirect.status));
    match (&route.upstream, &route.respond, &route.redirect) {
        (Some(upstream), ..) => format!("{first}upstream {upstream}{cached}"),
        (_, Some(respond), _) => format!("{first}respond {}", respond.status),
        (.., Some(redirect)) => format!("redirect {}", redirect.status),
        _ => "nothing".into(),
    }
}
