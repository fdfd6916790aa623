//! From the path of a request to the name of a file.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// `PATH_MAX`: no file has a longer name.
const LONGEST_NAME: usize = 4096;
/// What RFC 3986 §2.3 lets stand unencoded in a path segment.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a request path names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The way down from the root; empty for the root itself. Plain names only, each decoded once.
    relative: PathBuf,
    /// Whether the path ended in `/`.
    pub(crate) folder: bool,
}

/// Why a path names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is not a path we are willing to understand: 400.
    Malformed,
    /// It is a path, but no file may be found there: 404.
    Hidden,
}

impl Target {
    /// Reads the path component of a request target (no query).
    ///
    /// Each segment is decoded exactly once, after the path was split, so an encoded slash can never make a new
    /// segment; it is refused, because the layers in front of us may have seen something else in it.
    pub(crate) fn parse(path: &str, dot_files: bool) -> Result<Self, Refusal> {
        let rest = path.strip_prefix('/').ok_or(Refusal::Malformed)?;
        let (rest, folder) = match rest.strip_suffix('/') {
            Some(rest) => (rest, true),
            None => (rest, rest.is_empty()),
        };
        let mut relative = PathBuf::new();
        if rest.is_empty() {
            // "/" is the root; "//" has an empty name in it.
            return if path == "/" { Ok(Self { relative, folder }) } else { Err(Refusal::Hidden) };
        }
        let mut hidden = false;
        for (depth, segment) in rest.split('/').enumerate() {
            let name = decode(segment)?;
            if name == b"." || name == b".." {
                return Err(Refusal::Malformed);
            }
            let well_known = depth == 0 && name == b".well-known";
            hidden |= name.is_empty() || (name.starts_with(b".") && !dot_files && !well_known);
            relative.push(OsStr::from_bytes(&name));
        }
        // Only now, so that a malformed path is 400 wherever the fault stands in it.
        if hidden || relative.as_os_str().len() >= LONGEST_NAME {
            return Err(Refusal::Hidden);
        }
        Ok(Self { relative, folder })
    }

    /// The way down from the root, empty for the root itself.
    pub(crate) fn path(&self) -> &Path {
        &self.relative
    }

    /// The relative reference that adds the missing `/`, for `Location`.
    ///
    /// It begins with `./`: without it, `a:b/` would be an absolute URI with the scheme `a` (RFC 3986 §4.2).
    pub(crate) fn with_slash(&self, query: Option<&str>) -> String {
        let name = self.relative.file_name().unwrap_or_default();
        let name = percent_encode(name.as_bytes(), ENCODED);
        match query {
            Some(query) => format!("./{name}/?{query}"),
            None => format!("./{name}/"),
        }
    }
}

/// Decodes one segment, once. Refuses half escapes, NUL, and the separators of any system.
fn decode(segment: &str) -> Result<Vec<u8>, Refusal> {
    let mut name = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' {
            let high = bytes.next().and_then(hex).ok_or(Refusal::Malformed)?;
            let low = bytes.next().and_then(hex).ok_or(Refusal::Malformed)?;
            high << 4 | low
        } else {
            byte
        };
        if matches!(byte, 0 | b'/' | b'\\') {
            return Err(Refusal::Malformed);
        }
        name.push(byte);
    }
    Ok(name)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::{Refusal, Target};
    use proptest::prelude::*;
    use std::path::Component;

    fn path(text: &str) -> Result<String, Refusal> {
        Target::parse(text, false)
            .map(|t| format!("{}{}", t.path().display(), if t.folder { "/" } else { "" }))
    }

    #[test]
    fn reads_plain_paths() {
        for (text, expected) in [
            ("/", "/"),
            ("/a.txt", "a.txt"),
            ("/a/b/", "a/b/"),
            ("/caf%C3%A9%20au.html", "café au.html"),
            ("/%252e%252e", "%2e%2e"),
            ("/a:b", "a:b"),
            ("/...a", "!hidden"),
            ("/.well-known/acme-challenge/x", ".well-known/acme-challenge/x"),
        ] {
            if expected == "!hidden" {
                assert_eq!(path(text), Err(Refusal::Hidden), "{text}");
            } else {
                assert_eq!(path(text).as_deref(), Ok(expected), "{text}");
            }
        }
    }

    #[test]
    fn refuses_what_could_climb_or_cut() {
        for text in [
            "",
            "*",
            "a",
            "/..",
            "/../a",
            "/a/..",
            "/a/../b",
            "/a/%2e%2e/b",
            "/a/.%2E",
            "/.",
            "/a/./b",
            "/a%00b",
            "/%2f",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/%",
            "/%4",
            "/%zz",
            "/a%",
            "/%+1",
            "/.hidden/%00",
        ] {
            assert_eq!(path(text), Err(Refusal::Malformed), "{text}");
        }
    }

    #[test]
    fn hides_dot_files_until_told_otherwise() {
        for text in [
            "/.env",
            "/a/.git/config",
            "/.well-known/.env",
            "/a/.well-known/x",
            "/%2eenv",
            "//",
            "//a",
            "/a//b",
        ] {
            assert_eq!(path(text), Err(Refusal::Hidden), "{text}");
        }
        assert!(Target::parse("/a/.git/config", true).is_ok());
        assert_eq!(Target::parse("//a", true), Err(Refusal::Hidden));
        assert_eq!(Target::parse("/a/..", true), Err(Refusal::Malformed));
        assert_eq!(path(&format!("/{}", "a/".repeat(2100))), Err(Refusal::Hidden));
    }

    #[test]
    fn redirects_stay_in_the_folder() {
        for (text, query, expected) in [
            ("/a", None, "./a/"),
            ("/x/a:b", Some("q=1"), "./a%3Ab/?q=1"),
            ("/caf%C3%A9", None, "./caf%C3%A9/"),
            ("/javascript:alert(1)", None, "./javascript%3Aalert%281%29/"),
        ] {
            assert_eq!(Target::parse(text, false).unwrap().with_slash(query), expected);
        }
    }

    proptest! {
        /// Whatever is accepted consists of plain names only: joined to any folder, it stays below it.
        #[test]
        fn accepted_paths_only_go_down(
            text in "(/|%2e|%2E|\\.|%2f|%5c|%00|%25|a|b|\\\\|:|~|%C3%A9){0,24}", dots in any::<bool>()
        ) {
            if let Ok(target) = Target::parse(&format!("/{text}"), dots) {
                prop_assert!(target.path().components().all(|part| matches!(part, Component::Normal(_))));
                prop_assert!(!target.path().is_absolute());
            }
        }
        #[test]
        fn never_panics(text in "\\PC*", dots in any::<bool>()) {
            let _ = Target::parse(&text, dots);
        }
    }
}
