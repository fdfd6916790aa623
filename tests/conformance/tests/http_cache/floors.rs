//! What is asked of a run: the numbers it must reach, and the tests it may fail, each with its reason.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::report::{Kind, Report};

/// The floors. They only rise: a run above them asks for the new number to be written down.
#[derive(Debug)]
pub(crate) struct Floors {
    required: usize,
    optimal: usize,
    /// Tests that contradict an RFC, and where it says so. They count neither as passed nor as failed.
    exempt: BTreeMap<String, String>,
}

impl Floors {
    /// Reads those of one suite from the file.
    pub(crate) fn load(file: &Path, suite: &str) -> Self {
        let text = std::fs::read_to_string(file).expect("the floors");
        let value: Value = serde_json::from_str(&text).expect("the floors as JSON");
        Self::read(&value[suite])
    }

    fn read(value: &Value) -> Self {
        let number = |key: &str| {
            value[key].as_u64().and_then(|number| usize::try_from(number).ok()).expect("a number")
        };
        let exempt = value["exempt"].as_object().expect("the exemptions");
        let exempt = exempt.iter().map(|(id, reason)| {
            let reason = reason.as_str().filter(|reason| reason.contains("RFC"));
            (id.clone(), reason.expect("a reason that names an RFC").to_owned())
        });
        Self { required: number("required"), optimal: number("optimal"), exempt: exempt.collect() }
    }

    /// What is wrong with a run; nothing when it is good.
    pub(crate) fn judge(&self, report: &Report) -> Vec<String> {
        let mut complaints = Vec::new();
        for (kind, floor) in [(Kind::Required, self.required), (Kind::Optimal, self.optimal)] {
            let counted = report.of(kind).filter(|test| !self.exempt.contains_key(&test.id));
            let passed = counted.filter(|test| test.passed()).count();
            if passed < floor {
                complaints.push(format!("{kind:?}: {passed} tests pass, the floor is {floor}"));
            } else if passed > floor {
                println!("{kind:?}: {passed} tests pass; raise the floor of {floor} in floors.json");
            }
        }
        for id in self.exempt.keys() {
            match report.of(Kind::Required).chain(report.of(Kind::Optimal)).find(|test| test.id == *id) {
                None => complaints.push(format!("the suite has no test {id} to exempt")),
                Some(test) if test.passed() => complaints.push(format!("{id} passes and needs no exemption")),
                Some(_) => {}
            }
        }
        complaints
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(results: &[(&str, &str, &str)]) -> Report {
        let tests = results.iter().map(|(id, kind, result)| {
            json!({ "id": id, "suite": "s", "kind": kind, "result": result, "message": "" })
        });
        let value = json!({ "suites": [], "tests": tests.collect::<Vec<_>>() });
        Report::parse(&value.to_string())
    }

    #[test]
    fn a_run_below_a_floor_is_refused() {
        let floors = Floors::read(&json!({ "required": 2, "optimal": 1, "exempt": {} }));
        let good = [("a", "required", "pass"), ("b", "required", "pass"), ("c", "optimal", "pass")];
        assert!(floors.judge(&report(&good)).is_empty());
        for verdict in ["fail", "setup_fail", "dependency_fail", "retry", "harness_fail", "untested"] {
            let mut worse = good;
            worse[1].2 = verdict;
            assert_eq!(floors.judge(&report(&worse)), ["Required: 1 tests pass, the floor is 2"]);
        }
        assert_eq!(floors.judge(&report(&good[..2])), ["Optimal: 0 tests pass, the floor is 1"]);
    }

    #[test]
    fn an_exemption_is_for_a_test_that_fails() {
        let floors = Floors::read(&json!({ "required": 1, "optimal": 0, "exempt": { "x": "RFC 9112 6.1" } }));
        assert!(floors.judge(&report(&[("a", "required", "pass"), ("x", "required", "fail")])).is_empty());
        let idle = floors.judge(&report(&[("a", "required", "pass"), ("x", "required", "pass")]));
        assert_eq!(idle, ["x passes and needs no exemption"]);
        assert_eq!(
            floors.judge(&report(&[("a", "required", "pass")])),
            ["the suite has no test x to exempt"]
        );
        // What is exempt does not make up for what is not.
        assert_eq!(floors.judge(&report(&[("a", "required", "fail"), ("x", "required", "pass")])).len(), 2);
    }
}
