mod rules;
mod scrape;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Method;

use super::{
    BuildInfo, CacheResult, CertificateSample, CertificateSource, DiskSample, ListenerMetrics, Metrics,
    NameSample, PartsSample, PoolSample, PoolSource, RefreshSample, RequestSample, RetryReason, RouteMetrics,
    ServerSample, StoreSample, StoreSource, TlsResult, TlsVersion, UpstreamMetrics, UpstreamResult,
};
use crate::{AccessLog, AccessLogSettings, LogFormat};
use scrape::Scrape;

fn registry() -> Metrics {
    Metrics::new(BuildInfo { version: "0.1.0", revision: "abc", pingora: "0.9.1" })
}

fn hit(method: &Method) -> RequestSample<'_> {
    RequestSample {
        method,
        status: 200,
        cache: CacheResult::Hit,
        duration: Duration::from_micros(40),
        first_byte: Some(Duration::from_micros(30)),
        upstream: None,
        bytes_received: 0,
        bytes_sent: 1024,
    }
}

#[test]
fn requests_by_site_route_method_status_and_cache() {
    let metrics = registry();
    let route = metrics.route("main", "/");
    let strange = Method::from_bytes(b"X-FROM-A-CLIENT").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..250).for_each(|_| route.record(&hit(&Method::GET))));
        }
    });
    route.record(&RequestSample {
        status: 502,
        cache: CacheResult::Miss,
        duration: Duration::from_secs(3),
        first_byte: None,
        upstream: Some(Duration::from_secs(2)),
        bytes_received: 10,
        bytes_sent: 5,
        ..hit(&strange)
    });
    route.record(&RequestSample { status: 0, ..hit(&Method::GET) });
    route.collapsed();
    let scrape = Scrape::of(&metrics);
    let requests =
        |rest: &str| scrape.get(&format!("seawall_http_requests_total{{site=\"main\",route=\"/\",{rest}}}"));
    assert_eq!(requests("method=\"GET\",status_class=\"2xx\",cache=\"hit\""), Some(1000.0));
    assert_eq!(requests("method=\"other\",status_class=\"5xx\",cache=\"miss\""), Some(1.0));
    assert_eq!(requests("method=\"GET\",status_class=\"none\",cache=\"hit\""), Some(1.0));
    assert!(!scrape.has("X-FROM-A-CLIENT"), "no label comes from a client");

    let at = |name: &str, le: &str| {
        scrape.get(&format!("seawall_{name}{{site=\"main\",route=\"/\"{le}}}")).unwrap()
    };
    assert_eq!(at("http_request_duration_seconds_bucket", ",le=\"0.0005\""), 1001.0);
    assert_eq!(at("http_request_duration_seconds_bucket", ",le=\"2.5\""), 1001.0);
    assert_eq!(at("http_request_duration_seconds_bucket", ",le=\"+Inf\""), 1002.0);
    assert_eq!(at("http_request_duration_seconds_count", ""), 1002.0);
    assert!((at("http_request_duration_seconds_sum", "") - 3.04004).abs() < 1e-9);
    assert_eq!(at("http_time_to_first_byte_seconds_count", ""), 1001.0);
    assert_eq!(at("http_upstream_duration_seconds_count", ""), 1.0);
    assert_eq!(at("http_request_bytes_total", ""), 10.0);
    assert_eq!(at("http_response_bytes_total", ""), 1_025_029.0);
    assert_eq!(at("cache_collapsed_requests_total", ""), 1.0);
}

/// The `prometheus` crate would make one series of these two; its hash has no separator.
#[test]
fn names_that_run_together_stay_apart() {
    let metrics = registry();
    let (one, two) = (metrics.route("a", "bc"), metrics.route("ab", "c"));
    one.record(&hit(&Method::GET));
    two.record(&hit(&Method::GET));
    two.record(&hit(&Method::GET));
    let scrape = Scrape::of(&metrics);
    let rest = "method=\"GET\",status_class=\"2xx\",cache=\"hit\"";
    let get = |names: &str| scrape.get(&format!("seawall_http_requests_total{{{names},{rest}}}"));
    assert_eq!(get("site=\"a\",route=\"bc\""), Some(1.0));
    assert_eq!(get("site=\"ab\",route=\"c\""), Some(2.0));

    let options = prometheus::Opts::new("x", "y");
    let theirs = prometheus::IntCounterVec::new(options, &["site", "route"]).unwrap();
    theirs.with_label_values(&["a", "bc"]).inc();
    assert_eq!(theirs.with_label_values(&["ab", "c"]).get(), 1, "fixed there: look at family.rs again");
}

#[test]
fn hostile_names_from_the_configuration_do_not_break_the_format() {
    let metrics = registry();
    let route = metrics.route("a\"} 1\n# TYPE x counter", "\\");
    route.record(&hit(&Method::GET));
    let listener = metrics.listener("unix:/run/\"x\"\n");
    listener.opened();
    assert!(Scrape::of(&metrics).has("listener=\"unix:/run/\\\"x\\\"\\n\""));
}

/// A reload: the new plan is built while the old one lives, then the old one goes.
#[test]
fn a_reload_keeps_what_stays_and_drops_what_is_gone() {
    let metrics = registry();
    let old = (metrics.route("stays", "/"), metrics.route("goes", "/"), metrics.upstream("goes"));
    old.0.record(&hit(&Method::GET));
    old.1.record(&hit(&Method::GET));
    old.2.no_server();
    let new = metrics.route("stays", "/");
    assert!(Arc::ptr_eq(&new, &old.0));
    assert!(Scrape::of(&metrics).has("site=\"goes\""), "a request may still run under the old plan");
    drop(old);
    new.record(&hit(&Method::GET));
    let scrape = Scrape::of(&metrics);
    assert!(!scrape.has("goes"));
    let series = "seawall_http_requests_total{site=\"stays\",route=\"/\",method=\"GET\",status_class=\"2xx\",cache=\"hit\"}";
    assert_eq!(scrape.get(series), Some(2.0), "counters do not jump");
}

#[test]
fn connections_and_handshakes() {
    let metrics = registry();
    let listener = metrics.listener("0.0.0.0:443");
    listener.may_refuse(["access"]);
    let kept = listener.open();
    drop(listener.open());
    listener.refused("too many connections");
    listener.handshake(TlsResult::Ok, TlsVersion::from_name("TLSv1.3"));
    listener.handshake(TlsResult::TimedOut, TlsVersion::None);
    let scrape = Scrape::of(&metrics);
    let get =
        |name: &str, rest: &str| scrape.get(&format!("seawall_{name}{{listener=\"0.0.0.0:443\"{rest}}}"));
    assert_eq!(get("connections", ""), Some(1.0));
    assert_eq!(get("connections_accepted_total", ""), Some(2.0));
    assert_eq!(get("connections_refused_total", ",reason=\"too many connections\""), Some(1.0));
    assert_eq!(get("connections_refused_total", ",reason=\"access\""), Some(0.0));
    assert_eq!(get("tls_handshakes_total", ",result=\"ok\",version=\"TLSv1.3\""), Some(1.0));
    assert_eq!(get("tls_handshakes_total", ",result=\"timed_out\",version=\"none\""), Some(1.0));
    drop(kept);
    assert_eq!(Scrape::of(&metrics).get("seawall_connections{listener=\"0.0.0.0:443\"}"), Some(0.0));
}

#[test]
fn tries_at_an_upstream() {
    let metrics = registry();
    let upstream = metrics.upstream("app");
    upstream.connected(false);
    upstream.tried(UpstreamResult::ConnectFailed, None);
    upstream.retried(RetryReason::Connect);
    upstream.connected(true);
    upstream.tried(UpstreamResult::Status(200), Some(Duration::from_millis(20)));
    upstream.budget_exhausted();
    upstream.no_server();
    let scrape = Scrape::of(&metrics);
    let get =
        |name: &str, rest: &str| scrape.get(&format!("seawall_upstream_{name}{{upstream=\"app\"{rest}}}"));
    for unseen in [
        "retries_total{upstream=\"app\",reason=\"timeout\"}",
        "requests_total{upstream=\"app\",result=\"broken\"}",
    ] {
        assert_eq!(
            scrape.get(&format!("seawall_upstream_{unseen}")),
            Some(0.0),
            "an alert needs the zero: {unseen}"
        );
    }
    for (name, rest) in [
        ("requests_total", ",result=\"connect_failed\""),
        ("requests_total", ",result=\"2xx\""),
        ("connections_total", ",state=\"new\""),
        ("connections_total", ",state=\"reused\""),
        ("retries_total", ",reason=\"connect\""),
        ("retry_budget_exhausted_total", ""),
        ("no_server_total", ""),
        ("first_byte_seconds_count", ""),
    ] {
        assert_eq!(get(name, rest), Some(1.0), "{name}{rest}");
    }
}

struct Everything;

impl PoolSource for Everything {
    fn pools(&self) -> Vec<PoolSample> {
        vec![PoolSample { upstream: "app".to_owned(), retries_available: 10, full: 3 }]
    }
    fn servers(&self) -> Vec<ServerSample> {
        let server = |server: &str, up| ServerSample {
            upstream: "app".to_owned(),
            server: server.to_owned(),
            up,
            weight: 2,
            in_flight: 7,
            checks: 6,
            results: vec![("answered", 8), ("broken", 1)],
            ..ServerSample::default()
        };
        // The first appears twice: a scrape with a series twice would be refused as a whole.
        vec![server("10.0.0.1:80", true), server("10.0.0.2:80", false), server("10.0.0.1:80", true)]
    }
    fn names(&self) -> Vec<NameSample> {
        let last_success = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(5));
        let name = "app.internal".to_owned();
        vec![NameSample {
            upstream: "app".to_owned(),
            name,
            addresses: 2,
            left_out: 5,
            lookups: 4,
            failures: 1,
            last_success,
        }]
    }
}

impl StoreSource for Everything {
    fn tiers(&self) -> Vec<StoreSample> {
        vec![StoreSample {
            zone: "default".to_owned(),
            tier: "memory",
            objects: 3,
            capacity_bytes: 1 << 40,
            hits: 9,
            streamed_hits: 2,
            evicted_bytes: 4096,
            evictions: vec![("small", 1), ("main", 2)],
            rejected: vec![("too_large", 4)],
            purges: vec![("hard", 5)],
            ..StoreSample::default()
        }]
    }
    fn parts(&self) -> Vec<PartsSample> {
        vec![PartsSample { zone: "default".to_owned(), entries: 7, capacity: 16, evicted: 2 }]
    }

    fn refreshes(&self) -> RefreshSample {
        RefreshSample { running: 3, begun: 40, refused: vec![("all", 5), ("upstream", 6)] }
    }

    fn disks(&self) -> Vec<DiskSample> {
        vec![DiskSample {
            zone: "default".to_owned(),
            path: "/var/cache".to_owned(),
            state: 1,
            recovered: 0.5,
            reads: vec![("waited", 3)],
            errors: vec![("write", 17)],
            ..DiskSample::default()
        }]
    }
}

impl CertificateSource for Everything {
    fn certificates(&self) -> Vec<CertificateSample> {
        vec![CertificateSample { certificate: "example.com.pem".to_owned(), not_after: -1, stale: true }]
    }
}

fn watch_everything(metrics: &Metrics) {
    let everything = Arc::new(Everything);
    metrics.watch_pools(everything.clone());
    metrics.watch_store(everything.clone());
    metrics.watch_certificates(everything);
    let off = AccessLogSettings { format: LogFormat::Off, ..AccessLogSettings::default() };
    metrics.watch_access_log(Arc::new(AccessLog::new(&off).unwrap()));
}

/// Metrics to which everything happened at least once. What is counted by a handle that is gone is gone.
struct Busy {
    metrics: Metrics,
    _kept: (Arc<RouteMetrics>, Arc<ListenerMetrics>, Arc<UpstreamMetrics>),
}

impl std::ops::Deref for Busy {
    type Target = Metrics;
    fn deref(&self) -> &Metrics {
        &self.metrics
    }
}

fn busy() -> Busy {
    let metrics = registry();
    let (route, listener, upstream) =
        (metrics.route("main", "/"), metrics.listener("0.0.0.0:443"), metrics.upstream("app"));
    route.record(&RequestSample { upstream: Some(Duration::from_millis(3)), ..hit(&Method::GET) });
    listener.opened();
    listener.refused("too many connections");
    listener.handshake(TlsResult::Ok, TlsVersion::Tls13);
    upstream.tried(UpstreamResult::Status(200), Some(Duration::from_millis(20)));
    upstream.retried(RetryReason::Connect);
    metrics.refused().inc("bad_host");
    metrics.uncacheable().inc("set_cookie");
    metrics.config_loaded(1, Duration::from_millis(250));
    metrics.admin_answered("status", 200);
    metrics.certificate_renewed(true);
    metrics.upgraded(false);
    metrics.purged("tag", true, true, Duration::from_millis(2));
    watch_everything(&metrics);
    Busy { metrics, _kept: (route, listener, upstream) }
}

#[test]
fn sources_are_asked_at_a_scrape() {
    let metrics = registry();
    assert!(!Scrape::of(&metrics).has("seawall_cache_objects"));
    watch_everything(&metrics);
    let scrape = Scrape::of(&metrics);
    for (series, value) in [
        ("upstream_server_up{upstream=\"app\",server=\"10.0.0.1:80\"}", 1.0),
        ("upstream_server_up{upstream=\"app\",server=\"10.0.0.2:80\"}", 0.0),
        ("upstream_in_flight{upstream=\"app\",server=\"10.0.0.2:80\"}", 7.0),
        ("upstream_health_checks_total{upstream=\"app\",server=\"10.0.0.2:80\"}", 6.0),
        ("upstream_server_requests_total{upstream=\"app\",server=\"10.0.0.1:80\",result=\"answered\"}", 8.0),
        ("upstream_server_requests_total{upstream=\"app\",server=\"10.0.0.1:80\",result=\"broken\"}", 1.0),
        ("upstream_retries_available{upstream=\"app\"}", 10.0),
        ("upstream_full_total{upstream=\"app\"}", 3.0),
        ("upstream_dns_lookups_total{upstream=\"app\",name=\"app.internal\"}", 4.0),
        ("upstream_dns_addresses_left_out{upstream=\"app\",name=\"app.internal\"}", 5.0),
        ("cache_streamed_hits_total{zone=\"default\",tier=\"memory\"}", 2.0),
        ("cache_evicted_bytes_total{zone=\"default\",tier=\"memory\"}", 4096.0),
        ("upstream_dns_addresses{upstream=\"app\",name=\"app.internal\"}", 2.0),
        ("upstream_dns_last_success_timestamp_seconds{upstream=\"app\",name=\"app.internal\"}", 5.0),
        ("cache_objects{zone=\"default\",tier=\"memory\"}", 3.0),
        ("cache_capacity_bytes{zone=\"default\",tier=\"memory\"}", (1u64 << 40) as f64),
        ("cache_evictions_total{zone=\"default\",tier=\"memory\",queue=\"main\"}", 2.0),
        ("cache_rejected_total{zone=\"default\",tier=\"memory\",reason=\"too_large\"}", 4.0),
        ("cache_purges_total{zone=\"default\",tier=\"memory\",kind=\"hard\"}", 5.0),
        ("tls_certificate_not_after_timestamp_seconds{certificate=\"example.com.pem\"}", -1.0),
        ("tls_certificate_stale{certificate=\"example.com.pem\"}", 1.0),
        ("access_log_dropped_lines_total", 0.0),
    ] {
        assert_eq!(scrape.get(&format!("seawall_{series}")), Some(value), "{series}");
    }
}

#[test]
fn the_process_and_its_configuration() {
    let metrics = registry();
    metrics.config_refused();
    assert_eq!(Scrape::of(&metrics).get("seawall_config_generation"), None);
    metrics.config_loaded(2, Duration::from_millis(250));
    metrics.request_began();
    metrics.request_began();
    // Requests may end on another thread than they began on.
    std::thread::scope(|scope| drop(scope.spawn(|| metrics.request_ended())));
    metrics.refused().inc("bad_host");
    metrics.uncacheable().inc("set_cookie");
    let scrape = Scrape::of(&metrics);
    for (series, value) in [
        ("seawall_config_generation", 2.0),
        ("seawall_config_load_duration_seconds", 0.25),
        ("seawall_config_loads_total{result=\"ok\"}", 1.0),
        ("seawall_config_loads_total{result=\"refused\"}", 1.0),
        ("seawall_build_info{version=\"0.1.0\",revision=\"abc\",pingora=\"0.9.1\"}", 1.0),
        ("seawall_http_requests_in_flight", 1.0),
        ("seawall_http_requests_refused_total{reason=\"bad_host\"}", 1.0),
        ("seawall_cache_uncacheable_total{reason=\"set_cookie\"}", 1.0),
    ] {
        assert_eq!(scrape.get(series), Some(value), "{series}");
    }
    for positive in [
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_max_fds",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_threads",
        "process_start_time_seconds",
        "seawall_config_loaded_timestamp_seconds",
    ] {
        assert!(scrape.get(positive).is_some_and(|value| value > 0.0), "{positive}");
    }
}
