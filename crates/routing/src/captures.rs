use std::sync::Arc;

/// What the placeholders of a pattern or the groups of a regex matched, still percent-encoded as the path is.
///
/// Nothing is allocated when there are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captures {
    pairs: Vec<(Arc<str>, Box<str>)>,
}

impl Captures {
    /// The text that the placeholder `name` matched. A regex's group without a name goes by its number.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(own, _)| **own == *name).map(|(_, value)| &**value)
    }

    /// Names and texts in the order of the pattern.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Whether nothing was captured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

impl<'a> FromIterator<(&'a Arc<str>, &'a str)> for Captures {
    fn from_iter<I: IntoIterator<Item = (&'a Arc<str>, &'a str)>>(pairs: I) -> Self {
        Self { pairs: pairs.into_iter().map(|(name, value)| (Arc::clone(name), value.into())).collect() }
    }
}
