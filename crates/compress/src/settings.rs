//! `compress:` as it is written.

use std::str::FromStr;

use schemars::JsonSchema;
use seawall_config::units::ByteSize;
use seawall_config::{Diagnostics, Path};
use serde::{Deserialize, Serialize};

use crate::coding::Coding;
use crate::media::{self, Pattern};
use crate::stream::StreamOptions;

/// Types in one list; every response pays for each of them.
const MAX_TYPES: usize = 64;

/// Which responses are compressed, and how. May be shortened to `compress: on` and `compress: off`.
///
/// Responses that have a `Content-Encoding`, that say `Cache-Control: no-transform`, that are signed (RFC 9421), or that
/// are no whole of status 2xx pass as they are, and so does gRPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CompressSettings {
    /// Whether responses are compressed at all.
    pub enabled: bool,
    /// The codings that clients are offered, in the order that counts where a client has no preference.
    pub encodings: Vec<Coding>,
    /// Media types: `text/html`, `text/*` or `application/*+json`. Without it text and what is text under another
    /// name (JSON, XML, JavaScript, SVG, WebAssembly, fonts but woff). `text/event-stream` only when it is named. At
    /// most 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub types: Option<Vec<String>>,
    /// Smaller responses pass as they are. A response of unknown length counts as large enough.
    pub min_size: ByteSize,
    /// Larger responses pass as they are; without it there is no such limit. A response of unknown length is compressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_size: Option<ByteSize>,
    /// How much work is done for how small a result.
    pub levels: LevelSettings,
    /// What the origin is asked for. `chosen`: the coding that the client gets, so that an origin that has it
    /// compressed already sends that. `identity`: always the content as it is, so that origins spend no time on it.
    pub ask_origin: AskOrigin,
}

impl Default for CompressSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            encodings: Coding::ALL.to_vec(),
            types: None,
            min_size: ByteSize::kib(1),
            max_size: None,
            levels: LevelSettings::default(),
            ask_origin: AskOrigin::default(),
        }
    }
}

/// Levels: higher ones cost more time at the first request for a response, and none at later ones where it is cached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LevelSettings {
    /// Zstandard: 1 to 19.
    pub zstd: u8,
    /// Brotli: 0 to 11.
    pub br: u8,
    /// gzip: 1 to 9.
    pub gzip: u8,
}

impl LevelSettings {
    /// The level for a coding.
    #[must_use]
    pub fn of(&self, coding: Coding) -> u8 {
        match coding {
            Coding::Zstd => self.zstd,
            Coding::Brotli => self.br,
            Coding::Gzip => self.gzip,
        }
    }
}

impl Default for LevelSettings {
    fn default() -> Self {
        Self { zstd: 3, br: 4, gzip: 6 }
    }
}

/// What the origin is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AskOrigin {
    /// The coding that the client gets.
    #[default]
    Chosen,
    /// The content as it is.
    Identity,
}

/// `on` or `off`.
impl FromStr for CompressSettings {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "on" | "true" | "yes" => Ok(Self::default()),
            "off" | "false" | "no" => Ok(Self { enabled: false, ..Self::default() }),
            other => Err(format!("`{other}` is neither `on` nor `off`")),
        }
    }
}

impl CompressSettings {
    /// The patterns that count.
    pub(crate) fn types(&self) -> impl Iterator<Item = &str> {
        let given = self.types.as_deref();
        let default = given.is_none().then_some(media::DEFAULT).into_iter().flatten();
        given.unwrap_or_default().iter().map(String::as_str).chain(default)
    }

    /// Reports every semantic problem.
    pub fn check(&self, at: &Path, out: &mut Diagnostics) {
        self.check_encodings(&at.key("encodings"), out);
        self.check_types(&at.key("types"), out);
        if let Some(max) = self.max_size.filter(|max| max.bytes() < self.min_size.bytes()) {
            out.error(
                &at.key("max_size"),
                format!("`max_size` ({max}) is below `min_size` ({})", self.min_size),
            )
            .hint("nothing would be compressed; to switch it off write `compress: off`");
        }
        for coding in Coding::ALL {
            let (level, range) = (self.levels.of(coding), coding.levels());
            let at = at.key("levels").key(coding.token());
            if !range.contains(&level) {
                out.error(
                    &at,
                    format!("the levels of `{}` are {} to {}", coding.token(), range.start(), range.end()),
                )
                .hint("remove it for the default");
            } else if level >= coding.slow_from() {
                out.warning(&at, format!("level {level} of `{}` is very slow", coding.token()))
                    .hint("1 MB can take seconds: for what is cached for long, if anything");
            }
        }
    }

    /// Reports levels that need more memory than all of them may hold together (`limits.compression_memory`).
    pub fn check_memory(&self, limit: ByteSize, at: &Path, out: &mut Diagnostics) {
        for coding in self.encodings.iter().copied().filter(|_| self.enabled) {
            let level = self.levels.of(coding);
            let needed = StreamOptions { coding, level, length: None }.memory();
            if needed > limit.bytes() {
                out.error(
                    &at.key("levels").key(coding.token()),
                    format!(
                        "level {level} of `{}` needs {} at a time, and `limits.compression_memory` is {limit}",
                        coding.token(),
                        ByteSize(needed)
                    ),
                )
                .hint("lower the level or raise the limit; responses would pass as they are");
            }
        }
    }

    fn check_encodings(&self, at: &Path, out: &mut Diagnostics) {
        if self.encodings.is_empty() {
            out.error(at, "without an encoding nothing is compressed")
                .hint("to switch it off write `compress: off`; remove the list for all of them");
        }
        for (index, coding) in self.encodings.iter().enumerate() {
            if self.encodings[..index].contains(coding) {
                out.error(&at.index(index), format!("`{}` stands here twice", coding.token()))
                    .hint("remove one of the two");
            }
        }
    }

    fn check_types(&self, at: &Path, out: &mut Diagnostics) {
        let Some(types) = &self.types else { return };
        if types.is_empty() {
            out.error(at, "without a type nothing is compressed")
                .hint("to switch it off write `compress: off`; remove the list for the default types");
        }
        if types.len() > MAX_TYPES {
            out.error(at, format!("{} types, but at most {MAX_TYPES} are allowed", types.len()))
                .hint("every response pays for each of them; `text/*` and `application/*+json` mean many");
        }
        for (index, text) in types.iter().enumerate() {
            let at = at.index(index);
            match Pattern::parse(text) {
                Err(why) => {
                    out.error(&at, format!("`{text}` is no media type: {why}"))
                        .hint("write `text/html`, `text/*` or `application/*+json`");
                }
                Ok(_) if media::is_grpc(text.as_bytes()) => {
                    out.error(&at, "gRPC is never compressed here: it has a compression of its own")
                        .hint("switch it on in the gRPC server");
                }
                Ok(_) if types[..index].iter().any(|earlier| earlier.eq_ignore_ascii_case(text)) => {
                    out.error(&at, format!("`{text}` stands here twice")).hint("remove one of the two");
                }
                Ok(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms() {
        assert_eq!("on".parse(), Ok(CompressSettings::default()));
        assert!(!"off".parse::<CompressSettings>().unwrap().enabled);
        assert!("gzip".parse::<CompressSettings>().is_err());
    }

    #[test]
    fn the_defaults_are_sound() {
        let mut out = Diagnostics::default();
        CompressSettings::default().check(&Path::root(), &mut out);
        assert!(out.is_empty());
        for text in media::DEFAULT {
            assert!(Pattern::parse(text).is_ok(), "{text}");
        }
    }
}
