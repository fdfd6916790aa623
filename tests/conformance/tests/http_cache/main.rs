//! The public suite `http-cache-tests` against a real Seawall.
//!
//! The suite and its clock are left alone: its own origin server, its own client, its own verdicts. What is
//! asked of the result is in `http-cache-tests/floors.json`.
#![allow(clippy::expect_used, reason = "a test ends at the first surprise")]

mod floors;
mod report;
mod run;

use seawall_testkit::Seawall;

use crate::floors::Floors;
use crate::run::{Origin, folder, run_suite};

#[test]
fn the_public_suite_passes() {
    let origin = Origin::start();
    let yaml = std::fs::read_to_string(folder().join("seawall.yaml")).expect("the configuration");
    let seawall = Seawall::with(&yaml).set("origin", origin.addr()).start();
    let report = run_suite(seawall.addr(0));
    println!("{report}");
    let floors = Floors::load(&folder().join("floors.json"));
    let complaints = floors.judge(&report);
    assert!(complaints.is_empty(), "{}\n\n{report}", complaints.join("\n"));
}
