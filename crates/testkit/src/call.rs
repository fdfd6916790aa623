//! A request to be made, over either version of HTTP.

use crate::headers::{Headers, latin1};

/// A request a client is to make.
#[derive(Clone, Debug)]
pub struct Call {
    pub(crate) method: String,
    pub(crate) scheme: String,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Headers,
}

impl Call {
    /// A request with this method for this path (with its query) on this host.
    #[must_use]
    pub fn new(method: &str, host: &str, path: &str) -> Self {
        Self {
            method: method.into(),
            scheme: "http".into(),
            host: host.into(),
            path: path.into(),
            headers: Headers::new(),
            body: Vec::new(),
            trailers: Headers::new(),
        }
    }

    /// A `GET`.
    #[must_use]
    pub fn get(host: &str, path: &str) -> Self {
        Self::new("GET", host, path)
    }

    /// A `POST` of this body.
    #[must_use]
    pub fn post(host: &str, path: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", host, path).body(body)
    }

    /// Adds a field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push(name, value);
        self
    }

    /// Sets the body. HTTP/1 announces it by its length unless there are trailers.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Adds a field after the body. HTTP/1 then sends the body as one chunk.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push(name, value);
        self
    }

    /// The `:scheme` of HTTP/2; `http` unless set. HTTP/1 does not send it.
    #[must_use]
    pub fn scheme(mut self, scheme: &str) -> Self {
        self.scheme = scheme.into();
        self
    }

    /// The request as HTTP/1.1 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = latin1(&format!("{} {} HTTP/1.1\r\n", self.method, self.path));
        if !self.headers.has("host") {
            out.extend(latin1(&format!("Host: {}\r\n", self.host)));
        }
        out.extend(self.headers.to_lines());
        let framed = self.headers.has("content-length") || self.headers.has("transfer-encoding");
        if !self.trailers.is_empty() {
            return self.chunked(out);
        }
        if !(framed || self.body.is_empty() && matches!(self.method.as_str(), "GET" | "HEAD")) {
            out.extend(latin1(&format!("Content-Length: {}\r\n", self.body.len())));
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.body);
        out
    }

    fn chunked(&self, mut out: Vec<u8>) -> Vec<u8> {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
        if !self.body.is_empty() {
            out.extend(latin1(&format!("{:x}\r\n", self.body.len())));
            out.extend_from_slice(&self.body);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"0\r\n");
        out.extend(self.trailers.to_lines());
        out.extend_from_slice(b"\r\n");
        out
    }
}
