//! Interim responses on their way to the client (RFC 9110 §15.2: a proxy forwards them).
//!
//! Pingora collects what an origin sends in one go, and once the final response turns out to go through the store it
//! drops the interim ones that were collected with it. So they are written here, as soon as they come, and
//! Pingora is told to write none itself. It has no way to write them over HTTP/2.

use http::Version;
use pingora_error::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use crate::context::Context;
use crate::phases::store;

/// Interim responses forwarded for one request; the rest is dropped.
const MOST: u32 = 16;

/// True when `response` is an interim one that is dealt with. `100` answers the `Expect` that Pingora passes on,
/// and `101` is a final answer: both stay with Pingora.
pub(crate) async fn forward(
    session: &mut Session,
    response: &ResponseHeader,
    ctx: &mut Context,
) -> Result<bool> {
    if !response.status.is_informational() || matches!(response.status.as_u16(), 100 | 101) {
        return Ok(false);
    }
    ctx.upstream.interim = ctx.upstream.interim.saturating_add(1);
    let fit = session.req_header().version == Version::HTTP_11 && !ctx.refresh;
    if fit
        && ctx.upstream.interim <= MOST
        && session.response_written().is_none_or(|sent| sent.status.is_informational())
    {
        let mut interim = response.clone();
        store::strip_hop_by_hop(&mut interim);
        let downstream = session.as_downstream_mut();
        downstream.set_ignore_info_resp(false);
        downstream.write_response_header(Box::new(interim)).await.map_err(|error| error.into_down())?;
        downstream.set_ignore_info_resp(true);
    }
    Ok(true)
}
