//! Families of series on their way into the `prometheus` crate.
//!
//! The crate's registry, model and encoder are used; its vectors are not. They look a handle up under a lock by a hash of
//! the label values *without a separator* (`vec.rs`, `hash_label_values`), so that site `a` with route `bc` and site
//! `ab` with route `c` would be one series, and they keep the series of sites that are gone. Here a [`Group`] of
//! families is a [`Collector`] that reads our own counters when a scrape asks.

use std::sync::Arc;
use std::time::Duration;

use prometheus::Opts;
use prometheus::core::{Collector, Desc, Describer as _};
use prometheus::proto::{self, MetricType};

use super::histogram::{BOUNDS, Distribution};

/// What never changes about a family with `N` labels.
pub(crate) struct Spec<const N: usize> {
    kind: MetricType,
    name: &'static str,
    help: &'static str,
    labels: [&'static str; N],
}

impl<const N: usize> Spec<N> {
    pub(crate) const fn counter(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self { kind: MetricType::COUNTER, name, help, labels }
    }

    pub(crate) const fn gauge(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self { kind: MetricType::GAUGE, name, help, labels }
    }

    pub(crate) const fn histogram(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self { kind: MetricType::HISTOGRAM, name, help, labels }
    }
}

/// A family of series as documentation and dashboards want to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FamilyInfo {
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Its name; a histogram has the series `_bucket`, `_sum` and `_count`.
    pub name: &'static str,
    /// What it counts, in a sentence.
    pub help: &'static str,
    /// The labels of each of its series, but for the `le` of a histogram's buckets.
    pub labels: &'static [&'static str],
}

/// A [`Spec`], whatever the number of its labels.
pub(crate) trait Described: Sync {
    fn info(&'static self) -> FamilyInfo;
}

impl<const N: usize> Described for Spec<N> {
    fn info(&'static self) -> FamilyInfo {
        let kind = match self.kind {
            MetricType::COUNTER => "counter",
            MetricType::HISTOGRAM => "histogram",
            _ => "gauge",
        };
        FamilyInfo { kind, name: self.name, help: self.help, labels: &self.labels }
    }
}

/// The specs of a group.
pub(crate) type Specs = Vec<&'static dyn Described>;

/// Families that are read together out of a `T`.
pub(crate) struct Group<T: 'static> {
    descs: Vec<Desc>,
    from: Arc<T>,
    read: fn(&T, &mut Families),
}

impl<T> Group<T> {
    /// A group of the families in `specs`; `read` writes them and no others.
    ///
    /// # Errors
    /// When a name or a help is not what the format allows.
    pub(crate) fn new(specs: &Specs, from: Arc<T>, read: fn(&T, &mut Families)) -> prometheus::Result<Self> {
        let describe = |spec: &&'static dyn Described| {
            let FamilyInfo { name, help, labels, .. } = spec.info();
            Opts::new(name, help)
                .variable_labels(labels.iter().map(|label| (*label).to_owned()).collect())
                .describe()
        };
        Ok(Self { descs: specs.iter().map(describe).collect::<Result<_, _>>()?, from, read })
    }
}

impl<T: Send + Sync> Collector for Group<T> {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let mut families = Families::default();
        (self.read)(&self.from, &mut families);
        families.0
    }
}

/// A value of a sample. All of Prometheus' are floats: whole numbers are exact up to 2^53, nine petabytes.
pub(crate) trait Number {
    fn real(self) -> f64;
}

impl Number for f64 {
    fn real(self) -> f64 {
        self
    }
}
impl Number for u64 {
    fn real(self) -> f64 {
        self as f64
    }
}
impl Number for i64 {
    fn real(self) -> f64 {
        self as f64
    }
}
impl Number for usize {
    fn real(self) -> f64 {
        self as f64
    }
}
impl Number for bool {
    fn real(self) -> f64 {
        u8::from(self).into()
    }
}
impl Number for Duration {
    fn real(self) -> f64 {
        self.as_secs_f64()
    }
}

/// The families of one scrape of one group.
#[derive(Default)]
pub(crate) struct Families(Vec<proto::MetricFamily>);

impl Families {
    /// Starts a family. All samples of a family stand together; the registry leaves out one without any.
    pub(crate) fn family<'a, const N: usize>(&'a mut self, spec: &'a Spec<N>) -> Family<'a, N> {
        let mut family = proto::MetricFamily::default();
        family.set_name(spec.name.to_owned());
        family.set_help(spec.help.to_owned());
        family.set_field_type(spec.kind);
        let at = self.0.len();
        self.0.push(family);
        Family { metrics: self.0[at].mut_metric(), spec }
    }

    /// A family of one series.
    pub(crate) fn single(&mut self, spec: &Spec<0>, value: impl Number) {
        self.family(spec).sample([], value);
    }
}

/// One family of series.
pub(crate) struct Family<'a, const N: usize> {
    metrics: &'a mut Vec<proto::Metric>,
    spec: &'a Spec<N>,
}

impl<const N: usize> Family<'_, N> {
    /// Appends a sample with these label values.
    pub(crate) fn sample(&mut self, values: [&str; N], value: impl Number) {
        let mut metric = self.labelled(values);
        if self.spec.kind == MetricType::COUNTER {
            let mut counter = proto::Counter::default();
            counter.set_value(value.real());
            metric.set_counter(counter);
        } else {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(value.real());
            metric.set_gauge(gauge);
        }
        self.metrics.push(metric);
    }

    /// Appends the buckets, the sum and the count of a histogram with these label values.
    pub(crate) fn distribution(&mut self, values: [&str; N], seen: &Distribution) {
        let (mut buckets, mut count) = (Vec::with_capacity(BOUNDS.len()), 0u64);
        for (bound, seen) in BOUNDS.iter().zip(&seen.buckets) {
            count = count.saturating_add(*seen);
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(bound.seconds());
            bucket.set_cumulative_count(count);
            buckets.push(bucket);
        }
        // The encoder adds the last bucket, `+Inf`, from the count.
        count = count.saturating_add(seen.buckets[BOUNDS.len()]);
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(count);
        histogram.set_sample_sum(seen.sum_seconds);
        let mut metric = self.labelled(values);
        metric.set_histogram(histogram);
        self.metrics.push(metric);
    }

    fn labelled(&self, values: [&str; N]) -> proto::Metric {
        let pair = |(name, value): (&&str, &str)| {
            let mut pair = proto::LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value(value.to_owned());
            pair
        };
        proto::Metric::from_label(self.spec.labels.iter().zip(values).map(pair).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{Families, Group, Spec};
    use prometheus::{Registry, TextEncoder};
    use std::sync::Arc;

    static NONE: Spec<0> = Spec::counter("none_total", "Never written.", []);
    static LETTERS: Spec<1> = Spec::counter("a_total", "Letters.", ["x"]);
    static HEAT: Spec<2> = Spec::gauge("b", "Heat.", ["x", "y"]);

    fn read(_: &(), out: &mut Families) {
        out.family(&NONE);
        let mut family = out.family(&LETTERS);
        family.sample(["q\"\\\n"], 3u64);
        family.sample(["plain"], 1u64 << 53);
        let mut family = out.family(&HEAT);
        family.sample(["2", "1"], -0.5);
        family.sample(["1", "2"], 7i64);
    }

    #[test]
    fn writes_the_format() {
        let registry = Registry::new();
        let group = || Group::new(&vec![&NONE, &LETTERS, &HEAT], Arc::new(()), read).unwrap();
        registry.register(Box::new(group())).unwrap();
        assert_eq!(
            TextEncoder::new().encode_to_string(&registry.gather()).unwrap(),
            "# HELP a_total Letters.\n# TYPE a_total counter\n\
             a_total{x=\"plain\"} 9007199254740992\na_total{x=\"q\\\"\\\\\\n\"} 3\n\
             # HELP b Heat.\n# TYPE b gauge\nb{x=\"1\",y=\"2\"} 7\nb{x=\"2\",y=\"1\"} -0.5\n"
        );
        assert!(
            registry.register(Box::new(group())).is_err(),
            "a family twice would be refused by Prometheus"
        );
    }

    #[test]
    fn a_poor_name_is_refused() {
        static POOR: Spec<0> = Spec::gauge("not a name", "Help.", []);
        assert!(Group::new(&vec![&POOR], Arc::new(()), |(), _| ()).is_err());
    }
}
