//! What can be wrong with a route's cache settings.

use seawall_config::units::Span;
use seawall_config::{Diagnostics, Path};

use super::{RouteCacheSettings, SetCookie, StatusSelector};
use crate::MAX_DELTA;
use crate::range::MOST_RANGES;
use crate::storability::NEVER_STORED;

impl RouteCacheSettings {
    /// Reports every semantic problem.
    pub fn check(&self, at: &Path, out: &mut Diagnostics) {
        self.check_times(at, out);
        self.check_forced(at, out);
        self.check_statuses(&at.key("statuses"), out);
        super::bypass::check(&self.bypass_when, &at.key("bypass_when"), out);
        if self.max_variants == Some(0) {
            out.error(&at.key("max_variants"), "with no variant at all nothing can be kept")
                .hint("to turn the cache off write `cache: off`");
        }
        if self.max_ranges > MOST_RANGES {
            out.error(&at.key("max_ranges"), format!("more than {MOST_RANGES} ranges of one request"))
                .hint("each range costs a client six bytes to ask for, and a seek and a head to answer");
        }
        if !(1..=100).contains(&self.heuristic_percent) {
            out.error(&at.key("heuristic_percent"), "a share is from 1 to 100 percent")
                .hint("to guess no lifetimes write `heuristic: false`");
        }
        crate::key::check_headers(&self.vary_ignore, &at.key("vary_ignore"), out);
        for (index, name) in self.vary_ignore.iter().enumerate() {
            if ["accept-encoding", "cookie", "authorization"].iter().any(|n| name.eq_ignore_ascii_case(n)) {
                out.warning(
                    &at.key("vary_ignore").index(index),
                    format!("ignoring `{name}` can give one client the response meant for another"),
                )
                .hint("remove it unless the origin names it without need");
            }
        }
        if self.set_cookie == Some(SetCookie::Store) {
            out.warning(&at.key("set_cookie"), "every client will get the cookie of the first one")
                .hint("write `strip` unless the cookie is the same for everyone");
        }
        self.key.check(&at.key("key"), out);
    }

    fn check_times(&self, at: &Path, out: &mut Diagnostics) {
        for (key, time) in [
            ("ttl", self.ttl),
            ("force_ttl", self.force_ttl),
            ("max_ttl", self.max_ttl),
            ("min_ttl", self.min_ttl),
            ("stale_while_revalidate", Some(self.stale_while_revalidate)),
            ("stale_if_error", Some(self.stale_if_error)),
            ("stale_if_disconnected", self.stale_if_disconnected),
            ("heuristic_max", Some(self.heuristic_max)),
            ("max_error_ttl", self.max_error_ttl),
        ] {
            check_time(time, &at.key(key), out);
        }
        if let (Some(min), Some(max)) = (self.min_ttl, self.max_ttl)
            && min > max
        {
            out.error(&at.key("min_ttl"), format!("`min_ttl` ({min}) is longer than `max_ttl` ({max})"))
                .hint("make `min_ttl` the shorter of the two");
        }
    }

    fn check_forced(&self, at: &Path, out: &mut Diagnostics) {
        if self.force_ttl.is_some_and(Span::is_zero) {
            out.error(&at.key("force_ttl"), "a forced lifetime of zero keeps nothing")
                .hint("to turn the cache off write `cache: off`");
        }
        if self.force_ttl.is_some() {
            for (key, set) in [("ttl", self.ttl), ("min_ttl", self.min_ttl), ("max_ttl", self.max_ttl)] {
                if set.is_some() {
                    out.warning(&at.key(key), format!("`{key}` has no effect on what `force_ttl` governs"))
                        .hint("remove one of the two");
                }
            }
        }
        if !self.force_store {
            return;
        }
        if self.force_ttl.is_none() {
            out.error(&at.key("force_store"), "`force_store` needs `force_ttl`")
                .on_key()
                .hint("an origin that forbids storing gives no lifetime; say how long to keep its responses");
        } else {
            out.warning(&at.key("force_store"), "what the origin marks `no-store` is given to every client")
                .on_key()
                .hint("use it for paths whose responses are the same for everyone, and for those only");
        }
    }

    fn check_statuses(&self, at: &Path, out: &mut Diagnostics) {
        for (selector, ttl) in &self.statuses {
            let at = at.key(selector.to_string());
            check_time(Some(*ttl), &at, out);
            if *selector == StatusSelector::Exact(400) {
                out.warning(&at, "one client's odd request can get a 400 stored for everyone")
                    .hint("keep it for a second or two at most, or remove it");
            }
            if let StatusSelector::Exact(status) = selector
                && NEVER_STORED.contains(status)
            {
                out.error(&at, format!("a response with status {status} is never stored"))
                    .hint("it answers one request or one part of a resource, not every request for it");
            }
        }
    }
}

fn check_time(time: Option<Span>, at: &Path, out: &mut Diagnostics) {
    if time.is_some_and(|time| time.duration().as_secs() > u64::from(MAX_DELTA)) {
        out.error(at, "longer than 2^31 seconds (68 years), the longest time of HTTP caching")
            .hint("write a shorter time");
    }
}
