//! The front door with real sockets, in front of a small application on Pingora's own sessions.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first surprise")]

mod caps;
mod deadlines;
mod h2c;
mod lifecycle;
mod rig;
mod tls;
