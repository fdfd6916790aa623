//! The Cache-Control of a response (RFC 9111 §5.2.2, RFC 5861, RFC 8246).

use http::{HeaderMap, HeaderName, header};

use super::{Argument, Delta, Reach, each_directive, surrogate, targeted};

/// Which field the policy of a response was read from (RFC 9213 §2.2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Source {
    /// Neither Cache-Control nor a targeted field is there.
    #[default]
    Nothing,
    /// Cache-Control.
    CacheControl,
    /// A targeted field, in whose presence Cache-Control and Expires mean nothing to us.
    Targeted(HeaderName),
}

/// What an origin says about storing and reusing its response.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResponseDirectives {
    /// Where it was said.
    pub source: Source,
    /// `max-age` in seconds.
    pub max_age: Delta,
    /// `s-maxage` in seconds: for shared caches, over `max-age`.
    pub s_maxage: Delta,
    /// `stale-while-revalidate` in seconds (RFC 5861 §3).
    pub stale_while_revalidate: Delta,
    /// `stale-if-error` in seconds (RFC 5861 §4).
    pub stale_if_error: Delta,
    /// `no-store`.
    pub no_store: bool,
    /// `no-cache`, for all or for named fields.
    pub no_cache: Reach,
    /// `private`, for all or for named fields.
    pub private: Reach,
    /// `public`.
    pub public: bool,
    /// `must-revalidate`.
    pub must_revalidate: bool,
    /// `proxy-revalidate`.
    pub proxy_revalidate: bool,
    /// `must-understand`.
    pub must_understand: bool,
    /// `immutable`: the content does not change while it is fresh (RFC 8246).
    pub immutable: bool,
    /// A quoted string stays open, so that nobody can tell where directives end.
    pub malformed: bool,
}

impl ResponseDirectives {
    /// The policy that counts for this cache: the first targeted field with a valid value (RFC 9213),
    /// Surrogate-Control for origins that do not know those, or Cache-Control.
    #[must_use]
    pub fn effective(headers: &HeaderMap) -> Self {
        targeted::first_valid(headers)
            .or_else(|| surrogate::control(headers))
            .unwrap_or_else(|| Self::cache_control(headers))
    }

    /// The policy that Cache-Control states.
    #[must_use]
    pub fn cache_control(headers: &HeaderMap) -> Self {
        let mut this = Self::default();
        if !headers.contains_key(header::CACHE_CONTROL) {
            return this;
        }
        this.source = Source::CacheControl;
        this.malformed =
            each_directive(headers, &header::CACHE_CONTROL, |name, argument| this.add(name, argument));
        this
    }

    /// Whether Expires counts: it is ignored beside a targeted field (RFC 9213 §2.2) and Surrogate-Control.
    #[must_use]
    pub fn heeds_expires(&self) -> bool {
        !matches!(self.source, Source::Targeted(_))
    }

    /// Whether stale reuse needs the origin's consent in each case: must-revalidate or proxy-revalidate.
    #[must_use]
    pub fn forbids_stale(&self) -> bool {
        self.must_revalidate || self.proxy_revalidate
    }

    /// Whether not even a client's `max-stale` allows a stale response: what `forbids_stale` says, `s-maxage`
    /// (RFC 9111 §5.2.2.10) and `no-cache`.
    #[must_use]
    pub fn forbids_max_stale(&self) -> bool {
        self.forbids_stale() || self.s_maxage.is_present() || self.no_cache.is_all()
    }

    /// Takes `no-store` and the unqualified `no-cache` out, for a route that is told to (`force_store`).
    pub(crate) fn lift_bans(&mut self) {
        self.no_store = false;
        if self.no_cache.is_all() {
            self.no_cache = Reach::Nothing;
        }
    }

    pub(super) fn add(&mut self, name: &[u8], argument: &Argument<'_>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("max-age") {
            self.max_age.add(argument.seconds());
        } else if is("s-maxage") {
            self.s_maxage.add(argument.seconds());
        } else if is("stale-while-revalidate") {
            self.stale_while_revalidate.add(argument.seconds());
        } else if is("stale-if-error") {
            self.stale_if_error.add(argument.seconds());
        } else if is("no-store") {
            self.no_store = true;
        } else if is("no-cache") {
            self.no_cache.add(argument);
        } else if is("private") {
            self.private.add(argument);
        } else if is("must-revalidate") {
            self.must_revalidate = true;
        } else if is("proxy-revalidate") {
            self.proxy_revalidate = true;
        } else if is("public") {
            self.public |= argument.is_none();
        } else if is("must-understand") {
            self.must_understand |= argument.is_none();
        } else if is("immutable") {
            // RFC 8246 §2: an argument has no meaning and is ignored.
            self.immutable = true;
        }
    }
}
