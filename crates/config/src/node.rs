//! The configuration as a tree that remembers where each key and value was written.

use crate::path::{Path, Segment};

/// Where something was written. Lines and columns count from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Location {
    /// Index of the file in its [`Document`](crate::Document).
    pub file: usize,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// How many characters of the line to underline.
    pub width: usize,
}

/// One value of the tree with its place.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where the value begins.
    pub at: Location,
    /// What it is.
    pub value: NodeValue,
}

/// The three shapes of YAML.
#[derive(Debug, Clone)]
pub enum NodeValue {
    /// A string, number, boolean or null, typed as `serde_yaml` types it.
    Scalar(serde_yaml::Value),
    /// A list.
    List(Vec<Node>),
    /// A map in the order it was written: the key, where the key stands, its value.
    Map(Vec<(String, Location, Node)>),
}

impl Node {
    /// The value at `path`, if the tree has one.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<&Node> {
        path.segments().iter().try_fold(self, |node, segment| match (&node.value, segment) {
            (NodeValue::Map(entries), Segment::Key(key)) => {
                entries.iter().find(|(name, ..)| name == key).map(|(_, _, value)| value)
            }
            (NodeValue::List(items), Segment::Index(index)) => items.get(*index),
            _ => None,
        })
    }

    /// Where the key that `path` ends with was written (an element's own place for a list).
    #[must_use]
    pub fn key_location(&self, path: &Path) -> Option<Location> {
        let parent = self.get(&path.parent())?;
        match (&parent.value, path.segments().last()?) {
            (NodeValue::Map(entries), Segment::Key(key)) => {
                entries.iter().find(|(name, ..)| name == key).map(|(_, at, _)| *at)
            }
            (NodeValue::List(items), Segment::Index(index)) => items.get(*index).map(|item| item.at),
            _ => None,
        }
    }

    /// Takes the value at `path` out of the tree. Returns whether there was one.
    pub(crate) fn remove(&mut self, path: &Path) -> bool {
        let Some((last, above)) = path.segments().split_last() else { return false };
        let mut node = self;
        for segment in above {
            let next = match (&mut node.value, segment) {
                (NodeValue::Map(entries), Segment::Key(key)) => {
                    entries.iter_mut().find(|(name, ..)| name == key).map(|(_, _, value)| value)
                }
                (NodeValue::List(items), Segment::Index(index)) => items.get_mut(*index),
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => return false,
            }
        }
        match (&mut node.value, last) {
            (NodeValue::Map(entries), Segment::Key(key)) => {
                let before = entries.len();
                entries.retain(|(name, ..)| name != key);
                entries.len() < before
            }
            (NodeValue::List(items), Segment::Index(index)) if *index < items.len() => {
                items.remove(*index);
                true
            }
            _ => false,
        }
    }

    /// The plain value without places, for `serde_yaml`.
    #[must_use]
    pub fn to_value(&self) -> serde_yaml::Value {
        match &self.value {
            NodeValue::Scalar(value) => value.clone(),
            NodeValue::List(items) => serde_yaml::Value::Sequence(items.iter().map(Node::to_value).collect()),
            NodeValue::Map(entries) => serde_yaml::Value::Mapping(
                entries
                    .iter()
                    .map(|(key, _, value)| (serde_yaml::Value::String(key.clone()), value.to_value()))
                    .collect(),
            ),
        }
    }

    /// What a person would call this value in an error.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.value {
            NodeValue::Scalar(serde_yaml::Value::Null) => "nothing",
            NodeValue::Scalar(serde_yaml::Value::Bool(_)) => "a boolean",
            NodeValue::Scalar(serde_yaml::Value::Number(_)) => "a number",
            NodeValue::Scalar(_) => "a string",
            NodeValue::List(_) => "a list",
            NodeValue::Map(_) => "a map",
        }
    }
}
