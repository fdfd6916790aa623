use std::str::FromStr;

use schemars::JsonSchema;
use seawall_config::{Diagnostics, Path};
use serde::{Deserialize, Serialize};

/// How a server is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// One after another, each as often as its weight says, evenly spread.
    #[default]
    RoundRobin,
    /// By chance, each as often as its weight says.
    Random,
    /// Ketama: the same key goes to the same server, and few keys move when servers come and go. See `hash`.
    ConsistentHash,
    /// The one with fewer requests in flight for its weight, of two drawn by chance (power of two choices).
    LeastConn,
}

/// What a consistent hash is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HashBy {
    /// The path with its query.
    #[default]
    Uri,
    /// The value of the request header `name`.
    Header,
    /// The value of the cookie `name`.
    Cookie,
    /// The address of the client.
    ClientAddress,
}

/// What a consistent hash is made of: `uri`, `client_address`, or a map such as `{ by: header, name: X-User }`.
///
/// A request without the header or the cookie is hashed by the address of its client.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HashSettings {
    /// The part of the request.
    pub by: HashBy,
    /// The name of the header or the cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl FromStr for HashSettings {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let by = match text {
            "uri" => HashBy::Uri,
            "client_address" => HashBy::ClientAddress,
            "header" | "cookie" => {
                return Err(format!("`{text}` needs a name; write `{{ by: {text}, name: … }}`"));
            }
            _ => return Err(format!("`{text}` is not known here; one of: uri, client_address, or a map")),
        };
        Ok(Self { by, name: None })
    }
}

impl HashSettings {
    /// Reports what cannot work.
    pub fn check(&self, at: &Path, out: &mut Diagnostics) {
        match (self.by, self.name.as_deref()) {
            (HashBy::Uri | HashBy::ClientAddress, None) => {}
            (HashBy::Uri | HashBy::ClientAddress, Some(_)) => {
                out.error(&at.key("name"), "`name` is only for `by: header` and `by: cookie`")
                    .on_key()
                    .hint("remove it");
            }
            (HashBy::Header | HashBy::Cookie, None) => {
                out.error(at, "the name of the header or cookie is missing").hint("add `name:` here");
            }
            // RFC 6265 section 4.1.1 and RFC 9110 section 5.1: both names are tokens.
            (HashBy::Header | HashBy::Cookie, Some(name)) if !is_token(name) => {
                out.error(&at.key("name"), format!("`{name}` cannot be the name of a header or a cookie"))
                    .hint("names have no spaces and no separators such as `:`, `=`, `;`");
            }
            (HashBy::Header | HashBy::Cookie, Some(_)) => {}
        }
    }
}

/// RFC 9110 section 5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
