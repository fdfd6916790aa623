//! What the control API answers is what docs/openapi.yaml says it does.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use seawall_test_upgrade::own_program;
use seawall_testkit::{Call, DEADLINE, Origin, Pki, RawClient, Reply, Seawall};
use serde_json::Value;

const DESCRIPTION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.yaml");
const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

fn document() -> Value {
    serde_yaml::from_str(&std::fs::read_to_string(DESCRIPTION).expect("the description")).expect("YAML")
}

/// Follows a reference.
fn followed<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(target) => document.pointer(target.trim_start_matches('#')).expect("what a reference leads to"),
        None => value,
    }
}

/// How `value` differs from what the description says. A key that it does not name is a difference, too.
fn differences(document: &Value, schema: &Value, value: &Value, at: &str, out: &mut Vec<String>) {
    let schema = followed(document, schema);
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        out.push(format!("{at}: {value} is none of {allowed:?}"));
    }
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{at}: no such type: {other}"),
    };
    let fits = match schema.get("type") {
        Some(Value::String(kind)) => is(kind),
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).any(is),
        _ => true,
    };
    if !fits {
        out.push(format!("{at}: {value} is no {}", schema["type"]));
    }
    for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(required).is_none() {
            out.push(format!("{at}: no {required}"));
        }
    }
    if let (Some(known), Some(map)) = (schema.get("properties"), value.as_object()) {
        for (key, value) in map {
            match known.get(key) {
                Some(schema) => differences(document, schema, value, &format!("{at}.{key}"), out),
                None => out.push(format!("{at}: {key} is not described")),
            }
        }
    }
    if let (Some(each), Some(list)) = (schema.get("items"), value.as_array()) {
        for (number, value) in list.iter().enumerate() {
            differences(document, each, value, &format!("{at}[{number}]"), out);
        }
    }
}

fn start() -> (Seawall, Origin, Pki) {
    let (pki, origin) = (Pki::new(), Origin::h1(|_| Reply::ok("body").header("Cache-Control", "max-age=60")));
    let identity = pki.server(&["a.example"]);
    let yaml = format!(
        "
listeners:
  - address: '127.0.0.1:%{{port}}'
  - address: '127.0.0.1:%{{port2}}'
    tls: {{ certificates: [{{ cert: '{}', key: '{}' }}] }}
admin: {{ listen: 'unix:%{{dir}}/admin.sock' }}
upstreams: {{ app: {{ servers: ['%{{origin}}', {{ address: '127.0.0.1:9', backup: true }}] }} }}
sites: [{{ hosts: [a.example], routes: [{{ path: /, upstream: app, cache: on }}] }}]
",
        identity.cert.display(),
        identity.key.display()
    );
    let builder = Seawall::with(&yaml).set("origin", origin.addr());
    let program = own_program(builder.folder());
    (builder.program(&program).start(), origin, pki)
}

/// Every operation, with what is sent and the status that is due; the last one ends the process.
const CALLS: [(&str, &str, &str, &str, u16); 25] = [
    ("get", "/livez", "/livez", "", 200),
    ("get", "/openapi.yaml", "/openapi.yaml", "", 200),
    ("get", "/v1/status", "/v1/status", "", 200),
    ("get", "/v1/plan", "/v1/plan", "", 200),
    ("get", "/v1/pools", "/v1/pools", "", 200),
    ("get", "/v1/pools/{pool}", "/v1/pools/app", "", 200),
    ("get", "/v1/pools/{pool}", "/v1/pools/none", "", 404),
    (
        "post",
        "/v1/pools/{pool}/servers",
        "/v1/pools/app/servers",
        r#"{"server":"127.0.0.1:9","drain":true}"#,
        200,
    ),
    (
        "post",
        "/v1/pools/{pool}/servers",
        "/v1/pools/app/servers",
        r#"{"server":"127.0.0.1:9","weight":0}"#,
        400,
    ),
    ("post", "/v1/pools/{pool}/servers", "/v1/pools/app/servers", r#"{"server":"10.0.0.1:1"}"#, 404),
    ("get", "/v1/cache", "/v1/cache", "", 200),
    ("post", "/v1/purge", "/v1/purge", r#"{"url":"http://a.example/x"}"#, 200),
    ("post", "/v1/purge", "/v1/purge", r#"{"url":"nonsense"}"#, 400),
    ("get", "/v1/connections", "/v1/connections", "", 200),
    ("get", "/v1/certificates", "/v1/certificates", "", 200),
    ("get", "/v1/log", "/v1/log", "", 200),
    ("put", "/v1/log", "/v1/log", r#"{"level":"debug"}"#, 200),
    ("put", "/v1/log", "/v1/log", r#"{"level":"loud"}"#, 400),
    ("post", "/v1/reload", "/v1/reload", "", 200),
    ("get", "/readyz", "/readyz", "", 200),
    ("post", "/v1/upgrade", "/v1/upgrade", "", 200),
    ("get", "/v1/status", "/v1/status", "", 200),
    ("get", "/v1/pools", "/v1/pools", "", 200),
    ("post", "/v1/stop", "/v1/stop", r#"{"now":"yes"}"#, 400),
    ("post", "/v1/stop", "/v1/stop", r#"{"now":true}"#, 200),
];

#[test]
fn every_answer_is_as_described() {
    let document = document();
    let (seawall, _origin, _pki) = start();
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in METHODS.into_iter().filter(|method| item.get(method).is_some()) {
            described.insert((method, path.as_str()));
        }
    }
    let asked: BTreeSet<_> = CALLS.iter().map(|(method, path, ..)| (*method, *path)).collect();
    assert_eq!(asked, described, "every operation is tried here");
    let mut wrong = Vec::new();
    for (method, path, target, body, status) in CALLS {
        let call = Call::new(&method.to_uppercase(), "localhost", target)
            .header("Content-Type", "application/json")
            .body(body);
        let mut client = RawClient::unix(seawall.folder().join("admin.sock"));
        client.deadline(DEADLINE * 4);
        let answer = client.exchange(&call).unwrap_or_else(|error| panic!("{method} {target}: {error}"));
        assert_eq!(answer.status, status, "{method} {target}: {}", answer.text());
        let response = &document["paths"][path][method]["responses"][status.to_string()];
        // A 400 for a body that is none goes without saying.
        let response = if status == 400 && response.is_null() {
            &document["components"]["responses"]["Refused"]
        } else {
            followed(&document, response)
        };
        assert!(!response.is_null(), "{method} {path} does not say {status}");
        let content = response["content"].as_object().expect("what comes with it");
        let kind = answer.header("content-type").expect("a type");
        let schema = &content.get(kind).unwrap_or_else(|| panic!("{method} {path}: {kind}"))["schema"];
        if kind == "application/json" {
            let value: Value = serde_json::from_slice(&answer.body).expect("JSON");
            differences(&document, schema, &value, &format!("{method} {target}"), &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_comparison_finds_what_differs() {
    let document = serde_json::json!({ "s": {
        "type": "object", "required": ["a"],
        "properties": { "a": { "type": ["string", "null"] }, "b": { "enum": [1, 2] }, "c": { "items": { "$ref": "#/s" } } },
    }});
    let found = |value: Value| {
        let mut out = Vec::new();
        differences(&document, &document["s"], &value, "", &mut out);
        out.len()
    };
    assert_eq!(found(serde_json::json!({ "a": null, "b": 2, "c": [{ "a": "x" }] })), 0);
    for wrong in [
        serde_json::json!([]),
        serde_json::json!({}),
        serde_json::json!({ "a": 1 }),
        serde_json::json!({ "a": "x", "b": 3 }),
        serde_json::json!({ "a": "x", "d": 3 }),
        serde_json::json!({ "a": "x", "c": [{ "a": 1 }] }),
    ] {
        assert!(found(wrong.clone()) > 0, "{wrong}");
    }
}
