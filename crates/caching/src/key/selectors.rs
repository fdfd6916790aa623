//! The header fields and cookies that a route keys on.

use http::HeaderMap;

use super::{KeyPolicy, cookie};
use crate::syntax::{push_frame, trim};

impl KeyPolicy {
    /// Appends what the request says in the fields and cookies that the route names. An absent field differs
    /// from an empty one, and so do one line and two.
    pub(crate) fn frame_selectors(&self, request: &HeaderMap, out: &mut Vec<u8>) {
        for name in &self.headers {
            let lines: Vec<&[u8]> = request.get_all(name).iter().map(|line| trim(line.as_bytes())).collect();
            push_values(name.as_str().as_bytes(), &lines, out);
        }
        for name in &self.cookies {
            push_values(name, &cookie_values(request, name), out);
        }
    }
}

fn push_values(name: &[u8], values: &[&[u8]], out: &mut Vec<u8>) {
    push_frame(out, name);
    out.extend_from_slice(&(values.len() as u64).to_le_bytes());
    for value in values {
        push_frame(out, value);
    }
}

/// Every value of a cookie: a name sent twice must not hide its second value from the key.
fn cookie_values<'a>(request: &'a HeaderMap, name: &[u8]) -> Vec<&'a [u8]> {
    cookie::pairs(request).filter(|(found, _)| *found == name).filter_map(|(_, value)| value).collect()
}
