//! Enough of PromQL to tell which metrics and labels an expression asks for. Its syntax is Prometheus' business.

use std::collections::{BTreeMap, BTreeSet};

use seawall_telemetry::metrics::{FamilyInfo, Metrics};

/// Labels that Prometheus itself puts on every series.
const SCRAPED: [&str; 2] = ["job", "instance"];
const AGGREGATIONS: [&str; 6] = ["sum", "min", "max", "count", "topk", "avg"];
const FUNCTIONS: [&str; 8] =
    ["rate", "increase", "histogram_quantile", "vector", "time", "changes", "label_values", "absent"];
const WORDS: [&str; 5] = ["and", "or", "unless", "bool", "offset"];

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Mark(char),
}

/// Splits an expression; a range in brackets is one `[`.
fn tokens(expr: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = expr;
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        if first == '"' {
            let end = rest[1..].find('"').ok_or("an open string")?;
            found.push(Token::Text(rest[1..=end].to_owned()));
            rest = &rest[end + 2..];
        } else if first == '[' {
            found.push(Token::Mark('['));
            rest = rest.split_once(']').ok_or("an open range")?.1;
        } else if first.is_ascii_digit() {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.');
        } else if word(first) {
            let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
            found.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        } else {
            if !first.is_whitespace() {
                found.push(Token::Mark(first));
            }
            rest = &rest[first.len_utf8()..];
        }
    }
    Ok(found)
}

/// One use of a metric.
struct Use {
    family: FamilyInfo,
    /// Which of its series: `_bucket`, `_sum`, `_count` or nothing.
    suffix: &'static str,
    ranged: bool,
}

/// What an expression asks for.
#[derive(Default)]
struct Asked {
    uses: Vec<Use>,
    /// Labels named in `by (…)`.
    grouped: Vec<String>,
}

impl Asked {
    fn labels(&self) -> BTreeSet<&str> {
        let of_families = self.uses.iter().flat_map(|one| one.family.labels.iter().copied());
        let le = self.uses.iter().any(|one| one.suffix == "_bucket").then_some("le");
        of_families.chain(le).chain(SCRAPED).collect()
    }
}

/// Whether every metric of `expr` exists, with the labels asked for, and counters are asked for their rates.
pub(crate) fn check(expr: &str) -> Result<(), String> {
    read(expr).map(drop)
}

/// Whether the labels in `{{…}}` of a legend are left in what `expr` gives.
pub(crate) fn check_legend(expr: &str, legend: &str) -> Result<(), String> {
    let asked = read(expr)?;
    let labels = asked.labels();
    for part in legend.split("{{").skip(1) {
        let label = part.split_once("}}").ok_or("an open {{")?.0;
        if label.starts_with('$') {
            continue;
        }
        if !labels.contains(label) {
            return Err(format!("no metric of {expr} has the label {label}"));
        }
        let aggregated = AGGREGATIONS.iter().any(|name| expr.contains(&format!("{name} by")));
        if aggregated && !asked.grouped.iter().any(|kept| kept == label) {
            return Err(format!("{expr} sums over the label {label}"));
        }
    }
    Ok(())
}

fn read(expr: &str) -> Result<Asked, String> {
    let families: BTreeMap<&str, FamilyInfo> =
        Metrics::families().into_iter().map(|family| (family.name, family)).collect();
    let tokens = tokens(expr)?;
    let mut asked = Asked::default();
    let mut selected = Vec::new();
    let mut functions: Vec<String> = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let opens = tokens.get(i + 1) == Some(&Token::Mark('('));
        match &tokens[i] {
            Token::Word(word) if ["by", "without", "on", "ignoring"].contains(&word.as_str()) && opens => {
                let (labels, end) = list(&tokens, i + 1)?;
                asked.grouped.extend(labels);
                i = end;
            }
            Token::Word(word) if AGGREGATIONS.contains(&word.as_str()) => functions.push(word.clone()),
            Token::Word(word) if FUNCTIONS.contains(&word.as_str()) && opens => functions.push(word.clone()),
            Token::Word(word) if WORDS.contains(&word.as_str()) => {}
            Token::Word(word) if functions.last().is_some_and(|f| f == "label_values") && i > 2 => {
                asked.grouped.push(word.clone());
            }
            Token::Word(word) if word == "up" => i = selector(&tokens, i + 1)?.1,
            Token::Word(word) => {
                let (family, suffix) = resolve(&families, word)?;
                let (labels, end) = selector(&tokens, i + 1)?;
                selected.extend(labels.into_iter().map(|label| (label, family)));
                let ranged = tokens.get(end + 1) == Some(&Token::Mark('['));
                let last = functions.last().map_or("", String::as_str);
                let steady = !["rate", "increase"].contains(&last);
                let counts = family.kind != "gauge";
                let listed = last == "label_values";
                if counts == steady && !listed && last != "changes" {
                    return Err(format!("{word} is a {} and asked with `{last}`", family.kind));
                }
                asked.uses.push(Use { family, suffix, ranged });
                i = end;
            }
            Token::Text(_) | Token::Mark(_) => {}
        }
        i += 1;
    }
    for (label, family) in selected {
        if !family.labels.contains(&label.as_str()) && !SCRAPED.contains(&label.as_str()) {
            return Err(format!("{} has no label {label}", family.name));
        }
    }
    let known = asked.labels();
    if let Some(unknown) = asked.grouped.iter().find(|label| !known.contains(label.as_str())) {
        return Err(format!("no metric here has the label {unknown}"));
    }
    if expr.contains("histogram_quantile") != asked.uses.iter().any(|one| one.suffix == "_bucket") {
        return Err("buckets and histogram_quantile belong together".to_owned());
    }
    if asked.uses.iter().any(|one| one.ranged == (one.family.kind == "gauge") && !expr.starts_with("label_"))
    {
        return Err("a range belongs to what has a rate".to_owned());
    }
    Ok(asked)
}

/// The family that a series' name belongs to.
fn resolve(families: &BTreeMap<&str, FamilyInfo>, name: &str) -> Result<(FamilyInfo, &'static str), String> {
    if let Some(family) = families.get(name).filter(|family| family.kind != "histogram") {
        return Ok((*family, ""));
    }
    for suffix in ["_bucket", "_sum", "_count"] {
        let family = name.strip_suffix(suffix).and_then(|base| families.get(base));
        if let Some(family) = family.filter(|family| family.kind == "histogram") {
            return Ok((*family, suffix));
        }
    }
    Err(format!("there is no metric {name}"))
}

/// The words of a list in parentheses that opens at `start`, and where it closes.
fn list(tokens: &[Token], start: usize) -> Result<(Vec<String>, usize), String> {
    let mut words = Vec::new();
    for (i, token) in tokens.iter().enumerate().skip(start + 1) {
        match token {
            Token::Mark(')') => return Ok((words, i)),
            Token::Word(word) => words.push(word.clone()),
            _ => {}
        }
    }
    Err("an open list".to_owned())
}

/// The labels in braces at `start`, if there are any, and where what belongs to the metric ends.
fn selector(tokens: &[Token], start: usize) -> Result<(Vec<String>, usize), String> {
    if tokens.get(start) != Some(&Token::Mark('{')) {
        return Ok((Vec::new(), start - 1));
    }
    let mut labels = Vec::new();
    for (i, token) in tokens.iter().enumerate().skip(start + 1) {
        match token {
            Token::Mark('}') => return Ok((labels, i)),
            Token::Word(word) => labels.push(word.clone()),
            _ => {}
        }
    }
    Err("an open selector".to_owned())
}

#[test]
fn good_expressions_pass() {
    for expr in [
        "seawall_connections",
        "sum by (site, instance) (rate(seawall_http_requests_total{status_class=\"5xx\", job=~\".*\"}[5m])) > 0.05",
        "histogram_quantile(0.99, sum by (le) (rate(seawall_http_request_duration_seconds_bucket{site!=\"none\"}[5m])))",
        "rate(seawall_http_request_duration_seconds_sum[5m]) / rate(seawall_http_request_duration_seconds_count[5m])",
        "label_values(seawall_http_requests_total{instance=~\"$instance\"}, site)",
        "up == 0 or process_open_fds / process_max_fds > 0.8",
    ] {
        check(expr).unwrap_or_else(|fault| panic!("{fault}: {expr}"));
    }
    let expr = "sum by (site) (rate(seawall_http_requests_total[5m]))";
    check_legend(expr, "{{site}} of {{ $value }}").unwrap_err();
    check_legend(expr, "{{site}} {{$value}}").unwrap();
}

#[test]
fn what_does_not_exist_is_found() {
    for expr in [
        "seawall_connection",
        "rate(seawall_requests_total[5m])",
        "rate(seawall_http_requests_total{host=\"x\"}[5m])",
        "sum by (host) (rate(seawall_http_requests_total[5m]))",
        "seawall_http_requests_total",
        "rate(seawall_connections[5m])",
        "rate(seawall_http_requests_total)",
        "seawall_http_request_duration_seconds",
        "rate(seawall_http_requests_total_bucket[5m])",
        "sum(rate(seawall_http_request_duration_seconds_bucket[5m]))",
        "label_values(seawall_http_requests_total, host)",
        "seawall_connections{listener=\"x}",
    ] {
        assert!(check(expr).is_err(), "{expr}");
    }
    let expr = "sum by (site) (rate(seawall_http_requests_total[5m]))";
    assert!(check_legend(expr, "{{host}}").is_err() && check_legend(expr, "{{route}}").is_err());
}
