//! Another path for the origin than the client asked for.

use regex::Regex;
use schemars::JsonSchema;
use seawall_config::{Diagnostics, Path};
use serde::{Deserialize, Serialize};

use crate::path::{PathError, normalize_path};
use crate::path_regex::compile;
use crate::template::{Piece, Template, Values};
use crate::{Captures, TemplateError};

#[cfg(test)]
mod tests;

/// The longest path and query a rewrite may make, in bytes: what `http::Uri` holds.
const MAX_BYTES: usize = 65_534;

/// How the path is changed for the origin; the query stays. Either `path`, or one or more of the others,
/// which are applied in the order `strip_prefix`, `regex`, `add_prefix`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RewriteSettings {
    /// Taken from the front of the path where it stands there, cut at a slash: `/api` makes `/x` of `/api/x`
    /// and `/` of `/api`, and leaves `/apix` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip_prefix: Option<String>,
    /// Put in front of the path: `/v2` makes `/v2/x` of `/x`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_prefix: Option<String>,
    /// A regular expression; the first place where it matches the path is replaced by `replacement`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// What stands instead of what `regex` matched; `$1` and `${name}` are its groups, `$$` is a dollar sign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replacement: Option<String>,
    /// The whole new path, with the captures of the route's `pattern` or `regex`: `/internal/{id}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// Why a rewrite is refused, or why it cannot rewrite a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// No key at all.
    #[error("the rewrite changes nothing; give it `strip_prefix`, `add_prefix`, `regex` or `path`")]
    Nothing,
    /// `path` beside another key.
    #[error("`path` makes the whole path, so nothing else can stand beside it")]
    PathIsAll,
    /// `regex` without `replacement` or the other way round.
    #[error("`regex` and `replacement` belong together; give both")]
    Half,
    /// A prefix that is not a normal path.
    #[error("`{key}`: {source}")]
    Prefix {
        /// `strip_prefix` or `add_prefix`.
        key: &'static str,
        /// What is wrong with it.
        source: crate::ConditionError,
    },
    /// A bad regex.
    #[error("`regex`: {0}")]
    Regex(String),
    /// A replacement with something that is no part of a path, or a group the regex does not have.
    #[error("`replacement`: {0}")]
    Replacement(String),
    /// A bad template.
    #[error("`path`: {0}")]
    Template(#[from] TemplateError),
    /// A template that does not begin with a slash, or holds a query.
    #[error("`path`: the new path must begin with `/` and have no `?` or `#`")]
    NotAPath,
    /// The request's new path is not a path.
    #[error("the rewritten path is refused: {0}")]
    Result(#[from] PathError),
    /// The request's new path and query are too long.
    #[error("the rewritten path and query are longer than 65534 bytes")]
    TooLong,
}

/// A checked rewrite.
#[derive(Debug, Clone)]
pub struct Rewrite {
    strip: Option<String>,
    regex: Option<(Regex, String)>,
    add: Option<String>,
    path: Option<Template>,
}

impl Rewrite {
    /// From its settings.
    ///
    /// # Errors
    /// When the settings change nothing, contradict themselves or do not parse.
    pub fn new(settings: &RewriteSettings) -> Result<Self, RewriteError> {
        let RewriteSettings { strip_prefix, add_prefix, regex, replacement, path } = settings;
        let parts =
            strip_prefix.is_some() || add_prefix.is_some() || regex.is_some() || replacement.is_some();
        match (parts, path.is_some()) {
            (false, false) => return Err(RewriteError::Nothing),
            (true, true) => return Err(RewriteError::PathIsAll),
            _ => {}
        }
        let regex = match (regex, replacement) {
            (None, None) => None,
            (Some(regex), Some(replacement)) => Some(replacing(regex, replacement)?),
            _ => return Err(RewriteError::Half),
        };
        Ok(Self {
            strip: prefix("strip_prefix", strip_prefix.as_deref())?,
            regex,
            add: prefix("add_prefix", add_prefix.as_deref())?,
            path: path.as_deref().map(path_template).transpose()?,
        })
    }

    /// The captures it wants of the route's condition.
    pub fn wanted_captures(&self) -> impl Iterator<Item = &str> {
        self.path.iter().flat_map(Template::captures)
    }

    /// The new path and query for `path_and_query`, whose path [`normalize_path`] made. The new path is
    /// normal as well.
    ///
    /// # Errors
    /// When the new path is not a path, for instance because a capture made a segment that climbs above the
    /// root, or when it is too long. Such a request deserves a 400.
    pub fn apply(&self, path_and_query: &str, captures: &Captures) -> Result<String, RewriteError> {
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query, None),
        };
        let new = match &self.path {
            Some(template) => template.render(&Values { host: "", path, query: None, captures }),
            None => self.change(path),
        };
        let mut new = normalize_path(&new)?.into_owned();
        if let Some(query) = query {
            new.push('?');
            new.push_str(query);
        }
        if new.len() > MAX_BYTES { Err(RewriteError::TooLong) } else { Ok(new) }
    }

    fn change(&self, path: &str) -> String {
        let mut new = path.to_owned();
        if let Some(rest) = self.strip.as_deref().and_then(|strip| path.strip_prefix(strip)) {
            if rest.is_empty() {
                "/".clone_into(&mut new);
            } else if rest.starts_with('/') {
                rest.clone_into(&mut new);
            }
        }
        if let Some((regex, replacement)) = &self.regex {
            new = regex.replace(&new, replacement.as_str()).into_owned();
        }
        if let Some(add) = &self.add {
            new.insert_str(0, add);
        }
        new
    }
}

impl RewriteSettings {
    /// Reports what is wrong; `at` is the rewrite.
    pub fn check(&self, at: &Path, out: &mut Diagnostics) {
        let Err(error) = Rewrite::new(self) else { return };
        let (key, text) = match &error {
            RewriteError::PathIsAll => ("path", error.to_string()),
            RewriteError::Half if self.regex.is_some() => ("regex", error.to_string()),
            RewriteError::Half => ("replacement", error.to_string()),
            RewriteError::Prefix { key, source } => (*key, source.to_string()),
            RewriteError::Regex(text) => ("regex", text.clone()),
            RewriteError::Replacement(text) => ("replacement", text.clone()),
            RewriteError::Template(source) => ("path", source.to_string()),
            RewriteError::NotAPath => {
                ("path", "the new path must begin with `/` and have no `?` or `#`".into())
            }
            RewriteError::Nothing | RewriteError::Result(_) | RewriteError::TooLong => {
                ("", error.to_string())
            }
        };
        let place = if key.is_empty() { at.clone() } else { at.key(key) };
        match text.split_once("; ") {
            Some((message, hint)) => out.error(&place, message).hint(hint),
            None => out.error(&place, text),
        };
    }
}

/// A prefix without the slash at the end; none for the root, which changes nothing.
fn prefix(key: &'static str, text: Option<&str>) -> Result<Option<String>, RewriteError> {
    let Some(text) = text else { return Ok(None) };
    let condition = crate::Condition::prefix(text).map_err(|source| RewriteError::Prefix { key, source })?;
    match condition.0 {
        crate::condition::Kind::Prefix(prefix) if !prefix.is_empty() => Ok(Some(prefix)),
        _ => Err(RewriteError::Nothing),
    }
}

fn replacing(regex: &str, replacement: &str) -> Result<(Regex, String), RewriteError> {
    let compiled = compile(regex).map_err(RewriteError::Regex)?;
    if let Some(bad) = replacement.chars().find(|c| !matches!(c, '!'..='~') || matches!(c, '?' | '#' | '\\'))
    {
        return Err(RewriteError::Replacement(format!("{bad:?} may not stand in a path; percent-encode it")));
    }
    for name in groups(replacement) {
        let known = match name.parse::<usize>() {
            Ok(number) => number < compiled.captures_len(),
            Err(_) => compiled.capture_names().flatten().any(|own| own == name),
        };
        if !known {
            return Err(RewriteError::Replacement(format!(
                "the regex has no group `{name}`; write `${{1}}x` where text follows a group, `$$` for a dollar sign"
            )));
        }
    }
    Ok((compiled, replacement.to_owned()))
}

/// The groups that a replacement names, as the regex crate reads them.
fn groups(replacement: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = replacement;
    while let Some((_, after)) = rest.split_once('$') {
        if let Some(escaped) = after.strip_prefix('$') {
            rest = escaped;
        } else if let Some((name, next)) = after.strip_prefix('{').and_then(|inside| inside.split_once('}')) {
            names.push(name);
            rest = next;
        } else {
            let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
            if end > 0 {
                names.push(&after[..end]);
            }
            rest = &after[end..];
        }
    }
    names
}

fn path_template(text: &str) -> Result<Template, RewriteError> {
    let template = Template::parse(text)?;
    for piece in template.pieces() {
        match piece {
            Piece::Host => return Err(TemplateError::CaptureOnly("host").into()),
            Piece::Query => return Err(TemplateError::CaptureOnly("query").into()),
            Piece::Uri => return Err(TemplateError::CaptureOnly("uri").into()),
            Piece::Literal(text) if text.contains(['?', '#']) => return Err(RewriteError::NotAPath),
            Piece::Literal(_) | Piece::Path | Piece::Capture(_) => {}
        }
    }
    match template.pieces().first() {
        Some(Piece::Literal(text)) if text.starts_with('/') => Ok(template),
        Some(Piece::Path) => Ok(template),
        _ => Err(RewriteError::NotAPath),
    }
}
