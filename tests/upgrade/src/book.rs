//! Who saw which request: the client that sent it, the server's log, the origin.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::kinds::{Fault, Kind, Outcome};
use crate::traffic::Traffic;

/// A request and what its client says of it.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    pub(crate) outcome: Outcome,
}

/// What became of the requests of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests sent.
    pub requests: u64,
    /// Without the answer they should have had.
    pub failed: u64,
    /// With part of it.
    pub truncated: u64,
    /// Those that the origin, or the log, has more than once.
    pub doubled: u64,
    /// Answered as they should be, and yet not in the log, or not at the origin.
    pub unaccounted: u64,
    /// TLS sessions resumed.
    pub resumed: u64,
    /// Answers from the cache.
    pub hits: u64,
    /// Streams that a GOAWAY said nobody had seen, and that were sent again.
    pub again: u64,
}

impl Counts {
    /// Whether nothing went wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        (self.failed, self.truncated, self.doubled, self.unaccounted) == (0, 0, 0, 0)
    }
}

/// The books of one run, compared.
#[derive(Debug, Default)]
pub struct Book {
    /// By kind.
    pub counts: BTreeMap<Kind, Counts>,
    /// The first things that went wrong.
    pub faults: Vec<String>,
}

/// Faults that are told one by one.
const TOLD: usize = 20;

impl Book {
    /// Ends the traffic, and then reads the log that the server has by then.
    #[must_use]
    pub fn of(
        traffic: Traffic,
        origin: impl FnOnce() -> Vec<String>,
        log: impl FnOnce() -> Vec<String>,
    ) -> Self {
        let sent = traffic.finish();
        Self::compare(&sent, &origin(), &log())
    }

    /// Compares what clients sent with the names of requests at the origin and in the log (of both processes).
    #[must_use]
    pub(crate) fn compare(sent: &[Sent], origin: &[String], log: &[String]) -> Self {
        let (origin, log) = (count(origin), count(log));
        let mut book = Self::default();
        for Sent { kind, id, outcome } in sent {
            let at = |seen: &HashMap<&str, u64>| seen.get(id.as_str()).copied().unwrap_or(0);
            let (arrived, logged) = (at(&origin), at(&log));
            let mut wrong = Vec::new();
            let counts = book.counts.entry(*kind).or_default();
            counts.requests += 1;
            match outcome {
                Ok(good) => {
                    counts.resumed += u64::from(good.resumed);
                    counts.hits += u64::from(good.hit);
                    counts.again += u64::from(good.again);
                    // An answer that could come from the cache may also have waited for another's.
                    if logged == 0 || (arrived == 0 && kind.passes()) {
                        counts.unaccounted += 1;
                        wrong.push(format!(
                            "answered, but {arrived} times at the origin and {logged} in the log"
                        ));
                    }
                }
                Err(Fault::Failed(why)) => {
                    counts.failed += 1;
                    wrong.push(why.clone());
                }
                Err(Fault::Truncated(why)) => {
                    counts.truncated += 1;
                    wrong.push(format!("truncated: {why}"));
                }
            }
            if arrived > 1 || logged > 1 {
                counts.doubled += 1;
                wrong.push(format!("{arrived} times at the origin and {logged} in the log"));
            }
            book.faults.extend(wrong.into_iter().map(|why| format!("{id}: {why}")));
        }
        book.faults.truncate(TOLD);
        book
    }

    /// Nothing went wrong, and of each kind there was something to go wrong.
    ///
    /// # Panics
    /// Otherwise, with the table and the first faults.
    #[track_caller]
    pub fn assert_clean(&self) {
        let clean = self.counts.values().all(Counts::is_clean);
        assert!(clean && self.counts.len() == Kind::ALL.len(), "{self}{:#?}", self.faults);
    }

    /// The kinds of which a request failed, broke off, came twice or is not accounted for.
    #[must_use]
    pub fn kinds_at_fault(&self) -> Vec<Kind> {
        self.counts.iter().filter(|(_, counts)| !counts.is_clean()).map(|(kind, _)| *kind).collect()
    }
}

fn count(names: &[String]) -> HashMap<&str, u64> {
    let mut counts = HashMap::new();
    for name in names {
        *counts.entry(name.as_str()).or_default() += 1;
    }
    counts
}

impl fmt::Display for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| kind | requests | failed | truncated | doubled | unaccounted | |")?;
        writeln!(f, "|---|---:|---:|---:|---:|---:|---|")?;
        for (kind, counts) in &self.counts {
            let note = match kind {
                Kind::Tls => format!("{} resumed", counts.resumed),
                Kind::Hit => format!("{} hits", counts.hits),
                Kind::Multiplexed => format!("{} unseen and sent again", counts.again),
                _ => String::new(),
            };
            let Counts { requests, failed, truncated, doubled, unaccounted, .. } = counts;
            let name = kind.name();
            writeln!(
                f,
                "| {name} | {requests} | {failed} | {truncated} | {doubled} | {unaccounted} | {note} |"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Book, Sent};
    use crate::kinds::{Fault, Good, Kind};

    #[test]
    fn every_difference_between_the_books_shows() {
        let sent = |id: &str, outcome| Sent { kind: Kind::Fresh, id: id.into(), outcome };
        let good = || Ok(Good::default());
        let all = [
            sent("well", good()),
            sent("twice-at-origin", good()),
            sent("twice-in-log", good()),
            sent("not-at-origin", good()),
            sent("not-in-log", good()),
            sent("failed", Err(Fault::Failed("no".into()))),
            sent("cut", Err(Fault::Truncated("half".into()))),
            Sent { kind: Kind::Hit, id: "hit".into(), outcome: Ok(Good { hit: true, ..Good::default() }) },
            Sent { kind: Kind::Hit, id: "fetched".into(), outcome: good() },
            Sent { kind: Kind::Hit, id: "collapsed".into(), outcome: good() },
            Sent { kind: Kind::Hit, id: "hit-not-in-log".into(), outcome: good() },
        ];
        let names = |names: &str| names.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let origin = names("well twice-at-origin twice-at-origin twice-in-log not-in-log fetched");
        let log = names(
            "well twice-at-origin twice-in-log twice-in-log not-at-origin failed cut hit fetched collapsed",
        );
        let book = Book::compare(&all, &origin, &log);
        let counts = &book.counts[&Kind::Fresh];
        assert_eq!((counts.requests, counts.failed, counts.truncated), (7, 1, 1));
        assert_eq!((counts.doubled, counts.unaccounted), (2, 2), "{:?}", book.faults);
        let hits = &book.counts[&Kind::Hit];
        assert_eq!((hits.requests, hits.hits, hits.unaccounted), (4, 1, 1), "{:?}", book.faults);
        assert_eq!(book.kinds_at_fault(), [Kind::Fresh, Kind::Hit]);
    }
}
