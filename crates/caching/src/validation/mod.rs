//! Validation: asking the origin whether a stored response still holds, answering the client's own conditions
//! from the store, and bringing a 304 into the stored fields (RFC 9111 §4.3, RFC 9110 §13).

mod etag;
mod merge;
mod preconditions;

use http::{HeaderMap, HeaderValue, header};

pub use merge::{freshens, merge};
pub use preconditions::{Outcome, evaluate, range_applies};

/// The fields of a conditional request to the origin, from a stored response (RFC 9111 §4.3.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Validators {
    /// If-None-Match: the stored ETag, byte for byte.
    pub if_none_match: Option<HeaderValue>,
    /// If-Modified-Since: the stored Last-Modified, byte for byte.
    pub if_modified_since: Option<HeaderValue>,
}

impl Validators {
    /// The validators of stored fields. An ETag or Last-Modified sent twice identifies nothing and is left out.
    #[must_use]
    pub fn of(stored: &HeaderMap) -> Self {
        Self {
            if_none_match: only(stored, &header::ETAG),
            if_modified_since: only(stored, &header::LAST_MODIFIED),
        }
    }

    /// Whether there is nothing to ask with.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.if_none_match.is_none() && self.if_modified_since.is_none()
    }
}

/// The value of a field that is there once and not empty.
fn only(headers: &HeaderMap, name: &http::HeaderName) -> Option<HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    (lines.next().is_none() && !first.is_empty()).then(|| first.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::headers;

    #[test]
    fn both_validators_are_sent_as_they_were_received() {
        let stored = headers(&[("etag", "W/\"a\""), ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")]);
        let validators = Validators::of(&stored);
        assert_eq!(validators.if_none_match.unwrap(), "W/\"a\"");
        assert_eq!(validators.if_modified_since.unwrap(), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn nothing_to_ask_with() {
        assert!(Validators::of(&HeaderMap::new()).is_empty());
        assert!(Validators::of(&headers(&[("etag", "\"a\""), ("etag", "\"b\"")])).is_empty());
        assert!(Validators::of(&headers(&[("etag", "")])).is_empty());
    }
}
