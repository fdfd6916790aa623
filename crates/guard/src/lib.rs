//! Who may pass: limits, connection caps, address rules, strict request heads.
//!
//! Everything a stranger can make grow has a number here. The numbers come from `limits:` in the
//! configuration ([`LimitsSettings`]), are resolved once into [`Limits`], and are enforced where the thing
//! that grows lives:
//!
//! - the front door (`seawall-listen`) enforces connection caps ([`ConnectionCaps`]), handshakes, and every
//!   deadline that needs the bytes of the socket ([`Deadlines`]), with what the proxy tells it through the
//!   connection's [`ConnectionState`];
//! - the proxy enforces what needs the request: [`head::check_h1`], [`head::check_h2`], [`BodyMeter`].

mod access;
mod body;
mod caps;
mod connection;
mod fds;
pub mod head;
mod limits;
mod settings;

pub use access::{AccessSettings, AddressRules};
pub use body::{BodyMeter, BodyTooLarge};
pub use caps::{Admission, CapReached, ConnectionCaps};
pub use connection::{
    CONNECTION, ConnectionState, LineFault, Phase, current_connection, with_current_connection,
};
pub use fds::{derive_max_connections, raise_file_limit};
pub use limits::{Deadlines, Limits, Rate};
pub use settings::{H2LimitsSettings, LimitsSettings};
