//! What the front door tells the outside, without knowing how it is counted.

use seawall_tls::{HandshakeFailure, HandshakeInfo};

/// Hears what happens at one listener. Every call comes from a hot path: count and return.
pub trait DoorObserver: Send + Sync {
    /// A connection was accepted and has its place.
    fn opened(&self) {}
    /// Such a connection is gone.
    fn closed(&self) {}
    /// A connection was closed as soon as it was accepted.
    fn refused(&self, _why: Refusal) {}
    /// A TLS handshake ended.
    fn handshake(&self, _outcome: Result<HandshakeInfo, HandshakeFailure>) {}
    /// A client was cut off in the middle.
    fn cut(&self, _why: Cut) {}
    /// The system gave no connection.
    fn accept_failed(&self, _why: AcceptFault) {}
}

/// Hears nothing.
impl DoorObserver for () {}

/// Why a connection was closed as soon as it was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// `max_connections`.
    Total,
    /// `max_connections_per_address`.
    PerAddress,
    /// `max_handshakes`.
    Handshakes,
    /// `access` of the listener.
    Address,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Total, Self::PerAddress, Self::Handshakes, Self::Address];

    /// The label for metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Total => "max_connections",
            Self::PerAddress => "max_connections_per_address",
            Self::Handshakes => "max_handshakes",
            Self::Address => "access",
        }
    }
}

/// Why a client was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cut {
    /// `head_timeout`: the request head was not complete in time.
    HeadTimeout,
    /// `max_head`: the request head grew too large.
    HeadTooLarge,
    /// `idle_timeout`: no request came. The ordinary end of a connection.
    Idle,
    /// `body_timeout`.
    BodyStalled,
    /// `min_body_rate`.
    BodyTooSlow,
    /// `write_timeout`.
    WriteStalled,
    /// `min_send_rate`.
    ReadsTooSlowly,
}

impl Cut {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::HeadTimeout,
        Self::HeadTooLarge,
        Self::Idle,
        Self::BodyStalled,
        Self::BodyTooSlow,
        Self::WriteStalled,
        Self::ReadsTooSlowly,
    ];

    /// The label for metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::HeadTimeout => "head_timeout",
            Self::HeadTooLarge => "max_head",
            Self::Idle => "idle_timeout",
            Self::BodyStalled => "body_timeout",
            Self::BodyTooSlow => "min_body_rate",
            Self::WriteStalled => "write_timeout",
            Self::ReadsTooSlowly => "min_send_rate",
        }
    }
}

/// Why the system gave no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AcceptFault {
    /// No file descriptors or no memory.
    Exhausted,
    /// Anything else, for instance a client that left while it waited.
    Other,
}

impl AcceptFault {
    /// Every reason.
    pub const ALL: [Self; 2] = [Self::Exhausted, Self::Other];

    /// The label for metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Other => "other",
        }
    }
}
