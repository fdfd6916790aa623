//! `docs/openapi.yaml` describes the routes there are, and only those.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use seawall_admin::ROUTES;
use serde_json::Value;

fn document() -> Value {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.yaml");
    let text = std::fs::read_to_string(file).expect("the description");
    serde_yaml::from_str(&text).expect("YAML")
}

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

#[test]
fn the_description_has_the_routes_and_no_others() {
    let document = document();
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in
            item.as_object().expect("a path").iter().filter(|(m, _)| METHODS.contains(&m.as_str()))
        {
            let open = operation["security"].as_array().is_some_and(Vec::is_empty);
            let refuses = operation["responses"].get("401").is_some();
            assert_ne!(open, refuses, "{method} {path}: a token is asked for and 401 told, or neither");
            assert!(operation["responses"].get("200").is_some(), "{method} {path}");
            described.insert((method.to_uppercase(), path.clone(), open));
        }
    }
    let routed: BTreeSet<_> =
        ROUTES.iter().map(|route| (route.method.to_string(), route.path.to_owned(), route.open)).collect();
    assert_eq!(described, routed);
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &Value, document: &Value, seen: &mut usize) {
        match value {
            Value::Object(map) => {
                if let Some(target) = map.get("$ref").and_then(Value::as_str) {
                    let pointer = target.strip_prefix('#').expect("a local reference");
                    assert!(document.pointer(pointer).is_some(), "{target}");
                    *seen += 1;
                }
                map.values().for_each(|value| walk(value, document, seen));
            }
            Value::Array(list) => list.iter().for_each(|value| walk(value, document, seen)),
            _ => {}
        }
    }
    let (document, mut seen) = (document(), 0);
    walk(&document, &document, &mut seen);
    assert!(seen > 20);
}
