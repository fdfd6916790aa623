//! What is compared of an answer, of the counters and of the log: all of it but times and names that differ by nature.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use seawall_testkit::{Headers, Metrics, ReadError, Request, Response, Seawall, digest};
use serde_json::Value;

/// Seconds by which two nodes may differ in what they say of the age of a response that both have.
const SLACK: i64 = 3;

/// Part of what one node did, a line for each thing, and the numbers in it that may differ a little.
#[derive(Debug, Default)]
pub(crate) struct Shown(Vec<(String, i64)>);

impl Shown {
    pub(crate) fn push(&mut self, line: impl Into<String>) {
        self.0.push((line.into(), 0));
    }

    /// Whether two nodes did the same.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let alike = |((a, x), (b, y)): (&(String, i64), &(String, i64))| a == b && (x - y).abs() <= SLACK;
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(alike)
    }

    pub(crate) fn text(&self) -> String {
        self.0.iter().map(|(line, number)| format!("    {line} [{number}]\n")).collect()
    }

    fn fields(&mut self, fields: &Headers) {
        for (name, value) in fields.iter() {
            let lower = name.to_ascii_lowercase();
            match lower.as_str() {
                "x-request-id" if is_made(value) => self.push(format!("{name}: (made)")),
                "date" => self.push(format!("{name}: {}", date(value))),
                "age" => self.0.push((format!("{name}: (seconds)"), value.parse().unwrap_or(i64::MIN))),
                "cache-status" => self.0.push(status(name, value)),
                _ => self.push(format!("{name}: {value}")),
            }
        }
    }

    /// An answer.
    pub(crate) fn answer(&mut self, answer: &Response) {
        for (status, fields) in &answer.interim {
            self.push(format!("{status} on the way"));
            self.fields(fields);
        }
        self.push(format!("{} {} {}", answer.version, answer.status, answer.reason));
        // Names that are made anew each time, and are in the body, too.
        let boundary =
            answer.header("content-type").and_then(|kind| kind.split_once("boundary=")).map(|(_, name)| name);
        let (mut headers, mut body) = (answer.headers.clone(), answer.body.clone());
        for made in answer.header("x-request-id").into_iter().chain(boundary).filter(|made| made.len() >= 16)
        {
            let same = "_".repeat(made.len());
            headers = headers.iter().map(|(name, value)| (name, value.replace(made, &same))).collect();
            if body.len() < 64 * 1024 || boundary.is_some() {
                body = replaced(&body, made.as_bytes(), same.as_bytes());
            }
        }
        self.fields(&headers);
        self.push(format!("{} bytes, {}", body.len(), digest(&body)));
        self.push(format!("{:?}", answer.framing));
        self.fields(&answer.trailers);
    }

    /// No answer.
    pub(crate) fn failure(&mut self, error: &ReadError) {
        // A close is a reset when more was sent than the node has read by then.
        if let ReadError::Closed { received, .. } = error {
            self.push(format!("closed after {:?}", String::from_utf8_lossy(received)));
        } else {
            self.push(error.to_string());
        }
    }

    /// A request that the origin got.
    pub(crate) fn asked(&mut self, request: &Request) {
        self.push(format!("asks {} {} {}", request.method, request.target, request.version));
        self.fields(&request.headers);
        self.push(format!("{} bytes", request.body.len()));
    }
}

/// `text` with `new` in the place of each `old`, which is as long.
fn replaced(text: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (text.to_vec(), 0);
    while at + old.len() <= out.len() {
        if out[at..].starts_with(old) {
            out[at..at + old.len()].copy_from_slice(new);
        }
        at += 1;
    }
    out
}

/// Whether it is an identifier that a node made, or was.
fn is_made(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'_')
}

/// The day that is today is not compared, and any other is.
fn date(value: &str) -> String {
    let now = SystemTime::now();
    let recent = |date: SystemTime| now.duration_since(date).unwrap_or_default() < Duration::from_secs(300);
    match httpdate::parse_http_date(value) {
        Ok(date) if recent(date) => "(now)".to_owned(),
        _ => value.to_owned(),
    }
}

/// Cache-Status without the seconds of its `ttl`, and those.
fn status(name: &str, value: &str) -> (String, i64) {
    let Some((before, rest)) = value.split_once("ttl=") else { return (format!("{name}: {value}"), 0) };
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '-')).unwrap_or(rest.len());
    let (ttl, after) = rest.split_at(end);
    (format!("{name}: {before}ttl=…{after}"), ttl.parse().unwrap_or(i64::MIN))
}

/// Series of a node that do not measure time, by name and labels.
pub(crate) type Counts = BTreeMap<String, f64>;

const TIMES: [&str; 5] =
    ["_seconds_sum", "_seconds_bucket", "_seconds_total", "_timestamp_seconds", "_duration_seconds"];
/// What must differ; what depends on when a client's leaving is noticed; and how much is written to the logs.
const OTHERS: [&str; 5] = [
    "seawall_cache_fast_hits_total",
    "seawall_connections",
    "seawall_log_suppressed_lines_total",
    "seawall_access_log_buffered_bytes",
    "seawall_access_log_lines_total",
];

/// What is counted by a node.
pub(crate) fn counts(seawall: &Seawall) -> Counts {
    let Metrics { samples, .. } = seawall.metrics();
    let of_interest = |name: &str| {
        name.starts_with("seawall_")
            && !OTHERS.contains(&name)
            // How often a disk is read and written to depends on when its threads get to it.
            && !name.starts_with("seawall_disk_")
            && !TIMES.iter().any(|end| name.ends_with(end))
    };
    let mut counts = Counts::new();
    for mut sample in samples.into_iter().filter(|sample| of_interest(&sample.name)) {
        sample.labels.remove("server");
        sample.labels.remove("listener");
        if sample.name == "seawall_upstream_connections_total" {
            // Whether the one before is back in time for the next is chance.
            sample.labels.remove("state");
        }
        *counts.entry(format!("{} {:?}", sample.name, sample.labels)).or_default() += sample.value;
    }
    counts
}

/// What was added between two looks.
pub(crate) fn added(before: &Counts, now: &Counts) -> Counts {
    let more = now.iter().map(|(name, value)| (name.clone(), value - before.get(name).unwrap_or(&0.0)));
    more.filter(|(_, value)| *value != 0.0).collect()
}

/// In what two nodes differ.
pub(crate) fn difference(fast: &Counts, slow: &Counts) -> String {
    let names = fast.keys().chain(slow.keys().filter(|name| !fast.contains_key(*name)));
    let of = |counts: &Counts, name: &String| counts.get(name).copied().unwrap_or_default();
    let differs = |name: &&String| of(fast, name) != of(slow, name);
    names
        .filter(differs)
        .map(|name| format!("    {name}: {} with, {} without\n", of(fast, name), of(slow, name)))
        .collect()
}

/// Lines of a log that have no like in the other; who is answered first need not be written down first.
pub(crate) fn without_like(lines: &[Shown], other: &[Shown]) -> String {
    let mut left: Vec<&Shown> = other.iter().collect();
    let mut out = String::new();
    for line in lines {
        match left.iter().position(|one| one.is_like(line)) {
            Some(at) => drop(left.remove(at)),
            None => out = format!("{out}{}\n", line.text()),
        }
    }
    out
}

/// The lines of an access log.
pub(crate) fn log_lines(stdout: &str) -> Vec<Shown> {
    let lines = stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line.get("request_id").is_some()).map(|line| log_line(&line)).collect()
}

fn log_line(line: &Value) -> Shown {
    const DIFFER: [&str; 7] =
        ["time", "request_id", "listener", "duration", "upstream_duration", "ttfb", "server"];
    let mut shown = Shown::default();
    for (name, value) in line.as_object().into_iter().flatten() {
        match value {
            _ if DIFFER.iter().any(|other| name.starts_with(other)) => {
                shown.push(format!("{name}: {}", value.is_null()))
            }
            Value::String(text) if name == "cache_status" => shown.0.push(status(name, text)),
            value => shown.push(format!("{name}: {value}")),
        }
    }
    shown
}
