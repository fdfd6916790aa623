//! Which query parameters of a target count, and in which order.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::{Name, QuerySettings};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Keep {
    #[default]
    All,
    Only(Vec<Name>),
    AllBut(Vec<Name>),
}

impl Keep {
    fn keeps(&self, name: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|known| known.matches(name)),
            Self::AllBut(names) => !names.iter().any(|known| known.matches(name)),
        }
    }
}

/// The compiled form of [`QuerySettings`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct QueryRule {
    keep: Keep,
    sort: bool,
}

impl QueryRule {
    pub(super) fn new(settings: &QuerySettings) -> Self {
        let names = |list: &[String]| list.iter().map(|name| Name::new(name)).collect();
        let keep = match &settings.include {
            Some(only) => Keep::Only(names(only)),
            None if settings.exclude.is_empty() => Keep::All,
            None => Keep::AllBut(names(&settings.exclude)),
        };
        Self { keep, sort: settings.sort }
    }

    /// The target with only the parameters that count, in their order.
    ///
    /// Names are compared as they are spelled: a parameter hidden behind percent-encoding is kept, which
    /// costs a second stored response but never serves the wrong one. The order of parameters with one name
    /// has a meaning to many applications, so sorting keeps it.
    pub(super) fn apply<'a>(&self, target: &'a [u8]) -> Cow<'a, [u8]> {
        if self.keep == Keep::All && !self.sort {
            return Cow::Borrowed(target);
        }
        let Some(mark) = target.iter().position(|byte| *byte == b'?') else { return Cow::Borrowed(target) };
        let (path, query) = (&target[..mark], &target[mark + 1..]);
        let mut kept: Vec<&[u8]> = query
            .split(|byte| *byte == b'&')
            .filter(|pair| !pair.is_empty() && self.keep.keeps(name_of(pair)))
            .collect();
        if self.sort {
            kept.sort_by(|a, b| by_name(a, b));
        }
        let mut out = Vec::with_capacity(target.len());
        out.extend_from_slice(path);
        for (index, pair) in kept.iter().enumerate() {
            out.push(if index == 0 { b'?' } else { b'&' });
            out.extend_from_slice(pair);
        }
        if out == target { Cow::Borrowed(target) } else { Cow::Owned(out) }
    }
}

fn name_of(pair: &[u8]) -> &[u8] {
    pair.split(|byte| *byte == b'=').next().unwrap_or(pair)
}

fn by_name(a: &[u8], b: &[u8]) -> Ordering {
    name_of(a).cmp(name_of(b))
}
