//! What `/metrics` says about traffic that really happened.

use std::time::Duration;

use seawall_testkit::{
    Call, Gate, Metrics, Origin, Pki, Port, Reply, Seawall, TlsClient, eventually, get, request,
};

const HOST: &str = "example.com";

fn site(routes: &str) -> String {
    format!(
        "
listeners: [{{ address: '127.0.0.1:%{{port}}' }}]
cache: {{ memory: 16MiB, purge: {{ allow: [127.0.0.1] }} }}
upstreams:
  app: {{ servers: ['%{{origin}}'], timeouts: {{ first_byte: 400ms }}, retries: {{ attempts: 0 }} }}
sites: [{{ name: shop, hosts: [{HOST}], routes: [{routes}] }}]
"
    )
}

/// The sum of a counter of requests with these labels, once the request that was just answered is counted.
fn requests(seawall: &Seawall, labels: &[(&str, &str)], wanted: f64) -> Metrics {
    seawall.wait_metric("seawall_http_requests_total", labels, wanted);
    seawall.metrics()
}

#[test]
fn requests_are_counted_by_site_route_method_status_and_cache() {
    let origin = Origin::h1(|request| match request.path() {
        "/page" => Reply::ok("0123456789").header("cache-control", "max-age=60"),
        "/tag" if request.header("if-none-match").is_some() => Reply::new(304).header("etag", "\"a\""),
        "/tag" => Reply::ok("x").headers(&[("cache-control", "max-age=0"), ("etag", "\"a\"")]),
        _ => Reply::new(500).header("cache-control", "no-store"),
    });
    let routes = "{ path: /static/, respond: { status: 204 } }, { path: /, upstream: app, cache: on }";
    let seawall = Seawall::with(&site(routes)).set("origin", origin.addr()).start();
    let address = seawall.addr(0);
    let send = |method: &str, path: &str| request(address, &Call::new(method, HOST, path)).unwrap().status;
    for _ in 0..3 {
        assert_eq!(send("GET", "/page"), 200);
    }
    for _ in 0..2 {
        assert_eq!(send("GET", "/tag"), 200);
    }
    assert_eq!(send("HEAD", "/page"), 200);
    assert_eq!(request(address, &Call::post(HOST, "/broken", "four")).unwrap().status, 500);
    assert_eq!(send("X-MADE-UP", "/broken"), 500);
    assert_eq!(send("X-ANOTHER", "/broken"), 500);
    assert_eq!(send("GET", "/static/a"), 204);
    assert_eq!(get(address, "unknown.example", "/", &[]).status, 421);
    let metrics = requests(&seawall, &[], 11.0);
    let count = |route: &str, method: &str, class: &str, cache: &str| {
        let labels = [
            ("site", "shop"),
            ("route", route),
            ("method", method),
            ("status_class", class),
            ("cache", cache),
        ];
        metrics.get("seawall_http_requests_total", &labels)
    };
    let shown = metrics.show("seawall_http_requests_total");
    assert_eq!(count("/", "GET", "2xx", "miss"), 2.0, "{shown}");
    assert_eq!(count("/", "GET", "2xx", "hit"), 2.0, "{shown}");
    assert_eq!(count("/", "GET", "2xx", "revalidated"), 1.0, "{shown}");
    assert_eq!(count("/", "HEAD", "2xx", "hit"), 1.0, "{shown}");
    assert_eq!(count("/", "POST", "5xx", "bypass"), 1.0, "{shown}");
    assert_eq!(count("/", "other", "5xx", "bypass"), 2.0, "{shown}");
    assert_eq!(count("/static/", "GET", "2xx", "none"), 1.0, "{shown}");
    assert!(!shown.contains("X-MADE-UP"), "a client chose a label: {shown}");
    assert_eq!(metrics.get("seawall_http_requests_total", &[("site", "none"), ("status_class", "4xx")]), 1.0);
    assert_eq!(metrics.get("seawall_http_requests_refused_total", &[("reason", "unknown_host")]), 1.0);

    let route = [("site", "shop"), ("route", "/")];
    assert_eq!(metrics.get("seawall_http_request_bytes_total", &route), 4.0);
    // Three pages and two tags; what the 500s carry is the origin's business.
    assert!(metrics.get("seawall_http_response_bytes_total", &route) >= 32.0);
    assert_eq!(metrics.get("seawall_http_request_duration_seconds_count", &route), 9.0);
    assert_eq!(metrics.get("seawall_http_time_to_first_byte_seconds_count", &route), 9.0);
    // The page, the tag twice, and the three that went around the cache.
    assert_eq!(metrics.get("seawall_http_upstream_duration_seconds_count", &route), 6.0);
    assert_eq!(metrics.get("seawall_upstream_first_byte_seconds_count", &[("upstream", "app")]), 6.0);
    assert_eq!(metrics.get("seawall_upstream_requests_total", &[("result", "3xx")]), 1.0);
    assert_eq!(metrics.get("seawall_cache_refreshed_total", &[("tier", "memory")]), 1.0);
}

#[test]
fn time_lost_on_a_silent_upstream_is_counted() {
    let origin = Origin::h1(|_| Reply::silence());
    let seawall =
        Seawall::with(&site("{ path: /, upstream: app, cache: on }")).set("origin", origin.addr()).start();
    assert_eq!(get(seawall.addr(0), HOST, "/", &[]).status, 504);
    let metrics = requests(&seawall, &[("status_class", "5xx"), ("cache", "miss")], 1.0);
    let route = [("site", "shop"), ("route", "/")];
    assert_eq!(metrics.get("seawall_http_upstream_duration_seconds_count", &route), 1.0);
    assert!(metrics.get("seawall_http_upstream_duration_seconds_sum", &route) >= 0.4);
    assert_eq!(metrics.get("seawall_upstream_requests_total", &[("result", "timed_out")]), 1.0);
    assert_eq!(metrics.find("seawall_upstream_first_byte_seconds_count", &[]), None, "there was none");
}

#[test]
fn a_try_that_got_no_answer_has_no_first_byte() {
    let (dead, sick) = (Port::reserve(), Origin::h1(|_| Reply::new(503)));
    let seawall = Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}' }]
upstreams: { app: { servers: ['%{sick}', '%{dead}'], retries: { attempts: 3, on_statuses: [503] } } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app }] }]
",
    )
    .set("sick", sick.addr())
    .set("dead", dead.addr())
    .start();
    for _ in 0..4 {
        assert!(get(seawall.addr(0), HOST, "/", &[]).status >= 502);
    }
    let metrics = requests(&seawall, &[("status_class", "5xx")], 4.0);
    let tries = |result: &str| metrics.get("seawall_upstream_requests_total", &[("result", result)]);
    assert!(tries("5xx") >= 1.0 && tries("connect_failed") >= 1.0);
    assert_eq!(metrics.get("seawall_upstream_first_byte_seconds_count", &[]), tries("5xx"));
    let by_server = |server: &str, result: &str| {
        metrics.get("seawall_upstream_server_requests_total", &[("server", server), ("result", result)])
    };
    assert_eq!(by_server(&dead.addr(), "connect_failed"), tries("connect_failed"));
    assert_eq!(by_server(sick.addr(), "server_error"), tries("5xx"));
    assert_eq!(by_server(sick.addr(), "connect_failed"), 0.0, "shown although it never happened");
    let retries = metrics.get("seawall_upstream_retries_total", &[("upstream", "app")]);
    assert_eq!(retries, tries("5xx") + tries("connect_failed") - 4.0);
    assert!(metrics.get("seawall_upstream_retries_available", &[("upstream", "app")]) > 0.0);
}

#[test]
fn the_cache_is_measured() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::h1(move |request| {
        let reply = Reply::ok(vec![b'x'; 64 * 1024]).header("cache-control", "max-age=60");
        if request.path() == "/slow" { reply.hold(&held) } else { reply }
    });
    let yaml = site("{ path: /, upstream: app, cache: on }")
        .replace("memory: 16MiB", "memory: 2MiB")
        .replace("first_byte: 400ms", "first_byte: 30s");
    let seawall = Seawall::with(&yaml).set("origin", origin.addr()).start();
    let address = seawall.addr(0).to_owned();
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let address = address.clone();
            std::thread::spawn(move || get(address, HOST, "/slow", &[]).status)
        })
        .collect();
    gate.wait_waiting(1);
    seawall.wait_metric("seawall_http_requests_in_flight", &[], 3.0);
    gate.open();
    for client in clients {
        assert_eq!(client.join().unwrap(), 200);
    }
    let route = [("site", "shop"), ("route", "/")];
    requests(&seawall, &[("cache", "hit")], 2.0);
    let collapsed = seawall.metrics().get("seawall_cache_collapsed_requests_total", &route);
    assert!((1.0..=2.0).contains(&collapsed), "{collapsed}");

    for i in 0..100 {
        assert_eq!(get(&address, HOST, &format!("/{i}"), &[]).status, 200);
    }
    assert_eq!(request(&address, &Call::new("PURGE", HOST, "/99")).unwrap().status, 200);
    let tier = [("tier", "memory")];
    eventually(seawall_testkit::DEADLINE, "the last fill to end", || {
        let metrics = seawall.metrics();
        let running = metrics.get("seawall_cache_fills_in_flight", &tier);
        if running == 0.0 { Ok(()) } else { Err(metrics.show("seawall_cache_fills_in_flight")) }
    });
    let metrics = seawall.metrics();
    let value = |name: &str| metrics.get(&format!("seawall_cache_{name}"), &tier);
    assert_eq!(value("capacity_bytes"), 2.0 * 1024.0 * 1024.0);
    assert!(value("bytes") > 1024.0 * 1024.0 && value("bytes") <= value("capacity_bytes"));
    assert_eq!((value("inserts_total"), value("fills_total")), (101.0, 101.0));
    let purged = metrics.get("seawall_cache_purges_total", &[("tier", "memory"), ("kind", "hard")]);
    assert_eq!(purged, 1.0);
    assert_eq!(value("objects"), value("inserts_total") - value("evictions_total") - purged);
    assert!(value("evicted_bytes_total") >= value("evictions_total") * 64.0 * 1024.0);
    assert!(value("misses_total") >= 101.0 && value("hits_total") + value("streamed_hits_total") >= 2.0);
}

#[test]
fn the_front_door_the_configuration_and_the_process_are_measured() {
    let pki = Pki::new();
    let identity = pki.server(&[HOST]);
    let yaml = "
listeners:
  - { address: '127.0.0.1:%{port}', tls: { certificates: [{ cert: '%{cert}', key: '%{key}' }] } }
  - { address: '127.0.0.1:%{port2}', access: { deny: [127.0.0.1] } }
upstreams: { app: { servers: ['%{origin}'], health: { tcp: true, interval: 50ms, timeout: 40ms } } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app }] }]
";
    let origin = Origin::h1(|_| Reply::ok("ok"));
    let seawall = Seawall::with(yaml)
        .set("cert", identity.cert.display())
        .set("key", identity.key.display())
        .set("origin", origin.addr())
        .start();
    let secure = format!("127.0.0.1:{}", seawall.addr(0).rsplit_once(':').unwrap().1);
    let open = TlsClient::new(HOST, pki.ca()).connect(seawall.addr(0)).unwrap();
    let stranger = TlsClient::new("other.example", pki.ca());
    assert!(stranger.connect(seawall.addr(0)).is_err(), "the certificate is for another name");
    seawall.wait_metric("seawall_connections", &[("listener", &secure)], 1.0);
    let handshakes = |result: &str| {
        let labels = [("listener", secure.as_str()), ("result", result)];
        seawall.metrics().get("seawall_tls_handshakes_total", &labels)
    };
    assert!(handshakes("ok") >= 1.0);
    drop(open);
    seawall.wait_metric("seawall_connections", &[("listener", &secure)], 0.0);
    eventually(seawall_testkit::DEADLINE, "a health check", || {
        let metrics = seawall.metrics();
        let checks = metrics.get("seawall_upstream_health_checks_total", &[("upstream", "app")]);
        if checks > 0.0 { Ok(()) } else { Err(metrics.show("seawall_upstream_health_checks_total")) }
    });
    let metrics = seawall.metrics();
    let refused = metrics.get("seawall_connections_refused_total", &[("reason", "access")]);
    assert!(refused >= 1.0, "{}", metrics.show("seawall_connections_refused_total"));
    for reason in ["max_connections", "max_connections_per_address", "max_handshakes", "exhausted"] {
        let shown =
            metrics.find("seawall_connections_refused_total", &[("listener", &secure), ("reason", reason)]);
        assert_eq!(shown, Some(0.0), "an alert needs the zero before the first: {reason}");
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!(metrics.get("seawall_tls_certificate_not_after_timestamp_seconds", &[]) > now);
    assert_eq!(metrics.get("seawall_upstream_server_up", &[("upstream", "app")]), 1.0);
    assert_eq!(metrics.get("seawall_config_generation", &[]), 1.0);
    assert_eq!(metrics.get("seawall_config_loads_total", &[("result", "ok")]), 1.0);
    assert_eq!(metrics.get("seawall_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    assert!((now - metrics.get("process_start_time_seconds", &[])).abs() < 600.0);
    let cpu = || seawall.metrics().get("process_cpu_seconds_total", &[]);
    let before = cpu();
    assert!(before > 0.0 && before.fract() != 0.0, "{before} are no exact seconds");
    assert!(Duration::from_secs_f64(cpu() - before) < Duration::from_secs(60));
    assert!(metrics.get("process_resident_memory_bytes", &[]) > 1e6);
    assert!(metrics.get("process_open_fds", &[]) >= 5.0 && metrics.get("process_threads", &[]) >= 2.0);
}

/// Whoever scrapes must not be refused for one bad series: the whole text is held to the format's rules.
#[test]
fn the_exposition_is_well_formed() {
    let origin = Origin::h1(|_| Reply::ok("x"));
    let seawall =
        Seawall::with(&site("{ path: /, upstream: app, cache: on }")).set("origin", origin.addr()).start();
    assert_eq!(get(seawall.addr(0), HOST, "/", &[]).status, 200);
    let metrics = requests(&seawall, &[], 1.0);
    let mut seen = std::collections::BTreeSet::new();
    for sample in &metrics.samples {
        assert!(seen.insert(format!("{} {:?}", sample.name, sample.labels)), "twice: {sample:?}");
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|suffix| sample.name.strip_suffix(suffix))
            .find(|base| metrics.types.get(*base).is_some_and(|kind| kind == "histogram"))
            .unwrap_or(&sample.name);
        assert!(metrics.types.contains_key(family), "no type: {sample:?}");
        assert!(sample.value.is_finite(), "{sample:?}");
    }
}
