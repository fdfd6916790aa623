//! h2load, and what it reports.

use seawall_testkit::{OrDie, run};

/// The numbers of a finished run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// Requests that were answered in full.
    pub succeeded: u64,
    /// Requests that failed or got an error status.
    pub failed: u64,
    /// Requests that were cut off.
    pub errored: u64,
    /// Answers with a 2xx status.
    pub ok: u64,
    /// The report itself, for messages.
    pub report: String,
}

impl Load {
    /// Sends `requests` requests over `connections` connections with these further arguments.
    ///
    /// # Panics
    /// h2load is not installed, or its report cannot be read.
    #[track_caller]
    #[must_use]
    pub fn run(requests: u32, connections: u32, args: &[&str]) -> Self {
        let (requests, connections) = (requests.to_string(), connections.to_string());
        let mut all = vec!["-n", &requests, "-c", &connections, "-t", "1"];
        all.extend_from_slice(args);
        let done = run("h2load", &all);
        let number = |before: &str, after: &str| number(&done.stdout, before, after);
        let read = || {
            Some((
                number("requests: ", " succeeded")?,
                number("requests: ", " failed")?,
                number("requests: ", " errored")?,
                number("status codes: ", " 2xx")?,
            ))
        };
        let (succeeded, failed, errored, ok) =
            read().or_die(&format!("read h2load's report: {}{}", done.stdout, done.stderr));
        Self { succeeded, failed, errored, ok, report: done.stdout }
    }

    /// Every one of `requests` requests was answered in full and with a 2xx.
    ///
    /// # Panics
    /// That is not so; the message has the report.
    #[track_caller]
    pub fn check(&self, requests: u64) {
        let all = (requests, 0, 0, requests);
        assert_eq!((self.succeeded, self.failed, self.errored, self.ok), all, "{}", self.report);
    }
}

/// The number in front of `after` in the line that begins with `line`.
fn number(report: &str, line: &str, after: &str) -> Option<u64> {
    let line = report.lines().find_map(|each| each.strip_prefix(line))?;
    line.split(after).next()?.rsplit([' ', ',']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn a_report_is_read() {
        let report = "\nrequests: 30 total, 30 started, 29 done, 28 succeeded, 2 failed, 1 errored, 0 timeout\n\
                      status codes: 27 2xx, 0 3xx, 1 4xx, 0 5xx\n";
        assert_eq!(number(report, "requests: ", " succeeded"), Some(28));
        assert_eq!(number(report, "requests: ", " errored"), Some(1));
        assert_eq!(number(report, "status codes: ", " 2xx"), Some(27));
        assert_eq!(number(report, "traffic: ", " total"), None);
    }
}
