//! The front door: bind, accept, shake hands, hold connections to their deadlines, hand them to the proxy.
//!
//! Pingora brings a listening service of its own. It has no cap on connections, a fixed handshake timeout of a
//! minute, times each read instead of the whole head, sleeps a second when file descriptors run out and panics
//! when an address is taken (its `services/listening.rs`, `listeners/l4.rs`). [`Door`] takes its place: it is a
//! Pingora service and runs the same applications.
//!
//! 1. [`BoundListener::bind`] binds before anything else starts, so that a port in use is one clear sentence.
//! 2. [`Door`] accepts. [`Gate`] decides on caps before any TLS work.
//! 3. Each connection is a [`DoorStream`], which enforces the deadlines of `limits:` with what the proxy says
//!    through `seawall_guard::ConnectionState`.
//! 4. What happens is told to a [`DoorObserver`].

mod address;
mod backoff;
mod bind;
mod departed;
mod door;
mod gate;
mod handover;
mod mode;
mod observer;
mod settings;
mod socket;
mod stream;
mod unix;

pub use address::ListenAddress;
pub use bind::{BindError, BoundListener, ListenError, ListenerControl};
pub use door::Door;
pub use gate::{Gate, GateSnapshot};
pub use handover::{Channel, MAX_DESCRIPTORS};
pub use mode::FileMode;
pub use observer::{AcceptFault, Cut, DoorObserver, Refusal};
pub use settings::{ListenerSettings, check_listeners};
pub use stream::DoorStream;
