//! What the suite said, test by test, and how that counts.

use std::fmt;

use serde_json::Value;

/// How much a test weighs, in the suite's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The RFCs demand it.
    Required,
    /// A cache that does it is more useful.
    Optimal,
    /// A survey of what caches do; there is no right answer.
    Check,
}

/// One test of the suite.
#[derive(Debug, Clone)]
pub(crate) struct Test {
    pub(crate) id: String,
    pub(crate) suite: String,
    pub(crate) kind: Kind,
    /// The suite's verdict. A test whose preparation failed, or that builds on one that failed, has not passed.
    pub(crate) result: String,
    /// What was not as expected.
    pub(crate) message: String,
}

/// A run of the whole suite.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    suites: Vec<(String, String)>,
    tests: Vec<Test>,
}

impl Test {
    pub(crate) fn passed(&self) -> bool {
        matches!(self.result.as_str(), "pass" | "yes")
    }
}

impl Report {
    /// Reads what `run.mjs` printed.
    pub(crate) fn parse(json: &str) -> Self {
        let value: Value = serde_json::from_str(json).expect("the result of the suite");
        let list = |key: &str| value[key].as_array().cloned().expect("a list");
        let text = |value: &Value, key: &str| value[key].as_str().expect("text").to_owned();
        let test = |test: &Value| Test {
            id: text(test, "id"),
            suite: text(test, "suite"),
            kind: match text(test, "kind").as_str() {
                "required" => Kind::Required,
                "optimal" => Kind::Optimal,
                "check" => Kind::Check,
                other => panic!("an unknown kind of test: {other}"),
            },
            result: text(test, "result"),
            message: text(test, "message"),
        };
        let tests = list("tests").iter().map(test).collect();
        let suites = list("suites").iter().map(|suite| (text(suite, "id"), text(suite, "name"))).collect();
        Self { suites, tests }
    }

    /// All tests of a kind.
    pub(crate) fn of(&self, kind: Kind) -> impl Iterator<Item = &Test> {
        self.tests.iter().filter(move |test| test.kind == kind)
    }

    /// How many passed, of how many.
    fn score<'a>(tests: impl Iterator<Item = &'a Test>) -> (usize, usize) {
        tests.fold((0, 0), |(passed, all), test| (passed + usize::from(test.passed()), all + 1))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<64} {:>9} {:>9}", "suite", "required", "optimal")?;
        let cell = |(passed, all)| if all == 0 { "-".to_owned() } else { format!("{passed}/{all}") };
        for (id, name) in &self.suites {
            let [required, optimal] = [Kind::Required, Kind::Optimal]
                .map(|kind| cell(Self::score(self.of(kind).filter(|test| test.suite == *id))));
            writeln!(f, "{name:<64} {required:>9} {optimal:>9}")?;
        }
        let [required, optimal] =
            [Kind::Required, Kind::Optimal].map(|kind| cell(Self::score(self.of(kind))));
        writeln!(f, "{:<64} {required:>9} {optimal:>9}", "all")?;
        for test in self.of(Kind::Required).chain(self.of(Kind::Optimal)).filter(|test| !test.passed()) {
            writeln!(f, "{:?} {}: {} {}", test.kind, test.id, test.result, test.message)?;
        }
        Ok(())
    }
}
