//! The process itself: starting, stopping, its files and its descriptors.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod access_log;
mod descriptors;
mod drain;
mod startup;
