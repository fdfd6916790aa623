//! Zones of the cache: what one keeps makes no room for another, and what is purged is purged in all.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use nix::sys::signal::Signal;
use seawall_testkit::{
    Call, DEADLINE, Finished, Origin, Reply, Request, Response, Seawall, body, eventually, get, request,
};

const CALM: &str = "calm.example";
const BUSY: &str = "busy.example";

const YAML: &str = "
listeners: [{ address: '127.0.0.1:%{port}' }]
admin: { listen: 'unix:%{dir}/admin.sock' }
cache: { memory: 2MiB, %{disk} purge: { allow: [127.0.0.1] }, zones: [{ name: quiet, memory: 2MiB, %{disk-of-quiet} }] }
upstreams: { app: { servers: ['%{origin}'] } }
sites:
  - { hosts: [calm.example], cache_zone: %{zone}, routes: [{ path: /, upstream: app, cache: on }] }
  - { hosts: [busy.example], routes: [{ path: /, upstream: app, cache: on }] }
  - hosts: [third.example]
    cache_zone: quiet
    routes:
      - { path: /, methods: [GET], upstream: app, cache: { zone: default } }
      - { path: /, methods: [POST], upstream: app, cache: on }
";

const NO_DISK: [&str; 2] = ["", ""];
const DISKS: [&str; 2] =
    ["disk: { path: '%{dir}/one', size: 64MiB },", "disk: { path: '%{dir}/two', size: 32MiB }"];

fn yaml(zone: &str, disks: [&str; 2]) -> String {
    YAML.replace("%{zone}", zone).replace("%{disk}", disks[0]).replace("%{disk-of-quiet}", disks[1])
}

fn start(origin: &Origin, zone: &str, disks: [&str; 2]) -> Seawall {
    Seawall::with(&yaml(zone, disks)).set("origin", origin.addr()).start()
}

/// `/LENGTH/…`, with a tag.
fn answer(request: &Request) -> Reply {
    let length = request.path().split('/').nth(1).and_then(|text| text.parse().ok()).unwrap_or(10);
    Reply::ok(body(1, length)).headers(&[("cache-control", "max-age=600"), ("cache-tag", "warm")])
}

fn ask(seawall: &Seawall, host: &str, path: &str) -> Response {
    let response = get(seawall.addr(0), host, path, &[]);
    assert_eq!(response.status, 200, "{host}{path}");
    response
}

fn is_hit(seawall: &Seawall, host: &str, path: &str) -> bool {
    let response = ask(seawall, host, path);
    response.header("cache-status").is_some_and(|status| status.starts_with("seawall; hit"))
}

fn control(seawall: &Seawall, arguments: &[&str]) -> Finished {
    let done = seawall.control(arguments);
    assert_eq!(done.code, Some(0), "{arguments:?}: {}{}", done.stdout, done.stderr);
    done
}

/// How many of a few wanted objects are left after another site has had more objects than fit, each wanted, too.
fn left_after_churn(seawall: &Seawall) -> usize {
    let wanted: Vec<String> = (0..5).map(|number| format!("/100000/{number}")).collect();
    for _ in 0..4 {
        wanted.iter().for_each(|path| drop(ask(seawall, CALM, path)));
    }
    assert!(wanted.iter().all(|path| is_hit(seawall, CALM, path)), "they fit");
    for number in 0..250 {
        for _ in 0..3 {
            ask(seawall, BUSY, &format!("/100000/{number}"));
        }
    }
    wanted.iter().filter(|path| is_hit(seawall, CALM, path)).count()
}

#[test]
fn churn_in_one_zone_evicts_nothing_in_another() {
    let origin = Origin::h1(answer);
    let seawall = start(&origin, "quiet", NO_DISK);
    assert_eq!(left_after_churn(&seawall), 5);
    let metrics = seawall.metrics();
    let count = |name: &str, zone: &str| metrics.get(name, &[("zone", zone), ("tier", "memory")]);
    assert!(count("seawall_cache_evictions_total", "default") > 100.0, "the other one was full");
    assert_eq!(count("seawall_cache_evictions_total", "quiet"), 0.0);
    assert_eq!(count("seawall_cache_objects", "quiet"), 5.0);
    assert_eq!(count("seawall_cache_capacity_bytes", "quiet"), f64::from(2 << 20));
}

/// The control of the test above.
#[test]
fn churn_in_the_same_zone_does() {
    let origin = Origin::h1(answer);
    let left = left_after_churn(&start(&origin, "default", NO_DISK));
    assert!(left < 5, "{left} of 5 are left");
}

#[test]
fn a_purge_reaches_all_zones_or_the_one_that_is_named() {
    let origin = Origin::h1(answer);
    for disks in [NO_DISK, DISKS] {
        let seawall = start(&origin, "quiet", disks);
        let hits = || [CALM, BUSY].map(|host| is_hit(&seawall, host, "/10/a"));
        hits();
        assert_eq!(hits(), [true, true]);
        for (arguments, left) in [
            (&["--tag", "warm", "--hard"][..], [false, false]),
            (&["--tag", "warm", "--hard", "--zone", "quiet"], [false, true]),
            (&["--tag", "warm", "--hard", "--zone", "default"], [true, false]),
            (&["--everything", "--hard", "--zone", "quiet"], [false, true]),
            (&["--everything", "--hard"], [false, false]),
            (&["--host", CALM, "--hard", "--zone", "default"], [true, true]),
            (&["--host", CALM, "--hard"], [false, true]),
            (&["http://calm.example/10/a", "--zone", "default"], [true, true]),
            (&["http://calm.example/10/a", "--zone", "quiet"], [false, true]),
            (&["http://calm.example/10/a"], [false, true]),
            (&["--tag", "warm", "--zone", "quiet"], [false, true]),
        ] {
            control(&seawall, &[&["purge"], arguments].concat());
            assert_eq!(hits(), left, "{arguments:?}");
            assert_eq!(hits(), [true, true], "{arguments:?}");
        }
        let wrong = seawall.control(&["purge", "--everything", "--zone", "quite"]);
        assert_eq!(wrong.code, Some(1));
        assert!(wrong.stderr.contains("no zone `quite`; there are: default, quiet"), "{}", wrong.stderr);
        assert_eq!(hits(), [true, true]);
    }
}

#[test]
fn an_unsafe_request_is_heard_in_other_zones() {
    let origin = Origin::h1(answer);
    let seawall = start(&origin, "quiet", NO_DISK);
    let third = "third.example";
    assert!(!is_hit(&seawall, third, "/10/a") && is_hit(&seawall, third, "/10/a"));
    let objects = [("zone", "default"), ("tier", "memory")];
    assert_eq!(seawall.metrics().get("seawall_cache_objects", &objects), 1.0, "a route goes before its site");
    request(seawall.addr(0), &Call::post(third, "/10/a", "change")).expect("an answer");
    assert!(!is_hit(&seawall, third, "/10/a"));
}

/// A route that moves to another zone finds nothing there, and on its way back only what nobody purged meanwhile.
#[test]
fn what_is_purged_does_not_come_back_with_its_zone() {
    let origin = Origin::h1(answer);
    for disks in [NO_DISK, DISKS] {
        let seawall = start(&origin, "quiet", disks);
        let paths = ["/10/kept", "/10/api", "/10/method", "/10/changed"];
        paths.iter().for_each(|path| drop(ask(&seawall, CALM, path)));
        seawall.rewrite(&yaml("default", disks));
        control(&seawall, &["reload"]);
        assert!(paths.iter().all(|path| !is_hit(&seawall, CALM, path)), "the zone is another one");
        control(&seawall, &["purge", "http://calm.example/10/api"]);
        let purge = request(seawall.addr(0), &Call::new("PURGE", CALM, "/10/method")).expect("an answer");
        assert_eq!(purge.status, 200);
        request(seawall.addr(0), &Call::post(CALM, "/10/changed", "change")).expect("an answer");
        seawall.rewrite(&yaml("quiet", disks));
        control(&seawall, &["reload"]);
        assert_eq!(paths.map(|path| is_hit(&seawall, CALM, path)), [true, false, false, false]);
    }
}

/// Waits until what was on the disks at the start is found again.
fn both_are_read(seawall: &Seawall) {
    eventually(DEADLINE, "both disks to be read", || {
        let metrics = seawall.metrics();
        let read = |zone| metrics.get("seawall_disk_recovered_ratio", &[("zone", zone)]);
        if read("default") + read("quiet") >= 2.0 { Ok(()) } else { Err("not yet".to_owned()) }
    });
}

#[test]
fn each_zone_finds_what_is_on_its_disk_after_a_restart() {
    let origin = Origin::h1(answer);
    let mut seawall = start(&origin, "quiet", DISKS);
    for host in [CALM, BUSY] {
        ask(&seawall, host, "/10/a");
    }
    for zone in ["default", "quiet"] {
        seawall.wait_metric("seawall_cache_objects", &[("zone", zone), ("tier", "disk")], 1.0);
    }
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        seawall = seawall.restart(signal);
        both_are_read(&seawall);
        assert_eq!([CALM, BUSY].map(|host| is_hit(&seawall, host, "/10/a")), [true, true], "after {signal}");
    }
    assert_eq!(origin.count(), 2);
    for folder in ["one", "two"] {
        let folder = seawall.folder().join(folder);
        assert!(folder.is_dir(), "{}", folder.display());
    }
}

/// A reload only names a new zone, whose routes use the default one until it is there.
#[test]
fn an_upgrade_hands_over_the_disks_of_all_zones_and_opens_new_ones() {
    let origin = Origin::h1(answer);
    let seawall = start(&origin, "quiet", DISKS);
    for path in ["/10/a", "/10/purged"] {
        [CALM, BUSY].iter().for_each(|host| drop(ask(&seawall, host, path)));
    }
    for zone in ["default", "quiet"] {
        seawall.wait_metric("seawall_cache_objects", &[("zone", zone), ("tier", "disk")], 2.0);
    }
    for host in [CALM, BUSY] {
        control(&seawall, &["purge", &format!("http://{host}/10/purged")]);
    }
    let with_a_third = yaml("quiet", DISKS)
        .replace("zones: [", "zones: [{ name: third, memory: 2MiB }, ")
        .replace("{ zone: default }", "{ zone: third }");
    seawall.rewrite(&with_a_third);
    let done = control(&seawall, &["reload"]);
    assert!(done.stdout.contains("cache.zones: third (new in the file"), "{}", done.stdout);
    let third = "third.example";
    assert!(!is_hit(&seawall, third, "/10/b") && is_hit(&seawall, third, "/10/b"));
    control(&seawall, &["upgrade"]);
    both_are_read(&seawall);
    assert_eq!([CALM, BUSY].map(|host| is_hit(&seawall, host, "/10/a")), [true, true]);
    assert_eq!([CALM, BUSY].map(|host| is_hit(&seawall, host, "/10/purged")), [false, false]);
    assert!(!is_hit(&seawall, third, "/10/b") && is_hit(&seawall, third, "/10/b"), "its own zone was empty");
    seawall.wait_metric("seawall_cache_objects", &[("zone", "third"), ("tier", "memory")], 1.0);
}

#[test]
fn limits_of_a_zone_are_its_own() {
    let origin = Origin::h1(answer);
    let seawall = Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}' }]
cache: { memory: 8MiB, max_object: 1MiB, zones: [{ name: small, memory: 4MiB, max_object: 1KiB }] }
upstreams: { app: { servers: ['%{origin}'] } }
sites:
  - hosts: [calm.example]
    routes:
      - { path: /2000/, upstream: app, cache: { zone: small } }
      - { path: /, upstream: app, cache: on }
",
    )
    .set("origin", origin.addr())
    .start();
    for _ in 0..2 {
        assert!(!is_hit(&seawall, CALM, "/2000/a"), "too large for its zone");
    }
    assert!(!is_hit(&seawall, CALM, "/3000/a") && is_hit(&seawall, CALM, "/3000/a"));
}

#[test]
fn settings_of_zones_that_wait_are_named() {
    let origin = Origin::h1(answer);
    let seawall = start(&origin, "quiet", NO_DISK);
    ask(&seawall, CALM, "/10/a");
    seawall
        .rewrite(&yaml("quiet", NO_DISK).replace("name: quiet, memory: 2MiB", "name: quiet, memory: 3MiB"));
    let done = control(&seawall, &["reload"]);
    assert!(done.stdout.contains("cache.zones: quiet.memory"), "{}", done.stdout);
    assert!(is_hit(&seawall, CALM, "/10/a"), "it is the same zone");
    let explained = {
        let file = seawall.file().display().to_string();
        control(&seawall, &["explain", "http://calm.example/", "-c", &file]).stdout
    };
    assert!(explained.contains("kept in the zone quiet"), "{explained}");
    let cache = get(seawall.metrics_addr(), "metrics", "/metrics", &[]).text();
    assert!(cache.contains("seawall_cache_indexed_parts{zone=\"quiet\"}"), "the index of parts has a zone");
}
