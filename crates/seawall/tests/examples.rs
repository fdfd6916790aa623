//! No setting is without an example: each key that the schema knows stands in a file under `conf/`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

type Keys = BTreeSet<(String, String)>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The schema that `$ref` names, with its name.
fn resolve<'s>(schema: &'s Value, root: &'s Value, name: &str) -> (String, &'s Value) {
    let named = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next());
    named.map_or((name.to_owned(), schema), |name| (name.to_owned(), &root["$defs"][name]))
}

fn alternatives(schema: &Value) -> impl Iterator<Item = &Value> {
    ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|word| schema[word].as_array()).flatten()
}

/// Every key that a settings type has.
fn declared(schema: &Value, name: &str, keys: &mut Keys) {
    for key in schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key) {
        keys.insert((name.to_owned(), key.clone()));
    }
    for other in alternatives(schema) {
        declared(other, name, keys);
    }
}

/// Every key that stands in `value`.
fn used(value: &Value, schema: &Value, root: &Value, name: &str, keys: &mut Keys) {
    let (name, schema) = resolve(schema, root, name);
    for other in alternatives(schema) {
        used(value, other, root, &name, keys);
    }
    for (key, inner) in value.as_object().into_iter().flatten() {
        let of_key = &schema["properties"][key.as_str()];
        if !of_key.is_null() {
            keys.insert((name.clone(), key.clone()));
            used(inner, of_key, root, &name, keys);
        } else if schema["additionalProperties"].is_object() {
            used(inner, &schema["additionalProperties"], root, &name, keys);
        }
    }
    for inner in value.as_array().into_iter().flatten() {
        used(inner, &schema["items"], root, &name, keys);
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect()
}

#[test]
fn every_setting_has_an_example() {
    let schema: Value =
        serde_json::from_str(&fs::read_to_string(root().join("docs/seawall.schema.json")).unwrap()).unwrap();
    let mut all = Keys::new();
    declared(&schema, "", &mut all);
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        declared(definition, name, &mut all);
    }
    assert!(all.len() > 200, "the schema is not understood: {} keys", all.len());
    let mut seen = Keys::new();
    for file in files(&root().join("conf")) {
        let text = fs::read_to_string(&file).unwrap();
        let value: Value = serde_yaml::from_str(&text).unwrap();
        used(&value, &schema, &schema, "", &mut seen);
    }
    let missing: Vec<_> = all.difference(&seen).collect();
    assert!(missing.is_empty(), "add them to conf/examples/every-setting.yaml: {missing:#?}");
}
