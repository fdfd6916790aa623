//! What an operator purges: by URL, tag, prefix, host, everything; soft and hard; in both tiers.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::thread::JoinHandle;

use nix::sys::signal::Signal;
use seawall_testkit::{
    Call, DEADLINE, Gate, Origin, Reply, Request, Response, Seawall, binary, body, eventually, get, request,
    run,
};

const YAML: &str = "
listeners: [{ address: '127.0.0.1:%{port}' }]
admin: { listen: 'unix:%{dir}/admin.sock' }
cache: { %{disk} purge: { allow: [127.0.0.1], max_tags: 5 %{purge} } }
upstreams: { app: { servers: ['%{origin}'] } }
sites:
  - hosts: [a.example, b.example]
    routes:
      - { path: /static/, upstream: app, rewrite: { strip_prefix: /static }, cache: on }
      - { path: /, upstream: app, cache: on }
";

const DISK: &str = "disk: { path: '%{dir}/store', size: 64MiB },";

fn start(origin: &Origin, disk: &str, purge: &str) -> Seawall {
    Seawall::with(&YAML.replace("%{disk}", disk).replace("%{purge}", purge))
        .set("origin", origin.addr())
        .start()
}

/// `/x/TAG` bears the tag, each in another field.
fn answer(request: &Request) -> Reply {
    let tag = request.path().rsplit('/').next().unwrap_or_default().to_owned();
    let reply = Reply::ok(request.path().to_owned()).headers(&[
        ("cache-control", "max-age=600"),
        ("etag", "\"1\""),
        ("surrogate-control", "max-age=600"),
    ]);
    match tag.as_str() {
        "red" => reply.header("Surrogate-Key", "red warm"),
        "orange" => reply.header("Cache-Tag", "orange, warm"),
        "yellow" => reply.header("xkey", "yellow").header("xkey", "warm"),
        "green" => reply.header("Cache-Groups", "\"green\", \"cold\""),
        "many" => reply.header("xkey", "1 2 3").header("Cache-Tag", "3,4,5,6"),
        _ => reply,
    }
}

fn ask(seawall: &Seawall, host: &str, path: &str) -> Response {
    get(seawall.addr(0), host, path, &[])
}

fn status(response: &Response) -> &str {
    response.header("cache-status").unwrap_or_default()
}

const ALL: [(&str, &str); 6] = [
    ("a.example", "/x/red"),
    ("a.example", "/x/y/orange"),
    ("b.example", "/x/yellow"),
    ("b.example", "/x/green"),
    ("a.example", "/static/plain"),
    ("a.example", "/xx"),
];

/// Which of them are fresh hits; those that are not are so afterwards.
fn hits(seawall: &Seawall) -> Vec<usize> {
    let is_hit = |(host, path): &(&str, &str)| {
        let response = ask(seawall, host, path);
        assert_eq!(response.status, 200);
        status(&response).starts_with("seawall; hit")
    };
    ALL.iter().enumerate().filter(|(_, one)| is_hit(one)).map(|(number, _)| number).collect()
}

fn without(gone: &[usize]) -> Vec<usize> {
    (0..ALL.len()).filter(|number| !gone.contains(number)).collect()
}

#[test]
fn each_name_meets_what_bears_it_and_nothing_else() {
    for disk in ["", DISK] {
        let origin = Origin::h1(answer);
        let seawall = start(&origin, disk, "");
        assert!(hits(&seawall).is_empty());
        for (arguments, gone) in [
            (&["--tag", "red"][..], &[0][..]),
            (&["--tag", "warm"], &[0, 1, 2]),
            (&["--tag", "cold", "--tag", "orange"], &[1, 3]),
            (&["--tag", "Red"], &[]),
            (&["--host", "B.example"], &[2, 3]),
            (&["--prefix", "a.example/x/y"], &[1]),
            (&["--prefix", "https://A.example/x/"], &[0, 1]),
            (&["--prefix", "a.example/static"], &[4]),
            (&["--prefix", "a.example/plain"], &[]),
            (&["--everything"], &[0, 1, 2, 3, 4, 5]),
            (&["http://a.example/static/plain", "--tag", "yellow"], &[2, 4]),
        ] {
            for mode in [&["--soft"][..], &["--hard"], &[]] {
                assert_eq!(hits(&seawall), without(&[]), "negative control");
                let asked = origin.count();
                let purge = [&["purge"], arguments, mode].concat();
                let done = seawall.control(&purge);
                assert_eq!(done.code, Some(0), "{purge:?}: {done:?}");
                assert_eq!(hits(&seawall), without(gone), "{purge:?} {disk}");
                assert_eq!(origin.count(), asked + gone.len(), "{purge:?}");
            }
        }
        let counted = |by: &str, mode: &str| {
            let labels = [("by", by), ("mode", mode), ("result", "ok")];
            seawall.metrics().get("seawall_purges_total", &labels)
        };
        assert_eq!((counted("tag", "soft"), counted("tag", "hard")), (5.0 * 2.0 + 2.0, 6.0));
        assert_eq!((counted("url", "soft"), counted("url", "hard")), (1.0, 2.0), "hard when nobody says so");
        assert_eq!(seawall.metrics().get("seawall_purge_duration_seconds_count", &[]), 39.0);
    }
}

/// The key that Cache-Status tells.
fn key_in(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("; key=\"")?;
    Some(rest.split_once('"')?.0.to_owned())
}

#[test]
fn a_key_names_all_of_one_object() {
    let origin = Origin::h1(|request: &Request| {
        let language = request.header("accept-language").unwrap_or("none").to_owned();
        // The body is the path, and then the language.
        answer(request).header("vary", "accept-language").body(language)
    });
    for disk in ["", DISK] {
        let seawall = start(&origin, disk, ", show_key: true");
        let wanted = [("/one", "de"), ("/one", "fr"), ("/other", "de")];
        let ask_all = || {
            wanted.map(|(path, language)| {
                let response = get(seawall.addr(0), "a.example", path, &[("accept-language", language)]);
                assert_eq!(response.body, format!("{path}{language}").as_bytes());
                status(&response).to_owned()
            })
        };
        ask_all();
        let keys = ask_all().map(|status| {
            assert!(status.starts_with("seawall; hit"), "negative control: {status}");
            key_in(&status).expect("a key")
        });
        assert_eq!(keys[0], keys[1], "one for all variants");
        assert_ne!(keys[0], keys[2]);
        seawall.wait_log(|line| {
            let logged = line["cache_status"].as_str().unwrap_or_default();
            logged.contains("hit") && key_in(logged).as_ref() == Some(&keys[2])
        });
        if !disk.is_empty() {
            seawall.wait_metric("seawall_cache_objects", &[("tier", "disk")], 3.0);
            let folder = seawall.folder().join("store");
            let dump = run(&binary().to_string_lossy(), &["store", "dump", &folder.to_string_lossy()]);
            let listed = |key: &String| dump.stdout.matches(&format!(" key={key} ")).count();
            assert_eq!((listed(&keys[0]), listed(&keys[2])), (2, 1), "{dump:?}");
        }
        let shouted = keys[0].to_uppercase();
        for (key, mode, expected) in [
            (&keys[0], "--hard", "fwd=uri-miss"),
            (&shouted, "--soft", "fwd=stale"),
            (&keys[0], "", "fwd=uri-miss"),
        ] {
            let arguments: Vec<&str> =
                ["purge", "--key", key, mode].into_iter().filter(|a| !a.is_empty()).collect();
            let done = seawall.control(&arguments);
            assert_eq!(done.code, Some(0), "{done:?}");
            assert!(!done.stdout.contains("was not stored"), "{done:?}");
            let [first, second, other] = ask_all();
            assert!(first.contains(expected), "{mode}: {first}");
            assert!(!second.contains("hit"), "the other variant, too: {mode}: {second}");
            assert!(other.starts_with("seawall; hit"), "and nothing else: {other}");
        }
        let unknown = seawall.control(&["purge", "--key", &"0".repeat(32), "--json"]);
        assert!(unknown.stdout.contains("\"found\":false"), "{unknown:?}");
        let purges = |mode| {
            let labels = [("by", "key"), ("mode", mode), ("result", "ok")];
            seawall.metrics().get("seawall_purges_total", &labels)
        };
        assert_eq!((purges("hard"), purges("soft")), (3.0, 1.0));
    }
    let silent = start(&origin, "", "");
    assert_eq!(key_in(status(&ask(&silent, "a.example", "/one"))), None, "only who wants it is told");
}

#[test]
fn a_soft_purge_asks_and_a_hard_one_forgets() {
    let origin = Origin::h1(answer);
    let seawall = start(&origin, "", "");
    for (mode, expected, conditional) in [("--soft", "fwd=stale", true), ("--hard", "fwd=uri-miss", false)] {
        ask(&seawall, "a.example", "/x/red");
        let done = seawall.control(&["purge", "--tag", "red", mode]);
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(status(&ask(&seawall, "a.example", "/x/red")).contains(expected), "{mode}");
        assert_eq!(origin.last().header("if-none-match").is_some(), conditional, "{mode}");
        assert!(status(&ask(&seawall, "a.example", "/x/red")).contains("hit"));
    }
}

#[test]
fn no_kill_after_the_acknowledgement_undoes_a_purge() {
    for mode in ["--hard", "--soft"] {
        let origin = Origin::h1(answer);
        let seawall = start(&origin, DISK, "");
        assert!(hits(&seawall).is_empty());
        seawall.wait_metric("seawall_cache_objects", &[("tier", "disk")], ALL.len() as f64);
        for names in [&["--tag", "warm"][..], &["--prefix", "a.example/static"], &["--host", "b.example"]] {
            let done = seawall.control(&[&["purge", mode], names].concat());
            assert_eq!(done.code, Some(0), "{done:?}");
        }
        let seawall = seawall.restart(Signal::SIGKILL);
        seawall.wait_metric("seawall_disk_recovered_ratio", &[], 1.0);
        assert_eq!(hits(&seawall), [5], "{mode}");
    }
}

#[test]
fn tags_for_the_cache_stay_with_it() {
    let origin = Origin::h1(answer);
    for (purge, seen) in [("", false), (", forward_tag_fields: [Surrogate-Key, xkey, cache-tag]", true)] {
        let seawall = start(&origin, "", purge);
        for (host, path) in &ALL[..4] {
            for _ in 0..2 {
                let response = ask(&seawall, host, path);
                for name in ["surrogate-key", "cache-tag", "xkey"] {
                    let sent = response.header(name).is_some();
                    let has = path.contains(match name {
                        "surrogate-key" => "red",
                        "cache-tag" => "orange",
                        _ => "yellow",
                    });
                    assert_eq!(sent, has && seen, "{path} {name}");
                }
                let groups = response.header("cache-groups").is_some();
                assert_eq!(groups, path.contains("green") && !seen, "{path}");
                assert_eq!(response.header("surrogate-control"), None);
            }
        }
    }
}

#[test]
fn what_has_too_many_tags_is_not_stored() {
    let origin = Origin::h1(answer);
    let seawall = start(&origin, "", "");
    let first = ask(&seawall, "a.example", "/many");
    assert!(status(&first).contains("too-many-tags"), "{}", status(&first));
    let second = ask(&seawall, "a.example", "/many");
    assert!(!status(&second).contains("hit") && !status(&second).contains("stored"), "{}", status(&second));
    assert_eq!(origin.count(), 2);
}

#[test]
fn what_is_no_name_is_refused() {
    let origin = Origin::h1(answer);
    let seawall = start(&origin, "", "");
    let deep = format!("a.example{}", "/x".repeat(17));
    for arguments in [
        &["--host", "a.example/x"][..],
        &["--host", "a.example:80"],
        &["--prefix", "a.example"],
        &["--prefix", "a.example/x?y"],
        &["--prefix", &deep],
        &["--tag", ""],
        &["--key", ""],
        &["--key", "http://a.example/xx"],
        &["--key", "+123456789abcdef0123456789abcdef"],
        &["--key", "0123456789abcdef0123456789abcdef0"],
        &["example.com/x"],
        &["--tag", "x", "--soft", "--hard"],
        &[],
    ] {
        let done = seawall.control(&[&["purge"], arguments].concat());
        assert_ne!(done.code, Some(0), "{arguments:?}: {done:?}");
        assert!(!done.stderr.is_empty());
    }
    assert_eq!(hits(&seawall), Vec::<usize>::new());
    assert_eq!(hits(&seawall), without(&[]), "nothing was purged");
}

fn clients(seawall: &Seawall, count: usize) -> Vec<JoinHandle<Response>> {
    let one = || {
        let address = seawall.addr(0).to_owned();
        std::thread::spawn(move || get(address, "a.example", "/x/red", &[]))
    };
    (0..count).map(|_| one()).collect()
}

#[test]
fn a_purge_under_load_costs_one_fetch_a_key() {
    for lenient in [false, true] {
        for mode in ["--soft", "--hard"] {
            let gate = Gate::new();
            let held = gate.clone();
            let first = std::sync::atomic::AtomicBool::new(true);
            let origin = Origin::h1(move |_: &Request| {
                let control = if lenient { "max-age=600, stale-while-revalidate=60" } else { "max-age=600" };
                let reply = Reply::ok("x").headers(&[("cache-control", control), ("surrogate-key", "red")]);
                if first.swap(false, std::sync::atomic::Ordering::SeqCst) { reply } else { reply.hold(&held) }
            });
            let seawall = start(&origin, "", "");
            ask(&seawall, "a.example", "/x/red");
            assert_eq!(seawall.control(&["purge", "--tag", "red", mode]).code, Some(0));
            let waiting = clients(&seawall, 30);
            gate.wait_waiting(1);
            if lenient && mode == "--soft" {
                // They have what there is, while one request fetches it anew.
                for client in waiting {
                    assert_eq!(client.join().expect("an answer").status, 200);
                }
                gate.open();
            } else {
                eventually(DEADLINE, "all to wait", || {
                    let metrics = seawall.metrics();
                    if metrics.get("seawall_http_requests_in_flight", &[]) >= 30.0 {
                        Ok(())
                    } else {
                        Err(metrics.show("seawall_http_requests_in_flight"))
                    }
                });
                gate.open();
                for client in waiting {
                    assert_eq!(client.join().expect("an answer").status, 200);
                }
            }
            assert_eq!(origin.count(), 2, "{mode} {lenient}");
        }
    }
}

#[test]
fn parts_bear_the_tags_of_their_object() {
    let whole = body(1, 3_000_000);
    let origin = Origin::h1(move |request: &Request| {
        let range =
            request.header("range").and_then(|range| range.strip_prefix("bytes=")).and_then(|range| {
                let (first, last) = range.split_once('-')?;
                Some((first.parse::<usize>().ok()?, last.parse::<usize>().ok()?))
            });
        let (status, body) = match range {
            Some((first, last)) => (206, whole[first..=last].to_vec()),
            None => (200, whole.clone()),
        };
        let mut reply = Reply::new(status).headers(&[
            ("cache-control", "max-age=600"),
            ("etag", "\"1\""),
            ("cache-tag", "film"),
        ]);
        if let Some((first, last)) = range {
            reply = reply.header("content-range", &format!("bytes {first}-{last}/3000000"));
        }
        reply.body(body)
    });
    for disk in ["", DISK] {
        let seawall = start(&origin, disk, "");
        let deep = Call::get("a.example", "/film").header("Range", "bytes=2000000-2000099");
        let part = || {
            let response = request(seawall.addr(0), &deep).expect("an answer");
            assert_eq!(
                (response.status, &response.body[..]),
                (206, &body(1, 3_000_000)[2_000_000..=2_000_099])
            );
            status(&response).starts_with("seawall; hit")
        };
        for names in [
            &["--tag", "film"][..],
            &["--prefix", "a.example/film"],
            &["--everything"],
            &["http://a.example/film"],
        ] {
            for mode in ["--soft", "--hard"] {
                part();
                assert!(part(), "negative control");
                assert_eq!(seawall.control(&[&["purge", mode], names].concat()).code, Some(0));
                assert!(!part(), "{names:?} {mode}");
            }
        }
    }
}

#[test]
fn the_api_takes_lists_and_tells_what_it_did() {
    let origin = Origin::h1(answer);
    let seawall = start(&origin, "", "");
    hits(&seawall);
    let done =
        seawall.control(&["purge", "--tag", "red", "--host", "b.example", "http://a.example/xx", "--json"]);
    let said: serde_json::Value = serde_json::from_str(&done.stdout).expect("JSON");
    let purged = said["purged"].as_array().expect("a list");
    assert_eq!(purged.len(), 3);
    assert_eq!(
        purged[0],
        serde_json::json!({ "by": "url", "name": "http://a.example/xx", "soft": false, "found": true })
    );
    assert_eq!(purged[1], serde_json::json!({ "by": "tag", "name": "red", "soft": true }));
    assert!(said["took_ms"].is_number());
    assert_eq!(hits(&seawall), without(&[0, 2, 3, 5]));
}
