//! What the rules look at: a request's head, a response's head, and when they travelled.

use std::time::SystemTime;

use http::{HeaderMap, Method, StatusCode};

/// The head of a request as the client sent it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The method of the client (HEAD stays HEAD, even when the origin is asked with GET).
    pub method: &'a Method,
    /// The fields of the client.
    pub headers: &'a HeaderMap,
    /// Whether content follows the head. HTTP/2 tells it by the missing END_STREAM flag, HTTP/1.1 by
    /// Content-Length and Transfer-Encoding; those two fields are looked at here as well.
    pub has_body: bool,
}

/// The head of a response as the origin sent it.
#[derive(Debug, Clone, Copy)]
pub struct Response<'a> {
    /// The status code.
    pub status: StatusCode,
    /// The fields of the origin, before anything was added for the client.
    pub headers: &'a HeaderMap,
}

/// When a response travelled (RFC 9111 §4.2.3: `request_time` and `response_time`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// When the request went to the origin.
    pub requested: SystemTime,
    /// When the head of the response arrived.
    pub received: SystemTime,
}
