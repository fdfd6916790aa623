//! The content codings that Seawall makes (RFC 9110 §8.4.1).

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A content coding, by the name that it has in HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Coding {
    /// Zstandard (RFC 8878): the least work for its ratio. Browsers have it since 2024.
    #[serde(rename = "zstd")]
    Zstd,
    /// Brotli (RFC 7932): the smallest text; most work.
    #[serde(rename = "br")]
    Brotli,
    /// What every client has (RFC 1952).
    #[serde(rename = "gzip")]
    Gzip,
}

impl Coding {
    /// All of them, in the order in which they are offered unless the settings say otherwise.
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// The name in `Accept-Encoding` and `Content-Encoding`.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// Whether a member of Accept-Encoding means it. `x-gzip` is gzip (RFC 9110 §8.4.1.3).
    pub(crate) fn is_named(self, name: &[u8]) -> bool {
        name.eq_ignore_ascii_case(self.token().as_bytes())
            || (self == Self::Gzip && name.eq_ignore_ascii_case(b"x-gzip"))
    }

    /// The levels that may be set. Higher ones of zstd need windows that a client may refuse (RFC 9659).
    #[must_use]
    pub const fn levels(self) -> RangeInclusive<u8> {
        match self {
            Self::Zstd => 1..=19,
            Self::Brotli => 0..=11,
            Self::Gzip => 1..=9,
        }
    }

    /// From this level on one piece of a body can keep a thread busy for tens of milliseconds.
    #[must_use]
    pub const fn slow_from(self) -> u8 {
        match self {
            Self::Zstd => 13,
            Self::Brotli => 10,
            // Its slowest is as fast as the middle of the others.
            Self::Gzip => u8::MAX,
        }
    }
}
