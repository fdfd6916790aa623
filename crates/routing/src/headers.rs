//! Header fields set, added and removed, on requests for the origin and on responses for the client.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use pingora_http::{RequestHeader, ResponseHeader};
use schemars::JsonSchema;
use seawall_config::{Diagnostics, Path};
use serde::{Deserialize, Serialize, Serializer};

#[cfg(test)]
mod tests;

/// Changes to header fields, applied in the order `remove`, `set`, `add`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HeaderOps {
    /// Fields that get exactly this value, whatever they had.
    #[serde(serialize_with = "masked")]
    pub set: BTreeMap<String, String>,
    /// Fields that get this value beside the ones they have.
    #[serde(serialize_with = "masked")]
    pub add: BTreeMap<String, String>,
    /// Fields that are taken away.
    pub remove: Vec<String>,
}

/// Parts of the names of fields whose values let somebody in: those are not printed.
const CREDENTIALS: [&str; 9] =
    ["authorization", "cookie", "token", "secret", "password", "credential", "api-key", "apikey", "auth-"];

fn masked<S: Serializer>(fields: &BTreeMap<String, String>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(fields.iter().map(|(name, value)| {
        let lower = name.to_ascii_lowercase();
        let secret = CREDENTIALS.iter().any(|part| lower.contains(part));
        (name, if secret { "***" } else { value })
    }))
}

/// What header fields belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderTarget {
    /// Requests to the origin; `Host` is the upstream's business.
    Request,
    /// Responses to the client.
    Response,
}

/// Why a header change is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderOpsError {
    /// Not a field name.
    #[error("`{0}` is not a header field name")]
    Name(String),
    /// A value with control characters or other than ASCII.
    #[error("the value of `{0}` has a character that a header field may not have")]
    Value(String),
    /// A field that frames the message or belongs to one connection.
    #[error("`{0}` belongs to the connection and is Seawall's own business")]
    Forbidden(String),
    /// `Host` on requests.
    #[error("`Host` chooses the origin's site; set it on the upstream")]
    Host,
    /// One field twice under `set` or `add`, in different case.
    #[error("`{0}` stands twice; case does not matter in field names")]
    Duplicate(String),
}

/// Checked header changes. When they are applied, names and values are shared and not copied.
#[derive(Debug, Clone, Default)]
pub struct CompiledHeaderOps {
    remove: Vec<HeaderName>,
    set: Vec<Field>,
    add: Vec<Field>,
}

/// A checked field.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: HeaderName,
    /// The name as the configuration spells it, which is how HTTP/1 sends it.
    pub(crate) spelling: Bytes,
    pub(crate) value: HeaderValue,
}

impl HeaderOps {
    /// Parses the names and values.
    ///
    /// # Errors
    /// When a name or value is bad, or the field may not be changed.
    pub fn compile(&self, target: HeaderTarget) -> Result<CompiledHeaderOps, HeaderOpsError> {
        let remove = self.remove.iter().map(|name| parse_name(name, target)).collect::<Result<_, _>>()?;
        Ok(CompiledHeaderOps {
            remove,
            set: parse_fields(&self.set, target)?,
            add: parse_fields(&self.add, target)?,
        })
    }

    /// Reports what is wrong; `at` is the place of `set`, `add` and `remove`.
    pub fn check(&self, target: HeaderTarget, at: &Path, out: &mut Diagnostics) {
        for (index, name) in self.remove.iter().enumerate() {
            if let Err(error) = parse_name(name, target) {
                report(error, &at.key("remove").index(index), false, out);
            }
        }
        for (key, fields) in [("set", &self.set), ("add", &self.add)] {
            check_fields(fields, target, &at.key(key), out);
        }
    }
}

/// Reports what is wrong with a map of fields; `at` is the map.
pub(crate) fn check_fields(
    fields: &BTreeMap<String, String>,
    target: HeaderTarget,
    at: &Path,
    out: &mut Diagnostics,
) {
    let mut seen = Vec::new();
    for (name, value) in fields {
        if let Err(error) = parse_field(name, value, target, &mut seen) {
            let on_key = !matches!(error, HeaderOpsError::Value(_));
            report(error, &at.key(name), on_key, out);
        }
    }
}

fn report(error: HeaderOpsError, at: &Path, on_key: bool, out: &mut Diagnostics) {
    let text = error.to_string();
    let found = match text.split_once("; ") {
        Some((message, hint)) => out.error(at, message).hint(hint),
        None => out.error(at, text),
    };
    if on_key {
        found.on_key();
    }
}

pub(crate) fn parse_fields(
    fields: &BTreeMap<String, String>,
    target: HeaderTarget,
) -> Result<Vec<Field>, HeaderOpsError> {
    let mut seen = Vec::new();
    fields.iter().map(|(name, value)| parse_field(name, value, target, &mut seen)).collect()
}

fn parse_field(
    name: &str,
    value: &str,
    target: HeaderTarget,
    seen: &mut Vec<HeaderName>,
) -> Result<Field, HeaderOpsError> {
    let parsed = parse_name(name, target)?;
    if seen.contains(&parsed) {
        return Err(HeaderOpsError::Duplicate(name.to_owned()));
    }
    seen.push(parsed.clone());
    // Bytes beyond ASCII have no agreed meaning in a field value (RFC 9110 §5.5).
    let valid =
        Some(value).filter(|value| value.is_ascii()).and_then(|value| HeaderValue::from_str(value).ok());
    let value = valid.ok_or_else(|| HeaderOpsError::Value(name.to_owned()))?;
    Ok(Field { name: parsed, spelling: Bytes::copy_from_slice(name.as_bytes()), value })
}

fn parse_name(name: &str, target: HeaderTarget) -> Result<HeaderName, HeaderOpsError> {
    let parsed = HeaderName::try_from(name).map_err(|_| HeaderOpsError::Name(name.to_owned()))?;
    if target == HeaderTarget::Request && parsed == header::HOST {
        return Err(HeaderOpsError::Host);
    }
    if is_connection_field(&parsed) { Err(HeaderOpsError::Forbidden(name.to_owned())) } else { Ok(parsed) }
}

/// Fields that frame a message or belong to one connection (RFC 9110 §7.6.1, §8.6).
fn is_connection_field(name: &HeaderName) -> bool {
    [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ]
    .contains(name)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings")
}

impl CompiledHeaderOps {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Changes a request for the origin.
    ///
    /// # Errors
    /// Only when the request has more fields than a header map can hold (32,768).
    pub fn apply_request(&self, header: &mut RequestHeader) -> pingora_error::Result<()> {
        for name in &self.remove {
            header.remove_header(name);
        }
        for field in &self.set {
            header.insert_header(field.spelling.clone(), field.value.clone())?;
        }
        for field in &self.add {
            header.append_header(field.spelling.clone(), field.value.clone())?;
        }
        Ok(())
    }

    /// Changes a response for the client.
    ///
    /// # Errors
    /// Only when the response has more fields than a header map can hold (32,768).
    pub fn apply_response(&self, header: &mut ResponseHeader) -> pingora_error::Result<()> {
        for name in &self.remove {
            header.remove_header(name);
        }
        for field in &self.set {
            header.insert_header(field.spelling.clone(), field.value.clone())?;
        }
        for field in &self.add {
            header.append_header(field.spelling.clone(), field.value.clone())?;
        }
        Ok(())
    }
}
