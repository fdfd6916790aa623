//! Host names in certificates and in SNI, and the table that chooses between certificates.

use std::borrow::Cow;

use ahash::AHashMap;

/// A name as it is compared: lower case, without the dot of the root.
pub(crate) fn normal_name(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Which certificate (by its place in the list) is for a name.
#[derive(Debug, Default)]
pub(crate) struct NameTable {
    exact: AHashMap<String, usize>,
    /// `*.example.com` by `example.com`.
    wildcard: AHashMap<String, usize>,
    default: usize,
}

impl NameTable {
    /// An empty table whose answer is `default`.
    pub(crate) fn new(default: usize) -> Self {
        Self { default, ..Self::default() }
    }

    /// Adds a name of a certificate. The first certificate with a name keeps it.
    pub(crate) fn add(&mut self, name: &str, certificate: usize) {
        let (map, name) = match name.strip_prefix("*.") {
            Some(parent) => (&mut self.wildcard, parent),
            None => (&mut self.exact, name),
        };
        map.entry(name.to_owned()).or_insert(certificate);
    }

    /// The certificate for the name a client asks for: an equal name, else a wildcard for its first label (RFC
    /// 9525 section 6.3), else the default.
    pub(crate) fn find(&self, asked: Option<&str>) -> usize {
        let Some(asked) = asked else {
            return self.default;
        };
        let name: Cow<'_, str> = if asked.bytes().any(|b| b.is_ascii_uppercase()) || asked.ends_with('.') {
            Cow::Owned(normal_name(asked))
        } else {
            Cow::Borrowed(asked)
        };
        if let Some(found) = self.exact.get(&*name) {
            return *found;
        }
        name.split_once('.')
            .filter(|(label, _)| !label.is_empty())
            .and_then(|(_, parent)| self.wildcard.get(parent))
            .copied()
            .unwrap_or(self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::{NameTable, normal_name};

    #[test]
    fn exact_then_wildcard_then_default() {
        let mut table = NameTable::new(9);
        table.add("www.example.com", 1);
        table.add("*.example.com", 2);
        table.add("*.example.com", 3);
        for (asked, found) in [
            (Some("www.example.com"), 1),
            (Some("WWW.Example.com."), 1),
            (Some("api.example.com"), 2),
            (Some("a.b.example.com"), 9),
            (Some("example.com"), 9),
            (Some(".example.com"), 9),
            (Some("other.test"), 9),
            (Some(""), 9),
            (None, 9),
        ] {
            assert_eq!(table.find(asked), found, "{asked:?}");
        }
    }

    #[test]
    fn names_are_compared_without_case_and_root_dot() {
        assert_eq!(normal_name("WWW.Example.COM."), "www.example.com");
    }
}
