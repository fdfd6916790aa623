//! An answer that needs no origin.

use std::collections::BTreeMap;
use std::str::FromStr;

use bytes::Bytes;
use http::StatusCode;
use pingora_http::ResponseHeader;
use schemars::JsonSchema;
use seawall_config::{Diagnostics, Path};
use serde::{Deserialize, Serialize};

use crate::headers::{check_fields, parse_fields};
use crate::{HeaderOpsError, HeaderTarget};

/// The longest body, in bytes. What is longer is a file and belongs to a `files` upstream.
const MAX_BODY: usize = 64 << 10;

/// An answer from the configuration itself. As a short form the number of the status stands for the map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StaticResponse {
    /// The status, 200 to 599.
    pub status: u16,
    /// The body, at most 64 KiB; statuses 204, 205 and 304 have none.
    pub body: String,
    /// The `Content-Type` of the body.
    pub content_type: String,
    /// Further header fields.
    pub headers: BTreeMap<String, String>,
}

impl Default for StaticResponse {
    fn default() -> Self {
        Self {
            status: 200,
            body: String::new(),
            content_type: "text/plain; charset=utf-8".to_owned(),
            headers: BTreeMap::new(),
        }
    }
}

impl FromStr for StaticResponse {
    type Err = StaticError;

    fn from_str(text: &str) -> Result<Self, StaticError> {
        let status = text.trim().parse().map_err(|_| StaticError::ShortForm(text.to_owned()))?;
        let settings = Self { status, ..Self::default() };
        settings.compile().map(|_| settings)
    }
}

/// Why a static response is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StaticError {
    /// The short form is not a number.
    #[error("`{0}` is not a status; write a number such as 404, or a map with `status` and `body`")]
    ShortForm(String),
    /// Not a final status.
    #[error("{0} is not the status of an answer; use 200 to 599")]
    Status(u16),
    /// A body where the status has none.
    #[error("an answer with status {0} has no body; leave `body` out")]
    Body(u16),
    /// A body beyond the bound.
    #[error("the body is longer than 64 KiB; use an upstream with `files`")]
    TooLong,
    /// A bad `content_type`.
    #[error("the content type has a character that a header field may not have")]
    ContentType,
    /// A bad header field.
    #[error(transparent)]
    Header(#[from] HeaderOpsError),
    /// `Content-Type` among the header fields.
    #[error("`headers` has `Content-Type`; use `content_type`")]
    TwoTypes,
}

/// A static response, ready to send.
#[derive(Debug, Clone)]
pub struct CompiledStatic {
    header: ResponseHeader,
    body: Bytes,
}

impl CompiledStatic {
    /// The header, with `Content-Length` and `Content-Type` where the status has a body.
    #[must_use]
    pub fn header(&self) -> &ResponseHeader {
        &self.header
    }

    /// The body; a HEAD request gets the header alone.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }
}

impl StaticResponse {
    /// Makes the header and the body.
    ///
    /// # Errors
    /// When the status is not final, or the body or a header field does not fit.
    pub fn compile(&self) -> Result<CompiledStatic, StaticError> {
        let bodiless = matches!(self.status, 204 | 205 | 304);
        let status = match self.status {
            200..=599 => StatusCode::from_u16(self.status).map_err(|_| StaticError::Status(self.status))?,
            other => return Err(StaticError::Status(other)),
        };
        if bodiless && !self.body.is_empty() {
            return Err(StaticError::Body(self.status));
        }
        if self.body.len() > MAX_BODY {
            return Err(StaticError::TooLong);
        }
        let fields = parse_fields(&self.headers, HeaderTarget::Response)?;
        if fields.iter().any(|field| field.name == http::header::CONTENT_TYPE) {
            return Err(StaticError::TwoTypes);
        }
        let mut header = ResponseHeader::build(status, Some(fields.len() + 2))
            .map_err(|_| StaticError::Status(self.status))?;
        // The fields are checked, and few enough for the map, so no insertion fails.
        let too_many = |_| StaticError::TooLong;
        if !bodiless {
            header.insert_header("Content-Length", self.body.len().to_string()).map_err(too_many)?;
        }
        if !self.body.is_empty() {
            let content_type = http::HeaderValue::from_str(&self.content_type);
            let content_type = content_type.map_err(|_| StaticError::ContentType)?;
            header.insert_header("Content-Type", content_type).map_err(too_many)?;
        }
        for field in fields {
            header.insert_header(field.spelling, field.value).map_err(too_many)?;
        }
        Ok(CompiledStatic { header, body: Bytes::from(self.body.clone()) })
    }

    /// Reports what is wrong; `at` is the response.
    pub fn check(&self, at: &Path, out: &mut Diagnostics) {
        check_fields(&self.headers, HeaderTarget::Response, &at.key("headers"), out);
        let error = match self.compile() {
            // Reported above, each with its place.
            Ok(_) | Err(StaticError::Header(_)) => return,
            Err(error) => error,
        };
        let place = match &error {
            StaticError::Status(_) => at.key("status"),
            StaticError::Body(_) | StaticError::TooLong => at.key("body"),
            StaticError::ContentType => at.key("content_type"),
            StaticError::TwoTypes => at.key("headers"),
            StaticError::ShortForm(_) | StaticError::Header(_) => at.clone(),
        };
        let text = error.to_string();
        match text.split_once("; ") {
            Some((message, hint)) => out.error(&place, message).hint(hint),
            None => out.error(&place, text),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::{StaticError, StaticResponse};
    use seawall_config::{Diagnostics, Path, Short};

    fn read(yaml: &str) -> StaticResponse {
        serde_yaml::from_str::<Short<StaticResponse>>(yaml).unwrap().0
    }

    #[test]
    fn makes_the_whole_answer() {
        let made = read("{status: 503, body: 'back soon', headers: {Retry-After: '60'}}").compile().unwrap();
        let header = made.header();
        assert_eq!(header.status, 503);
        assert_eq!(header.headers["content-length"], "9");
        assert_eq!(header.headers["content-type"], "text/plain; charset=utf-8");
        assert_eq!(header.headers["retry-after"], "60");
        assert_eq!(&made.body()[..], b"back soon");
    }

    #[test]
    fn the_short_form_is_a_status() {
        let made = read("404").compile().unwrap();
        assert_eq!(made.header().status, 404);
        assert_eq!(made.header().headers["content-length"], "0");
        assert!(!made.header().headers.contains_key("content-type"));
        assert!(serde_yaml::from_str::<Short<StaticResponse>>("nope").is_err());
    }

    #[test]
    fn a_status_without_body_has_no_length() {
        for status in [204, 304] {
            let made = StaticResponse { status, ..StaticResponse::default() }.compile().unwrap();
            assert!(!made.header().headers.contains_key("content-length"), "{status}");
        }
    }

    #[test]
    fn refuses_slips_and_points_at_them() {
        for (yaml, error, path) in [
            ("{status: 100}", StaticError::Status(100), "respond.status"),
            ("{status: 600}", StaticError::Status(600), "respond.status"),
            ("{status: 204, body: x}", StaticError::Body(204), "respond.body"),
            ("{body: x, content_type: \"a\\n\"}", StaticError::ContentType, "respond.content_type"),
            ("{headers: {Content-Type: x}}", StaticError::TwoTypes, "respond.headers"),
        ] {
            let settings = read(yaml);
            assert_eq!(settings.compile().unwrap_err(), error, "{yaml}");
            let mut out = Diagnostics::default();
            settings.check(&Path::root().key("respond"), &mut out);
            let found: Vec<String> = out.iter().map(|d| d.path.to_string()).collect();
            assert_eq!(found, [path], "{yaml}");
        }
        let long = StaticResponse { body: "x".repeat(65537), ..StaticResponse::default() };
        assert_eq!(long.compile().unwrap_err(), StaticError::TooLong);
        let framed = read("{headers: {Content-Length: '5'}}");
        assert!(matches!(framed.compile(), Err(StaticError::Header(_))));
        let mut out = Diagnostics::default();
        framed.check(&Path::root(), &mut out);
        assert_eq!(out.iter().map(|d| d.path.to_string()).collect::<Vec<_>>(), ["headers.Content-Length"]);
    }
}
