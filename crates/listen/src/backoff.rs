//! What to do when `accept` fails.

use std::io;
use std::time::{Duration, Instant};

use crate::AcceptFault;

const FIRST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_millis(500);
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Waits longer with each failure in a row, so that a process without descriptors neither spins nor stays deaf
/// for long when some come free.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    logged: Option<Instant>,
}

impl Backoff {
    /// A connection came.
    pub(crate) fn success(&mut self) {
        self.failures = 0;
    }

    /// How long to wait after `error`. None when the next connection may well be there.
    pub(crate) fn failure(&mut self, error: &io::Error) -> (AcceptFault, Option<Duration>) {
        if is_about_the_client(error) {
            return (AcceptFault::Other, None);
        }
        let wait = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let fault = if is_exhaustion(error) { AcceptFault::Exhausted } else { AcceptFault::Other };
        (fault, Some(wait))
    }

    /// Whether the failure should be logged: one in a while.
    pub(crate) fn should_log(&mut self) -> bool {
        let due = self.logged.is_none_or(|last| last.elapsed() >= LOG_EVERY);
        if due {
            self.logged = Some(Instant::now());
        }
        due
    }
}

// errno(3) on Linux; the standard library has no stable kinds for these.
const ENOMEM: i32 = 12;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const ENOBUFS: i32 = 105;

/// The process or the system has no room for another socket.
fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE | ENOMEM | ENOBUFS))
}

/// The one connection failed before it was accepted (accept(2): pending network errors are passed on).
fn is_about_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}

#[cfg(test)]
mod tests {
    use super::{Backoff, EMFILE, LONGEST};
    use crate::AcceptFault;
    use std::io;

    #[test]
    fn waits_grow_to_a_bound_and_start_anew_after_success() {
        let mut backoff = Backoff::default();
        let emfile = io::Error::from_raw_os_error(EMFILE);
        let waits: Vec<_> = (0..12).map(|_| backoff.failure(&emfile).1.unwrap()).collect();
        assert!(waits.is_sorted());
        assert!(waits[0].as_millis() <= 10);
        assert_eq!(waits.last(), Some(&LONGEST));
        assert_eq!(backoff.failure(&emfile).0, AcceptFault::Exhausted);
        backoff.success();
        assert_eq!(backoff.failure(&emfile).1, Some(waits[0]));
    }

    #[test]
    fn a_client_that_left_delays_nobody() {
        let mut backoff = Backoff::default();
        let aborted = io::Error::from(io::ErrorKind::ConnectionAborted);
        assert_eq!(backoff.failure(&aborted), (AcceptFault::Other, None));
    }

    #[test]
    fn one_line_in_a_while() {
        let mut backoff = Backoff::default();
        assert!(backoff.should_log());
        assert!(!backoff.should_log());
    }
}
