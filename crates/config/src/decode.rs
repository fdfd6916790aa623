//! From the tree to typed settings, with every error in one run.
//!
//! serde stops at its first error. So we decode, and on an error report it, take the offending key or value
//! out of the tree, and decode again until it succeeds. What is missing only because we took it out is not
//! reported a second time.

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment as SerdeSegment;

use crate::document::Document;
use crate::node::{Node, NodeValue};
use crate::path::{Path, Segment};
use crate::{Diagnostics, did_you_mean};

/// Errors reported from one file before giving up.
const MAX_ROUNDS: usize = 500;

impl Document {
    /// Decodes the whole tree. Errors go to `out`; `None` when something required is missing at the top.
    pub fn decode<T: DeserializeOwned>(&mut self, out: &mut Diagnostics) -> Option<T> {
        for _ in 0..MAX_ROUNDS {
            let error = match serde_path_to_error::deserialize::<_, T>(self.root.to_value()) {
                Ok(settings) => return Some(settings),
                Err(error) => error,
            };
            let path = settle(&self.root, to_path(error.path()));
            let message = error.inner().to_string();
            // One sentence: serde_yaml may repeat the path that the location already tells.
            let message = message.strip_prefix(&format!("{path}: ")).unwrap_or(&message).to_owned();
            let before = out.len();
            let remove = self.report(&path, &message, out);
            // The place must be looked up now: what is wrong is about to leave the tree.
            out.fix_locations(before, self);
            if remove.segments().is_empty() || !self.root.remove(&remove) {
                return None;
            }
            self.pruned.push(remove);
        }
        out.error(&Path::root(), format!("more than {MAX_ROUNDS} errors; the rest is not shown"));
        None
    }

    /// Reports one error and names what to take out before the next try.
    fn report(&self, path: &Path, message: &str, out: &mut Diagnostics) -> Path {
        if let Some((key, known)) = parse_quoted(message, "unknown field `") {
            let at = if matches!(path.segments().last(), Some(Segment::Key(last)) if *last == key && self.root.get(path).is_some())
            {
                path.clone()
            } else {
                path.key(&key)
            };
            let found = out.error(&at, format!("unknown key `{key}`")).on_key();
            match did_you_mean(&key, known.iter().map(String::as_str)) {
                Some(near) => found.hint(format!("did you mean `{near}`?")),
                None if known.is_empty() => found.hint("no keys are known here"),
                None => found.hint(format!("known keys: {}", known.join(", "))),
            };
            return at;
        }
        if let Some((key, _)) = parse_quoted(message, "missing field `") {
            let missing = path.key(&key);
            if !self.is_pruned(&missing) {
                out.error(path, format!("`{key}` is missing")).hint(format!("add `{key}:` here"));
            }
            return path.clone();
        }
        if let Some((value, known)) = parse_quoted(message, "unknown variant `") {
            let found = out.error(path, format!("`{value}` is not known here"));
            match did_you_mean(&value, known.iter().map(String::as_str)) {
                Some(near) => found.hint(format!("did you mean `{near}`?")),
                None => found.hint(format!("one of: {}", known.join(", "))),
            };
            return path.clone();
        }
        out.error(path, plain(message));
        path.clone()
    }
}

/// serde's wording in the words of someone who writes YAML.
fn plain(message: &str) -> String {
    let Some(rest) =
        message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "))
    else {
        return message.to_owned();
    };
    let Some((found, expected)) = rest.rsplit_once(", expected ") else { return message.to_owned() };
    let expected = match expected {
        "a sequence" => "a list",
        "a string" | "string" => "text",
        "a Value::Tagged enum" => "a word",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "`true` or `false`",
        other if other.starts_with("struct ") => "a map of settings",
        other => other,
    };
    let found = match found {
        "unit value" | "null" | "Option value" => "nothing".to_owned(),
        "map" => "a map".to_owned(),
        "sequence" => "a list".to_owned(),
        other => match other.split_once(' ') {
            Some(("string", text)) => format!("`{}`", text.trim_matches('"')),
            Some(("integer" | "boolean", text)) => text.trim_matches('`').to_owned(),
            Some(("floating", text)) => text.trim_start_matches("point ").trim_matches('`').to_owned(),
            _ => other.to_owned(),
        },
    };
    format!("expected {expected}, found {found}")
}

/// The name right after `prefix`, and every other name in backquotes after it.
fn parse_quoted(message: &str, prefix: &str) -> Option<(String, Vec<String>)> {
    let rest = &message[message.find(prefix)? + prefix.len()..];
    let (name, rest) = match rest.find("`, ") {
        Some(end) => (&rest[..end], &rest[end + 1..]),
        None => (&rest[..rest.rfind('`')?], ""),
    };
    let known = rest.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    Some((name.to_owned(), known))
}

fn to_path(path: &serde_path_to_error::Path) -> Path {
    path.iter().fold(Path::root(), |at, segment| match segment {
        SerdeSegment::Map { key } => at.key(key),
        SerdeSegment::Seq { index } => at.index(*index),
        SerdeSegment::Enum { .. } | SerdeSegment::Unknown => at,
    })
}

/// The deepest part of `path` that the tree really has (a short form's inner steps are not in the tree).
fn settle(root: &Node, path: Path) -> Path {
    let mut path = path;
    // An unknown key keeps its last step: the key is there.
    while root.get(&path).is_none() && !path.segments().is_empty() {
        path = path.parent();
    }
    if let Some(Node { value: NodeValue::Map(_) | NodeValue::List(_) | NodeValue::Scalar(_), .. }) =
        root.get(&path)
    {
        return path;
    }
    Path::root()
}
