//! The public suite `http-cache-tests` against a real Seawall: as npm has it, and, given a checkout, as its
//! repository has it. The published scores (160 required, 105 optimal) are of the latter, which is on no registry.
//!
//! The suite and its clock are left alone: its own origin server, its own client, its own verdicts. What is
//! asked of the result is in `http-cache-tests/floors.json`.
#![allow(clippy::expect_used, reason = "a test ends at the first surprise")]

mod floors;
mod report;
mod run;

use seawall_testkit::Seawall;

use crate::floors::Floors;
use crate::run::{Suite, folder};

fn passes(suite: Suite) {
    let origin = suite.start_origin();
    let yaml = std::fs::read_to_string(folder().join("seawall.yaml")).expect("the configuration");
    let seawall = Seawall::with(&yaml).set("origin", origin.addr()).start();
    let report = suite.run(seawall.addr(0));
    println!("{report}");
    let floors = Floors::load(&folder().join("floors.json"), suite.name());
    let complaints = floors.judge(&report);
    assert!(complaints.is_empty(), "{}\n\n{report}", complaints.join("\n"));
}

#[test]
#[ignore = "needs a checkout of the suite: `make conformance-checkout SUITE=FOLDER`"]
fn the_suite_of_today_passes() {
    passes(Suite::Current);
}

#[test]
fn the_suite_on_npm_passes() {
    passes(Suite::Npm);
}
