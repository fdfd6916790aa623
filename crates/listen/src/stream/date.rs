//! The Date of a response as its origin made it.
//!
//! Pingora writes the time of sending into every head. For a response out of the cache that is wrong: a cache
//! does not change the Date of what it stored (RFC 9110 §6.6.1), and a cache further down would take it for
//! younger than it is. The proxy notes the right date with the connection, and it is put in its place here,
//! where the head goes by.

use memchr::memmem::Finder;
use once_cell::sync::Lazy;

/// Bytes of an IMF-fixdate (RFC 9110 §5.6.7).
const LENGTH: usize = 29;
/// As Pingora writes it.
const NAME: &[u8] = b"\r\nDate: ";
// Making a finder costs more than it takes to find something in a head.
static FIELD: Lazy<Finder<'static>> = Lazy::new(|| Finder::new(NAME));
static HEAD_END: Lazy<Finder<'static>> = Lazy::new(|| Finder::new(b"\r\n\r\n"));
/// 9999-12-31 23:59:59, the last that has a year of four digits.
const LAST: u64 = 253_402_300_799;

/// Whether these bytes begin the head of a final response.
pub(super) fn is_final_head(bytes: &[u8]) -> bool {
    matches!(bytes, [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', b'2'..=b'9', ..])
}

/// Puts a date, in seconds since 1970, in the place of the one in `head`. Without effect when there is none that
/// could be replaced byte for byte.
pub(super) fn replace(head: &mut [u8], seconds: u64) {
    if seconds > LAST {
        return;
    }
    let Some(at) = FIELD.find(head) else { return };
    // The line break before the name may be the second of two: then it stands in the body.
    if HEAD_END.find(&head[..at + 2]).is_some() {
        return;
    }
    let value = at + NAME.len();
    if let Some(old) = head.get_mut(value..value + LENGTH) {
        old.copy_from_slice(&fixdate(seconds));
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`. Every hit with a date of its own needs one, so it is made without a formatter.
fn fixdate(seconds: u64) -> [u8; LENGTH] {
    const DAYS: &[u8; 21] = b"ThuFriSatSunMonTueWed";
    const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let mut text = *b"???, ?? ??? ???? ??:??:?? GMT";
    let name = |names: &[u8], at: u64| {
        let at = at as usize * 3;
        [names[at], names[at + 1], names[at + 2]]
    };
    text[..3].copy_from_slice(&name(DAYS, days % 7));
    text[8..11].copy_from_slice(&name(MONTHS, month - 1));
    for (at, number) in [
        (5, day),
        (12, year / 100),
        (14, year % 100),
        (17, second / 3600),
        (20, second / 60 % 60),
        (23, second % 60),
    ] {
        text[at] = b'0' + (number / 10) as u8;
        text[at + 1] = b'0' + (number % 10) as u8;
    }
    text
}

/// Year, month and day of the day so many days after 1970-01-01, by counting from 1 March of the year 0, so that
/// the leap day comes last: eras of 400 years have 146097 days.
fn civil(days: u64) -> (u64, u64, u64) {
    let since = days + 719_468;
    let (era, day) = (since / 146_097, since % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let calendar = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(calendar <= 2), calendar, of_month)
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
    fn dates_are_those_of_the_reference() {
        let at = |seconds| std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        // Every day of two eras, each at another time of the day; then the last second there is.
        let days = (0..2 * 146_097u64).map(|day| day * 86_400 + day * 7919 % 86_400);
        for seconds in days.chain([LAST - 86_400, LAST]) {
            assert_eq!(String::from_utf8_lossy(&fixdate(seconds)), httpdate::fmt_http_date(at(seconds)));
        }
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
