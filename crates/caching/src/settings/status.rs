//! Statuses as the keys of a map.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// One status (`404`) or a class of them (`5xx`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatusSelector {
    /// This status.
    Exact(u16),
    /// Every status with this first digit.
    Class(u8),
}

impl FromStr for StatusSelector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a status; write one such as `404`, or a class such as `5xx`");
        match text.as_bytes() {
            [class @ b'2'..=b'5', b'x' | b'X', b'x' | b'X'] => Ok(Self::Class(class - b'0')),
            [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9'] => text.parse().map(Self::Exact).map_err(|_| bad()),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for StatusSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(status) => write!(f, "{status}"),
            Self::Class(class) => write!(f, "{class}xx"),
        }
    }
}

impl Serialize for StatusSelector {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StatusSelector {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = StatusSelector;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status such as `404`, or a class such as `5xx`")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<StatusSelector, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<StatusSelector, E> {
                number.to_string().parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl JsonSchema for StatusSelector {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StatusSelector".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "pattern": "^[2-5]([0-9][0-9]|[xX][xX])$",
            "description": "One status (`404`) or a class of them (`5xx`)."
        })
    }
}
