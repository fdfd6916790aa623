//! No-Vary-Search: query parameters that make no difference, by the origin's word.

use seawall_testkit::{Call, Origin, Reply, Seawall, get, request};

fn start(origin: &Origin, rule: &str) -> Seawall {
    Seawall::with(
        "
listeners: [{ address: '127.0.0.1:%{port}' }]
cache: { purge: { allow: [127.0.0.1] } }
upstreams: { app: { servers: ['%{origin}'] } }
sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app, cache: %{rule} }] }]
",
    )
    .set("origin", origin.addr())
    .set("rule", rule)
    .start()
}

fn origin(says: &'static str) -> Origin {
    Origin::h1(move |request| {
        let reply = Reply::ok(request.target.clone()).header("cache-control", "max-age=60");
        if says.is_empty() { reply } else { reply.header("no-vary-search", says) }
    })
}

fn text(seawall: &Seawall, path: &str) -> String {
    get(seawall.addr(0), "example.com", path, &[]).text()
}

#[test]
fn requests_that_differ_in_named_parameters_share_a_response() {
    let origin = origin("params=(\"utm\")");
    let seawall = start(&origin, "on");
    // The rule is learned from the first; the second is the first that is stored under it.
    assert_eq!(text(&seawall, "/p?id=1&utm=a"), "/p?id=1&utm=a");
    assert_eq!(text(&seawall, "/p?id=1&utm=b"), "/p?id=1&utm=b");
    assert_eq!(text(&seawall, "/p?id=1&utm=c"), "/p?id=1&utm=b");
    assert_eq!(text(&seawall, "/p?id=1"), "/p?id=1&utm=b");
    assert_eq!(text(&seawall, "/p?id=2&utm=b"), "/p?id=2&utm=b", "another id is another response");
    assert_eq!(text(&seawall, "/q?id=1"), "/q?id=1", "another path has no rule");
    // A purge of one name is a purge of all, also of what was stored before the rule was known.
    let purge = Call::new("PURGE", "example.com", "/p?id=1&utm=z");
    assert_eq!(request(seawall.addr(0), &purge).expect("an answer").status, 200);
    assert_eq!(text(&seawall, "/p?id=1&utm=d"), "/p?id=1&utm=d");
    // So is a change.
    request(seawall.addr(0), &Call::post("example.com", "/p?id=1&utm=y", "x")).expect("an answer");
    assert_eq!(text(&seawall, "/p?id=1&utm=e"), "/p?id=1&utm=e");
}

#[test]
fn without_a_word_or_with_a_bad_one_every_query_is_its_own() {
    for (says, rule) in [("", "on"), ("params=utm", "on"), ("params=(\"utm\")", "{ no_vary_search: false }")]
    {
        let origin = origin(says);
        let seawall = start(&origin, rule);
        for path in ["/p?utm=a", "/p?utm=b", "/p?utm=c"] {
            assert_eq!(text(&seawall, path), path, "{says}");
        }
    }
}

#[test]
fn a_response_that_says_otherwise_serves_its_own_query_only() {
    let origin = Origin::h1(|request| {
        let reply = Reply::ok(request.target.clone()).header("cache-control", "max-age=60");
        if request.target.contains("id=1") {
            reply.header("no-vary-search", "params=(\"utm\")")
        } else {
            reply
        }
    });
    let seawall = start(&origin, "on");
    text(&seawall, "/p?id=1&utm=a");
    for path in ["/p?id=2&utm=a", "/p?id=2&utm=b", "/p?id=2&utm=a"] {
        assert_eq!(text(&seawall, path), path);
    }
    assert_eq!(origin.count(), 3, "the last was stored");
}
