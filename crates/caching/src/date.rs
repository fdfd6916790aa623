//! HTTP dates (RFC 9110 §5.6.7), read as a cache reads them: names without regard to case, GMT only
//! (RFC 9111 §4.2).

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, header};

const MONTHS: [[u8; 3]; 12] = [
    *b"jan", *b"feb", *b"mar", *b"apr", *b"may", *b"jun", *b"jul", *b"aug", *b"sep", *b"oct", *b"nov",
    *b"dec",
];
const DAYS: [[u8; 3]; 7] = [*b"mon", *b"tue", *b"wed", *b"thu", *b"fri", *b"sat", *b"sun"];
const LONG_DAYS: [&[u8]; 7] =
    [b"monday", b"tuesday", b"wednesday", b"thursday", b"friday", b"saturday", b"sunday"];
const DAY_SECONDS: i64 = 86_400;

/// Reads an HTTP date in any of its three forms, or `None` when it is none of them.
///
/// `now` settles the century of the two-digit years of RFC 850 dates (RFC 9110 §5.6.7: more than 50 years
/// ahead means the past). The name of the day is checked for being one, not for being the right one.
#[must_use]
pub fn http_date(value: &[u8], now: SystemTime) -> Option<SystemTime> {
    let seconds = imf_fixdate(value).or_else(|| rfc850(value, now)).or_else(|| asctime(value))?;
    from_unix(seconds)
}

/// The date in the only line of a field. `Some(None)` when the field is there but is not one date.
pub(crate) fn date_field(
    headers: &HeaderMap,
    name: &HeaderName,
    now: SystemTime,
) -> Option<Option<SystemTime>> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    if lines.next().is_some() {
        return Some(None);
    }
    Some(http_date(first.as_bytes(), now))
}

/// The date in the first line of a field, or `None` when it is missing or bad.
pub(crate) fn first_date(headers: &HeaderMap, name: &HeaderName, now: SystemTime) -> Option<SystemTime> {
    http_date(headers.get(name)?.as_bytes(), now)
}

/// Gives a response that came without a readable Date the time it was received (RFC 9110 §6.6.1).
pub fn insert_date(headers: &mut HeaderMap, received: SystemTime) {
    if first_date(headers, &header::DATE, received).is_none()
        && let Some(value) = format_date(received)
    {
        headers.insert(header::DATE, value);
    }
}

/// The IMF-fixdate of `at`; `None` outside the years 1970 to 9999.
pub(crate) fn format_date(at: SystemTime) -> Option<HeaderValue> {
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    // 9999-12-31 23:59:59; httpdate panics past it.
    if seconds > 253_402_300_799 {
        return None;
    }
    HeaderValue::from_str(&httpdate::fmt_http_date(at)).ok()
}

fn from_unix(seconds: i64) -> Option<SystemTime> {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn imf_fixdate(value: &[u8]) -> Option<i64> {
    let (name, rest) = value.split_at_checked(3)?;
    short_name_in(name, &DAYS)?;
    let rest = rest.strip_prefix(b", ")?;
    if rest.len() != 24 || rest[2] != b' ' || rest[6] != b' ' || rest[11] != b' ' {
        return None;
    }
    gmt(&rest[20..])?;
    unix(number(&rest[7..11])?, month(&rest[3..6])?, number(&rest[..2])?, clock(&rest[12..20])?)
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc850(value: &[u8], now: SystemTime) -> Option<i64> {
    let comma = value.iter().position(|byte| *byte == b',')?;
    LONG_DAYS.iter().any(|known| value[..comma].eq_ignore_ascii_case(known)).then_some(())?;
    let rest = value[comma..].strip_prefix(b", ")?;
    if rest.len() != 22 || rest[2] != b'-' || rest[6] != b'-' || rest[9] != b' ' {
        return None;
    }
    gmt(&rest[18..])?;
    let (short, clock) = (number(&rest[7..9])?, clock(&rest[10..18])?);
    let in_year = |year| unix(year, month(&rest[3..6])?, number(&rest[..2])?, clock);
    let limit = unix_seconds(now).saturating_add(50 * 365 * DAY_SECONDS + 12 * DAY_SECONDS);
    // The latest century that is not more than 50 years ahead; a leap day exists only in some of them.
    [2100, 2000, 1900].into_iter().filter_map(|century| in_year(century + short)).find(|at| *at <= limit)
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(value: &[u8]) -> Option<i64> {
    if value.len() != 24 || [3, 7, 10, 19].iter().any(|at| value[*at] != b' ') {
        return None;
    }
    short_name_in(&value[..3], &DAYS)?;
    let day = match value[8] {
        b' ' => number(&value[9..10])?,
        _ => number(&value[8..10])?,
    };
    unix(number(&value[20..])?, month(&value[4..7])?, day, clock(&value[11..19])?)
}

/// Each hit reads a date: three letters in lower case are compared as one number.
fn short_name_in(name: &[u8], names: &[[u8; 3]]) -> Option<usize> {
    let name = <[u8; 3]>::try_from(name).ok()?.map(|byte| byte.to_ascii_lowercase());
    names.iter().position(|known| *known == name)
}

fn month(name: &[u8]) -> Option<i64> {
    short_name_in(name, &MONTHS).map(|index| index as i64 + 1)
}

fn gmt(zone: &[u8]) -> Option<()> {
    zone.eq_ignore_ascii_case(b" GMT").then_some(())
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

/// `08:49:37` as seconds of the day; a leap second counts as the second after it.
fn clock(text: &[u8]) -> Option<i64> {
    if text[2] != b':' || text[5] != b':' {
        return None;
    }
    let (hour, minute, second) = (number(&text[..2])?, number(&text[3..5])?, number(&text[6..])?);
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second)
}

/// Seconds since 1970 of a date of the Gregorian calendar; `None` when there is no such day.
fn unix(year: i64, month: i64, day: i64, clock: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Years start in March here, so that the leap day is the last of its year.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let day_of_year = (153 * m + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some(days * DAY_SECONDS + clock)
}

fn unix_seconds(at: SystemTime) -> i64 {
    match at.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX / 2),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{headers, now};
    use proptest::prelude::*;

    fn read(text: &str) -> Option<i64> {
        http_date(text.as_bytes(), now()).map(|at| match at.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => since.as_secs() as i64,
            Err(error) => -(error.duration().as_secs() as i64),
        })
    }

    #[test]
    fn reads_the_three_forms() {
        for text in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(read(text), Some(784_111_777), "{text}");
        }
        assert_eq!(read("Sun Nov 16 08:49:37 1994"), Some(784_111_777 + 10 * DAY_SECONDS));
    }

    #[test]
    fn case_does_not_matter() {
        assert_eq!(read("sUN, 06 nOV 1994 08:49:37 gmt"), Some(784_111_777));
        assert_eq!(read("SUNDAY, 06-NOV-94 08:49:37 gmt"), Some(784_111_777));
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "0",
            "-1",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 AEST",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 06-Nov-1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08.49.37 GMT",
            "Sun  06 Nov 1994 08:49:37 GMT",
            "Sun,  06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:00 GMT",
            "Sun, 06 Nov 1994 08:00:61 GMT",
            "Sun, 31 Apr 1994 08:49:37 GMT",
            "Tue, 29 Feb 2023 08:49:37 GMT",
            "Xxx, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    /// RFC 9110 §5.6.7: what seems to lie more than 50 years ahead is the latest such date in the past.
    #[test]
    fn the_two_digit_year_turns_at_fifty_years_for_any_now() {
        let at = |text: &str| http_date(text.as_bytes(), now()).unwrap();
        for (now, year, full) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", "19", "2019"),
            ("Thu, 01 Jan 1970 00:00:00 GMT", "21", "1921"),
            ("Fri, 31 Dec 1999 23:59:59 GMT", "49", "2049"),
            ("Fri, 31 Dec 1999 23:59:59 GMT", "51", "1951"),
            ("Sun, 01 Jan 2023 00:00:00 GMT", "72", "2072"),
            ("Sun, 01 Jan 2023 00:00:00 GMT", "75", "1975"),
            ("Sun, 01 Jan 2023 00:00:00 GMT", "99", "1999"),
            ("Sun, 01 Jan 2023 00:00:00 GMT", "00", "2000"),
            ("Fri, 01 Jan 2060 00:00:00 GMT", "09", "2109"),
            ("Fri, 01 Jan 2060 00:00:00 GMT", "12", "2012"),
            ("Sat, 01 Jan 2101 00:00:00 GMT", "40", "2140"),
            ("Sat, 01 Jan 2101 00:00:00 GMT", "60", "2060"),
        ] {
            let read = http_date(format!("Monday, 15-Jun-{year} 12:00:00 GMT").as_bytes(), at(now));
            assert_eq!(read, Some(at(&format!("Mon, 15 Jun {full} 12:00:00 GMT"))), "{year} as of {now}");
        }
    }

    #[test]
    fn a_two_digit_year_far_ahead_is_past() {
        // now is 2023: '73 is 50 years ahead or less, '74 is not.
        assert_eq!(read("Monday, 01-May-73 00:00:00 GMT"), read("Mon, 01 May 2073 00:00:00 GMT"));
        assert_eq!(read("Monday, 01-May-74 00:00:00 GMT"), read("Mon, 01 May 1974 00:00:00 GMT"));
        assert_eq!(read("Monday, 29-Feb-00 00:00:00 GMT"), read("Mon, 29 Feb 2000 00:00:00 GMT"));
    }

    #[test]
    fn edges() {
        assert_eq!(read("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(read("Wed, 31 Dec 1969 23:59:59 GMT"), Some(-1));
        assert!(read("Sat, 01 Jan 0000 00:00:00 GMT").is_some());
        assert_eq!(read("Fri, 31 Dec 9999 23:59:59 GMT"), Some(253_402_300_799));
        assert_eq!(read("Sat, 31 Dec 2016 23:59:60 GMT"), read("Sun, 01 Jan 2017 00:00:00 GMT"));
    }

    #[test]
    fn a_missing_or_bad_date_becomes_the_time_of_receipt() {
        for pairs in [&[][..], &[("date", "yesterday")]] {
            let mut map = headers(pairs);
            insert_date(&mut map, now());
            assert_eq!(map["date"], "Tue, 14 Nov 2023 22:13:20 GMT");
        }
        let mut map = headers(&[("date", "Sun, 06 Nov 1994 08:49:37 GMT")]);
        insert_date(&mut map, now());
        assert_eq!(map["date"], "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    proptest! {
        #[test]
        fn agrees_with_the_formatter(seconds in 0u64..253_402_300_799) {
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            prop_assert_eq!(http_date(httpdate::fmt_http_date(at).as_bytes(), now()), Some(at));
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = http_date(&bytes, now());
        }

        #[test]
        fn never_panics_near_a_date(at in 0usize..29, byte in any::<u8>()) {
            for form in [&b"Sun, 06 Nov 1994 08:49:37 GMT"[..], b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994"] {
                let mut text = form.to_vec();
                let at = at % text.len();
                text[at] = byte;
                let _ = http_date(&text, now());
                let _ = http_date(&text[..at], now());
            }
        }
    }
}
