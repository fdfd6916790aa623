//! The `bypass_when:` of a route: requests that the cache leaves alone.

use schemars::JsonSchema;
use seawall_config::{Diagnostics, Path};
use serde::{Deserialize, Serialize};

use crate::key::{check_name_of_cookie, check_name_of_header, check_name_of_parameter};

/// Rules of one route; every request pays for each of them.
const MAX_RULES: usize = 32;

/// One kind of request that goes past the cache: one of `cookie`, `header` and `query`, and perhaps a value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BypassRule {
    /// The request has this cookie. The name may end in `*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<String>,
    /// The request has this header field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The query has this parameter. The name may end in `*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// ... and its value is exactly this one. Any value when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
}

impl BypassRule {
    fn check(&self, at: &Path, out: &mut Diagnostics) {
        let given = [
            ("cookie", self.cookie.is_some()),
            ("header", self.header.is_some()),
            ("query", self.query.is_some()),
        ];
        let given: Vec<&str> = given.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
        match given[..] {
            [] => {
                out.error(at, "the rule names nothing")
                    .hint("write one of `cookie`, `header` and `query`, as in `{ cookie: session }`");
            }
            [_] => {}
            [_, second, ..] => {
                out.error(&at.key(second), format!("the rule has `{}` and `{second}`", given[0]))
                    .on_key()
                    .hint("rules are alternatives: write two of them");
            }
        }
        if let Some(name) = &self.cookie {
            check_name_of_cookie(name.strip_suffix('*').unwrap_or(name), &at.key("cookie"), out);
        }
        if let Some(name) = &self.header {
            check_name_of_header(name, &at.key("header"), out);
        }
        if let Some(name) = &self.query {
            check_name_of_parameter(name, &at.key("query"), out);
        }
    }
}

pub(super) fn check(rules: &[BypassRule], at: &Path, out: &mut Diagnostics) {
    if rules.len() > MAX_RULES {
        out.error(at, format!("{} rules, but at most {MAX_RULES} are allowed", rules.len()))
            .hint("every request pays for each rule; a name may end in `*`");
    }
    for (index, rule) in rules.iter().enumerate() {
        rule.check(&at.index(index), out);
    }
}
