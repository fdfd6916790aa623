//! The `key:` of a route's cache settings.

use http::HeaderName;
use schemars::JsonSchema;
use seawall_config::{Diagnostics, Path};
use serde::{Deserialize, Serialize};

use super::Name;
use crate::syntax::is_token;

/// Entries in one list of names; every request pays for each of them.
const MAX_NAMES: usize = 32;

/// What tells two stored responses of a route apart, beside scheme, host, path and query.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeySettings {
    /// Which query parameters count, and in which order. What does not count is not forwarded either.
    pub query: QuerySettings,
    /// Request header fields whose values tell responses apart, as if the origin had named them in `Vary`.
    /// At most 32.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// Names of cookies whose values tell responses apart. At most 32.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cookies: Vec<String>,
    /// Cookies that change no response: they are taken out of the request before `Vary: Cookie` looks at it, and
    /// are not forwarded either. A name may end in `*`, as in `_ga*`. At most 32.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore_cookies: Vec<String>,
    /// The content codings that the origin knows. `Accept-Encoding` is cut down to those of them that the client
    /// accepts, in this order, in the key and in the request to the origin. At most 32.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accept_encoding: Option<Vec<String>>,
    /// The languages that the origin knows. `Accept-Language` becomes the one of them that the client likes best, in
    /// the key and in the request to the origin; without one it is taken out. At most 32.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accept_language: Option<Vec<String>>,
}

/// The query of a target: by default all of it counts, exactly as it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QuerySettings {
    /// Only these parameters count; all others are taken out of the key and of the request to the origin. A
    /// name may end in `*`. An empty list drops the whole query. At most 32; not together with `exclude`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include: Option<Vec<String>>,
    /// These parameters do not count: they are taken out of the key and of the request to the origin. A name
    /// may end in `*`, as in `utm_*`. At most 32.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Sort the parameters by name, in the key and in the request to the origin. Parameters with the same
    /// name keep their order.
    pub sort: bool,
}

impl KeySettings {
    /// Reports every semantic problem.
    pub fn check(&self, at: &Path, out: &mut Diagnostics) {
        self.query.check(&at.key("query"), out);
        check_headers(&self.headers, &at.key("headers"), out);
        let cookies = at.key("cookies");
        too_many(self.cookies.len(), &cookies, out);
        for (index, name) in self.cookies.iter().enumerate() {
            check_name_of_cookie(name, &cookies.index(index), out);
        }
        let ignored = at.key("ignore_cookies");
        too_many(self.ignore_cookies.len(), &ignored, out);
        for (index, written) in self.ignore_cookies.iter().enumerate() {
            let at = ignored.index(index);
            check_name_of_cookie(written.strip_suffix('*').unwrap_or(written), &at, out);
            let name = Name::new(written);
            if let Some(both) = self.cookies.iter().find(|keyed| name.matches(keyed.as_bytes())) {
                out.error(&at, format!("`{both}` is in `cookies` too: ignored, it tells nothing apart"))
                    .hint("remove it from one of the two lists");
            }
        }
        let encodings = self.accept_encoding.as_deref().unwrap_or_default();
        check_list(encodings, &at.key("accept_encoding"), out, |name| {
            is_token(name.as_bytes()) && name != "*" && !name.eq_ignore_ascii_case("identity")
        });
        let languages = self.accept_language.as_deref().unwrap_or_default();
        check_list(languages, &at.key("accept_language"), out, |tag| {
            tag.split('-')
                .all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
        });
    }
}

impl QuerySettings {
    fn check(&self, at: &Path, out: &mut Diagnostics) {
        if self.include.is_some() && !self.exclude.is_empty() {
            out.error(&at.key("exclude"), "`include` and `exclude` cannot stand together")
                .hint("`include` already drops every other parameter; remove one of the two");
        }
        let include = self.include.as_deref().unwrap_or_default();
        for (key, names) in [("include", include), ("exclude", self.exclude.as_slice())] {
            let at = at.key(key);
            too_many(names.len(), &at, out);
            for (index, name) in names.iter().enumerate() {
                check_name_of_parameter(name, &at.index(index), out);
            }
        }
    }
}

/// Reports what is no coding or language, and what stands in the list twice.
fn check_list(names: &[String], at: &Path, out: &mut Diagnostics, is_one: impl Fn(&str) -> bool) {
    too_many(names.len(), at, out);
    for (index, name) in names.iter().enumerate() {
        if !is_one(name) {
            out.error(&at.index(index), format!("`{name}` cannot stand here"))
                .hint("write names alone, as in `[br, gzip]` or `[en, de-CH]`");
        } else if names[..index].iter().any(|earlier| earlier.eq_ignore_ascii_case(name)) {
            out.error(&at.index(index), format!("`{name}` stands here twice")).hint("remove one of the two");
        }
    }
}

pub(crate) fn check_name_of_cookie(name: &str, at: &Path, out: &mut Diagnostics) {
    if !is_token(name.as_bytes()) {
        out.error(at, format!("`{name}` cannot be the name of a cookie"))
            .hint("write the bare name, as in `session`");
    }
}

pub(crate) fn check_name_of_header(name: &str, at: &Path, out: &mut Diagnostics) {
    if name.parse::<HeaderName>().is_err() {
        out.error(at, format!("`{name}` cannot be the name of a header field"))
            .hint("write the bare name, as in `X-Country`");
    }
}

pub(crate) fn check_name_of_parameter(name: &str, at: &Path, out: &mut Diagnostics) {
    let bare = name.strip_suffix('*').unwrap_or(name);
    if name.is_empty() {
        out.error(at, "the name of a parameter is empty").hint("write a name such as `page`, or `utm_*`");
    } else if bare.is_empty() {
        out.error(at, "`*` stands for every parameter")
            .hint("to drop the whole query write `include: []`; to keep it leave the list out");
    } else if bare.contains(['*', '&', '=', '?', '#']) || bare.contains(|c: char| c.is_ascii_whitespace()) {
        out.error(at, format!("`{name}` cannot be the name of a parameter"))
            .hint("a name holds none of `& = ? #` nor blanks; `*` may stand at its end only");
    }
}

pub(crate) fn check_headers(names: &[String], at: &Path, out: &mut Diagnostics) {
    too_many(names.len(), at, out);
    for (index, name) in names.iter().enumerate() {
        check_name_of_header(name, &at.index(index), out);
    }
}

fn too_many(count: usize, at: &Path, out: &mut Diagnostics) {
    if count > MAX_NAMES {
        out.error(at, format!("{count} names, but at most {MAX_NAMES} are allowed"))
            .hint("every request pays for each name; drop what you can");
    }
}
