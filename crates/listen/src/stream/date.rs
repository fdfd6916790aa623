//! The Date of a response as its origin made it.
//!
//! Pingora writes the time of sending into every head. For a response out of the cache that is wrong: a cache
//! does not change the Date of what it stored (RFC 9110 §6.6.1), and a cache further down would take it for
//! younger than it is. The proxy notes the right date with the connection, and it is put in its place here,
//! where the head goes by.

use std::time::{Duration, SystemTime};

/// Bytes of an IMF-fixdate (RFC 9110 §5.6.7).
const LENGTH: usize = 29;
const NAME: &[u8] = b"\r\ndate: ";

/// Whether these bytes begin the head of a final response.
pub(super) fn is_final_head(bytes: &[u8]) -> bool {
    matches!(bytes, [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', b'2'..=b'9', ..])
}

/// Puts a date, in seconds since 1970, in the place of the one in `head`. Without effect when there is none that
/// could be replaced byte for byte.
pub(super) fn replace(head: &mut [u8], seconds: u64) {
    let end = head.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(head.len());
    let Some(at) = head[..end].windows(NAME.len()).position(|window| window.eq_ignore_ascii_case(NAME))
    else {
        return;
    };
    let value = at + NAME.len();
    let Some(old) = head.get_mut(value..value + LENGTH) else { return };
    let Some(date) = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)) else { return };
    // `fmt_http_date` panics beyond the year 9999.
    if seconds >= 253_402_300_800 {
        return;
    }
    let new = httpdate::fmt_http_date(date);
    if new.len() == LENGTH {
        old.copy_from_slice(new.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_replaced_and_nothing_else() {
        let mut head =
            b"HTTP/1.1 200 OK\r\nX-Date: a\r\nDate: Tue, 24 Nov 2026 18:54:42 GMT\r\nAge: 4\r\n\r\nDate: x"
                .to_vec();
        replace(&mut head, 784_111_777);
        assert_eq!(
            String::from_utf8(head).unwrap(),
            "HTTP/1.1 200 OK\r\nX-Date: a\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nAge: 4\r\n\r\nDate: x"
        );
    }

    #[test]
    fn a_head_without_a_date_stays() {
        for head in [
            "HTTP/1.1 200 OK\r\nAge: 4\r\n\r\n\r\nDate: Tue, 24 Nov 2026 18:54:42 GMT",
            "HTTP/1.1 200 OK\r\nDate: ",
        ] {
            let mut bytes = head.as_bytes().to_vec();
            replace(&mut bytes, 784_111_777);
            assert_eq!(bytes, head.as_bytes());
            replace(&mut bytes, u64::MAX);
        }
    }

    #[test]
    fn only_final_heads_count() {
        assert!(is_final_head(b"HTTP/1.1 200 OK"));
        assert!(is_final_head(b"HTTP/1.0 404 Not Found"));
        for other in [&b"HTTP/1.1 103 Early Hints"[..], b"HTTP/1.", b"", b"body"] {
            assert!(!is_final_head(other));
        }
    }
}
