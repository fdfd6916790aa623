//! What a person sees when a file is wrong.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use seawall_config::units::{ByteSize, Span};
use seawall_config::{Diagnostics, Document, OneOrMany, Path, Severity, Short};
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    memory: ByteSize,
    timeout: Span,
    mode: Mode,
    servers: Vec<Short<Server>>,
    hosts: OneOrMany<String>,
    limits: Limits,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    RoundRobin,
    Random,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Server {
    address: String,
    #[serde(default)]
    weight: u32,
}

impl std::str::FromStr for Server {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains(':') {
            Ok(Self { address: text.into(), weight: 1 })
        } else {
            Err(format!("`{text}` has no port"))
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Limits {
    connections: u32,
}

fn decode(text: &str) -> (Option<Settings>, Diagnostics, Document) {
    let mut out = Diagnostics::default();
    let mut document = Document::from_text("t.yaml", text, &mut out).expect("YAML");
    let settings = document.decode(&mut out);
    (settings, out, document)
}

/// `line:column message` of every finding, sorted by place.
fn findings(text: &str) -> Vec<String> {
    let (_, out, document) = decode(text);
    let mut found: Vec<_> = out
        .iter()
        .map(|d| {
            let at = d.location(&document).expect("a place");
            ((at.line, at.column), format!("{}:{} {}", at.line, at.column, d.message))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, text)| text).collect()
}

#[test]
fn reads_what_is_right() {
    let (settings, out, _) = decode(
        "memory: 512MiB\ntimeout: 30s\nmode: random\nservers: [a:1, {address: b:2, weight: 3}]\nhosts: one\nlimits: {connections: 7}\n",
    );
    let settings = settings.expect("settings");
    assert!(out.is_empty());
    assert_eq!(settings.memory, ByteSize::mib(512));
    assert_eq!(settings.timeout, Span::secs(30));
    assert_eq!(settings.mode, Mode::Random);
    assert_eq!(
        settings.servers.iter().map(|s| (s.address.as_str(), s.weight)).collect::<Vec<_>>(),
        [("a:1", 1), ("b:2", 3)]
    );
    assert_eq!(settings.hosts.to_vec(), ["one"]);
    assert_eq!(settings.limits.connections, 7);
}

#[test]
fn finds_every_error_in_one_run() {
    let found = findings(
        "memory: 12 parsecs\ntimout: 3s\nmode: randon\nservers:\n  - a:1\n  - nowhere\n  - { weight: 2 }\n  - { address: x:1, wait: 3 }\nlimits:\n  connections: many\n",
    );
    assert_eq!(
        found,
        [
            "1:9 `12 parsecs` is not a size: write a number and a unit such as `512MiB` (KiB, MiB, GiB, TiB, kB, MB, GB, TB)",
            "2:1 unknown key `timout`",
            "3:7 `randon` is not known here",
            "6:5 `nowhere` has no port",
            "7:5 `address` is missing",
            "8:21 unknown key `wait`",
            "10:16 expected a whole number, found `many`",
        ]
    );
}

#[test]
fn renders_the_line_and_a_hint() {
    let (_, out, document) = decode("memory: 1MiB\nlimits: { conections: 3 }\n");
    let expected = "error: unknown key `conections`\n  --> t.yaml:2:11\n  |\n2 | limits: { conections: 3 }\n  |           ^^^^^^^^^^\n  = hint: did you mean `connections`?\n\n";
    assert_eq!(out.render(&document), expected);
    assert_eq!(out.count(Severity::Error), 1);
}

#[test]
fn says_what_was_expected_in_plain_words() {
    for (text, message) in [
        ("servers: 3", "1:10 expected a list, found 3"),
        ("limits: [1]", "1:9 expected a map of settings, found a list"),
        ("limits: { connections: -1 }", "1:24 expected a whole number, found -1"),
        ("memory: { a: 1 }", "1:9 expected a size such as `512MiB`, found a map"),
        ("timeout: 30", "1:10 `30` is not a length of time: the unit is missing; write `30s`, `5m`, `1h`"),
        ("mode:", "1:5 expected a word, found nothing"),
    ] {
        let found = findings(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].starts_with(message), "{text}: {found:?}");
    }
}

#[test]
fn duplicate_keys_and_second_documents_are_errors() {
    assert_eq!(findings("memory: 1MiB\nmemory: 2MiB\n"), ["2:1 the key `memory` is given twice"]);
    let mut out = Diagnostics::default();
    assert!(Document::from_text("t.yaml", "memory: 1MiB\n---\nmemory: 2MiB\n", &mut out).is_none());
    assert!(out.has_errors());
}

#[test]
fn broken_yaml_is_located() {
    for text in ["memory: [1, 2", "a: b: c", "memory: \"x", "*alias", "- a", "just text"] {
        let mut out = Diagnostics::default();
        let document = Document::from_text("t.yaml", text, &mut out);
        let complained = out.has_errors()
            || document.is_some_and(|mut d| d.decode::<Settings>(&mut out).is_none() && out.has_errors());
        assert!(complained, "{text:?} passed");
        assert!(out.iter().all(|d| !d.message.is_empty()));
    }
}

#[test]
fn aliases_work_and_cannot_eat_all_memory() {
    let (settings, out, _) = decode("servers: [&one {address: a:1, weight: 2}, *one]\n");
    assert!(out.is_empty());
    assert_eq!(settings.expect("settings").servers.len(), 2);

    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for i in 1..12 {
        let last = i - 1;
        bomb.push_str(&format!("a{i}: &a{i} [{}]\n", vec![format!("*a{last}"); 10].join(",")));
    }
    let mut out = Diagnostics::default();
    assert!(Document::from_text("t.yaml", &bomb, &mut out).is_none());
    assert!(out.iter().any(|d| d.message.contains("too many values")));

    let deep = "[".repeat(10_000);
    assert!(Document::from_text("t.yaml", &deep, &mut out).is_none());
}

#[test]
fn includes_are_merged_with_their_own_places() {
    let dir = tempfile::tempdir().expect("tempdir");
    let file = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("write");
    std::fs::create_dir(dir.path().join("sites.d")).expect("mkdir");
    file("main.yaml", "include: sites.d\nsites: [{ hosts: a }]\nupstreams: { one: x }\n");
    file("sites.d/10-b.yaml", "sites:\n  - { hosts: b }\n");
    file("sites.d/20-c.yml", "upstreams: { two: y, one: z }\n");
    file("sites.d/30-d.yaml", "listeners: []\nsite: []\n");
    file("sites.d/ignored.txt", "not yaml: [");
    let mut out = Diagnostics::default();
    let document = Document::load(&dir.path().join("main.yaml"), &mut out);
    let value = document.root().to_value();
    assert_eq!(value["sites"].as_sequence().expect("list").len(), 2);
    assert_eq!(value["upstreams"]["two"].as_str(), Some("y"));
    let text = out.render(&document);
    assert!(text.contains("`upstreams.one` is given twice"), "{text}");
    assert!(text.contains("20-c.yml:1:22"), "{text}");
    assert!(text.contains("`listeners` cannot stand in an included file"), "{text}");
    assert!(text.contains("did you mean `sites`?"), "{text}");
    assert_eq!(out.count(Severity::Error), 3, "{text}");
}

#[test]
fn unreadable_files_are_named() {
    let dir = tempfile::tempdir().expect("tempdir");
    for (make, expected) in [
        (None, "no such file or folder"),
        (Some(&b"a: \xff\n"[..]), "not UTF-8"),
        (Some(&b"include: nowhere.d\n"[..]), "cannot include `nowhere.d`: no such file or folder"),
    ] {
        let path = dir.path().join("main.yaml");
        if let Some(bytes) = make {
            std::fs::write(&path, bytes).expect("write");
        }
        let mut out = Diagnostics::default();
        let document = Document::load(&path, &mut out);
        assert!(out.render(&document).contains(expected), "{}", out.render(&document));
    }
}

#[test]
fn missing_things_that_were_taken_out_are_told_apart() {
    let (_, _, document) = decode("servers:\n  - { address: [], weight: 1 }\nmemory: 1MiB\n");
    assert!(document.is_pruned(&Path::root().key("servers")));
    assert!(!document.is_pruned(&Path::root().key("memory")));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[ -~\n\t]{0,200}") {
        let mut out = Diagnostics::default();
        if let Some(mut document) = Document::from_text("t.yaml", &text, &mut out) {
            let _: Option<Settings> = document.decode(&mut out);
            let _ = out.render(&document);
        }
    }
}
