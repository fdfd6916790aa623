//! Other programs: seawall itself, real clients, and servers in Python.

pub(crate) mod child;
pub(crate) mod command;
pub(crate) mod metrics;
pub(crate) mod port;
pub(crate) mod seawall;
pub(crate) mod tool;
