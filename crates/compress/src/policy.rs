//! A route's compression, compiled: what clients are offered, and what may be coded.

use http::{HeaderMap, HeaderName, StatusCode, header};

use crate::coding::Coding;
use crate::fields::{content_length, lists, single};
use crate::media::{self, Pattern};
use crate::negotiate;
use crate::settings::{AskOrigin, CompressSettings};

/// The compiled form of [`CompressSettings`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompressPolicy {
    offered: Vec<Coding>,
    types: Vec<Pattern>,
    min_size: u64,
    max_size: u64,
    levels: [u8; Coding::ALL.len()],
    ask_origin: AskOrigin,
}

/// Why a response is passed on as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// It has no content of its own, or only a part of one.
    Status,
    /// It has a content coding.
    Encoded,
    /// Its Cache-Control says `no-transform` (RFC 9111 §5.2.2.6).
    NoTransform,
    /// It is signed (RFC 9421): what a signature covers must not change.
    Signed,
    /// Its type is none of those chosen, or it has none.
    Type,
    /// It is smaller than what is worth the work.
    Small,
    /// It is larger than the settings want.
    Large,
}

impl Unfit {
    /// Each of them.
    pub const ALL: [Self; 7] =
        [Self::Status, Self::Encoded, Self::NoTransform, Self::Signed, Self::Type, Self::Small, Self::Large];

    /// A fixed word, for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Encoded => "encoded",
            Self::NoTransform => "no_transform",
            Self::Signed => "signed",
            Self::Type => "type",
            Self::Small => "small",
            Self::Large => "large",
        }
    }
}

impl CompressPolicy {
    /// Compiles checked settings; `None` when they switch it off. A type that cannot be read, which the check
    /// reports, matches nothing.
    #[must_use]
    pub fn new(settings: &CompressSettings) -> Option<Self> {
        let mut levels = [0; Coding::ALL.len()];
        for coding in Coding::ALL {
            levels[coding as usize] = settings.levels.of(coding);
        }
        let policy = Self {
            offered: settings.encodings.clone(),
            types: settings.types().filter_map(|text| Pattern::parse(text).ok()).collect(),
            // Nothing has no coded form.
            min_size: settings.min_size.bytes().max(1),
            max_size: settings.max_size.map_or(u64::MAX, |size| size.bytes()),
            levels,
            ask_origin: settings.ask_origin,
        };
        settings.enabled.then_some(policy)
    }

    /// The coding that a client gets of what may be coded; `None`: the content as it is.
    ///
    /// A client that wants nothing transformed (RFC 9111 §5.2.1.6) gets what the origin sends.
    #[must_use]
    pub fn choose(&self, request: &HeaderMap) -> Option<Coding> {
        if forbids_transform(request) {
            return None;
        }
        negotiate::choose(request, &self.offered)
    }

    /// The level for a coding.
    #[must_use]
    pub fn level(&self, coding: Coding) -> u8 {
        self.levels[coding as usize]
    }

    /// What the origin is asked for.
    #[must_use]
    pub fn ask_origin(&self) -> AskOrigin {
        self.ask_origin
    }

    /// Whether a response may be coded.
    ///
    /// # Errors
    /// Why not.
    pub fn assess(&self, status: StatusCode, headers: &HeaderMap) -> Result<(), Unfit> {
        let empty = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::PARTIAL_CONTENT];
        if !status.is_success() || empty.contains(&status) || headers.contains_key(header::CONTENT_RANGE) {
            return Err(Unfit::Status);
        }
        self.assess_whole(headers, content_length(headers))
    }

    /// Whether what these fields describe could be coded if it came as a whole of `length` bytes, where that is
    /// known.
    ///
    /// # Errors
    /// Why not.
    pub fn assess_whole(&self, headers: &HeaderMap, length: Option<u64>) -> Result<(), Unfit> {
        const SIGNATURE: HeaderName = HeaderName::from_static("signature-input");
        if headers.contains_key(header::CONTENT_ENCODING) {
            return Err(Unfit::Encoded);
        }
        if forbids_transform(headers) {
            return Err(Unfit::NoTransform);
        }
        if headers.contains_key(SIGNATURE) {
            return Err(Unfit::Signed);
        }
        let chosen = single(headers, &header::CONTENT_TYPE)
            .is_some_and(|value| media::any_matches(&self.types, value.as_bytes()));
        match length {
            _ if !chosen => Err(Unfit::Type),
            Some(length) if length < self.min_size => Err(Unfit::Small),
            Some(length) if length > self.max_size => Err(Unfit::Large),
            _ => Ok(()),
        }
    }
}

/// Whether a message says that its content, or that of its answer, must stay as it is.
#[must_use]
pub fn forbids_transform(headers: &HeaderMap) -> bool {
    lists(headers, &header::CACHE_CONTROL, b"no-transform")
}

/// Whether a request or a response carries gRPC, which is left alone.
#[must_use]
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| media::is_grpc(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn policy(yaml: &str) -> CompressPolicy {
        CompressPolicy::new(&serde_yaml::from_str(yaml).unwrap()).unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        map
    }

    fn assess(status: u16, pairs: &[(&'static str, &str)]) -> Result<(), Unfit> {
        policy("{}").assess(StatusCode::from_u16(status).unwrap(), &headers(pairs))
    }

    const HTML: (&str, &str) = ("content-type", "text/html");
    const LONG: (&str, &str) = ("content-length", "5000");

    #[test]
    fn whole_text_of_some_size_or_of_an_unknown_one() {
        assert_eq!(assess(200, &[HTML, LONG]), Ok(()));
        assert_eq!(assess(200, &[HTML]), Ok(()));
        assert_eq!(assess(201, &[HTML]), Ok(()));
        assert_eq!(assess(200, &[HTML, ("content-length", "1023")]), Err(Unfit::Small));
        assert_eq!(assess(200, &[HTML, ("content-length", "1024")]), Ok(()));
        assert_eq!(assess(200, &[LONG]), Err(Unfit::Type));
        assert_eq!(assess(200, &[("content-type", "image/png"), LONG]), Err(Unfit::Type));
        assert_eq!(assess(200, &[HTML, HTML, LONG]), Err(Unfit::Type), "two types are none");
    }

    #[test]
    fn no_other_status() {
        for status in [204, 205, 206, 301, 304, 404, 416, 500] {
            assert_eq!(assess(status, &[HTML, LONG]), Err(Unfit::Status), "{status}");
        }
        let range = ("content-range", "bytes 0-1/5000");
        assert_eq!(assess(200, &[HTML, LONG, range]), Err(Unfit::Status));
    }

    #[test]
    fn never_what_may_not_be_changed() {
        for value in ["no-transform", "public, No-Transform ,max-age=5"] {
            assert_eq!(assess(200, &[HTML, LONG, ("cache-control", value)]), Err(Unfit::NoTransform));
        }
        let lines = [HTML, LONG, ("cache-control", "max-age=5"), ("cache-control", "no-transform")];
        assert_eq!(assess(200, &lines), Err(Unfit::NoTransform));
        assert_eq!(assess(200, &[HTML, LONG, ("cache-control", "x-no-transform")]), Ok(()));
        for coding in ["gzip", "br", "identity", "aes128gcm"] {
            assert_eq!(assess(200, &[HTML, LONG, ("content-encoding", coding)]), Err(Unfit::Encoded));
        }
        assert_eq!(assess(200, &[HTML, LONG, ("signature-input", "sig=()")]), Err(Unfit::Signed));
    }

    #[test]
    fn sizes_and_types_of_the_settings() {
        let policy = policy("{ min_size: 10, max_size: 20, types: [image/png] }");
        let sized = |length| policy.assess_whole(&headers(&[("content-type", "image/png")]), length);
        assert_eq!(sized(Some(9)), Err(Unfit::Small));
        assert_eq!((sized(Some(10)), sized(Some(20)), sized(None)), (Ok(()), Ok(()), Ok(())));
        assert_eq!(sized(Some(21)), Err(Unfit::Large));
        assert_eq!(policy.assess_whole(&headers(&[HTML]), None), Err(Unfit::Type));
    }

    #[test]
    fn a_client_that_wants_nothing_transformed() {
        let policy = policy("{ encodings: [gzip], levels: { gzip: 3 } }");
        let accept = ("accept-encoding", "gzip");
        assert_eq!(policy.choose(&headers(&[accept])), Some(Coding::Gzip));
        assert_eq!(policy.choose(&headers(&[accept, ("cache-control", "no-transform")])), None);
        assert_eq!((policy.level(Coding::Gzip), policy.level(Coding::Brotli)), (3, 4));
        assert!(CompressPolicy::new(&"off".parse().unwrap()).is_none());
    }
}
