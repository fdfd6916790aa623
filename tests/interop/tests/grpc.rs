//! gRPC between a real client and a real server (the Python package `grpcio`).

use seawall_test_interop::{Edge, Script, ask};
use seawall_testkit::{OrDie, Pki};
use serde_json::{Value, json};

/// HTTP/2 with prior knowledge to the origin.
const H2C: &str = "protocol: http2";

fn between() -> (Script, Edge) {
    let origin = Script::start("grpc_origin.py", &[]);
    let edge = Edge::to(origin.addr()).upstream(H2C).start();
    (origin, edge)
}

/// The arguments of the client for both ways in.
fn ways(edge: &Edge) -> [[&str; 2]; 2] {
    [[edge.plain(), "-"], [edge.tls(), edge.ca()]]
}

/// Plays one scenario of the client.
#[track_caller]
fn play(way: [&str; 2], scenario: &[&str]) -> Value {
    let mut args = way.to_vec();
    args.extend_from_slice(scenario);
    ask("grpc_client.py", &args)
}

#[test]
fn one_message_for_one() {
    let (origin, edge) = between();
    for way in ways(&edge) {
        let found = play(way, &["unary"]);
        assert_eq!(found["same"], json!([true, true, true, true]), "{way:?}: {found}");
        assert_eq!(found["initial"]["x-initial"], "first", "{found}");
        assert_eq!(found["trailing"], json!({ "x-trailing": "last", "x-trailing-bin": "00ff80" }));
        assert_eq!(found["code"], "OK");
    }
    let told = origin.wait("a call", |said| said.get("metadata").is_some().then(|| said.clone()));
    assert_eq!(told["metadata"]["x-from"], "the client");
    assert_eq!(told["metadata"]["x-forwarded-for"], "127.0.0.1", "{told}");
    let remaining = told["remaining"].as_f64().or_die("read the deadline");
    assert!(remaining > 10.0 && remaining <= 20.0, "grpc-timeout has passed: {remaining}");
    let line = edge.seawall.wait_log(|line| line["uri"] == "/test.Echo/Unary");
    assert_eq!((&line["protocol"], &line["status"]), (&json!("HTTP/2.0"), &json!(200)));
}

#[test]
fn streams_both_ways() {
    let (_origin, edge) = between();
    for way in ways(&edge) {
        let found = play(way, &["streams"]);
        let expected = json!({
            "counted": true, "collected": true, "chat": true, "left": 0,
            "code": "OK", "details": "", "trailing": {}
        });
        assert_eq!(found, expected, "{way:?}");
    }
}

#[test]
fn many_calls_at_once() {
    let (_origin, edge) = between();
    for way in ways(&edge) {
        assert_eq!(play(way, &["parallel", "300"])["right"], 300, "{way:?}");
    }
}

#[test]
fn an_error_arrives_with_its_details() {
    let (_origin, edge) = between();
    for way in ways(&edge) {
        let found = play(way, &["call", "Fail"]);
        let expected = json!({
            "code": "NOT_FOUND",
            "details": "no such thing: grüße ☃ 100%\n",
            "trailing": { "grpc-status-details-bin": "08051204676f6e65" }
        });
        assert_eq!(found, expected, "{way:?}");
        assert_eq!(play(way, &["call", "Nothing"])["code"], "UNIMPLEMENTED");
        let found = play(way, &["midway"]);
        assert_eq!(found["messages"], json!(["one", "two"]));
        assert_eq!((&found["code"], &found["details"]), (&json!("DATA_LOSS"), &json!("the rest is lost")));
    }
}

/// How the origin saw its call of Hang end.
#[track_caller]
fn ended(origin: &Script, call: &str) -> Value {
    origin.wait("the end of the call", |said| (said["ended"] == call).then(|| said.clone()))
}

#[test]
fn a_deadline_reaches_the_origin() {
    let (origin, edge) = between();
    let found = play(ways(&edge)[0], &["deadline", "0.7"]);
    assert_eq!(found["code"], "DEADLINE_EXCEEDED", "{found}");
    let remaining = ended(&origin, "deadline")["remaining"].as_f64().or_die("read the deadline");
    assert!(remaining <= 0.7, "{remaining}");
}

#[test]
fn a_cancelled_call_ends_at_the_origin() {
    for index in [0, 1] {
        let (origin, edge) = between();
        let found = play(ways(&edge)[index], &["cancel"]);
        assert_eq!((&found["first"], &found["code"]), (&json!("begun"), &json!("CANCELLED")));
        assert_eq!(ended(&origin, "cancel")["remaining"], Value::Null, "no deadline told it");
    }
}

#[test]
fn a_lost_client_ends_its_call_at_the_origin() {
    let (origin, edge) = between();
    let client = Script::start_client("grpc_client.py", &[edge.plain(), "-", "leave"]);
    client.wait("the first message", |said| (said["first"] == "begun").then_some(()));
    drop(client);
    ended(&origin, "leave");
}

#[test]
fn an_origin_behind_tls() {
    let pki = Pki::new();
    let identity = pki.server(&["origin.example"]);
    let (cert, key) = (identity.cert.display().to_string(), identity.key.display().to_string());
    let origin = Script::start("grpc_origin.py", &[&cert, &key]);
    for protocol in ["http2", "auto"] {
        let tls =
            format!("protocol: {protocol}, tls: {{ sni: origin.example, ca: '{}' }}", pki.ca().display());
        let edge = Edge::to(origin.addr()).upstream(&tls).start();
        let way = ways(&edge)[1];
        assert_eq!(play(way, &["streams"])["chat"], true, "{protocol}");
        assert_eq!(play(way, &["call", "Fail"])["code"], "NOT_FOUND");
    }
}

#[test]
fn a_stream_may_be_silent_for_longer_than_a_body_of_http_1() {
    let origin = Script::start("grpc_origin.py", &[]);
    let edge = Edge::to(origin.addr()).upstream(H2C).top("limits: { body_timeout: 500ms }").start();
    for way in ways(&edge) {
        let found = play(way, &["pause", "1.5"]);
        assert_eq!(found["answers"], json!(["you said before", "you said after"]), "{way:?}: {found}");
        assert_eq!(found["code"], "OK", "{way:?}: {found}");
    }
}

#[test]
fn what_the_proxy_says_itself_is_understood() {
    let origin = Script::start("grpc_origin.py", &[]);
    let edge = Edge::to(origin.addr()).upstream(H2C).route("max_body: 1KiB").start();
    // A client makes UNKNOWN of a status that gRPC has no word for (413).
    let refused = play(ways(&edge)[0], &["call", "Unary", "100000"]);
    assert_ne!(refused["code"], "OK", "{refused}");
    drop(origin);
    let found = play(ways(&edge)[0], &["call", "Unary"]);
    assert_eq!(found["code"], "UNAVAILABLE", "a 502, and clients try again: {found}");
}
