//! End-to-end tests of the promise "never drop a request": reloads, certificates, draining, upgrades. The tests are in
//! `tests/`; this is the load they run under.

mod load;

pub use load::{Client, Judge, Load, Tally};

/// How often something is repeated: `few` in `make test`, `many` in `make soak`.
#[must_use]
pub fn rounds(few: u32, many: u32) -> u32 {
    if std::env::var_os("SEAWALL_SOAK").is_some() { many } else { few }
}
