//! Media types and patterns of them (RFC 9110 §8.3.1).

/// What is compressed when the settings do not say: text, and what is text under another name. Images, video, audio,
/// archives and `font/woff2` are compressed already.
pub(crate) const DEFAULT: [&str; 17] = [
    "text/*",
    "application/*+json",
    "application/*+xml",
    "application/javascript",
    "application/json",
    "application/json-seq",
    "application/manifest+json",
    "application/wasm",
    "application/x-javascript",
    "application/x-ndjson",
    "application/xml",
    "application/yaml",
    "application/vnd.ms-fontobject",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/svg+xml",
];

/// Named by no wildcard: each client that listens would keep an encoder for as long as it does.
const EVENTS: &str = "text/event-stream";

/// A type, `type/*`, or `type/*+suffix`; lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    kind: String,
    subtype: Subtype,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Subtype {
    Is(String),
    Any,
    EndsIn(String),
}

impl Pattern {
    /// Reads a pattern; the message says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let lower = text.to_ascii_lowercase();
        let Some((kind, subtype)) = lower.split_once('/') else { return Err("it has no `/`") };
        if kind == "*" {
            return Err("`*` may stand for a subtype only");
        }
        let subtype_of = match subtype.strip_prefix('*') {
            None => Subtype::Is(subtype.to_owned()),
            Some("") => Subtype::Any,
            Some(suffix) if suffix.len() > 1 && suffix.starts_with('+') => Subtype::EndsIn(suffix.to_owned()),
            Some(_) => return Err("behind `*` only a suffix such as `+json` may stand"),
        };
        let rest = subtype.strip_prefix('*').unwrap_or(subtype);
        if kind.is_empty() || subtype.is_empty() || !(kind.bytes().chain(rest.bytes())).all(is_name_byte) {
            return Err("a character in it cannot stand in a media type");
        }
        Ok(Self { kind: kind.to_owned(), subtype: subtype_of })
    }

    /// Whether a type, in lower case and without parameters, is meant.
    fn matches(&self, kind: &str, subtype: &str) -> bool {
        self.kind == kind
            && match &self.subtype {
                Subtype::Is(name) => name == subtype,
                Subtype::Any => !is_events(kind, subtype),
                Subtype::EndsIn(suffix) => subtype.ends_with(suffix.as_str()) && subtype.len() > suffix.len(),
            }
    }
}

fn is_events(kind: &str, subtype: &str) -> bool {
    EVENTS.split_once('/') == Some((kind, subtype))
}

/// Whether gRPC frames are meant, which have a compression of their own that its clients expect.
pub(crate) fn is_grpc(content_type: &[u8]) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    content_type.get(..GRPC.len()).is_some_and(|start| start.eq_ignore_ascii_case(GRPC))
}

/// RFC 6838 §4.2.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte)
}

/// Whether one of the patterns means a Content-Type.
pub(crate) fn any_matches(patterns: &[Pattern], content_type: &[u8]) -> bool {
    let bare = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    // Longer than any type there is (RFC 6838 §4.2: 127 characters each side).
    if bare.len() > 255 || is_grpc(bare) {
        return false;
    }
    let Ok(text) = std::str::from_utf8(bare) else { return false };
    let lower = text.to_ascii_lowercase();
    let Some((kind, subtype)) = lower.split_once('/') else { return false };
    patterns.iter().any(|pattern| pattern.matches(kind, subtype))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(patterns: &[&str], content_type: &str) -> bool {
        let patterns: Vec<_> = patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        any_matches(&patterns, content_type.as_bytes())
    }

    #[test]
    fn the_defaults_mean_text() {
        for text in [
            "text/html",
            "Text/HTML; charset=utf-8",
            " text/plain ;x=1",
            "application/json",
            "application/problem+json",
            "application/rss+xml",
            "image/svg+xml",
            "application/wasm",
        ] {
            assert!(matches(&DEFAULT, text), "{text}");
        }
        for other in [
            "image/png",
            "video/mp4",
            "application/zip",
            "application/octet-stream",
            "font/woff2",
            "text",
            "",
            "/",
            "application/+json",
            "application/grpc+json",
            "multipart/byteranges",
        ] {
            assert!(!matches(&DEFAULT, other), "{other}");
        }
    }

    #[test]
    fn events_only_by_their_name() {
        assert!(!matches(&["text/*"], EVENTS));
        assert!(matches(&["text/event-stream"], "text/event-stream; charset=utf-8"));
    }

    #[test]
    fn grpc_never() {
        assert!(!matches(&["application/grpc", "application/*+proto"], "application/grpc+proto"));
        assert!(is_grpc(b"Application/gRPC-web") && !is_grpc(b"application/grp"));
    }

    #[test]
    fn no_patterns() {
        for bad in
            ["text", "", "*/*", "*", "text/", "/html", "text/*html", "text/*+", "te xt/a", "text/a;q=1"]
        {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Pattern::parse("TEXT/HTML"), Pattern::parse("text/html"));
    }
}
