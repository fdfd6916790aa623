//! `include:` of a folder of site files.
//!
//! An included file may hold `sites` and `upstreams`, nothing else: listeners, limits and the like belong to
//! the node and stay in the main file. Lists are appended, maps are joined, and a name given twice is an
//! error with both places.

use std::path::{Path as FilePath, PathBuf};

use serde_yaml::Value;

use crate::document::{Document, describe, relative_to};
use crate::node::{Location, Node, NodeValue};
use crate::{Diagnostics, OneOrMany, Path};

const INCLUDABLE: [&str; 2] = ["sites", "upstreams"];
/// Files of one `include`.
const MAX_FILES: usize = 10_000;

pub(crate) fn resolve(document: &mut Document, main: &FilePath, out: &mut Diagnostics) {
    let at = Path::root().key("include");
    let Some(node) = document.root.get(&at).cloned() else { return };
    document.root.remove(&at);
    let names: OneOrMany<String> = match serde_yaml::from_value(node.to_value()) {
        Ok(names) => names,
        Err(_) => {
            out.error_at(
                &at,
                node.at,
                format!("expected a folder or a list of folders and files, found {}", node.kind()),
            );
            return;
        }
    };
    for name in names.iter() {
        match files(&relative_to(main, name)) {
            Ok(files) => {
                for file in files {
                    one(document, &file, out);
                }
            }
            Err(why) => {
                out.error_at(&at, node.at, format!("cannot include `{name}`: {why}"));
            }
        }
    }
}

fn files(path: &FilePath) -> Result<Vec<PathBuf>, String> {
    let meta = std::fs::metadata(path).map_err(|e| describe(&e))?;
    if meta.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|e| describe(&e))? {
        let file = entry.map_err(|e| describe(&e))?.path();
        let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && file.extension().is_some_and(|ext| ext == "yaml" || ext == "yml") {
            files.push(file);
        }
        if files.len() > MAX_FILES {
            return Err(format!("it holds more than {MAX_FILES} files"));
        }
    }
    files.sort();
    Ok(files)
}

fn one(document: &mut Document, file: &FilePath, out: &mut Diagnostics) {
    let Some(node) = document.read(file, out, &|name| std::env::var(name).ok()) else { return };
    let NodeValue::Map(entries) = node.value else {
        out.error_at(&Path::root(), node.at, "expected a map with `sites` and `upstreams`");
        return;
    };
    for (key, key_at, value) in entries {
        if !INCLUDABLE.contains(&key.as_str()) {
            let found =
                out.error_at(&Path::root(), key_at, format!("`{key}` cannot stand in an included file"));
            match crate::did_you_mean(&key, INCLUDABLE) {
                Some(near) => found.hint(format!("did you mean `{near}`?")),
                None => found.hint(
                    "an included file holds `sites` and `upstreams`; the rest belongs to the main file",
                ),
            };
            continue;
        }
        merge(&mut document.root, key, key_at, value, out);
    }
}

fn merge(root: &mut Node, key: String, key_at: Location, value: Node, out: &mut Diagnostics) {
    let NodeValue::Map(entries) = &mut root.value else { return };
    let Some((_, _, present)) = entries.iter_mut().find(|(name, ..)| *name == key) else {
        entries.push((key, key_at, value));
        return;
    };
    let path = Path::root().key(&key);
    match (&mut present.value, value.value) {
        (_, NodeValue::Scalar(Value::Null)) => {}
        (NodeValue::List(have), NodeValue::List(more)) => have.extend(more),
        (NodeValue::Map(have), NodeValue::Map(more)) => {
            for (name, name_at, node) in more {
                if let Some((_, first, _)) = have.iter().find(|(known, ..)| *known == name) {
                    let line = first.line;
                    out.error_at(&path.key(&name), name_at, format!("`{key}.{name}` is given twice"))
                        .hint(format!("it was first given on line {line} of an earlier file"));
                } else {
                    have.push((name, name_at, node));
                }
            }
        }
        (present @ NodeValue::Scalar(Value::Null), more) => *present = more,
        (_, _) => {
            out.error_at(&path, value.at, format!("`{key}` is a list in one file and a map in another"));
        }
    }
}
