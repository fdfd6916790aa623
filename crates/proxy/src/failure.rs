//! What a failure means to the client: which status, and which label in metrics and log.

use pingora_error::{Error, ErrorSource, ErrorType};

/// A failure as told to the client and to the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Status for the client; 0 when nobody is there to read it.
    pub(crate) status: u16,
    /// A fixed word for log and metrics.
    pub(crate) reason: &'static str,
}

impl Failure {
    /// Classifies an error that ended a request.
    pub(crate) fn classify(error: &Error) -> Self {
        let (status, reason) = match (error.etype(), error.esource()) {
            (ErrorType::HTTPStatus(status), _) => (*status, "refused"),
            (ErrorType::Custom(reason), _) => (502, *reason),
            (ErrorType::ConnectTimedout, _) => (504, "connect_timeout"),
            (ErrorType::ConnectRefused, _) => (502, "connect_refused"),
            (ErrorType::ConnectNoRoute, _) => (502, "connect_no_route"),
            (ErrorType::TLSHandshakeTimedout, _) => (504, "tls_timeout"),
            (ErrorType::InvalidCert, _) => (502, "invalid_certificate"),
            (
                ErrorType::TLSHandshakeFailure | ErrorType::HandshakeError | ErrorType::TLSWantX509Lookup,
                _,
            ) => (502, "tls_handshake"),
            (ErrorType::ConnectError | ErrorType::SocketError | ErrorType::BindError, _) => {
                (502, "connect_error")
            }
            (ErrorType::ReadTimedout, ErrorSource::Upstream) => (504, "read_timeout"),
            (ErrorType::WriteTimedout, ErrorSource::Upstream) => (504, "write_timeout"),
            (
                ErrorType::InvalidHTTPHeader | ErrorType::H1Error | ErrorType::InvalidH2,
                ErrorSource::Upstream,
            ) => (502, "invalid_response"),
            (ErrorType::H2Error | ErrorType::H2Downgrade, ErrorSource::Upstream) => (502, "h2_error"),
            (ErrorType::ConnectionClosed, ErrorSource::Upstream) => (502, "origin_closed"),
            (_, ErrorSource::Upstream) => (502, "origin_error"),
            (ErrorType::ReadTimedout, ErrorSource::Downstream) => (408, "client_timeout"),
            (
                ErrorType::WriteError | ErrorType::ReadError | ErrorType::ConnectionClosed,
                ErrorSource::Downstream,
            ) => (0, "client_gone"),
            (ErrorType::WriteTimedout, ErrorSource::Downstream) => (0, "client_slow"),
            (_, ErrorSource::Downstream) => (400, "bad_request"),
            (_, ErrorSource::Internal | ErrorSource::Unset) => (500, "internal"),
        };
        Self { status, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classify(kind: ErrorType, source: ErrorSource) -> (u16, &'static str) {
        let failure = Failure::classify(&Error::create(kind, source, None, None));
        (failure.status, failure.reason)
    }

    #[test]
    fn origin_troubles_are_502_and_its_silence_is_504() {
        use ErrorSource::Upstream;
        assert_eq!(classify(ErrorType::ConnectRefused, Upstream).0, 502);
        assert_eq!(classify(ErrorType::InvalidHTTPHeader, Upstream).0, 502);
        assert_eq!(classify(ErrorType::ConnectionClosed, Upstream).0, 502);
        assert_eq!(classify(ErrorType::InvalidCert, Upstream).0, 502);
        assert_eq!(classify(ErrorType::ConnectTimedout, Upstream).0, 504);
        assert_eq!(classify(ErrorType::ReadTimedout, Upstream).0, 504);
    }

    #[test]
    fn client_troubles_are_4xx_or_nothing() {
        use ErrorSource::Downstream;
        assert_eq!(classify(ErrorType::InvalidHTTPHeader, Downstream).0, 400);
        assert_eq!(classify(ErrorType::ReadTimedout, Downstream).0, 408);
        assert_eq!(classify(ErrorType::ConnectionClosed, Downstream).0, 0);
        assert_eq!(classify(ErrorType::HTTPStatus(413), Downstream), (413, "refused"));
    }

    #[test]
    fn our_own_troubles_are_500() {
        assert_eq!(classify(ErrorType::InternalError, ErrorSource::Internal).0, 500);
        assert_eq!(classify(ErrorType::InternalError, ErrorSource::Unset).0, 500);
    }
}
