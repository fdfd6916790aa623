//! Names by which many responses are purged at once: their host, the paths above them, and the tags that the origin
//! gave them.

mod known;

use std::sync::Arc;
use std::time::SystemTime;

use crate::purges::{Purge, Scope};

/// Path segments that a purge by prefix may name. A response has a label for each of its first so many.
pub const MAX_PREFIX_SEGMENTS: usize = 16;

/// The labels of a response, hashed.
///
/// Put them into the extensions of the [`CacheMeta`](pingora_cache::CacheMeta) of a response. The store takes them out
/// of there and keeps them, 16 bytes each, beside the response in both tiers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(Arc<[u128]>);

impl Labels {
    /// The labels of a response for `path` (from its slash to the query) at `host` (without its port) that bears `tags`.
    pub fn new<'t>(host: &str, path: &str, tags: impl Iterator<Item = &'t str>) -> Self {
        // The host and the paths above are those of many responses.
        let mut names = vec![Label::Host(host).known_name()];
        let mut ends: Vec<usize> = path.match_indices('/').map(|(at, _)| at).skip(1).collect();
        ends.push(path.len());
        for end in ends.into_iter().take(MAX_PREFIX_SEGMENTS) {
            let above = path.get(..end).unwrap_or(path);
            if above.len() > 1 {
                let label = Label::Prefix { host, path: above };
                names.push(if end < path.len() { label.known_name() } else { label.name() });
            }
        }
        names.extend(tags.map(|tag| Label::Tag(tag).name()));
        names.dedup();
        Self(names.into())
    }

    pub(crate) fn from_names(names: &[u128]) -> Self {
        Self(names.into())
    }

    pub(crate) fn names(&self) -> &[u128] {
        &self.0
    }

    /// Memory they take, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        // The counts of references are in front.
        if self.0.is_empty() { 0 } else { (size_of_val(&*self.0) + 2 * size_of::<usize>()) as u64 }
    }
}

/// What a purge of many responses names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label<'a> {
    /// All responses with this tag.
    Tag(&'a str),
    /// All responses of a host, whatever scheme and port.
    Host(&'a str),
    /// All responses of a host at this path and beneath it. A slash at the end makes no difference.
    Prefix {
        /// The host, without its port.
        host: &'a str,
        /// The path, from its slash on; no more than [`MAX_PREFIX_SEGMENTS`] segments.
        path: &'a str,
    },
    /// All there is.
    Everything,
}

impl Label<'_> {
    fn scope(self) -> Scope {
        match self {
            Self::Tag(_) => Scope::Tag,
            Self::Host(_) => Scope::Host,
            Self::Prefix { path, .. } if path.trim_end_matches('/').is_empty() => Scope::Host,
            Self::Prefix { .. } => Scope::Prefix,
            Self::Everything => Scope::Everything,
        }
    }

    fn name(self) -> u128 {
        if self == Self::Everything { 0 } else { known::hash(&self.text()) }
    }

    /// The same, for labels that many responses have.
    fn known_name(self) -> u128 {
        if self == Self::Everything { 0 } else { known::look_up(self.text()) }
    }

    /// What is hashed.
    fn text(self) -> Vec<u8> {
        let mut bytes = vec![self.scope() as u8];
        match self {
            Self::Tag(text) | Self::Host(text) => bytes.extend_from_slice(text.as_bytes()),
            Self::Prefix { host, path } => {
                bytes.extend_from_slice(host.as_bytes());
                // No host has one, so this tells where the path begins.
                bytes.extend_from_slice(path.trim_end_matches('/').as_bytes());
            }
            Self::Everything => {}
        }
        bytes
    }

    /// The purge of it at `epoch`; with a moment, a soft one.
    pub(crate) fn purge(self, epoch: u64, soft: Option<SystemTime>) -> Purge {
        match soft {
            None => Purge::hard(self.scope(), self.name(), epoch),
            Some(since) => Purge::soft(self.scope(), self.name(), epoch, since),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(labels: &Labels, label: Label<'_>) -> bool {
        labels.names().contains(&label.name())
    }

    #[test]
    fn a_response_has_its_host_its_tags_and_the_paths_above_it() {
        let labels = Labels::new("example.com", "/a/b/c.css", ["news", "p-1"].into_iter());
        assert_eq!(labels.names().len(), 1 + 3 + 2);
        let prefix = |path| Label::Prefix { host: "example.com", path };
        for there in [
            Label::Host("example.com"),
            Label::Tag("news"),
            Label::Tag("p-1"),
            prefix("/"),
            prefix("/a"),
            prefix("/a/"),
            prefix("/a/b"),
            prefix("/a/b/c.css"),
        ] {
            assert!(has(&labels, there), "{there:?}");
        }
        for other in [
            Label::Host("example.net"),
            Label::Host("news"),
            Label::Tag("example.com"),
            Label::Tag("New"),
            prefix("/a/b/c"),
            prefix("/b"),
            prefix("/a/b/c.css/d"),
            Label::Prefix { host: "example.net", path: "/a" },
        ] {
            assert!(!has(&labels, other), "{other:?}");
        }
    }

    #[test]
    fn odd_paths_have_labels_too() {
        let none = std::iter::empty();
        assert_eq!(Labels::new("h", "/", none.clone()).names().len(), 1);
        assert_eq!(Labels::new("h", "", none.clone()).names().len(), 1);
        assert!(has(&Labels::new("h", "/a/", none.clone()), Label::Prefix { host: "h", path: "/a" }));
        let deep = "/x".repeat(40);
        let labels = Labels::new("h", &deep, none);
        assert_eq!(labels.names().len(), 1 + MAX_PREFIX_SEGMENTS);
        assert!(has(&labels, Label::Prefix { host: "h", path: &deep[..2 * MAX_PREFIX_SEGMENTS] }));
    }
}
