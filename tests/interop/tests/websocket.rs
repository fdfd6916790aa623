//! WebSocket between a real client and a real server (the Python package `websockets`).

use seawall_test_interop::{Edge, Script, ask};
use seawall_testkit::{OrDie, Pki};
use serde_json::{Value, json};

/// Plays one scenario of the client on a path of the origin.
#[track_caller]
fn play(edge: &Edge, scheme: &str, path: &str, scenario: &[&str]) -> Value {
    let address = if scheme == "wss" { edge.tls() } else { edge.plain() };
    let url = format!("{scheme}://example.com{path}");
    let mut args = vec![url.as_str(), address, edge.ca()];
    args.extend_from_slice(scenario);
    ask("websocket_client.py", &args)
}

fn between(route: &str) -> (Script, Edge) {
    let origin = Script::start("websocket_origin.py", &[]);
    let edge = Edge::to(origin.addr()).route(route).start();
    (origin, edge)
}

/// How the origin saw its connection on this path end.
#[track_caller]
fn ended(origin: &Script, path: &str) -> (Value, Value) {
    origin.wait("the end at the origin", |said| {
        let ended = said["path"] == path && said.get("code").is_some();
        ended.then(|| (said["code"].clone(), said["reason"].clone()))
    })
}

#[test]
fn messages_of_every_kind_come_back() {
    let (origin, edge) = between("cache: on");
    for scheme in ["ws", "wss"] {
        let found = play(&edge, scheme, "/echo", &["echo"]);
        assert_eq!(found["same"], json!([true, true, true, true, true, true, true]), "{scheme}: {found}");
        assert_eq!(found["fragments"], "in three fragments");
        assert_eq!(found["in_order"], true);
        assert!(
            found["extensions"].as_str().is_some_and(|used| used.contains("permessage-deflate")),
            "{found}"
        );
        assert_eq!(ended(&origin, "/echo"), (json!(1000), json!("")));
    }
    let headers = origin.wait("the handshake", |said| said.get("headers").cloned());
    assert_eq!(headers["host"], "example.com");
    assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
    assert_eq!(headers["via"], "1.1 seawall");
    let line = edge.seawall.wait_log(|line| line["uri"] == "/echo");
    assert_eq!(line["status"], 101);
    assert_eq!(line["error"], Value::Null);
    assert!(line["bytes_sent"].as_u64().or_die("read the log") > 5 * 1024 * 1024, "{line}");
    assert!(line["bytes_received"].as_u64().or_die("read the log") > 5 * 1024 * 1024, "{line}");
}

#[test]
fn control_frames_pass() {
    let (_origin, edge) = between("");
    for scheme in ["ws", "wss"] {
        let found = play(&edge, scheme, "/echo", &["ping"]);
        assert!(found["pong_after"].as_f64().is_some(), "{scheme}: {found}");
    }
}

#[test]
fn the_client_may_say_goodbye() {
    let (origin, edge) = between("");
    for (scheme, code) in [("ws", "1000"), ("ws", "1001"), ("wss", "4001")] {
        let path = format!("/echo?{code}");
        let found = play(&edge, scheme, &path, &["close", code]);
        assert_eq!(found["code"].to_string(), code, "the answer to our own: {found}");
        let (seen, reason) = ended(&origin, &path);
        assert_eq!((seen.to_string().as_str(), reason), (code, json!("the client has had enough")));
    }
}

#[test]
fn the_origin_may_say_goodbye() {
    let (_origin, edge) = between("");
    for (scheme, code) in [("ws", 1000), ("ws", 1011), ("wss", 4002)] {
        let found = play(&edge, scheme, &format!("/close/{code}"), &["drain"]);
        assert_eq!((&found["code"], &found["reason"]), (&json!(code), &json!("the origin has had enough")));
    }
    let found = play(&edge, "wss", "/push/3", &["drain"]);
    assert_eq!(found["messages"], json!(["message 0", "message 1", "message 2"]));
    assert_eq!(found["code"], 1000);
}

#[test]
fn a_refusal_arrives_as_it_is() {
    let (_origin, edge) = between("cache: 1h");
    for scheme in ["ws", "wss", "ws"] {
        let found = play(&edge, scheme, "/refuse", &["drain"]);
        assert_eq!((&found["status"], &found["body"]), (&json!(403), &json!("not today\n")));
    }
    assert!(edge.seawall.metrics().get("seawall_cache_objects", &[]) < 0.5, "nothing is kept of it");
}

#[test]
fn an_origin_behind_tls() {
    let pki = Pki::new();
    let identity = pki.server(&["origin.example"]);
    let (cert, key) = (identity.cert.display().to_string(), identity.key.display().to_string());
    let origin = Script::start("websocket_origin.py", &[&cert, &key]);
    for protocol in ["http1", "auto"] {
        let tls =
            format!("protocol: {protocol}, tls: {{ sni: origin.example, ca: '{}' }}", pki.ca().display());
        let edge = Edge::to(origin.addr()).upstream(&tls).start();
        let found = play(&edge, "wss", "/echo", &["echo"]);
        assert_eq!(found["in_order"], true, "{protocol}: {found}\n{}", edge.seawall.stderr());
    }
}

#[test]
fn a_lost_end_is_told_to_the_other() {
    let (origin, edge) = between("");
    let seawall = edge.plain().to_owned();
    let args = ["ws://example.com/echo", seawall.as_str(), edge.ca(), "wait", "60"];
    let client = Script::start_client("websocket_client.py", &args);
    origin.wait("the handshake", |said| said.get("headers").cloned());
    drop(client);
    assert_eq!(ended(&origin, "/echo").0, json!(1006), "no goodbye was said");
}

/// Every wait of an ordinary request is one second here.
fn impatient(tunnel: &str) -> (Script, Edge) {
    let origin = Script::start("websocket_origin.py", &[]);
    let edge = Edge::to(origin.addr())
        .upstream(&format!("timeouts: {{ first_byte: 1s, read: 1s, tunnel: {tunnel} }}"))
        .top("limits: { body_timeout: 1s, idle_timeout: 1s, rate_window: 1s }")
        .start();
    (origin, edge)
}

#[test]
fn a_silent_tunnel_outlives_the_waits_of_requests() {
    let (_origin, edge) = impatient("1m");
    for scheme in ["ws", "wss"] {
        let found = play(&edge, scheme, "/echo", &["wait", "2.5"]);
        assert_eq!(
            (&found["answer"], &found["code"]),
            (&json!("still here"), &json!(1000)),
            "{scheme}: {found}"
        );
    }
}

#[test]
fn a_tunnel_that_carries_nothing_is_closed() {
    let (origin, edge) = impatient("500ms");
    for scheme in ["ws", "wss"] {
        let path = format!("/echo?{scheme}");
        let found = play(&edge, scheme, &path, &["wait", "20"]);
        assert_eq!((&found["cut"], &found["code"]), (&json!(true), &json!(1006)), "{scheme}: {found}");
        assert_eq!(ended(&origin, &path).0, json!(1006));
    }
    edge.seawall.wait_metric("seawall_http_tunnels_idle_total", &[], 2.0);
    edge.seawall.wait_metric("seawall_http_tunnels", &[], 0.0);
    assert_eq!(edge.seawall.wait_log(|line| line["status"] == 101)["error"], "tunnel_idle");
    // The control: one that carries something in less than that lives for longer.
    let found = play(&edge, "ws", "/echo", &["listen", "1"]);
    assert_eq!((&found["ticks"], &found["code"]), (&json!(20), &json!(1000)), "{found}");
}

#[test]
fn what_a_tunnel_carries_is_no_request_body() {
    let (_origin, edge) = between("max_body: 1KiB");
    let found = play(&edge, "ws", "/echo", &["echo"]);
    assert_eq!((&found["in_order"], &found["code"]), (&json!(true), &json!(1000)), "{found}");
}
