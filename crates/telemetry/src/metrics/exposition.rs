//! Prometheus' text format 0.0.4.
//!
//! Written here rather than through the `prometheus` crate: its vectors tell series apart by a hash of
//! their label values *without a separator* (`vec.rs`, `hash_label_values`), so that site `a` with route `bc` and
//! site `ab` with route `c` would be one series; and its model copies every label for every bucket of every scrape.

use std::fmt::{self, Write as _};

use super::histogram::{BOUNDS, Distribution};

/// What a family measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The value of a sample.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value {
    Whole(u64),
    Signed(i64),
    Real(f64),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}
impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Whole(value as u64)
    }
}
impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Whole(value.into())
    }
}
impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Signed(value)
    }
}
impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => value.fmt(f),
            Self::Signed(value) => value.fmt(f),
            Self::Real(value) if value.is_infinite() => {
                f.write_str(if *value > 0.0 { "+Inf" } else { "-Inf" })
            }
            Self::Real(value) => value.fmt(f),
        }
    }
}

/// Label names and values, in the order they are written.
pub(crate) type Labels<'a> = &'a [(&'static str, &'a str)];

/// The answer to one scrape, as it grows.
#[derive(Default)]
pub(crate) struct Exposition {
    text: String,
}

impl Exposition {
    /// Starts a family. All samples of a family stand together; without a sample nothing is written.
    pub(crate) fn family(&mut self, kind: Kind, name: &'static str, help: &'static str) -> Family<'_> {
        Family { text: &mut self.text, kind, name, help, begun: false }
    }

    pub(crate) fn counter(&mut self, name: &'static str, help: &'static str) -> Family<'_> {
        self.family(Kind::Counter, name, help)
    }

    pub(crate) fn gauge(&mut self, name: &'static str, help: &'static str) -> Family<'_> {
        self.family(Kind::Gauge, name, help)
    }

    pub(crate) fn histogram(&mut self, name: &'static str, help: &'static str) -> Family<'_> {
        self.family(Kind::Histogram, name, help)
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }
}

/// One family of series.
pub(crate) struct Family<'a> {
    text: &'a mut String,
    kind: Kind,
    name: &'static str,
    help: &'static str,
    begun: bool,
}

impl Family<'_> {
    /// Appends a sample. Writing to a `String` cannot fail, hence the ignored results in this file.
    pub(crate) fn sample(&mut self, labels: Labels<'_>, value: impl Into<Value>) -> &mut Self {
        self.line("", labels, None, value.into());
        self
    }

    /// Appends the buckets, the sum and the count of a histogram.
    pub(crate) fn distribution(&mut self, labels: Labels<'_>, seen: &Distribution) -> &mut Self {
        let mut count = 0u64;
        for (bound, bucket) in BOUNDS.iter().zip(&seen.buckets) {
            count = count.saturating_add(*bucket);
            self.line("_bucket", labels, Some(bound.label), count.into());
        }
        count = count.saturating_add(seen.buckets[BOUNDS.len()]);
        self.line("_bucket", labels, Some("+Inf"), count.into());
        self.line("_sum", labels, None, seen.sum_seconds.into());
        self.line("_count", labels, None, count.into());
        self
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, le: Option<&str>, value: Value) {
        if !self.begun {
            self.begun = true;
            let kind = match self.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let _ = writeln!(self.text, "# HELP {0} {1}\n# TYPE {0} {kind}", self.name, self.help);
        }
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        let pairs = labels.iter().copied().chain(le.map(|bound| ("le", bound)));
        let mut open = '{';
        for (name, value) in pairs {
            self.text.push(open);
            self.text.push_str(name);
            self.text.push_str("=\"");
            push_label_value(self.text, value);
            self.text.push('"');
            open = ',';
        }
        if open == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

fn push_label_value(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Exposition;

    #[test]
    fn writes_the_format() {
        let mut out = Exposition::default();
        out.counter("none_total", "Never written.");
        out.counter("a_total", "Letters.").sample(&[("x", "q\"\\\n")], 3u64).sample(&[], u64::MAX);
        out.gauge("b", "Heat.").sample(&[("x", "1"), ("y", "2")], f64::INFINITY).sample(&[], -0.5);
        assert_eq!(
            out.finish(),
            "# HELP a_total Letters.\n# TYPE a_total counter\na_total{x=\"q\\\"\\\\\\n\"} 3\na_total 18446744073709551615\n\
             # HELP b Heat.\n# TYPE b gauge\nb{x=\"1\",y=\"2\"} +Inf\nb -0.5\n"
        );
    }
}
