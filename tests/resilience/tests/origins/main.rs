//! Origins that fail, lie, hang and come back, and what the client sees of it.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod broken;
mod health;
mod members;
mod names;
mod retries;
mod rig;
mod sockets;
mod stale;
mod tls;
