//! The small grammars that fields share (RFC 9110 §5.6): lists, tokens, quoted strings, delta-seconds.

use std::borrow::Cow;

/// The greatest number of seconds a delta-seconds value counts for: 2^31 (RFC 9111 §1.2.2).
pub const MAX_DELTA: u32 = 1 << 31;

/// Without the optional whitespace (space and tab) around it.
#[must_use]
pub fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// A weight such as `0.5`, in thousandths (RFC 9110 §12.4.2); `None` when it is none.
#[must_use]
pub fn thousandths(value: &[u8]) -> Option<u16> {
    let (whole, fraction) = match value {
        [whole] => (whole, &[][..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    let mut sum = match whole {
        b'0' => 0,
        b'1' => 1000,
        _ => return None,
    };
    for (digit, unit) in fraction.iter().zip([100, 10, 1]) {
        if !digit.is_ascii_digit() {
            return None;
        }
        sum += u16::from(digit - b'0') * unit;
    }
    (sum <= 1000).then_some(sum)
}

/// Whether `byte` may stand in a token (RFC 9110 §5.6.2).
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether this is a token (RFC 9110 §5.6.2).
pub(crate) fn is_token(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|byte| is_token_byte(*byte))
}

/// The elements of a comma-separated list (RFC 9110 §5.6.1): trimmed, without empty ones, with commas inside
/// quotes left alone.
#[derive(Debug, Clone)]
pub(crate) struct List<'a> {
    rest: &'a [u8],
    escapes: bool,
    unterminated: bool,
}

/// A list whose quoted strings know backslash escapes.
pub(crate) fn list(value: &[u8]) -> List<'_> {
    List { rest: value, escapes: true, unterminated: false }
}

/// A list of entity tags, where a backslash is a plain character (RFC 9110 §8.8.3).
pub(crate) fn tag_list(value: &[u8]) -> List<'_> {
    List { rest: value, escapes: false, unterminated: false }
}

impl List<'_> {
    /// Whether an element seen so far opened a quote that nothing closed.
    pub(crate) fn unterminated(&self) -> bool {
        self.unterminated
    }
}

impl<'a> Iterator for List<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let (end, open) = element_end(self.rest, self.escapes);
            self.unterminated |= open;
            let element = trim(&self.rest[..end]);
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
            if !element.is_empty() {
                return Some(element);
            }
        }
        None
    }
}

/// Where the first element ends, and whether it ends inside a quoted string.
fn element_end(value: &[u8], escapes: bool) -> (usize, bool) {
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in value.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted && escapes => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return (at, false),
            _ => {}
        }
    }
    (value.len(), quoted)
}

/// The content of a quoted string that spans the whole value, escapes resolved (RFC 9110 §5.6.4).
pub(crate) fn unquote(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let inner = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if !inner.iter().any(|byte| matches!(byte, b'"' | b'\\')) {
        return Some(Cow::Borrowed(inner));
    }
    let mut content = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return None,
            b'\\' => content.push(*bytes.next()?),
            other => content.push(*other),
        }
    }
    Some(Cow::Owned(content))
}

/// Seconds as digits only, saturating at [`MAX_DELTA`] (RFC 9111 §1.2.2).
pub(crate) fn delta_seconds(value: &[u8]) -> Option<u32> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u32, |sum, byte| {
        byte.is_ascii_digit()
            .then(|| sum.saturating_mul(10).saturating_add(u32::from(byte - b'0')).min(MAX_DELTA))
    })
}

/// Puts `part` behind its length, so that no two different sequences of parts give the same bytes.
pub(crate) fn push_frame(out: &mut Vec<u8>, part: &[u8]) {
    out.extend_from_slice(&(part.len() as u64).to_le_bytes());
    out.extend_from_slice(part);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn elements(value: &str) -> Vec<&str> {
        list(value.as_bytes()).map(|element| std::str::from_utf8(element).unwrap()).collect()
    }

    #[test]
    fn splits_at_commas_outside_quotes() {
        assert_eq!(elements(r#"a ,, b="x, y" ,	c"#), ["a", r#"b="x, y""#, "c"]);
        assert_eq!(elements(r#"a="\", b", c"#), [r#"a="\", b""#, "c"]);
        assert_eq!(elements(""), [""; 0]);
        assert_eq!(elements(" , ,"), [""; 0]);
    }

    #[test]
    fn a_backslash_escapes_nothing_in_a_tag() {
        let tags: Vec<&[u8]> = tag_list(br#""a\", "b""#).collect();
        assert_eq!(tags, [br#""a\""#.as_slice(), br#""b""#]);
    }

    #[test]
    fn notices_an_open_quote() {
        let mut open = list(b"a=\"b, c");
        assert_eq!(open.by_ref().count(), 1);
        assert!(open.unterminated());
        let mut closed = list(b"a=\"b\", c");
        assert_eq!(closed.by_ref().count(), 2);
        assert!(!closed.unterminated());
    }

    #[test]
    fn unquotes() {
        assert_eq!(unquote(br#""a b""#).unwrap().as_ref(), b"a b");
        assert_eq!(unquote(br#""a\"b\\""#).unwrap().as_ref(), br#"a"b\"#);
        for bad in [&b"a"[..], b"\"", b"\"a", b"\"a\"b\"", b"\"a\\\"", b""] {
            assert_eq!(unquote(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn seconds_are_digits_and_saturate() {
        assert_eq!(delta_seconds(b"0"), Some(0));
        assert_eq!(delta_seconds(b"007"), Some(7));
        assert_eq!(delta_seconds(b"2147483647"), Some(MAX_DELTA - 1));
        for large in [&b"2147483648"[..], b"4294967296", b"99999999999999999999999999999999999"] {
            assert_eq!(delta_seconds(large), Some(MAX_DELTA));
        }
        for bad in [&b""[..], b"-1", b"+1", b"1.0", b" 1", b"1s", b"0x1"] {
            assert_eq!(delta_seconds(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn lists_never_panic_and_lose_no_token(value in prop::collection::vec(any::<u8>(), 0..60)) {
            for element in list(&value).chain(tag_list(&value)) {
                prop_assert!(!element.is_empty());
                prop_assert_eq!(trim(element), element);
                let _ = unquote(element);
            }
        }

        #[test]
        fn frames_tell_sequences_apart(
            a in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5), 0..5),
            b in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5), 0..5),
        ) {
            let frame = |parts: &Vec<Vec<u8>>| {
                let mut out = Vec::new();
                parts.iter().for_each(|part| push_frame(&mut out, part));
                out
            };
            prop_assert_eq!(frame(&a) == frame(&b), a == b);
        }
    }
}
