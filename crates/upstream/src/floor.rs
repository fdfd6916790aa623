//! The oldest TLS version a server may speak.

use pingora_core::protocols::tls::SslDigest;

use crate::settings::TlsVersion;

/// A server that speaks an older TLS version than the settings allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the server speaks {spoken}, older than TLS {floor}; update it or set `tls.min_version`")]
pub struct WeakTls {
    /// What the handshake ended with.
    pub spoken: String,
    /// What the settings ask for.
    pub floor: TlsVersion,
}

/// Refuses connections by their TLS version.
///
/// Pingora's connector accepts TLS 1.0 and has no setting for it (connectors/tls/boringssl_openssl/mod.rs:104), so the
/// version is looked at after the handshake, before any request is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TlsFloor(Option<TlsVersion>);

impl TlsFloor {
    pub(crate) const fn new(floor: Option<TlsVersion>) -> Self {
        Self(floor)
    }

    pub(crate) fn check(self, tls: Option<&SslDigest>) -> Result<(), WeakTls> {
        let Some(floor) = self.0 else { return Ok(()) };
        let spoken = tls.map_or("no TLS", |tls| &tls.version);
        let high_enough = match spoken {
            "TLSv1.3" => true,
            "TLSv1.2" => floor == TlsVersion::V1_2,
            _ => false,
        };
        if high_enough { Ok(()) } else { Err(WeakTls { spoken: spoken.to_owned(), floor }) }
    }
}

#[cfg(test)]
mod tests {
    use super::{SslDigest, TlsFloor};
    use crate::settings::TlsVersion;

    #[test]
    fn refuses_what_is_older() {
        for (floor, spoken, fine) in [
            (TlsVersion::V1_2, "TLSv1.3", true),
            (TlsVersion::V1_2, "TLSv1.2", true),
            (TlsVersion::V1_2, "TLSv1.1", false),
            (TlsVersion::V1_2, "TLSv1", false),
            (TlsVersion::V1_3, "TLSv1.2", false),
            (TlsVersion::V1_3, "TLSv1.3", true),
            (TlsVersion::V1_2, "unknown", false),
        ] {
            let digest = SslDigest::new("cipher", spoken, None, None, Vec::new());
            assert_eq!(TlsFloor::new(Some(floor)).check(Some(&digest)).is_ok(), fine, "{floor} {spoken}");
        }
        assert!(TlsFloor::new(Some(TlsVersion::V1_2)).check(None).is_err(), "a plain connection is none");
        assert!(TlsFloor::new(None).check(None).is_ok());
    }
}
