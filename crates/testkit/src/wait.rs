//! Waiting for a condition, never for a time.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

/// How long a wait lasts when the test names no deadline of its own. Generous, because it is only ever
/// reached by a test that fails; two shared cores can be slow.
pub const DEADLINE: Duration = Duration::from_secs(15);

/// What a probe may say: done with a value, or not yet and why.
pub trait Settle {
    /// What a finished wait returns.
    type Value;

    /// The value, or the state to show if the deadline passes now.
    ///
    /// # Errors
    /// The condition does not hold yet.
    fn settle(self) -> Result<Self::Value, String>;
}

impl Settle for bool {
    type Value = ();

    fn settle(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("the condition was false".into()) }
    }
}

impl<T> Settle for Option<T> {
    type Value = T;

    fn settle(self) -> Result<T, String> {
        self.ok_or_else(|| "there was nothing".into())
    }
}

impl<T, E: Display> Settle for Result<T, E> {
    type Value = T;

    fn settle(self) -> Result<T, String> {
        self.map_err(|error| error.to_string())
    }
}

/// Asks `probe` again and again until it settles: a `bool`, an `Option`, or a `Result` whose error is the
/// last state to show.
///
/// # Panics
/// `within` has passed: the message tells `what` was awaited and the last state.
#[track_caller]
pub fn eventually<S: Settle>(within: Duration, what: &str, mut probe: impl FnMut() -> S) -> S::Value {
    let started = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        match probe().settle() {
            Ok(value) => return value,
            Err(state) if started.elapsed() >= within => {
                panic!("waited {within:?} for {what}; last state: {state}")
            }
            Err(_) => thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(40));
    }
}

/// Ends the test with a message when a step of its set-up fails.
pub trait OrDie<T> {
    /// The value.
    ///
    /// # Panics
    /// There is none: the message says what was being done, and the error.
    fn or_die(self, doing: &str) -> T;
}

impl<T, E: Display> OrDie<T> for Result<T, E> {
    #[track_caller]
    fn or_die(self, doing: &str) -> T {
        match self {
            Ok(value) => value,
            Err(error) => panic!("cannot {doing}: {error}"),
        }
    }
}

impl<T> OrDie<T> for Option<T> {
    #[track_caller]
    fn or_die(self, doing: &str) -> T {
        match self {
            Some(value) => value,
            None => panic!("cannot {doing}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_returns_what_the_probe_found() {
        let mut tries = 0;
        let found = eventually(DEADLINE, "the third try", || {
            tries += 1;
            (tries == 3).then_some(tries)
        });
        assert_eq!(found, 3);
    }

    #[test]
    #[should_panic(expected = "for the moon; last state: still rising")]
    fn a_wait_that_fails_names_its_last_state() {
        eventually(Duration::from_millis(5), "the moon", || Err::<(), _>("still rising"));
    }
}
