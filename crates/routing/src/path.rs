//! One spelling for each path.
//!
//! Routing, access rules, inspection, the cache key and the request to the origin must all see the same path:
//! where two of them disagree, a rule can be walked around or a wrong object served. So the path is brought
//! to one spelling once, and what could mean different things to different readers is refused.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// What happens to `%2F` and `%5C` in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EncodedSlashes {
    /// They stay as they are and are part of their segment, which is what RFC 3986 §2.2 says.
    #[default]
    Keep,
    /// The request is answered with 400: for origins that decode them and then see other segments than the
    /// routes did.
    Reject,
}

/// How request paths are brought to one spelling.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PathSettings {
    /// Turn several slashes in a row into one. Off by default, because an empty segment is a segment (RFC
    /// 3986 §3.3): signed URLs, object stores and embedded URLs (`/proxy/http://…`) break without it. Turn
    /// it on where the origin merges slashes, or `//admin` reaches what a rule on `/admin` protects.
    pub merge_slashes: bool,
    /// Whether `%2F` (slash) and `%5C` (backslash) are kept encoded (`keep`) or refused with 400 (`reject`).
    pub encoded_slashes: EncodedSlashes,
}

/// Why a path is refused. Each deserves a 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with a slash.
    #[error("the path does not begin with `/`")]
    NotAbsolute,
    /// A byte that may not stand unencoded in a path.
    #[error("the path has the byte 0x{0:02x}, which must be percent-encoded")]
    IllegalByte(u8),
    /// `\`, which some origins read as a slash.
    #[error("the path has a backslash")]
    Backslash,
    /// `%` without two hexadecimal digits.
    #[error("the path has a `%` without two hexadecimal digits")]
    InvalidEscape,
    /// `%00`.
    #[error("the path has an encoded NUL")]
    Nul,
    /// A character encoded in more bytes than it needs, such as `%C0%AE` for a dot.
    #[error("the path has an overlong UTF-8 sequence")]
    Overlong,
    /// `%2F` or `%5C` where the settings refuse them.
    #[error("the path has an encoded slash or backslash")]
    EncodedSlash,
    /// More `..` than there are segments above.
    #[error("the path climbs above the root")]
    AboveRoot,
    /// A dot segment that only some readers see, such as `..%2F` or `..;`.
    #[error("the path hides a dot segment behind an encoded slash or a parameter")]
    HiddenDots,
}

/// [`PathSettings::normalize`] with the default settings.
///
/// # Errors
/// As [`PathSettings::normalize`].
pub fn normalize_path(path: &str) -> Result<Cow<'_, str>, PathError> {
    const DEFAULT: PathSettings =
        PathSettings { merge_slashes: false, encoded_slashes: EncodedSlashes::Keep };
    DEFAULT.normalize(path)
}

impl PathSettings {
    /// Brings `path` (without the query) to its one spelling: escapes of unreserved characters decoded,
    /// other escapes in capitals, `.` and `..` resolved (RFC 3986 §6.2.2). The result is never longer than
    /// `path`, has no dot segment and is its own normal form. Nothing is allocated when `path` is normal.
    ///
    /// # Errors
    /// When the path could mean different things to different readers; see [`PathError`].
    pub fn normalize<'p>(&self, path: &'p str) -> Result<Cow<'p, str>, PathError> {
        let seen = scan(path.as_bytes())?;
        if seen.encoded_slash && self.encoded_slashes == EncodedSlashes::Reject {
            return Err(PathError::EncodedSlash);
        }
        let path = if seen.denormal_escape { Cow::Owned(decode(path)) } else { Cow::Borrowed(path) };
        if seen.leading_dot || seen.encoded_slash {
            refuse_hidden_dots(&path)?;
        }
        let merge = self.merge_slashes && seen.double_slash;
        if merge || (seen.leading_dot && path.split('/').any(is_dots)) {
            return resolve(&path, merge).map(Cow::Owned);
        }
        Ok(path)
    }
}

/// What a path needs.
#[derive(Default)]
struct Seen {
    /// An escape that must be decoded or capitalised.
    denormal_escape: bool,
    /// A segment that begins with a dot, encoded or not.
    leading_dot: bool,
    /// `%2F` or `%5C`.
    encoded_slash: bool,
    /// Two slashes in a row.
    double_slash: bool,
}

fn scan(path: &[u8]) -> Result<Seen, PathError> {
    if path.first() != Some(&b'/') {
        return Err(PathError::NotAbsolute);
    }
    let mut seen = Seen::default();
    let (mut at, mut after_slash) = (0_usize, false);
    while let Some(&byte) = path.get(at) {
        let mut width = 1;
        match byte {
            b'%' => {
                let value = escaped(path, at).ok_or(PathError::InvalidEscape)?;
                refuse_overlong(value, path, at)?;
                width = 3;
                let lower_case = path[at + 1..at + 3].iter().any(u8::is_ascii_lowercase);
                seen.denormal_escape |= lower_case || is_unreserved(value);
                seen.encoded_slash |= matches!(value, b'/' | b'\\');
                seen.leading_dot |= after_slash && value == b'.';
            }
            b'/' => seen.double_slash |= after_slash,
            b'.' => seen.leading_dot |= after_slash,
            b'\\' => return Err(PathError::Backslash),
            // Not in RFC 3986's grammar, but browsers send some of the rest (`|`, `^`, `"`) as they are.
            0..=b' ' | b'#' | b'?' | 0x7f.. => return Err(PathError::IllegalByte(byte)),
            _ => {}
        }
        after_slash = byte == b'/';
        at += width;
    }
    Ok(seen)
}

/// The value of the escape that begins at `at`.
fn escaped(path: &[u8], at: usize) -> Option<u8> {
    let &[percent, high, low] = path.get(at..at + 3)? else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    (percent == b'%').then_some(())?;
    Some(digit(high)? << 4 | digit(low)?)
}

/// Overlong UTF-8 (RFC 3629 §3): a lenient decoder reads `%C0%AE` as a dot. Bytes that are merely not UTF-8
/// pass, since paths in Latin-1 exist.
fn refuse_overlong(value: u8, path: &[u8], at: usize) -> Result<(), PathError> {
    let next = || escaped(path, at + 3);
    let overlong = match value {
        0 => return Err(PathError::Nul),
        0xc0 | 0xc1 => matches!(next(), Some(0x80..=0xbf)),
        0xe0 => matches!(next(), Some(0x80..=0x9f)),
        0xf0 => matches!(next(), Some(0x80..=0x8f)),
        0xf8..=0xfd => matches!(next(), Some(0x80..=0xbf)),
        _ => false,
    };
    if overlong { Err(PathError::Overlong) } else { Ok(()) }
}

/// RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// `path` went through [`scan`].
fn decode(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut out = String::with_capacity(path.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match escaped(bytes, at) {
            Some(value) if is_unreserved(value) => {
                out.push(char::from(value));
                at += 3;
            }
            Some(_) => {
                out.extend(bytes[at..at + 3].iter().map(|b| char::from(b.to_ascii_uppercase())));
                at += 3;
            }
            None => {
                out.push(char::from(byte));
                at += 1;
            }
        }
    }
    out
}

fn is_dots(segment: &str) -> bool {
    matches!(segment, "." | "..")
}

/// Refuses what is a dot segment only to readers that decode `%2F` and `%5C` or cut parameters (`..;x`, as
/// servlet containers do) before they resolve dots.
fn refuse_hidden_dots(path: &str) -> Result<(), PathError> {
    let hides = |segment: &str| {
        !is_dots(segment)
            && segment
                .split("%2F")
                .flat_map(|piece| piece.split("%5C"))
                .flat_map(|piece| piece.split("%3B").next())
                .any(|piece| is_dots(piece.split(';').next().unwrap_or_default()))
    };
    if path.split('/').any(hides) { Err(PathError::HiddenDots) } else { Ok(()) }
}

/// RFC 3986 §5.2.4, except that climbing above the root is an error and not ignored.
fn resolve(path: &str, merge: bool) -> Result<String, PathError> {
    let mut out = String::with_capacity(path.len());
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "" if merge && !last => continue,
            "." => {}
            ".." => out.truncate(out.rfind('/').ok_or(PathError::AboveRoot)?),
            _ => {
                out.push('/');
                out.push_str(segment);
                continue;
            }
        }
        if last {
            out.push('/');
        }
    }
    Ok(out)
}
