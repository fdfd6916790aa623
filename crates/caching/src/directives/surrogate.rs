//! Surrogate-Control (W3C's Edge Architecture Specification 1.0 of 2001): what RFC 9213 has replaced, and many
//! applications still send.
//!
//! Like a targeted field it takes the place of Cache-Control and Expires, once it says something about storing
//! that is meant for us: `no-store`, or a `max-age`. A directive may name the surrogate it is for
//! (`max-age=60;name`); one for us goes before one for all, one for another is none. Everything else in the
//! field (`content="ESI/1.0"`) asks for work that is not done here.

use http::{HeaderMap, HeaderName};

use super::{Argument, ResponseDirectives, Source, split};
use crate::syntax::{list, trim};

/// The response field. It is for surrogates alone and never sent on.
pub const SURROGATE_CONTROL: HeaderName = HeaderName::from_static("surrogate-control");

/// The request field in which a surrogate says that it knows [`SURROGATE_CONTROL`].
pub const SURROGATE_CAPABILITY: HeaderName = HeaderName::from_static("surrogate-capability");

/// Our value of [`SURROGATE_CAPABILITY`]: caching, and no transformation of the content.
pub const CAPABILITY: &str = "seawall=\"Surrogate/1.0\"";

/// The name that a directive for us bears.
const NAME: &[u8] = b"seawall";

pub(super) fn control(headers: &HeaderMap) -> Option<ResponseDirectives> {
    let (mut ours, mut everyones) = (Control::default(), Control::default());
    for element in headers.get_all(SURROGATE_CONTROL).iter().flat_map(|line| list(line.as_bytes())) {
        let (directive, targets) = targets(element);
        match targets {
            None => everyones.add(directive),
            Some(targets) if targets.split(|byte| *byte == b';').any(|target| trim(target) == NAME) => {
                ours.add(directive);
            }
            Some(_) => {}
        }
    }
    [ours, everyones].into_iter().find(Control::says_something).map(|control| control.directives)
}

/// The directive, and after it the names of those it is for.
///
/// Only `content` takes a quoted string, and nothing here reads that.
fn targets(element: &[u8]) -> (&[u8], Option<&[u8]>) {
    match element.iter().position(|byte| *byte == b';') {
        Some(at) => (trim(&element[..at]), Some(&element[at + 1..])),
        None => (element, None),
    }
}

struct Control {
    directives: ResponseDirectives,
}

impl Default for Control {
    fn default() -> Self {
        let source = Source::Targeted(SURROGATE_CONTROL);
        Self { directives: ResponseDirectives { source, ..ResponseDirectives::default() } }
    }
}

impl Control {
    fn says_something(&self) -> bool {
        self.directives.no_store || self.directives.max_age.is_present()
    }

    fn add(&mut self, directive: &[u8]) {
        let (name, argument) = split(directive);
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("no-store") || is("no-store-remote") {
            // An edge is remote from the origin.
            self.directives.no_store = true;
        } else if is("max-age") {
            self.add_lifetime(&argument);
        }
    }

    /// `max-age=FRESH` or `max-age=FRESH+STALE`: for so long after its end it may still be served.
    fn add_lifetime(&mut self, argument: &Argument<'_>) {
        let Argument::Text(text) = argument else {
            self.directives.add(b"max-age", argument);
            return;
        };
        let mut parts = text.splitn(2, |byte| *byte == b'+').map(|part| Argument::Text(part.into()));
        if let Some(fresh) = parts.next() {
            self.directives.add(b"max-age", &fresh);
        }
        if let Some(stale) = parts.next() {
            self.directives.add(b"stale-while-revalidate", &stale);
            self.directives.add(b"stale-if-error", &stale);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directives::Delta;
    use crate::testing::{any_value, headers};
    use proptest::prelude::*;

    fn control(value: &str) -> Option<ResponseDirectives> {
        super::control(&headers(&[("surrogate-control", value)]))
    }

    fn max_age(value: &str) -> Option<Delta> {
        control(value).map(|directives| directives.max_age)
    }

    #[test]
    fn it_takes_the_place_of_cache_control() {
        let map = headers(&[
            ("cache-control", "no-store, private"),
            ("expires", "0"),
            ("surrogate-control", "content=\"ESI/1.0\", Max-Age=60"),
        ]);
        let directives = ResponseDirectives::effective(&map);
        assert_eq!(directives.max_age, Delta::Seconds(60));
        assert!(!directives.no_store && !directives.private.is_all() && !directives.heeds_expires());
        let no_store = headers(&[("cache-control", "max-age=60"), ("surrogate-control", "no-store")]);
        assert!(ResponseDirectives::effective(&no_store).no_store);
        assert!(control("no-store-remote").unwrap().no_store, "an edge is remote");
    }

    #[test]
    fn the_targeted_fields_of_rfc_9213_come_first() {
        let map = headers(&[("cdn-cache-control", "max-age=1"), ("surrogate-control", "max-age=60")]);
        assert_eq!(ResponseDirectives::effective(&map).max_age, Delta::Seconds(1));
    }

    #[test]
    fn what_says_nothing_about_storing_leaves_cache_control_alone() {
        for value in [
            "",
            "content=\"ESI/1.0\"",
            "foobar",
            "max-age=60;other",
            "no-store;other",
            "content=\"a, max-age=9\"",
        ] {
            assert_eq!(control(value), None, "{value}");
        }
    }

    #[test]
    fn a_directive_for_us_goes_before_one_for_all() {
        for value in [
            "max-age=60;seawall, max-age=1",
            "max-age=1, max-age=60;seawall",
            "max-age=60; seawall, no-store",
        ] {
            assert_eq!(max_age(value), Some(Delta::Seconds(60)), "{value}");
        }
        assert_eq!(max_age("max-age=60;other;seawall, max-age=2;other"), Some(Delta::Seconds(60)));
        assert_eq!(max_age("max-age=60;other, max-age=2"), Some(Delta::Seconds(2)));
    }

    #[test]
    fn the_extension_is_for_stale_responses() {
        let directives = control("max-age=60+600").unwrap();
        assert_eq!(directives.max_age, Delta::Seconds(60));
        assert_eq!(directives.stale_while_revalidate, Delta::Seconds(600));
        assert_eq!(directives.stale_if_error, Delta::Seconds(600));
        assert_eq!(control("max-age=60+x").unwrap().stale_if_error, Delta::Invalid);
    }

    #[test]
    fn a_bad_number_is_stale() {
        for value in
            ["max-age", "max-age=x", "max-age =60", "max-age= 60", "max-age=+5", "max-age=1, max-age=x"]
        {
            assert_eq!(max_age(value), Some(Delta::Invalid), "{value}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(value in any_value()) {
            let mut map = HeaderMap::new();
            map.append(SURROGATE_CONTROL, value);
            let _ = super::control(&map);
        }
    }
}
