//! A strict reading of text format 0.0.4.

use std::collections::{BTreeMap, BTreeSet};

use crate::metrics::Metrics;

/// One parsed scrape.
#[derive(Default)]
pub(super) struct Scrape {
    /// The value of each series, by its text.
    series: BTreeMap<String, f64>,
    /// The kind of each family that has samples.
    pub(super) kinds: BTreeMap<String, String>,
    /// The labels that samples of each family have, but for `le`.
    pub(super) labels: BTreeMap<String, BTreeSet<String>>,
}

impl Scrape {
    pub(super) fn of(metrics: &Metrics) -> Self {
        Self::parse(&metrics.render().unwrap()).unwrap()
    }

    /// HELP then TYPE before a family's samples, families in one piece, names and escapes well formed, no series
    /// twice, histograms that add up.
    fn parse(text: &str) -> Result<Self, String> {
        let mut scrape = Self::default();
        let mut family: Option<String> = None;
        let mut help: Option<String> = None;
        let mut families = BTreeSet::new();
        if !text.ends_with('\n') {
            return Err("no line end at the end".to_owned());
        }
        for line in text.lines() {
            let bad = |why: &str| Err(format!("{why}: {line}"));
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, words) = rest.split_once(' ').ok_or("help without words")?;
                if words.is_empty() || !words.ends_with('.') || !families.insert(name.to_owned()) {
                    return bad("a family twice, or poor help");
                }
                help = Some(name.to_owned());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').ok_or("type without a name")?;
                if help.take().as_deref() != Some(name) || !["counter", "gauge", "histogram"].contains(&kind)
                {
                    return bad("type without help, or of no kind");
                }
                if (kind == "counter") != name.ends_with("_total") {
                    return bad("only counters end in _total");
                }
                family = Some(name.to_owned());
                scrape.kinds.insert(name.to_owned(), kind.to_owned());
            } else {
                let Some(family) = &family else { return bad("a sample before any type") };
                scrape.sample(family, line)?;
            }
        }
        scrape.histograms_add_up()?;
        Ok(scrape)
    }

    fn sample(&mut self, family: &str, line: &str) -> Result<(), String> {
        let bad = |why: &str| Err(format!("{why}: {line}"));
        let (id, value) = line.rsplit_once(' ').ok_or("no value")?;
        let (name, labels) = split(id)?;
        let suffix = name.strip_prefix(family).ok_or(format!("outside its family: {line}"))?;
        let histogram = self.kinds[family] == "histogram";
        let allowed: &[&str] = if histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
        if !allowed.contains(&suffix) {
            return bad("a strange suffix");
        }
        let mut names: BTreeSet<String> = labels.into_iter().map(|(label, _)| label).collect();
        if names.remove("le") != (suffix == "_bucket") {
            return bad("`le` belongs to buckets and nothing else");
        }
        if self.labels.entry(family.to_owned()).or_insert_with(|| names.clone()) != &names {
            return bad("other labels than the sample before");
        }
        let value: f64 = value.parse().map_err(|_| format!("no number: {line}"))?;
        if self.series.insert(id.to_owned(), value).is_some() {
            return bad("a series twice");
        }
        Ok(())
    }

    /// Buckets grow with their bounds, and the last is the count.
    fn histograms_add_up(&self) -> Result<(), String> {
        let mut buckets: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
        for (id, value) in &self.series {
            let (name, mut labels) = split(id)?;
            let Some(base) = name.strip_suffix("_bucket") else { continue };
            let (_, le) = labels.pop().filter(|(label, _)| label == "le").ok_or("`le` is not last")?;
            let bound = le.parse().map_err(|_| format!("no bound: {id}"))?;
            buckets.entry(format!("{base} {labels:?}")).or_default().push((bound, *value));
        }
        for (id, value) in &self.series {
            let (name, labels) = split(id)?;
            let Some(base) = name.strip_suffix("_count") else { continue };
            let mut mine =
                buckets.remove(&format!("{base} {labels:?}")).ok_or(format!("no buckets: {id}"))?;
            mine.sort_by(|a, b| a.0.total_cmp(&b.0));
            if !mine.is_sorted_by(|a, b| a.1 <= b.1) || mine.last() != Some(&(f64::INFINITY, *value)) {
                return Err(format!("buckets do not add up: {id} {value} {mine:?}"));
            }
        }
        if buckets.is_empty() { Ok(()) } else { Err(format!("no count: {buckets:?}")) }
    }

    pub(super) fn get(&self, id: &str) -> Option<f64> {
        self.series.get(id).copied()
    }

    pub(super) fn has(&self, part: &str) -> bool {
        self.series.keys().any(|id| id.contains(part))
    }
}

type Pair = (String, String);

/// The name and the labels in `name{label="value",…}`, which must be well formed.
fn split(id: &str) -> Result<(&str, Vec<Pair>), String> {
    let (name, labels) = match id.split_once('{') {
        None => (id, None),
        Some((name, rest)) => (name, Some(rest.strip_suffix('}').ok_or(format!("no closing brace: {id}"))?)),
    };
    let word = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            && !text.as_bytes()[0].is_ascii_digit()
    };
    if !word(name) {
        return Err(format!("a poor name: {id}"));
    }
    let mut rest = labels.unwrap_or_default();
    let mut pairs: Vec<Pair> = Vec::new();
    while !rest.is_empty() {
        let (label, value) = rest.split_once("=\"").ok_or(format!("a label without a value: {id}"))?;
        if !word(label) || label.starts_with("__") || pairs.iter().any(|(known, _)| known == label) {
            return Err(format!("a poor label: {id}"));
        }
        let mut escaped = false;
        let end = value.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let end = end.ok_or(format!("an open quote: {id}"))?;
        pairs.push((label.to_owned(), value[..end].to_owned()));
        rest = &value[end + 1..];
        rest = match rest.strip_prefix(',') {
            Some(more) if !more.is_empty() => more,
            None if rest.is_empty() => rest,
            _ => return Err(format!("labels run together: {id}")),
        };
    }
    Ok((name, pairs))
}

#[test]
fn the_parser_is_strict() {
    let good = "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"1\"} 2\n\
        # HELP h H.\n# TYPE h histogram\nh_bucket{x=\"1\",le=\"1\"} 3\nh_bucket{x=\"1\",le=\"+Inf\"} 4\n\
        h_sum{x=\"1\"} 9\nh_count{x=\"1\"} 4\n";
    Scrape::parse(good).unwrap();
    for (from, to) in [
        ("# HELP a_total A.\n", ""),
        ("# TYPE a_total counter\n", ""),
        ("counter", "count"),
        ("a_total{", "b_total{"),
        ("a_total{x=\"1\"}", "a_total{x=\"1\""),
        ("a_total{x=\"1\"}", "a_total{x=1}"),
        ("a_total{x=\"1\"}", "a_total{x=\"1\",x=\"2\"}"),
        ("a_total{x=\"1\"}", "a_total{x=\"1\"y=\"2\"}"),
        ("a_total{x=\"1\"}", "a_total{le=\"1\"}"),
        ("a_total{x=\"1\"}", "a_total{__x=\"1\"}"),
        ("} 2\n", "}\n"),
        ("} 2\n", "} 2\na_total{x=\"1\"} 3\n"),
        ("} 2\n", "} 2\na_total{y=\"1\"} 3\n"),
        ("le=\"1\"} 3", "le=\"1\"} 5"),
        ("h_count{x=\"1\"} 4", "h_count{x=\"1\"} 5"),
        ("h_count{x=\"1\"} 4\n", ""),
        ("h_bucket{x=\"1\",le=\"+Inf\"} 4\n", ""),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good);
        assert!(Scrape::parse(&bad).is_err(), "{bad}");
    }
}
