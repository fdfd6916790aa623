//! Names of parameters and cookies as settings write them.

/// A name, or a prefix of names written `utm_*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    text: Vec<u8>,
    prefix: bool,
}

impl Name {
    pub(crate) fn new(written: &str) -> Self {
        match written.strip_suffix('*') {
            Some(prefix) => Self { text: prefix.as_bytes().to_vec(), prefix: true },
            None => Self { text: written.as_bytes().to_vec(), prefix: false },
        }
    }

    pub(crate) fn matches(&self, name: &[u8]) -> bool {
        if self.prefix { name.starts_with(&self.text) } else { name == self.text }
    }
}
