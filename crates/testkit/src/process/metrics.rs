//! Numbers in the Prometheus text format.

use std::collections::BTreeMap;

/// One line of an exposition.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The name, `_bucket`, `_sum` and `_count` included.
    pub name: String,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// One scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// All samples in order.
    pub samples: Vec<Sample>,
    /// The `# TYPE` of each family.
    pub types: BTreeMap<String, String>,
}

impl Metrics {
    /// Reads an exposition.
    ///
    /// # Errors
    /// A line is not one; the message shows it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut metrics = Self::default();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            if let Some(comment) = line.strip_prefix('#') {
                if let ["TYPE", name, kind] = comment.split_whitespace().collect::<Vec<_>>()[..] {
                    metrics.types.insert(name.into(), kind.into());
                }
                continue;
            }
            let sample = sample(line).ok_or_else(|| format!("not a sample: {line:?}"))?;
            metrics.samples.push(sample);
        }
        Ok(metrics)
    }

    /// The sum of the samples of this name that have these labels (and any others); `None` without any.
    #[must_use]
    pub fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |sample: &Sample| {
            let matches =
                |(key, value): &(&str, &str)| sample.labels.get(*key).is_some_and(|own| own == value);
            sample.name == name && labels.iter().all(matches)
        };
        let mut values = self.samples.iter().filter(|sample| has(sample)).map(|sample| sample.value);
        let first = values.next()?;
        Some(values.fold(first, |sum, value| sum + value))
    }

    /// Like [`Metrics::find`], and 0 without any: a counter with labels appears with its first count.
    #[must_use]
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).unwrap_or_default()
    }

    /// The samples of this name as lines, for messages.
    #[must_use]
    pub fn show(&self, name: &str) -> String {
        let mine: Vec<String> = self
            .samples
            .iter()
            .filter(|sample| sample.name == name)
            .map(|sample| format!("{:?} = {}", sample.labels, sample.value))
            .collect();
        if mine.is_empty() { format!("no sample of {name}") } else { mine.join(", ") }
    }
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = read_labels(inside, &mut labels)?;
    }
    let value = match rest.split_whitespace().next()? {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => number.parse().ok()?,
    };
    Some(Sample { name: name.into(), labels, value })
}

/// Reads `name="value",…}` and returns what follows it.
fn read_labels<'a>(mut rest: &'a str, labels: &mut BTreeMap<String, String>) -> Option<&'a str> {
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some(after);
        }
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = after.char_indices();
        rest = loop {
            match characters.next()? {
                (at, '"') => break after.get(at + 1..)?,
                (_, '\\') => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.insert(name.into(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP a_total Things.\n# TYPE a_total counter\n\
        a_total{kind=\"x\",path=\"/{a,b}\\\"\\n\"} 3\na_total{kind=\"y\",path=\"\"} 4.5 1700000000\n\nup 1\ninf +Inf\n";

    #[test]
    fn samples_are_found_by_any_of_their_labels() {
        let metrics = Metrics::parse(TEXT).unwrap();
        assert_eq!(metrics.get("a_total", &[]), 7.5);
        assert_eq!(metrics.get("a_total", &[("kind", "x")]), 3.0);
        assert_eq!(metrics.get("a_total", &[("path", "/{a,b}\"\n")]), 3.0);
        assert_eq!(metrics.find("a_total", &[("kind", "z")]), None);
        assert_eq!((metrics.get("up", &[]), metrics.get("inf", &[])), (1.0, f64::INFINITY));
        assert_eq!(metrics.types["a_total"], "counter");
    }

    #[test]
    fn a_line_that_is_no_sample_is_an_error() {
        for line in ["a_total", "a_total{x=\"1\" 3", "a_total three"] {
            assert!(Metrics::parse(line).is_err(), "{line}");
        }
    }
}
