//! How often one place in the code may speak.

use std::fmt;
use std::time::{Duration, Instant};

use log::{Level, Record};

/// The time over which repetitions are counted.
pub(super) const WINDOW: Duration = Duration::from_secs(10);
/// Places followed at a time. There are fewer that can log at `warn` and above; beyond it lines are held back, not let
/// through, so that the bound cannot be used to get around the limit.
const PLACES: usize = 512;

/// What to do with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Write,
    Suppress,
}

/// Lines from one place in the current window.
struct Place {
    target: String,
    line: Option<u32>,
    level: Level,
    since: Instant,
    written: u32,
    suppressed: u64,
}

/// The sum of what was held back from one place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) target: String,
    pub(super) level: Level,
    line: Option<u32>,
    suppressed: u64,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { suppressed, line, .. } = self;
        write!(
            f,
            "{suppressed} more lines like the ones before were suppressed within {}s",
            WINDOW.as_secs()
        )?;
        line.map_or(Ok(()), |line| write!(f, " (line {line} of its source)"))
    }
}

/// Counts lines per place and window.
#[derive(Default)]
pub(super) struct Limiter {
    places: Vec<Place>,
}

impl Limiter {
    /// Counts a line: whether it may be written when a place has `most` lines a window.
    pub(super) fn check(&mut self, record: &Record<'_>, most: u32, now: Instant) -> Verdict {
        let known = self.places.iter().position(|place| {
            place.line == record.line() && place.level == record.level() && place.target == record.target()
        });
        if known.is_none() && self.places.len() >= PLACES {
            return Verdict::Suppress;
        }
        let at = known.unwrap_or_else(|| {
            self.places.push(Place {
                target: record.target().to_owned(),
                line: record.line(),
                level: record.level(),
                since: now,
                written: 0,
                suppressed: 0,
            });
            self.places.len() - 1
        });
        let place = &mut self.places[at];
        if place.written < most {
            place.written += 1;
            Verdict::Write
        } else {
            place.suppressed = place.suppressed.saturating_add(1);
            Verdict::Suppress
        }
    }

    /// Forgets the windows that are over; returns what was held back in them.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<Note> {
        let mut notes = Vec::new();
        self.places.retain_mut(|place| {
            let over = now.saturating_duration_since(place.since) >= WINDOW;
            if over && place.suppressed > 0 {
                notes.push(Note {
                    target: std::mem::take(&mut place.target),
                    level: place.level,
                    line: place.line,
                    suppressed: place.suppressed,
                });
            }
            !over
        });
        notes
    }
}
