//! Content-Range of a single part (RFC 9110 §14.4).

use http::{HeaderMap, HeaderValue, header};

use crate::syntax::trim;

/// Which bytes a part is, of how many. First and last both belong to it, and it is never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentRange {
    /// The first byte of the part.
    pub first: u64,
    /// Its last byte.
    pub last: u64,
    /// The length of the whole, when the origin says it.
    pub complete: Option<u64>,
}

impl ContentRange {
    /// What the one Content-Range of these fields says. `None` when there is none or more, when it is of another unit,
    /// speaks of no bytes (`*/10`), or cannot be (`5-3/10`, `5-10/10`).
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(header::CONTENT_RANGE).iter();
        let (Some(field), None) = (lines.next(), lines.next()) else { return None };
        let text = std::str::from_utf8(trim(field.as_bytes())).ok()?;
        let (unit, rest) = text.split_once(' ')?;
        let (range, complete) = rest.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let complete = match complete {
            "*" => None,
            digits => Some(number(digits)?),
        };
        let this = Self { first: number(first)?, last: number(last)?, complete };
        let possible = this.first <= this.last && complete.is_none_or(|complete| this.last < complete);
        (unit.eq_ignore_ascii_case("bytes") && possible && this.last < u64::MAX).then_some(this)
    }

    /// How many bytes it is.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }

    /// The value of a Content-Range field that says it.
    #[must_use]
    pub fn value(&self) -> HeaderValue {
        let Self { first, last, .. } = self;
        let text = match self.complete {
            Some(complete) => format!("bytes {first}-{last}/{complete}"),
            None => format!("bytes {first}-{last}/*"),
        };
        // Digits, dashes and slashes are a valid value.
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("bytes */*"))
    }
}

/// Digits that fit. Unlike in a Range, a number that does not fit is none.
fn number(digits: &str) -> Option<u64> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}
