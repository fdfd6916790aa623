//! Host, path and method to a route; rewrites, redirects, header changes.
