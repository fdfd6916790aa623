//! HTTP caching rules (RFC 9111, 9110, 9211) as pure functions.
