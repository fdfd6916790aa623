//! The reference documentation and the JSON Schema, both from the settings types.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// The JSON Schema (draft 2020-12) of `T`, for editors and validators.
#[must_use]
pub fn strict_schema<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value()
}

/// The Markdown reference of a schema made by [`strict_schema`]: one section per settings type, in the order
/// in which a reader of the file meets them, with a table of keys, types, defaults and descriptions.
#[must_use]
pub fn markdown_reference(schema: &Value) -> String {
    let mut text = String::new();
    let mut queue = vec![String::new()];
    let mut seen: BTreeSet<String> = BTreeSet::new();
    while !queue.is_empty() {
        let name = queue.remove(0);
        if !seen.insert(name.clone()) {
            continue;
        }
        let node = if name.is_empty() { schema } else { &schema["$defs"][&name] };
        section(&mut text, &name, node, schema, &mut queue);
    }
    text
}

fn section(text: &mut String, name: &str, node: &Value, schema: &Value, queue: &mut Vec<String>) {
    let Some(properties) = node.get("properties").and_then(Value::as_object) else { return };
    let title = if name.is_empty() { "The file" } else { name };
    // Writing to a String cannot fail.
    let _ = writeln!(text, "## {title}\n");
    if let Some(description) = node.get("description").and_then(Value::as_str) {
        let _ = writeln!(text, "{description}\n");
    }
    let required: Vec<&str> = node
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let _ = writeln!(text, "| key | value | default | what it does |\n|---|---|---|---|");
    for (key, property) in properties {
        let mut mentioned = Vec::new();
        let kind = describe_type(property, schema, &mut mentioned);
        queue.extend(mentioned);
        let default = match property.get("default") {
            Some(Value::Null) | None if required.contains(&key.as_str()) => "required".to_owned(),
            Some(Value::Null) | None => "–".to_owned(),
            Some(Value::Object(_)) => "see below".to_owned(),
            Some(Value::String(value)) => format!("`{value}`"),
            Some(other) => format!("`{other}`"),
        };
        let description = property
            .get("description")
            .or_else(|| {
                let target = property.get("$ref")?.as_str()?.strip_prefix("#/$defs/")?;
                schema["$defs"][target].get("description")
            })
            .and_then(Value::as_str)
            .unwrap_or("")
            .replace("\n\n", "<br>")
            .replace('\n', " ")
            .replace('|', "\\|");
        let _ = writeln!(text, "| `{key}` | {kind} | {default} | {description} |");
    }
    text.push('\n');
}

fn describe_type(node: &Value, schema: &Value, mentioned: &mut Vec<String>) -> String {
    if let Some(target) = node.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix("#/$defs/")) {
        let definition = &schema["$defs"][target];
        if definition.get("properties").is_some() {
            mentioned.push(target.to_owned());
            return format!("[{target}](#{})", target.to_ascii_lowercase());
        }
        return match target {
            "ByteSize" => "size".into(),
            "Span" => "time".into(),
            "Cidr" => "network".into(),
            _ => describe_type(definition, schema, mentioned),
        };
    }
    if let Some(values) = node.get("enum").and_then(Value::as_array) {
        return values
            .iter()
            // A number is another way to write the same text.
            .filter_map(|v| v.as_str().map(|text| format!("`{text}`")))
            .collect::<Vec<_>>()
            .join(", ");
    }
    if let Some(value) = node.get("const").and_then(Value::as_str) {
        return format!("`{value}`");
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(options) = node.get(key).and_then(Value::as_array) {
            let mut kinds: Vec<String> = Vec::new();
            for option in options.iter().filter(|option| option.get("type") != Some(&Value::from("null"))) {
                let kind = describe_type(option, schema, mentioned);
                if !kinds.contains(&kind) {
                    kinds.push(kind);
                }
            }
            let separator = if kinds.iter().all(|kind| kind.starts_with('`')) { ", " } else { " or " };
            return kinds.join(separator);
        }
    }
    if let Some(items) = node.get("items") {
        return format!("list of {}", describe_type(items, schema, mentioned));
    }
    if let Some(values) = node.get("additionalProperties").filter(|v| v.is_object()) {
        return format!("map of name to {}", describe_type(values, schema, mentioned));
    }
    let kinds: Vec<&str> = match node.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect()
        }
        _ => vec![],
    };
    match kinds.first() {
        Some(&"string") => "text".into(),
        Some(&"integer") => "whole number".into(),
        Some(&"boolean") => "`true`, `false`".into(),
        Some(other) => (*other).into(),
        None => "any".into(),
    }
}
