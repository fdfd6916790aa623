//! Clients that send exactly what they are told and forgive nothing.

pub(crate) mod frames;
pub(crate) mod h2;
pub(crate) mod raw;
pub(crate) mod response;
pub(crate) mod simple;
pub(crate) mod tls;
mod wire;
