//! What REDbot says about responses that went through Seawall.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::{Duration, SystemTime};

use seawall_testkit::{Child, Origin, Reply, Seawall, get, python};
use serde_json::Value;

/// REDbot makes half a dozen requests for a URL.
const PATIENCE: Duration = Duration::from_secs(60);

/// Warnings that are the site's own affair: a folder of files states no lifetime, and caches may guess one.
const OF_THE_SITE: [&str; 1] = ["FRESHNESS_HEURISTIC"];

/// The levels of REDbot's notes, and one for requests that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Good,
    Info,
    Warning,
    Bad,
    Failed,
}

/// A note of REDbot's.
#[derive(Debug)]
struct Note {
    level: Level,
    kind: String,
    text: String,
}

impl Note {
    fn is_an_error(&self) -> bool {
        matches!(self.level, Level::Bad | Level::Failed)
    }
}

/// What REDbot notes about a URL.
fn ask(address: &str, path: &str) -> Vec<Note> {
    let mut command = python(&Path::new(env!("CARGO_MANIFEST_DIR")).join("ask_redbot.py"));
    command.arg(format!("http://{address}{path}"));
    let done = Child::spawn(command).wait(PATIENCE);
    assert_eq!(done.code, Some(0), "REDbot failed:\n{}", done.stderr);
    let note = |line: &str| {
        let value: Value = serde_json::from_str(line).expect("a note");
        let text = |key: &str| value[key].as_str().expect("text").to_owned();
        let level = match text("level").as_str() {
            "good" => Level::Good,
            "info" => Level::Info,
            "warning" => Level::Warning,
            "bad" => Level::Bad,
            "failed" => Level::Failed,
            other => panic!("an unknown level: {other}"),
        };
        Note { level, kind: text("kind"), text: text("text") }
    };
    done.stdout.lines().map(note).collect()
}

fn approves(address: &str, path: &str, expected: &[&str]) {
    let notes = ask(address, path);
    let errors: Vec<String> = notes
        .iter()
        .filter(|note| note.is_an_error())
        .map(|note| format!("{}: {}", note.kind, note.text))
        .collect();
    assert!(errors.is_empty(), "{path}: {errors:#?}");
    let warnings: Vec<&Note> = notes
        .iter()
        .filter(|note| note.level == Level::Warning && !OF_THE_SITE.contains(&note.kind.as_str()))
        .collect();
    assert!(warnings.is_empty(), "{path}: {warnings:#?}");
    for kind in expected {
        let found = notes.iter().any(|note| note.level == Level::Good && note.kind == *kind);
        assert!(found, "{path}: no {kind} in {notes:#?}");
    }
}

/// A client asks from the loopback's address, so the site has to be the default one.
fn start(upstream: &str, files: &[(&str, &str)]) -> Seawall {
    let builder = Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}' }]
upstreams: { app: %{upstream} }
sites: [{ hosts: [localhost], default: true, routes: [{ path: /, upstream: app, cache: { ttl: 1m } }] }]
",
    );
    for (name, content) in files {
        std::fs::write(builder.folder().join(name), content).expect("a file");
    }
    let upstream = upstream.replace("%{dir}", &builder.folder().display().to_string());
    builder.set("upstream", upstream).start()
}

#[test]
fn nothing_is_wrong_with_files() {
    let html = format!("<!doctype html><title>Hello</title><p>{}", "All is well. ".repeat(400));
    let css = "body { color: #123 }\n".repeat(300);
    let seawall = start("{ files: '%{dir}' }", &[("index.html", html.as_str()), ("style.css", css.as_str())]);
    let supported = ["CL_CORRECT", "DATE_CORRECT", "RANGE_CORRECT", "INM_304", "IMS_304"];
    for path in ["/", "/style.css"] {
        approves(seawall.addr(0), path, &supported);
        let hit = get(seawall.addr(0), seawall.addr(0), path, &[]);
        assert!(hit.header("cache-status").is_some_and(|status| status.contains("hit")), "{path}");
        approves(seawall.addr(0), path, &supported);
    }
    approves(seawall.addr(0), "/nothing-here", &["CL_CORRECT", "DATE_CORRECT"]);
}

#[test]
fn an_old_response_is_not_taken_for_a_wrong_clock() {
    let origin = Origin::h1(|_| {
        let made = httpdate::fmt_http_date(SystemTime::now() - Duration::from_secs(60));
        Reply::ok("Made a minute ago. ".repeat(100)).headers(&[
            ("date", made.as_str()),
            ("age", "60"),
            ("cache-control", "max-age=3600"),
            ("content-type", "text/plain"),
        ])
    });
    let seawall = start(&format!("{{ servers: ['{}'] }}", origin.addr()), &[]);
    for _ in 0..2 {
        approves(seawall.addr(0), "/", &["CL_CORRECT", "DATE_CORRECT"]);
    }
}

#[test]
fn what_is_wrong_is_found() {
    let origin = Origin::h1(|_| {
        Reply::ok("x").headers(&[("last-modified", "yesterday"), ("content-type", "text/plain")])
    });
    let seawall = start(&format!("{{ servers: ['{}'] }}", origin.addr()), &[]);
    let notes = ask(seawall.addr(0), "/");
    assert!(notes.iter().any(|note| note.level == Level::Bad), "{notes:#?}");
    drop(origin);
    drop(seawall);
    assert!(ask("127.0.0.1:1", "/").iter().any(|note| note.level == Level::Failed));
}
