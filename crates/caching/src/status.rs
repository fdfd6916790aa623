//! The Cache-Status field (RFC 9211): what the cache did with a request, as a structured List.
//!
//! The type cannot say what RFC 9211 §2 excludes: a hit has no `fwd`, `fwd-status`, `stored` or `collapsed`.

use std::time::SystemTime;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::syntax::is_token_byte;

/// `Cache-Status`.
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Our name in the list.
const NAME: &[u8] = b"seawall";

/// The greatest Integer of a structured field (RFC 8941 §3.3.1).
const MAX_INTEGER: i64 = 999_999_999_999_999;

/// The most characters of `key` and `detail`; longer ones are left out, since a cut one would mislead.
const MAX_TEXT: usize = 256;

/// Why a request went to the origin (RFC 9211 §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ForwardReason {
    /// The cache was not to handle this request.
    Bypass,
    /// The method is not one that is answered from the store.
    Method,
    /// Nothing is stored for the URI.
    UriMiss,
    /// Something is stored for the URI, but for other request fields.
    VaryMiss,
    /// Nothing is stored that could be used, whichever of the two it is.
    Miss,
    /// Something fresh is stored, but the request's directives demand to ask the origin.
    Request,
    /// What is stored is stale.
    Stale,
    /// What is stored does not have all the bytes asked for.
    Partial,
}

impl ForwardReason {
    /// The token of RFC 9211 §2.2.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

/// Whether the origin was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// It was not: the response comes from the store.
    Hit,
    /// It was not, and the response is the cache's own.
    Neither,
    /// It was.
    Forwarded {
        /// Why.
        reason: ForwardReason,
        /// What it answered, when that is not the status sent to the client (304 for a revalidated response).
        /// `None` also when no answer came.
        status: Option<StatusCode>,
        /// Whether its response was stored.
        stored: bool,
        /// Whether this request waited for the one that another client had sent.
        collapsed: bool,
    },
}

/// One member of Cache-Status: ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheStatus<'a> {
    /// Hit or forwarded.
    pub handling: Handling,
    /// Seconds of freshness left in the response (see [`ttl`]), negative when it is stale. `None` when it is not
    /// in the store.
    pub ttl: Option<i64>,
    /// The key, for those who may see it. Left out when longer than 256 characters or not printable ASCII.
    pub key: Option<&'a str>,
    /// More about the reason, such as [`NotStored::as_str`](crate::NotStored::as_str). Same limits as `key`.
    pub detail: Option<&'a str>,
}

/// Whole seconds from `now` to `fresh_until`, rounded down: a stale response never has 0 or more.
#[must_use]
pub fn ttl(fresh_until: SystemTime, now: SystemTime) -> i64 {
    let clamp = |seconds: u64| i64::try_from(seconds).unwrap_or(MAX_INTEGER).min(MAX_INTEGER);
    match fresh_until.duration_since(now) {
        Ok(left) => clamp(left.as_secs()),
        Err(error) => {
            let over = error.duration();
            -clamp(over.as_secs().saturating_add(u64::from(over.subsec_nanos() > 0)))
        }
    }
}

impl<'a> CacheStatus<'a> {
    /// A response from the store with that much freshness left.
    #[must_use]
    pub fn hit(ttl: i64) -> Self {
        Self { handling: Handling::Hit, ttl: Some(ttl), key: None, detail: None }
    }

    /// A request that went to the origin.
    #[must_use]
    pub fn forwarded(reason: ForwardReason) -> Self {
        let handling = Handling::Forwarded { reason, status: None, stored: false, collapsed: false };
        Self { handling, ttl: None, key: None, detail: None }
    }

    /// The same with a detail.
    #[must_use]
    pub fn detail(self, detail: &'a str) -> Self {
        Self { detail: Some(detail), ..self }
    }

    /// Writes the member: `seawall; fwd=uri-miss; fwd-status=200; stored; ttl=60`.
    pub fn write(&self, out: &mut BytesMut) {
        out.put_slice(NAME);
        match self.handling {
            Handling::Hit => out.put_slice(b"; hit"),
            Handling::Neither => {}
            Handling::Forwarded { reason, status, stored, collapsed } => {
                out.put_slice(b"; fwd=");
                out.put_slice(reason.as_str().as_bytes());
                if let Some(status) = status {
                    out.put_slice(b"; fwd-status=");
                    out.put_slice(status.as_str().as_bytes());
                }
                if stored {
                    out.put_slice(b"; stored");
                }
                if collapsed {
                    out.put_slice(b"; collapsed");
                }
            }
        }
        if let Some(ttl) = self.ttl {
            out.put_slice(b"; ttl=");
            write_integer(ttl.clamp(-MAX_INTEGER, MAX_INTEGER), out);
        }
        write_text(b"; key=", self.key, Form::String, out);
        write_text(b"; detail=", self.detail, Form::TokenOrString, out);
    }

    /// The value for the client: what caches nearer to the origin said, then ours (RFC 9211 §2).
    #[must_use]
    pub fn value(&self, upstream: &HeaderMap) -> HeaderValue {
        let mut out = BytesMut::with_capacity(64);
        for line in upstream.get_all(CACHE_STATUS) {
            let line = crate::syntax::trim(line.as_bytes());
            if !line.is_empty() {
                out.put_slice(line);
                out.put_slice(b", ");
            }
        }
        self.write(&mut out);
        into_value(out.freeze())
    }
}

/// Everything written is a field value: what came in one goes out in one, and the rest is printable ASCII.
fn into_value(bytes: Bytes) -> HeaderValue {
    HeaderValue::from_maybe_shared(bytes).unwrap_or_else(|_| HeaderValue::from_static("seawall"))
}

fn write_integer(value: i64, out: &mut BytesMut) {
    if value < 0 {
        out.put_u8(b'-');
    }
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.put_slice(&digits[at..]);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    String,
    TokenOrString,
}

/// A String has printable ASCII with `"` and `\` escaped (RFC 8941 §3.3.3); a Token begins with a letter.
fn write_text(name: &[u8], text: Option<&str>, form: Form, out: &mut BytesMut) {
    let Some(text) = text.map(str::as_bytes) else { return };
    if text.is_empty() || text.len() > MAX_TEXT || !text.iter().all(|byte| (0x20..0x7f).contains(byte)) {
        return;
    }
    out.put_slice(name);
    if form == Form::TokenOrString && is_sf_token(text) {
        out.put_slice(text);
        return;
    }
    out.put_u8(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.put_u8(b'\\');
        }
        out.put_u8(*byte);
    }
    out.put_u8(b'"');
}

fn is_sf_token(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_alphabetic)
        && text.iter().all(|byte| is_token_byte(*byte) || matches!(byte, b':' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{after, before, headers, now};
    use proptest::prelude::*;
    use sfv::{ListEntry, Parser};
    use std::time::Duration;

    fn text(status: &CacheStatus<'_>) -> String {
        status.value(&HeaderMap::new()).to_str().unwrap().to_owned()
    }

    #[test]
    fn hits() {
        assert_eq!(text(&CacheStatus::hit(30)), "seawall; hit; ttl=30");
        assert_eq!(text(&CacheStatus::hit(0)), "seawall; hit; ttl=0");
        assert_eq!(text(&CacheStatus::hit(-412)), "seawall; hit; ttl=-412");
        assert_eq!(text(&CacheStatus::hit(5).detail("memory")), "seawall; hit; ttl=5; detail=memory");
    }

    #[test]
    fn forwarded() {
        let miss = CacheStatus {
            handling: Handling::Forwarded {
                reason: ForwardReason::UriMiss,
                status: Some(StatusCode::OK),
                stored: true,
                collapsed: true,
            },
            ttl: Some(60),
            key: Some("a \"b\" \\"),
            detail: Some("two words"),
        };
        assert_eq!(
            text(&miss),
            "seawall; fwd=uri-miss; fwd-status=200; stored; collapsed; ttl=60; key=\"a \\\"b\\\" \\\\\"; \
             detail=\"two words\""
        );
        assert_eq!(
            text(&CacheStatus::forwarded(ForwardReason::Bypass).detail("no-store")),
            "seawall; fwd=bypass; detail=no-store"
        );
    }

    #[test]
    fn ours_is_the_last_of_the_list() {
        let upstream =
            headers(&[("cache-status", "inner; hit"), ("cache-status", ""), ("cache-status", "b; fwd=miss")]);
        assert_eq!(CacheStatus::hit(1).value(&upstream), "inner; hit, b; fwd=miss, seawall; hit; ttl=1");
    }

    #[test]
    fn texts_that_do_not_fit_are_left_out() {
        let long = "x".repeat(MAX_TEXT + 1);
        for bad in [long.as_str(), "ümlaut", "line\nbreak", ""] {
            let status = CacheStatus { key: Some(bad), ..CacheStatus::hit(1) }.detail(bad);
            assert_eq!(text(&status), "seawall; hit; ttl=1");
        }
    }

    #[test]
    fn ttl_tells_the_truth() {
        assert_eq!(ttl(after(30), now()), 30);
        assert_eq!(ttl(after(30) + Duration::from_millis(999), now()), 30);
        assert_eq!(ttl(now(), now()), 0);
        assert_eq!(ttl(now() - Duration::from_nanos(1), now()), -1);
        assert_eq!(ttl(before(30), now()), -30);
        assert_eq!(ttl(before(30) - Duration::from_millis(1), now()), -31);
    }

    #[test]
    fn every_reason_has_its_token() {
        use ForwardReason::{Bypass, Method, Miss, Partial, Request, Stale, UriMiss, VaryMiss};
        let all =
            [Bypass, Method, UriMiss, VaryMiss, Miss, Request, Stale, Partial].map(ForwardReason::as_str);
        assert_eq!(all, ["bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"]);
    }

    proptest! {
        #[test]
        fn always_a_structured_list(seconds in any::<i64>(), key in "\\PC{0,20}", detail in "[ -~]{0,20}") {
            let status = CacheStatus { key: Some(&key), ..CacheStatus::hit(seconds) }.detail(&detail);
            let value = text(&status);
            let list = Parser::parse_list(value.as_bytes()).unwrap();
            let ListEntry::Item(item) = &list[0] else { panic!("{value}") };
            prop_assert_eq!(item.bare_item.as_token(), Some("seawall"));
            prop_assert_eq!(item.params["hit"].as_bool(), Some(true));
            let expected = seconds.clamp(-MAX_INTEGER, MAX_INTEGER);
            prop_assert_eq!(item.params["ttl"].as_int(), Some(expected));
            if let Some(read) = item.params.get("detail") {
                prop_assert_eq!(read.as_str().or(read.as_token()).unwrap(), detail.as_str());
            }
        }
    }
}
