//! Two nodes that are given the same requests.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use seawall_testkit::{
    Call, DEADLINE, H2Client, OrDie, Origin, RawClient, ReadError, Response, Seawall, eventually, request,
};

use crate::shown::{Counts, Shown, added, counts, difference, log_lines, without_like};
use crate::{Tiers, call, fast_hits, node_on, origin};

/// How long what is counted after an answer may take to be the same.
const SETTLED: Duration = Duration::from_secs(5);

/// After so many differences nothing more is compared.
const MOST_FAULTS: usize = 12;

/// The node with the fast path and the one without, each with an origin that answers the same.
pub(crate) struct Pair {
    origins: [Origin; 2],
    nodes: [Seawall; 2],
    before: [Counts; 2],
    /// Requests that the origins got before.
    asked: [usize; 2],
    faults: Vec<String>,
    tiers: Tiers,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::with(Tiers::Memory, [false, false])
    }

    /// Two with a disk, which have got these and were killed then: nothing is in memory.
    pub(crate) fn with_on_disk(calls: &[Call]) -> Self {
        let mut pair = Self::with(Tiers::Both, [false, false]);
        pair.each("what was there before", |seawall| {
            let mut shown = Shown::default();
            over_h2(&mut shown, seawall, calls);
            shown
        });
        pair.restart()
    }

    /// Two that show the key.
    pub(crate) fn with_key() -> Self {
        Self::with(Tiers::Memory, [true, true])
    }

    /// Two of which one shows the key: the control.
    pub(crate) fn unlike() -> Self {
        Self::with(Tiers::Memory, [true, false])
    }

    fn with(tiers: Tiers, key: [bool; 2]) -> Self {
        let origins = [Origin::h1(origin::answer), Origin::h1(origin::answer)];
        let nodes = [true, false]
            .map(|fast| node_on(tiers, &origins[usize::from(!fast)], fast, key[usize::from(!fast)], ""));
        let before = [0, 1].map(|one| first_counts(&nodes[one]));
        Self { origins, nodes, before, asked: [0; 2], faults: Vec::new(), tiers }
    }

    fn restart(mut self) -> Self {
        self.nodes = self.nodes.map(|node| node.restart(Signal::SIGKILL));
        self.before = [0, 1].map(|one| first_counts(&self.nodes[one]));
        self
    }

    /// Responses that were found in memory and on disk, by the node with the fast path.
    pub(crate) fn hits(&self) -> [f64; 2] {
        let metrics = self.nodes[0].metrics();
        ["memory", "disk"].map(|tier| metrics.get("seawall_cache_hits_total", &[("tier", tier)]))
    }

    /// Hits on the fast path so far.
    pub(crate) fn taken(&self) -> f64 {
        fast_hits(&self.nodes[0])
    }

    /// Does the same to both, and compares what it returns and what is counted.
    pub(crate) fn each(&mut self, name: &str, act: impl Fn(&Seawall) -> Shown) {
        if self.faults.len() >= MOST_FAULTS {
            return;
        }
        let [fast, slow] = [act(&self.nodes[0]), act(&self.nodes[1])];
        if self.tiers == Tiers::Both {
            // What waits to be written is found, too, but it counts as something else.
            self.nodes.iter().for_each(written);
        }
        if !fast.is_like(&slow) {
            self.fault(name, &format!("  with the fast path:\n{}  without:\n{}", fast.text(), slow.text()));
        }
        self.compare_asked(name);
        self.compare_counts(name);
    }

    fn fault(&mut self, name: &str, what: &str) {
        self.faults.push(format!("{name}:\n{what}"));
    }

    /// What the origins were asked since the last look.
    fn compare_asked(&mut self, name: &str) {
        let started = Instant::now();
        let shown = eventually(DEADLINE, "what the origins were asked", || {
            let shown = [0, 1].map(|one| {
                let mut shown = Shown::default();
                let requests = self.origins[one].requests();
                requests.iter().skip(self.asked[one]).for_each(|request| shown.asked(request));
                (requests.len(), shown)
            });
            (shown[0].1.is_like(&shown[1].1) || started.elapsed() > SETTLED).then_some(shown)
        });
        let [(fast, fast_asked), (slow, slow_asked)] = shown;
        self.asked = [fast, slow];
        if !fast_asked.is_like(&slow_asked) {
            let what = format!("  origin, with:\n{}  without:\n{}", fast_asked.text(), slow_asked.text());
            self.fault(name, &what);
        }
    }

    /// What was counted since the last look.
    fn compare_counts(&mut self, name: &str) {
        let started = Instant::now();
        let (now, differs) = eventually(DEADLINE, "the counters", || {
            let now = [counts(&self.nodes[0]), counts(&self.nodes[1])];
            let [fast, slow] = [0, 1].map(|one| added(&self.before[one], &now[one]));
            let differs = difference(&fast, &slow);
            let idle = now.iter().all(is_idle) && differs.is_empty();
            (idle || started.elapsed() > SETTLED).then_some((now, differs))
        });
        self.before = now;
        if !differs.is_empty() {
            self.fault(name, &format!("  counted:\n{differs}"));
        }
    }

    /// A request over HTTP/1.1, and whether another may follow on its connection.
    pub(crate) fn h1(&mut self, name: &str, call: &Call) {
        let bytes = call.to_bytes();
        let method = String::from_utf8_lossy(&bytes);
        self.raw(name, &bytes, &[method.split(' ').next().unwrap_or_default()]);
    }

    /// Bytes on a connection, the answers to requests with these methods, and whether another may follow.
    pub(crate) fn raw(&mut self, name: &str, bytes: &[u8], methods: &[&str]) {
        self.each(name, |seawall| {
            let mut shown = Shown::default();
            over_h1(&mut shown, seawall, bytes, methods);
            shown
        });
    }

    /// Requests over HTTP/2, one after another on one connection.
    pub(crate) fn h2(&mut self, name: &str, calls: &[Call]) {
        self.each(name, |seawall| {
            let mut shown = Shown::default();
            over_h2(&mut shown, seawall, calls);
            shown
        });
    }

    /// A GET and a HEAD over each version of HTTP.
    pub(crate) fn all_ways(&mut self, name: &str, path: &str, fields: &[(&str, &str)]) {
        let calls = ["GET", "HEAD"].map(|method| call(method, path, fields));
        self.each(name, |seawall| {
            let mut shown = Shown::default();
            over_h1(&mut shown, seawall, &calls[0].to_bytes(), &["GET"]);
            over_h1(&mut shown, seawall, &calls[1].to_bytes(), &["HEAD"]);
            over_h2(&mut shown, seawall, &calls);
            shown
        });
    }

    /// A request over HTTP/1.1 and over HTTP/2.
    pub(crate) fn both(&mut self, name: &str, call: &Call) {
        self.h1(name, call);
        self.h2(&format!("{name}, over HTTP/2"), std::slice::from_ref(call));
    }

    /// Runs `seawall …` against both.
    pub(crate) fn control(&mut self, arguments: &[&str]) {
        self.each(&format!("{arguments:?}"), |seawall| {
            let (mut shown, done) = (Shown::default(), seawall.control(arguments));
            assert_eq!(done.code, Some(0), "{arguments:?}: {}{}", done.stdout, done.stderr);
            shown.push(done.stdout);
            shown
        });
    }

    /// Ends both and compares their logs. There were no differences, and so many hits took the fast path.
    #[track_caller]
    pub(crate) fn finish(self, wanted: f64) {
        let (faults, taken) = self.end();
        assert!(faults.is_empty(), "{} differences, {taken:?} hits:\n{}", faults.len(), faults.join("\n"));
        assert_eq!(taken, [wanted, 0.0], "hits on the fast path, with it and without");
    }

    /// Ends both: the differences, and the hits on the fast path.
    pub(crate) fn end(mut self) -> (Vec<String>, [f64; 2]) {
        let idle = |seawall: &Seawall| seawall.wait_metric("seawall_http_requests_in_flight", &[], 0.0);
        self.nodes.iter().for_each(idle);
        self.compare_counts("at the end");
        let taken = [fast_hits(&self.nodes[0]), fast_hits(&self.nodes[1])];
        let Self { nodes, mut faults, .. } = self;
        let [fast, slow] = nodes.map(|node| log_lines(&node.stop().stdout));
        assert!(!fast.is_empty(), "there is a log");
        if fast.len() != slow.len() {
            faults.push(format!("{} lines in the log with, {} without", fast.len(), slow.len()));
        }
        for (whose, lines, other) in [("with", &fast, &slow), ("without", &slow, &fast)] {
            let unlike = without_like(lines, other);
            if !unlike.is_empty() {
                faults.push(format!("lines of the log {whose} the fast path only:\n{unlike}"));
            }
        }
        (faults, taken)
    }
}

/// What a node has counted when it has begun.
fn first_counts(node: &Seawall) -> Counts {
    // The connections that looked whether it is there are counted before this one.
    let probe = request(node.addr(0), &Call::get("example.com", "/probe")).or_die("ask");
    assert_eq!(probe.status, 200);
    node.wait_metric("seawall_http_requests_total", &[], 1.0);
    counts(node)
}

/// Waits until nothing waits to be written.
fn written(node: &Seawall) {
    for name in ["seawall_disk_queue_bytes", "seawall_disk_fill_bytes", "seawall_disk_fills_unfinished"] {
        node.wait_metric(name, &[], 0.0);
    }
}

/// Whether nothing is under way.
fn is_idle(counts: &Counts) -> bool {
    let running = |name: &str| name.contains("_in_flight ");
    counts.iter().filter(|(name, _)| running(name)).all(|(_, value)| *value == 0.0)
}

fn over_h1(shown: &mut Shown, seawall: &Seawall, bytes: &[u8], methods: &[&str]) {
    let mut client = RawClient::tcp(seawall.addr(0));
    client.send(bytes);
    if methods.iter().all(|method| show(shown, client.read_response(method))) {
        shown.push("and then");
        show(shown, client.exchange(&Call::get("example.com", "/probe")));
    }
}

fn over_h2(shown: &mut Shown, seawall: &Seawall, calls: &[Call]) {
    let client = H2Client::tcp(seawall.addr(0)).or_die("speak HTTP/2");
    for call in calls {
        match client.exchange(call) {
            Ok(answer) => shown.answer(&answer),
            Err(error) => shown.push(error.to_string()),
        }
    }
}

/// Whether there was an answer.
fn show(shown: &mut Shown, outcome: Result<Response, ReadError>) -> bool {
    match outcome {
        Ok(answer) => shown.answer(&answer),
        Err(error) => {
            shown.failure(&error);
            return false;
        }
    }
    true
}
