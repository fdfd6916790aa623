//! Whether a request may be sent again.

use http::Method;

use crate::settings::RetrySettings;

/// How far a failed try got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// No connection came about: the server has seen nothing of the request.
    Nothing,
    /// The server may have seen the request, in whole or in part.
    Server,
}

/// When requests of a pool may be sent again.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    attempts: u32,
    statuses: Vec<u16>,
}

impl RetryPolicy {
    /// The policy of the settings.
    #[must_use]
    pub fn new(settings: &RetrySettings) -> Self {
        Self { attempts: settings.attempts, statuses: settings.on_statuses.to_vec() }
    }

    /// Tries of one request in all, the first included. What Pingora counts as `max_retries`.
    #[must_use]
    pub fn max_tries(&self) -> usize {
        self.attempts as usize + 1
    }

    /// Whether a request may be sent again after `tries` tries (1 after the first). The budget has its say beside this.
    #[must_use]
    pub fn allows(&self, reached: Reached, method: &Method, tries: u32) -> bool {
        // RFC 9110 section 9.2.2: only idempotent methods may be repeated without knowing what became of the first.
        tries <= self.attempts && (reached == Reached::Nothing || method.is_idempotent())
    }

    /// Whether an answer with this status asks for another try.
    #[must_use]
    pub fn retries_status(&self, status: u16) -> bool {
        self.attempts > 0 && self.statuses.contains(&status)
    }
}

#[cfg(test)]
mod tests {
    use super::{Reached, RetryPolicy};
    use crate::settings::RetrySettings;
    use http::Method;

    #[test]
    fn repeats_only_what_is_safe_to_repeat() {
        let policy = RetryPolicy::new(&RetrySettings { attempts: 2, ..RetrySettings::default() });
        assert_eq!(policy.max_tries(), 3);
        assert!(policy.allows(Reached::Nothing, &Method::POST, 1));
        assert!(!policy.allows(Reached::Server, &Method::POST, 1));
        assert!(!policy.allows(Reached::Server, &Method::PATCH, 1));
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE] {
            assert!(policy.allows(Reached::Server, &method, 2), "{method}");
            assert!(!policy.allows(Reached::Server, &method, 3), "{method}");
        }
    }

    #[test]
    fn repeats_on_the_statuses_it_was_given() {
        let settings = RetrySettings { on_statuses: vec![502, 503].into(), ..RetrySettings::default() };
        assert!(RetryPolicy::new(&settings).retries_status(503));
        assert!(!RetryPolicy::new(&settings).retries_status(500));
        assert!(!RetryPolicy::new(&RetrySettings::default()).retries_status(503), "by default none");
        let never = RetryPolicy::new(&RetrySettings { attempts: 0, ..settings });
        assert!(!never.retries_status(503));
        assert!(!never.allows(Reached::Nothing, &Method::GET, 1));
    }
}
