use std::path::Path as FilePath;

use seawall_config::{Diagnostics, Document};

use super::{Balance, HashBy, Protocol, TlsVersion, UpstreamSettings};

/// Decodes and checks as the binary does; gives the rendered findings.
fn read(yaml: &str) -> (Option<UpstreamSettings>, String, Diagnostics) {
    let mut out = Diagnostics::default();
    let mut document = Document::from_text("seawall.yaml", yaml, &mut out).unwrap();
    let settings: Option<UpstreamSettings> = document.decode(&mut out);
    if let Some(settings) = &settings {
        settings.check(&seawall_config::Path::root(), &mut out);
    }
    let text = out.render(&document);
    (settings, text, out)
}

fn good(yaml: &str) -> UpstreamSettings {
    let (settings, text, out) = read(yaml);
    assert!(out.is_empty(), "{yaml}\n{text}");
    settings.unwrap()
}

/// Asserts that there is exactly one finding, at `place`, that says `message`.
fn bad(yaml: &str, place: &str, message: &str) {
    let (_, text, out) = read(yaml);
    assert_eq!(out.iter().count(), 1, "{yaml}\n{text}");
    assert!(text.contains(&format!("seawall.yaml:{place}")), "not at {place}:\n{text}");
    assert!(text.contains(message), "not {message:?}:\n{text}");
}

#[test]
fn short_and_long_forms_mean_the_same() {
    let short = good("servers: [10.0.0.1:80, app.example:80, 'unix:/run/a.sock']");
    let long = good(
        "servers: [{ address: 10.0.0.1:80 }, { address: app.example:80 }, { address: 'unix:/run/a.sock' }]",
    );
    assert_eq!(short, long);
    assert_eq!(short.servers[0].weight, 1);
}

#[test]
fn everything_can_be_said() {
    let settings = good(
        "
servers:
  - 10.0.0.1:8080
  - { address: app.example:8080, weight: 3 }
  - { address: 10.0.0.3:8080, backup: true }
  - { address: 10.0.0.4:8080, drain: true }
balance: consistent_hash
hash: { by: header, name: X-User }
health:
  http: { path: /healthz, method: HEAD, host: app.example, expected_statuses: [204, 300-399] }
  interval: 10s
  timeout: 1s
  healthy_threshold: 1
  unhealthy_threshold: 5
  jitter_percent: 0
  max_parallel: 4
dns: { servers: [10.0.0.53, '[::1]:8600'], refresh_min: 5s, refresh_max: 1m, timeout: 1s, family: ipv4, max_addresses: 8 }
tls: { sni: app.example, min_version: 1.3 }
protocol: auto
max_h2_streams: 10
timeouts: { connect: 1s, first_byte: 10s, read: 20s, write: 5s, idle: 30s, tunnel: 1h, tcp_keepalive: 0 }
retries: { attempts: 1, on_statuses: [502, 503], budget: { percent: 10, min_per_second: 1, burst: 5 } }
max_connections: 100
host: app.example
",
    );
    assert_eq!(settings.balance, Balance::ConsistentHash);
    assert_eq!(settings.hash.as_ref().map(|hash| hash.by), Some(HashBy::Header));
    let servers: Vec<String> = settings.dns.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["10.0.0.53", "[::1]:8600"]);
    assert_eq!(settings.protocol, Protocol::Auto);
    assert_eq!(settings.tls().map(|tls| tls.min_version), Some(TlsVersion::V1_3));
    let http = settings.health.as_ref().and_then(|health| health.http.as_deref()).unwrap();
    let passes = |status| http.expected_statuses.iter().any(|range| range.contains(status));
    assert!(passes(204) && passes(300) && passes(399) && !passes(200) && !passes(400));
}

#[test]
fn settings_survive_being_written_and_read() {
    let settings = good("{ servers: [10.0.0.1:80], tls: { sni: a.example }, health: /up, hash: uri, balance: consistent_hash }"
        .replace("health: /up", "health: { http: /up }").as_str());
    let yaml = serde_yaml::to_string(&settings).unwrap();
    assert_eq!(good(&yaml), settings, "{yaml}");
}

#[test]
fn a_name_of_the_server_is_found_or_asked_for() {
    for (yaml, name) in [
        ("{ servers: [app.example:443], tls: true }", Some("app.example")),
        ("{ servers: [app.example:443], tls: { sni: b.example } }", Some("b.example")),
        ("{ servers: [app.example:443], tls: true, host: 'c.example:443' }", Some("c.example")),
        ("{ servers: [10.0.0.1:443], tls: true, host: c.example }", Some("c.example")),
        ("{ servers: [app.example:443], tls: false }", None),
        ("{ servers: [app.example:443] }", None),
    ] {
        let settings = good(yaml);
        assert_eq!(settings.server_name(&settings.servers[0].address), name, "{yaml}");
    }
    bad("{ servers: [10.0.0.1:443], tls: true }", "1:13", "no name to look for");
    bad("{ servers: [10.0.0.1:443], tls: true, host: 10.0.0.1 }", "1:13", "no name to look for");
    bad("{ servers: ['unix:/a'], tls: true }", "1:13", "no name to look for");
}

#[test]
fn servers_that_cannot_work_are_located() {
    for (yaml, place, message) in [
        ("servers: []", "1:10", "no servers"),
        ("balance: random", "", "no servers"),
        ("servers: [10.0.0.1]", "1:11", "has no port"),
        ("servers: [{ address: 10.0.0.1:80, weight: 0 }]", "1:43", "a weight of 0"),
        ("servers: [{ address: 10.0.0.1:80, weight: 257 }]", "1:43", "a weight of 257"),
        ("servers: [{ address: 10.0.0.1:80, wieght: 2 }]", "1:35", "did you mean `weight`?"),
        ("servers: [{ weight: 2 }]", "1:11", "`address` is missing"),
        ("servers: [10.0.0.1:80, 10.0.0.2:80, { address: 10.0.0.1:80 }]", "1:37", "in the list twice"),
        ("servers: [A.example:80, a.example.:80]", "1:25", "in the list twice"),
        ("servers: [0.0.0.0:80]", "1:11", "every address of this machine"),
        ("servers: [{ address: 10.0.0.1:80, drain: true }]", "1:10", "every server is drained"),
        ("servers: [{ address: 10.0.0.1:80, backup: true }]", "1:10", "is a backup"),
        (
            "servers: [{ address: 10.0.0.1:80, backup: true }, { address: 10.0.0.2:80, drain: true }]",
            "1:10",
            "is a backup",
        ),
    ] {
        bad(yaml, place, message);
    }
}

#[test]
fn values_that_cannot_work_are_located() {
    for (line, place, message) in [
        ("balance: weighted", "2:10", "is not known here"),
        ("hash: uri", "2:1", "does nothing without"),
        ("host: 'a b'", "2:7", "is not a host"),
        ("max_h2_streams: 0", "2:17", "cannot be zero"),
        ("protocol: http3", "2:11", "is not known here"),
        ("timeouts: { read: 0s }", "2:19", "cannot be zero"),
        ("timeouts: { tcp_keepalive: 1ms }", "2:28", "shorter than a second"),
        ("dns: { refresh_min: 10m }", "2:21", "longer than `refresh_max`"),
        ("dns: { timeout: 0 }", "2:17", "cannot be zero"),
        ("dns: { max_addresses: 0 }", "2:23", "0 addresses"),
        ("dns: { servers: dns.example }", "2:17", "is not a DNS server"),
        ("dns: { servers: [127.0.0.1, '127.0.0.1:0'] }", "2:29", "nowhere that can be asked"),
        ("dns: { servers: [::1, ::2, ::3, ::4, ::5, ::6, ::7, ::8, ::9] }", "2:17", "9 DNS servers"),
        ("retries: { attempts: 11 }", "2:22", "11 retries"),
        ("retries: { on_statuses: [200] }", "2:26", "200 is not an error status"),
        ("retries: { attempts: 0, on_statuses: 503 }", "2:25", "does nothing"),
        ("retries: { budget: { percent: 101 } }", "2:31", "100 percent"),
        ("retries: { budget: { burst: 0 } }", "2:29", "no retry would ever"),
        ("retries: { budget: { percent: 0, min_per_second: 0 } }", "2:20", "none will ever"),
        ("health: { interval: 0 }", "2:21", "cannot be zero"),
        ("health: { timeout: 6s }", "2:20", "longer than the interval"),
        ("health: { healthy_threshold: 0 }", "2:30", "cannot be zero"),
        ("health: { jitter_percent: 101 }", "2:27", "100 percent"),
        ("health: { max_parallel: 0 }", "2:25", "cannot be zero"),
        ("health: { tcp: true, http: / }", "2:11", "exclude each other"),
        ("health: { http: healthz }", "2:17", "is not a path"),
        ("health: { http: { method: 'G T' } }", "2:27", "is not a method"),
        ("health: { http: { host: 'a b' } }", "2:25", "is not a host"),
        ("health: { http: { expected_statuses: [] } }", "2:38", "no status would pass"),
        ("health: { http: { expected_statuses: 99 } }", "2:38", "is no status"),
        ("health: { http: { expected_statuses: 299-200 } }", "2:38", "is no status"),
        ("tls: { verify: false }", "2:16", "certificates are not checked"),
        ("tls: { sni: 10.0.0.1 }", "2:13", "is not a DNS name"),
        ("tls: { min_version: 1.1 }", "2:21", "RFC 8996"),
        ("tls: { ca: /nonexistent/ca.pem }", "2:12", "cannot be read"),
        ("tls: maybe", "2:6", "is not known here"),
    ] {
        bad(&format!("servers: [a.example:80]\n{line}"), place, message);
    }
}

#[test]
fn hashes_that_cannot_work_are_located() {
    for (hash, place, message) in [
        ("header", "3:7", "needs a name"),
        ("{ by: header }", "3:7", "name of the header"),
        ("{ by: cookie, name: 'a=b' }", "3:27", "cannot be the name"),
        ("{ by: uri, name: x }", "3:18", "only for"),
        ("{ by: url }", "3:13", "is not known here"),
    ] {
        bad(&format!("servers: [a.example:80]\nbalance: consistent_hash\nhash: {hash}"), place, message);
    }
    good("{ servers: [a.example:80], balance: consistent_hash }");
    good("{ servers: [a.example:80], balance: consistent_hash, hash: client_address }");
}

/// A certificate and its key, as PEM files in `folder`.
fn pair(folder: &FilePath, name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let (cert, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (cert.display().to_string(), key.display().to_string())
}

#[test]
fn tls_files_are_read_and_must_belong_together() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = pair(folder.path(), "one");
    let (_, other_key) = pair(folder.path(), "two");
    let with = |tls: &str| format!("servers: [a.example:80]\ntls: {{ {tls} }}");
    good(&with(&format!("ca: {cert}, certificate: {cert}, key: {key}")));
    bad(&with(&format!("certificate: {cert}, key: {other_key}")), "2:", "is not the key of");
    bad(&with(&format!("certificate: {cert}")), "2:", "without its key");
    bad(&with(&format!("key: {key}")), "2:", "without its certificate");
    bad(&with(&format!("ca: {key}")), "2:", "holds no certificate");
    bad(&with(&format!("certificate: {cert}, key: {cert}")), "2:", "holds no private key");
    bad(&with("ca: /dev/zero"), "2:", "larger than 4 MiB");
}

#[test]
fn every_setting_is_documented() {
    let schema = schemars::schema_for!(UpstreamSettings).to_value();
    fn walk(at: &str, value: &serde_yaml::Value) {
        if let Some(properties) = value.get("properties").and_then(|p| p.as_mapping()) {
            for (key, property) in properties {
                assert!(property.get("description").is_some(), "{at}: {key:?} has no description");
            }
        }
        if let Some(map) = value.as_mapping() {
            map.iter().for_each(|(key, inner)| walk(key.as_str().unwrap_or(at), inner));
        }
    }
    walk("upstream", &serde_yaml::to_value(&schema).unwrap());
}
