use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::path::{PathError, normalize_path};
use crate::path_regex::PathRegex;
use crate::pattern::{Pattern, PatternError, Segment};

/// Why a path condition is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// The text of `exact` or `path` is not a path.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The text is spelled in a way that no request's path has when it is matched.
    #[error("requests are matched after normalisation; write `{0}`")]
    Denormal(String),
    /// `exact` or `path` with a placeholder or a star, which they take literally.
    #[error("`{0}` is not special here; use `pattern` for placeholders, or `regex`")]
    Special(char),
    /// A bad pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// A bad regex.
    #[error("{0}")]
    Regex(String),
}

/// What a route asks of the path.
#[derive(Debug, Clone)]
pub struct Condition(pub(crate) Kind);

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Exact(String),
    Pattern(Pattern),
    Regex(PathRegex),
    /// Without the slash at the end, so the root is empty.
    Prefix(String),
}

impl Condition {
    /// The whole path.
    ///
    /// # Errors
    /// When `text` is not a normal path.
    pub fn exact(text: &str) -> Result<Self, ConditionError> {
        literal_path(text).map(|path| Self(Kind::Exact(path.to_owned())))
    }

    /// A prefix cut at a slash.
    ///
    /// # Errors
    /// When `text` is not a normal path.
    pub fn prefix(text: &str) -> Result<Self, ConditionError> {
        let path = literal_path(text)?;
        Ok(Self(Kind::Prefix(path.strip_suffix('/').unwrap_or(path).to_owned())))
    }

    /// A path with placeholders.
    ///
    /// # Errors
    /// When `text` is not a pattern.
    pub fn pattern(text: &str) -> Result<Self, ConditionError> {
        Ok(Self(Kind::Pattern(Pattern::parse(text)?)))
    }

    /// A regex that is searched for in the path.
    ///
    /// # Errors
    /// When `text` is no regex or needs too much memory.
    pub fn regex(text: &str) -> Result<Self, ConditionError> {
        PathRegex::parse(text).map(|regex| Self(Kind::Regex(regex))).map_err(ConditionError::Regex)
    }

    /// Whether it covers `path`, which [`normalize_path`] made.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        match &self.0 {
            Kind::Exact(own) => own == path,
            Kind::Pattern(pattern) => pattern.matches(path),
            Kind::Regex(regex) => regex.matches(path),
            Kind::Prefix(own) => {
                path.strip_prefix(own.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }

    /// The names of what it captures.
    #[must_use]
    pub fn names(&self) -> &[Arc<str>] {
        match &self.0 {
            Kind::Pattern(pattern) => pattern.names(),
            Kind::Regex(regex) => regex.names(),
            Kind::Exact(_) | Kind::Prefix(_) => &[],
        }
    }

    /// Whether both cover the same paths with the same precedence. Two regexes are the same when their
    /// texts are.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Exact(a), Kind::Exact(b)) | (Kind::Prefix(a), Kind::Prefix(b)) => a == b,
            (Kind::Pattern(a), Kind::Pattern(b)) => a.segments() == b.segments(),
            (Kind::Regex(a), Kind::Regex(b)) => a.as_str() == b.as_str(),
            _ => false,
        }
    }

    /// Which of two conditions that cover the same path is tried first. Regexes are equal: the file orders
    /// them.
    pub(crate) fn precedence(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank()).then_with(|| match (&self.0, &other.0) {
            (Kind::Pattern(a), Kind::Pattern(b)) => a.segments().cmp(b.segments()),
            (Kind::Prefix(a), Kind::Prefix(b)) => b.len().cmp(&a.len()),
            _ => Ordering::Equal,
        })
    }

    fn rank(&self) -> u8 {
        match &self.0 {
            Kind::Exact(_) => 0,
            Kind::Pattern(_) => 1,
            Kind::Regex(_) => 2,
            Kind::Prefix(_) => 3,
        }
    }

    /// Some path it covers, where one can be told.
    pub(crate) fn sample(&self) -> Option<String> {
        match &self.0 {
            Kind::Exact(path) => Some(path.clone()),
            Kind::Prefix(prefix) => Some(format!("{prefix}/x")),
            Kind::Pattern(pattern) => {
                let parts = pattern.segments().iter().map(|segment| match segment {
                    Segment::Literal(text) => text,
                    Segment::One | Segment::Rest => "x",
                });
                Some(parts.fold(String::new(), |path, part| path + "/" + part))
            }
            Kind::Regex(_) => None,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Exact(path) => write!(f, "exact `{path}`"),
            Kind::Pattern(pattern) => write!(f, "pattern `{pattern}`"),
            Kind::Regex(regex) => write!(f, "regex `{}`", regex.as_str()),
            Kind::Prefix(prefix) => write!(f, "path `{prefix}/`"),
        }
    }
}

/// A path that is matched literally: it must be spelled as normalisation spells it, or it would never match.
fn literal_path(text: &str) -> Result<&str, ConditionError> {
    if let Some(special) = text.chars().find(|c| matches!(c, '{' | '}' | '*')) {
        return Err(ConditionError::Special(special));
    }
    let normal = normalize_path(text)?;
    if normal == text { Ok(text) } else { Err(ConditionError::Denormal(normal.into_owned())) }
}

#[cfg(test)]
mod tests {
    use super::{Condition, ConditionError};
    use crate::PathError;

    #[test]
    fn a_prefix_ends_at_a_slash() {
        for (prefix, path, covered) in [
            ("/", "/", true),
            ("/", "/x", true),
            ("/app", "/app", true),
            ("/app", "/app/", true),
            ("/app/", "/app", true),
            ("/app/", "/app/x", true),
            ("/app", "/apple", false),
            ("/app", "/", false),
            ("/app", "/app%2Fx", false),
        ] {
            assert_eq!(Condition::prefix(prefix).unwrap().matches(path), covered, "{prefix} {path}");
        }
    }

    #[test]
    fn an_exact_path_is_the_whole_path() {
        let exact = Condition::exact("/app").unwrap();
        assert!(exact.matches("/app"));
        assert!(!exact.matches("/app/") && !exact.matches("/ap") && !exact.matches("/app/x"));
    }

    #[test]
    fn refuses_what_could_never_match() {
        for (text, error) in [
            ("app", ConditionError::Path(PathError::NotAbsolute)),
            ("/a?x=1", ConditionError::Path(PathError::IllegalByte(b'?'))),
            ("/a/../b", ConditionError::Denormal("/b".into())),
            ("/%61", ConditionError::Denormal("/a".into())),
            ("/a/*", ConditionError::Special('*')),
            ("/{id}", ConditionError::Special('{')),
        ] {
            assert_eq!(Condition::exact(text).unwrap_err(), error, "{text}");
            assert_eq!(Condition::prefix(text).unwrap_err(), error, "{text}");
        }
        assert!(matches!(Condition::regex("["), Err(ConditionError::Regex(_))));
    }

    #[test]
    fn knows_its_like() {
        let same = |a: Condition, b: Condition| a.same_as(&b);
        assert!(same(Condition::prefix("/a").unwrap(), Condition::prefix("/a/").unwrap()));
        assert!(same(Condition::pattern("/{a}/x").unwrap(), Condition::pattern("/{b}/x").unwrap()));
        assert!(!same(Condition::pattern("/{a}").unwrap(), Condition::pattern("/{*a}").unwrap()));
        assert!(!same(Condition::exact("/a").unwrap(), Condition::prefix("/a").unwrap()));
    }

    #[test]
    fn its_sample_is_covered() {
        for condition in [
            Condition::exact("/a").unwrap(),
            Condition::prefix("/").unwrap(),
            Condition::prefix("/a/b/").unwrap(),
            Condition::pattern("/{a}/b/{*c}").unwrap(),
        ] {
            assert!(condition.matches(&condition.sample().unwrap()), "{condition}");
        }
    }
}
