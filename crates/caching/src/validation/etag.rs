//! Entity tags and their two comparisons (RFC 9110 §8.8.3).

use http::{HeaderMap, header};

/// The tag without its mark of weakness.
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Whether this is an entity tag as RFC 9110 §8.8.3 writes them.
pub(super) fn is_well_formed(tag: &[u8]) -> bool {
    opaque(tag)
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
        .is_some_and(|inner| inner.iter().all(|byte| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..)))
}

/// Weak comparison (RFC 9110 §8.8.3.2). Tags without quotes are compared by their bytes, for the origins that
/// send such: equal bytes were made by the same hand.
pub(super) fn weak_eq(a: &[u8], b: &[u8]) -> bool {
    opaque(a) == opaque(b) && !opaque(a).is_empty()
}

/// Strong comparison (RFC 9110 §8.8.3.2): the same, well formed, and neither weak.
pub(super) fn strong_eq(a: &[u8], b: &[u8]) -> bool {
    a == b && !a.starts_with(b"W/") && is_well_formed(a)
}

/// The tag of a response, when it has exactly one.
pub(super) fn of(headers: &HeaderMap) -> Option<&[u8]> {
    let mut lines = headers.get_all(header::ETAG).iter();
    let first = lines.next()?;
    lines.next().is_none().then(|| crate::syntax::trim(first.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of RFC 9110 §8.8.3.2.
    #[test]
    fn the_table_of_the_rfc() {
        for (a, b, strong, weak) in [
            (r#"W/"1""#, r#"W/"1""#, false, true),
            (r#"W/"1""#, r#"W/"2""#, false, false),
            (r#"W/"1""#, r#""1""#, false, true),
            (r#""1""#, r#""1""#, true, true),
        ] {
            assert_eq!(strong_eq(a.as_bytes(), b.as_bytes()), strong, "{a} {b}");
            assert_eq!(weak_eq(a.as_bytes(), b.as_bytes()), weak, "{a} {b}");
        }
    }

    #[test]
    fn the_mark_is_case_sensitive_and_tags_are_too() {
        assert!(!weak_eq(br#"w/"1""#, br#""1""#));
        assert!(!weak_eq(br#""a""#, br#""A""#));
    }

    #[test]
    fn well_formed() {
        for tag in [&br#""""#[..], br#""a,b""#, br#"W/"x""#, br#""a\""#, b"\"\xff\""] {
            assert!(is_well_formed(tag), "{tag:?}");
        }
        for tag in [&b"a"[..], b"\"", b"\"a", b"\"a b\"", b"W/a", b"", b"\"a\"b\""] {
            assert!(!is_well_formed(tag), "{tag:?}");
        }
        assert!(!strong_eq(b"a", b"a") && weak_eq(b"a", b"a"));
        assert!(!weak_eq(b"", b""));
    }
}
