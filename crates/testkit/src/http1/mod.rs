//! HTTP/1.1 messages, read strictly (RFC 9112): what a lenient reader forgives is what a test looks for.

mod body;
mod head;
#[cfg(test)]
mod tests;

pub(crate) use body::BodyReader;
pub(crate) use head::Head;

use crate::headers::Headers;

/// How a message says where its body ends (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body, whatever the fields say.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks, ended by an empty one and trailers.
    Chunked,
    /// Everything until the connection closes.
    UntilClose,
}

impl Framing {
    /// The framing of a response to `method`.
    pub(crate) fn of_response(method: &str, status: u16, headers: &Headers) -> Result<Self, String> {
        let bodiless = method == "HEAD" || status < 200 || status == 204 || status == 304;
        if bodiless || (method == "CONNECT" && status < 300) {
            // The fields must still be well formed, and a 1xx or 204 may not have them (RFC 9112 §6.1).
            let announced = Self::announced(headers)?;
            if (status < 200 || status == 204) && announced.is_some() {
                return Err(format!("a {status} response announces a body"));
            }
            return Ok(Self::None);
        }
        Ok(Self::announced(headers)?.unwrap_or(Self::UntilClose))
    }

    /// The framing of a request.
    pub(crate) fn of_request(headers: &Headers) -> Result<Self, String> {
        Ok(Self::announced(headers)?.unwrap_or(Self::None))
    }

    fn announced(headers: &Headers) -> Result<Option<Self>, String> {
        let (lengths, codings) = (headers.all("content-length"), headers.all("transfer-encoding"));
        match (lengths.as_slice(), codings.as_slice()) {
            ([], []) => Ok(None),
            ([length], []) => Self::length(length).map(Some),
            ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(Some(Self::Chunked)),
            ([], codings) => Err(format!("transfer-encoding {codings:?} is not one chunked")),
            (lengths, []) => Err(format!("{} content-length fields: {lengths:?}", lengths.len())),
            _ => Err("content-length and transfer-encoding together".into()),
        }
    }

    fn length(value: &str) -> Result<Self, String> {
        let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let number = value.parse().ok().filter(|_| digits);
        number.map(Self::Length).ok_or_else(|| format!("content-length {value:?} is not a number"))
    }
}
