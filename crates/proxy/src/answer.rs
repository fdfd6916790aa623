//! Responses that Seawall itself writes: errors, redirects, static answers.
//!
//! An error tells the client its status and the request id, which finds the log line; it says nothing of
//! origins, addresses or software versions.

use bytes::Bytes;
use http::StatusCode;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use pingora_error::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use seawall_caching::status::CACHE_STATUS;

use crate::cache_status;
use crate::context::Context;
use crate::phases::respond;

/// A complete response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) header: Box<ResponseHeader>,
    pub(crate) body: Bytes,
}

impl Answer {
    /// An error with its status in words and the request id.
    pub(crate) fn error(status: u16, request_id: &str) -> Result<Self> {
        let reason = StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Error");
        let body = Bytes::from(format!("{status} {reason}\nrequest id: {request_id}\n"));
        let mut header = ResponseHeader::build(status, Some(8))?;
        header.insert_header(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))?;
        header.insert_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))?;
        header.insert_header(CONTENT_LENGTH, body.len())?;
        if status == 503 {
            header.insert_header(RETRY_AFTER, HeaderValue::from_static("5"))?;
        }
        Ok(Self { header: Box::new(header), body })
    }

    /// 405 with the methods that would work (RFC 9110 §15.5.6).
    pub(crate) fn method_not_allowed(allow: &str, request_id: &str) -> Result<Self> {
        let mut answer = Self::error(405, request_id)?;
        answer.header.insert_header(ALLOW, allow)?;
        Ok(answer)
    }

    /// A redirect.
    pub(crate) fn redirect(status: u16, location: &str) -> Result<Self> {
        let mut header = ResponseHeader::build(status, Some(6))?;
        header.insert_header(http::header::LOCATION, location)?;
        header.insert_header(CONTENT_LENGTH, 0)?;
        Ok(Self { header: Box::new(header), body: Bytes::new() })
    }

    /// Says what the cache had to do with this failure, on routes that have one.
    pub(crate) fn with_cache_status(mut self, session: &Session, ctx: &Context) -> Self {
        if ctx.route.as_ref().is_some_and(|route| route.cache.is_some()) {
            let said = cache_status::describe_failure(&ctx.cache, session.cache.phase(), ctx.error);
            // A valid field value by its type; nothing is lost if it could not be put in.
            let _ = self.header.insert_header(CACHE_STATUS, said.value(&http::HeaderMap::new()));
        }
        self
    }

    /// Writes the response through the same finishing touches as any other.
    pub(crate) async fn send(mut self, session: &mut Session, ctx: &mut Context) -> Result<()> {
        respond::farewell(session, ctx);
        respond::finish_header(session, &mut self.header, ctx)?;
        let no_body = session.req_header().method == http::Method::HEAD
            || self.body.is_empty()
            || matches!(self.header.status.as_u16(), 204 | 304);
        session.write_response_header(self.header, no_body).await?;
        if !no_body {
            session.write_response_body(Some(self.body), true).await?;
        }
        Ok(())
    }
}
