//! `/users/{id}/{*rest}`: a path with placeholders.

use std::fmt;
use std::sync::Arc;

use crate::path::{PathError, normalize_path};

/// The names that redirects and rewrites give a meaning of their own.
pub(crate) const RESERVED_NAMES: [&str; 4] = ["host", "path", "query", "uri"];

/// Why a pattern is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A placeholder that is only a part of its segment, or a stray brace.
    #[error("in `{0}` a placeholder does not fill its segment; write `/{{name}}/`, or use `regex`")]
    PartialSegment(String),
    /// `{}` or a name with other characters than letters, digits and `_`.
    #[error("`{0}` is not a placeholder name; use letters, digits and `_`, beginning with a letter")]
    Name(String),
    /// One name twice.
    #[error("the placeholder `{0}` stands twice")]
    Duplicate(String),
    /// A name that means something else in redirects and rewrites.
    #[error(
        "the placeholder name `{0}` is taken: `{{host}}`, `{{path}}`, `{{query}}` and `{{uri}}` are parts of the request"
    )]
    Reserved(String),
    /// Something after `{*rest}`.
    #[error("`{{*{0}}}` takes the rest of the path, so nothing can follow it")]
    RestNotLast(String),
    /// The literal part is not a path.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The literal part is spelled in a way that no request's path has when it is matched.
    #[error("requests are matched after normalisation; write `{0}`")]
    Denormal(String),
}

/// One segment. The order is the order of precedence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Segment {
    /// This very text.
    Literal(String),
    /// One segment that is not empty.
    One,
    /// The rest of the path.
    Rest,
}

/// A parsed pattern.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    text: String,
    segments: Vec<Segment>,
    names: Vec<Arc<str>>,
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Self, PatternError> {
        let mut pattern = Self { text: text.to_owned(), segments: Vec::new(), names: Vec::new() };
        // The literal parts, with a harmless segment for each placeholder, must be a normal path.
        let mut literal = String::new();
        let body = text.strip_prefix('/').ok_or(PathError::NotAbsolute)?;
        for part in body.split('/') {
            if let Some(Segment::Rest) = pattern.segments.last() {
                let name = pattern.names.last().map_or_else(String::new, ToString::to_string);
                return Err(PatternError::RestNotLast(name));
            }
            let segment = pattern.segment(part)?;
            literal.push('/');
            literal.push_str(if let Segment::Literal(own) = &segment { own } else { "x" });
            pattern.segments.push(segment);
        }
        if normalize_path(&literal)? == literal {
            return Ok(pattern);
        }
        let normal: Vec<String> = body.split('/').map(normal_part).collect();
        Err(PatternError::Denormal(format!("/{}", normal.join("/"))))
    }

    fn segment(&mut self, part: &str) -> Result<Segment, PatternError> {
        let inside = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        let (name, segment) = match inside {
            Some(inside) => match inside.strip_prefix('*') {
                Some(name) => (name, Segment::Rest),
                None => (inside, Segment::One),
            },
            // `/*rest`, as some routers write it.
            None => match part.strip_prefix('*') {
                Some(name) => (name, Segment::Rest),
                None if part.contains(['{', '}', '*']) => {
                    return Err(PatternError::PartialSegment(part.to_owned()));
                }
                None => return Ok(Segment::Literal(part.to_owned())),
            },
        };
        if name.contains(['{', '}']) {
            return Err(PatternError::PartialSegment(part.to_owned()));
        }
        if !is_name(name) {
            return Err(PatternError::Name(name.to_owned()));
        }
        if RESERVED_NAMES.contains(&name) {
            return Err(PatternError::Reserved(name.to_owned()));
        }
        if self.names.iter().any(|own| **own == *name) {
            return Err(PatternError::Duplicate(name.to_owned()));
        }
        self.names.push(name.into());
        Ok(segment)
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub(crate) fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// Whether it covers `path`. The router has a tree for this; here it is spelled out for `explain`.
    pub(crate) fn matches(&self, path: &str) -> bool {
        let Some(path) = path.strip_prefix('/') else { return false };
        let mut parts = path.split('/');
        for segment in &self.segments {
            let Some(part) = parts.next() else { return false };
            match segment {
                Segment::Literal(own) if own != part => return false,
                Segment::One if part.is_empty() => return false,
                Segment::Rest => return true,
                Segment::Literal(_) | Segment::One => {}
            }
        }
        parts.next().is_none()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

pub(crate) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn normal_part(part: &str) -> String {
    match normalize_path(&format!("/{part}")) {
        Ok(normal) if !part.contains(['{', '*']) => normal.trim_start_matches('/').to_owned(),
        _ => part.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Pattern, PatternError};
    use crate::PathError;

    #[test]
    fn covers_its_paths() {
        for (pattern, path, covered) in [
            ("/users/{id}", "/users/7", true),
            ("/users/{id}", "/users/", false),
            ("/users/{id}", "/users", false),
            ("/users/{id}", "/users/7/", false),
            ("/users/{id}", "/users/7/x", false),
            ("/users/{id}/", "/users/7/", true),
            ("/{a}/{b}", "/x/y", true),
            ("/{a}/{b}", "//y", false),
            ("/files/{*rest}", "/files/a/b", true),
            ("/files/{*rest}", "/files/", true),
            ("/files/{*rest}", "/files", false),
            ("/files/*rest", "/files/a", true),
            ("/{*rest}", "/", true),
            ("/a/b", "/a/b", true),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(path), covered, "{pattern} {path}");
        }
    }

    #[test]
    fn refuses_slips() {
        let name = |text: &str| text.to_owned();
        for (pattern, error) in [
            ("users", PatternError::Path(PathError::NotAbsolute)),
            ("/img-{id}.png", PatternError::PartialSegment(name("img-{id}.png"))),
            ("/{a}{b}", PatternError::PartialSegment(name("{a}{b}"))),
            ("/{a", PatternError::PartialSegment(name("{a"))),
            ("/a*", PatternError::PartialSegment(name("a*"))),
            ("/{}", PatternError::Name(name(""))),
            ("/*", PatternError::Name(name(""))),
            ("/{a-b}", PatternError::Name(name("a-b"))),
            ("/{1}", PatternError::Name(name("1"))),
            ("/{a}/{a}", PatternError::Duplicate(name("a"))),
            ("/{path}", PatternError::Reserved(name("path"))),
            ("/{*a}/b", PatternError::RestNotLast(name("a"))),
            ("/{*a}/", PatternError::RestNotLast(name("a"))),
            ("/a b/{x}", PatternError::Path(PathError::IllegalByte(b' '))),
            ("/%61/{x}", PatternError::Denormal(name("/a/{x}"))),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap_err(), error, "{pattern}");
        }
    }

    #[test]
    fn a_dot_segment_is_refused() {
        assert!(Pattern::parse("/a/../{x}").is_err());
    }
}
