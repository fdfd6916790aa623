//! A connection that is held to its deadlines.
//!
//! The stream stands between TLS and Pingora, so it sees what a request sees. It enforces:
//!
//! - **reads**, by the phase of the connection (`seawall_guard::Phase`): the whole head within its time and
//!   size, the body without stalls and above its rate, no longer idle than allowed;
//! - **writes**: a client must go on taking what it asked for.
//!
//! While data flows none of it costs more than a comparison: clocks are read and timers are set only when a
//! poll has to wait.

mod ahead;
mod alarm;
mod date;
mod io;
mod line;
mod linger;
mod meter;
mod output;
mod reading;
mod transport;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use pingora_core::protocols::ALPN;
use pingora_core::protocols::Ssl as _;
use seawall_guard::{Admission, ConnectionState, Deadlines};

use crate::door::Entrance;
use crate::gate::Gate;
use crate::observer::Cut;
use ahead::Ahead;
use output::Output;
use reading::Reading;
pub(crate) use transport::Transport;

/// A client connection as Pingora gets it.
pub struct DoorStream {
    transport: Transport,
    state: Arc<ConnectionState>,
    gate: Arc<Gate>,
    /// Those it began with; a reload changes only later connections.
    deadlines: Arc<Deadlines>,
    entrance: Arc<Entrance>,
    /// Held for the length of the connection, lingering included.
    place: Option<Place>,
    reading: Reading,
    ahead: Ahead,
    output: Output,
    /// Bytes that were peeked at and are still to be read.
    replay: Bytes,
    /// HTTP/2: requests share the connection.
    multiplexed: bool,
    answered: Answered,
    cut: bool,
}

/// Whether the current request was answered before all of it was here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answered {
    No,
    /// Before the proxy called its head complete: a bad head.
    Head,
    /// While its body was awaited.
    Body,
}

/// A connection's place at the gate; the observer hears when it is given back.
pub(crate) struct Place {
    entrance: Arc<Entrance>,
    _admission: Admission,
}

impl Place {
    pub(crate) fn new(entrance: Arc<Entrance>, admission: Admission) -> Self {
        entrance.observer.opened();
        Self { entrance, _admission: admission }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.entrance.observer.closed();
    }
}

impl DoorStream {
    pub(crate) fn new(
        transport: Transport,
        state: Arc<ConnectionState>,
        gate: Arc<Gate>,
        place: Place,
    ) -> Self {
        let multiplexed =
            transport.tls().is_some_and(|tls| matches!(tls.selected_alpn_proto(), Some(ALPN::H2)));
        Self {
            output: Output::new(transport.is_tls()),
            reading: Reading::new(),
            ahead: Ahead::default(),
            entrance: Arc::clone(&place.entrance),
            place: Some(place),
            transport,
            state,
            deadlines: gate.deadlines(),
            gate,
            replay: Bytes::new(),
            multiplexed,
            answered: Answered::No,
            cut: false,
        }
    }

    /// Notes the end that a deadline makes.
    fn cut(&mut self, why: Cut) {
        if !self.cut {
            self.cut = true;
            self.entrance.observer.cut(why);
        }
    }
}

impl fmt::Debug for DoorStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Pingora prints streams into its log: short, and nothing of what they carry.
        f.debug_struct("DoorStream")
            .field("listener", &self.entrance.name)
            .field("fd", &self.transport.id())
            .field("phase", &self.state.phase())
            .finish_non_exhaustive()
    }
}
