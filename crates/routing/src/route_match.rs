use http::Method;
use schemars::JsonSchema;
use seawall_config::{Diagnostics, Path};
use serde::{Deserialize, Serialize};

use crate::{Condition, ConditionError, MethodName};

/// What a route asks of a request: one of `exact`, `path`, `pattern` and `regex`, and perhaps methods.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteMatch {
    /// The whole path, a trailing slash counts: `/status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<String>,
    /// A prefix of the path, cut at a slash: `/app` covers `/app`, `/app/` and `/app/x`, not `/apple`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// A path with placeholders: `/users/{id}/files/{*rest}`. `{id}` is one segment, `{*rest}` what remains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// A regular expression searched for in the path; anchor it with `^` and `$`. At most 256 KiB compiled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// The methods the route takes; empty means all. `GET` includes `HEAD`.
    pub methods: Vec<MethodName>,
}

/// Why a [`RouteMatch`] is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatchError {
    /// None of the four conditions.
    #[error("the route has no path condition; give it one of `exact`, `path`, `pattern` and `regex`")]
    None,
    /// More than one of the four.
    #[error("the route has `{0}` and `{1}`, but a route has one path condition")]
    Several(&'static str, &'static str),
    /// The condition under this key is bad.
    #[error("`{key}`: {source}")]
    Condition {
        /// `exact`, `path`, `pattern` or `regex`.
        key: &'static str,
        /// What is wrong with it.
        source: ConditionError,
    },
}

/// A checked [`RouteMatch`].
#[derive(Debug, Clone)]
pub struct Matcher {
    /// What the path must be.
    pub condition: Condition,
    /// The methods it takes; empty means all.
    pub methods: Vec<Method>,
}

impl RouteMatch {
    /// From fields that live in another settings struct.
    #[must_use]
    pub fn from_parts(
        exact: Option<&str>,
        path: Option<&str>,
        pattern: Option<&str>,
        regex: Option<&str>,
        methods: &[MethodName],
    ) -> Self {
        Self {
            exact: exact.map(Into::into),
            path: path.map(Into::into),
            pattern: pattern.map(Into::into),
            regex: regex.map(Into::into),
            methods: methods.to_vec(),
        }
    }

    /// Parses the condition.
    ///
    /// # Errors
    /// When there is not exactly one, or it does not parse.
    pub fn compile(&self) -> Result<Matcher, MatchError> {
        let mut given = self.given();
        let (key, text) = given.next().ok_or(MatchError::None)?;
        if let Some((second, _)) = given.next() {
            return Err(MatchError::Several(key, second));
        }
        let condition = match key {
            "exact" => Condition::exact(text),
            "path" => Condition::prefix(text),
            "pattern" => Condition::pattern(text),
            _ => Condition::regex(text),
        };
        let condition = condition.map_err(|source| MatchError::Condition { key, source })?;
        Ok(Matcher { condition, methods: self.methods.iter().map(|name| name.method().clone()).collect() })
    }

    /// The conditions that are set, with their keys.
    fn given(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [("exact", &self.exact), ("path", &self.path), ("pattern", &self.pattern), ("regex", &self.regex)]
            .into_iter()
            .filter_map(|(key, value)| value.as_deref().map(|text| (key, text)))
    }

    /// Reports what is wrong; `at` is the route.
    pub fn check(&self, at: &Path, out: &mut Diagnostics) {
        for (index, name) in self.methods.iter().enumerate() {
            if self.methods[..index].contains(name) {
                out.warning(&at.key("methods").index(index), format!("`{name}` stands twice"));
            }
        }
        match self.compile() {
            Ok(_) => {}
            Err(MatchError::None) => {
                out.error(at, "the route has no path condition").hint(
                    "give it one of `exact`, `path`, `pattern` and `regex`; `path: /` takes everything",
                );
            }
            Err(MatchError::Several(first, second)) => {
                out.error(&at.key(second), format!("the route has `{first}` already"))
                    .on_key()
                    .hint("a route has one path condition; write a second route for the other one");
            }
            Err(MatchError::Condition { key, source }) => {
                let hint = source.hint();
                let found = out.error(&at.key(key), source.to_string());
                if let Some(hint) = hint {
                    found.hint(hint);
                }
            }
        }
    }
}

impl ConditionError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Path(crate::PathError::NotAbsolute)
            | Self::Pattern(crate::PatternError::Path(crate::PathError::NotAbsolute)) => {
                Some("paths begin with `/`")
            }
            Self::Path(crate::PathError::IllegalByte(b'?')) => {
                Some("routes do not look at the query; leave it out")
            }
            Self::Regex(_) => Some("the syntax is that of the Rust `regex` crate"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MatchError, RouteMatch};
    use seawall_config::{Diagnostics, Path};

    fn check(yaml: &str) -> Vec<(String, String)> {
        let settings: RouteMatch = serde_yaml::from_str(yaml).unwrap();
        let mut out = Diagnostics::default();
        settings.check(&Path::root().key("route"), &mut out);
        out.iter().map(|d| (d.path.to_string(), d.message.clone())).collect()
    }

    #[test]
    fn wants_exactly_one_condition() {
        assert_eq!(RouteMatch::default().compile().unwrap_err(), MatchError::None);
        assert_eq!(check("{}")[0].0, "route");
        let two = check("{path: /, regex: x}");
        assert_eq!(two, [("route.regex".to_owned(), "the route has `path` already".to_owned())]);
        for one in ["{exact: /}", "{path: /}", "{pattern: '/{a}'}", "{regex: a}", "{path: /, methods: [GET]}"]
        {
            assert_eq!(check(one), [], "{one}");
        }
    }

    #[test]
    fn locates_what_is_wrong() {
        for (yaml, path, message) in [
            ("{path: a}", "route.path", "begin with `/`"),
            ("{exact: '/a?b=1'}", "route.exact", "0x3f"),
            ("{path: '/a/*'}", "route.path", "use `pattern`"),
            ("{pattern: '/{a'}", "route.pattern", "fill its segment"),
            ("{regex: '('}", "route.regex", "unclosed group"),
            ("{path: /, methods: [GET, POST, GET]}", "route.methods[2]", "twice"),
        ] {
            let found = check(yaml);
            assert_eq!(found.len(), 1, "{yaml}: {found:?}");
            assert_eq!(found[0].0, path, "{yaml}");
            assert!(found[0].1.contains(message), "{yaml}: {}", found[0].1);
        }
    }

    #[test]
    fn refuses_unknown_keys() {
        assert!(serde_yaml::from_str::<RouteMatch>("{prefix: /}").is_err());
    }
}
