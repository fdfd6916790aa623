//! The rules that `promtool check metrics` has for names, and those of this project.

use std::collections::BTreeSet;

use super::{busy, scrape::Scrape};
use crate::metrics::{FamilyInfo, Metrics};

/// What is wrong with a family.
fn faults(family: &FamilyInfo) -> Vec<&'static str> {
    let FamilyInfo { kind, name, help, labels } = *family;
    let words: Vec<&str> = name.split('_').collect();
    let last = words.last().copied().unwrap_or_default();
    let unit = if last == "total" { words.iter().rev().nth(1).copied().unwrap_or_default() } else { last };
    let is = |list: &[&str], word: &str| list.contains(&word);
    let mut faults = Vec::new();
    let mut rule = |broken: bool, fault| {
        if broken {
            faults.push(fault);
        }
    };
    rule(!name.starts_with("seawall_") && !name.starts_with("process_"), "no prefix");
    rule((kind == "counter") != (last == "total"), "counters, and only they, end in _total");
    rule(is(&["bucket", "count", "sum"], last), "a suffix of histograms");
    rule(
        words.iter().any(|word| is(&["counter", "gauge", "histogram", "metric"], word)),
        "a kind in the name",
    );
    rule(
        words.iter().any(|word| {
            is(&["ms", "us", "ns", "s", "sec", "secs", "kb", "mb", "kib", "mib", "b", "pct"], word)
                || is(&["milliseconds", "microseconds", "nanoseconds", "minutes", "hours", "days"], word)
                || is(&["kilobytes", "megabytes", "kibibytes", "bits", "percent"], word)
        }),
        "no base unit",
    );
    rule(kind == "histogram" && unit != "seconds" && unit != "bytes", "a histogram without its unit");
    rule(name.contains("timestamp") && unit != "seconds", "a timestamp without its unit");
    rule(!help.ends_with('.') || help.contains(['\n', '\\']), "help is a sentence on a line");
    let dimensions: BTreeSet<_> = labels.iter().collect();
    rule(dimensions.len() != labels.len(), "a label twice");
    rule(labels.iter().any(|label| is(&["le", "quantile", "job", "instance"], label)), "a reserved label");
    faults
}

#[test]
fn every_family_keeps_the_rules() {
    let families = Metrics::families();
    for family in &families {
        assert_eq!(faults(family), [""; 0], "{}", family.name);
    }
    let names: BTreeSet<_> = families.iter().map(|family| family.name).collect();
    assert_eq!(names.len(), families.len(), "a name twice");
}

#[test]
fn the_rules_find_what_they_are_for() {
    let good =
        FamilyInfo { kind: "counter", name: "seawall_x_bytes_total", help: "Help.", labels: &["site"] };
    assert_eq!(faults(&good), [""; 0]);
    for bad in [
        FamilyInfo { name: "x_bytes_total", ..good },
        FamilyInfo { name: "seawall_x_bytes", ..good },
        FamilyInfo { kind: "gauge", ..good },
        FamilyInfo { name: "seawall_x_ms_total", ..good },
        FamilyInfo { kind: "gauge", name: "seawall_x_count", ..good },
        FamilyInfo { name: "seawall_counter_total", ..good },
        FamilyInfo { kind: "histogram", name: "seawall_duration", ..good },
        FamilyInfo { kind: "gauge", name: "seawall_x_timestamp", ..good },
        FamilyInfo { help: "No sentence", ..good },
        FamilyInfo { labels: &["site", "site"], ..good },
        FamilyInfo { labels: &["le"], ..good },
    ] {
        assert_eq!(faults(&bad).len(), 1, "{bad:?}: {:?}", faults(&bad));
    }
}

/// What a scrape shows is what [`Metrics::families`] says, with its labels; and a busy process shows all of it.
#[test]
fn a_scrape_shows_the_families_there_are() {
    let scrape = Scrape::of(&busy());
    let families = Metrics::families();
    for family in &families {
        let kind = scrape.kinds.get(family.name).unwrap_or_else(|| panic!("{} is not shown", family.name));
        assert_eq!(kind, family.kind, "{}", family.name);
        let labels: BTreeSet<String> = family.labels.iter().map(|label| (*label).to_owned()).collect();
        assert_eq!(scrape.labels[family.name], labels, "{}", family.name);
    }
    let known: BTreeSet<_> = families.iter().map(|family| family.name).collect();
    let unknown: Vec<_> = scrape.kinds.keys().filter(|name| !known.contains(name.as_str())).collect();
    assert_eq!(unknown, [""; 0], "shown, but not among the families");
}
