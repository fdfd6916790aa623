//! One request on a connection of its own.

use super::raw::RawClient;
use super::response::{ReadError, Response};
use crate::call::Call;
use crate::wait::OrDie;
use std::fmt::Display;

/// A `GET` on a new connection.
///
/// # Panics
/// No whole, well-formed response comes.
#[track_caller]
#[must_use]
pub fn get(address: impl Display, host: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    let call = headers.iter().fold(Call::get(host, path), |call, (name, value)| call.header(name, value));
    request(address, &call).or_die(&format!("get {path} of {host}"))
}

/// Any request on a new connection.
///
/// # Errors
/// No whole, well-formed response comes.
pub fn request(address: impl Display, call: &Call) -> Result<Response, ReadError> {
    RawClient::try_tcp(address)?.exchange(call)
}
