//! For tests only: what the end-to-end tests stand on.
//!
//! A test starts an [`Origin`] that it scripts, a [`Seawall`] process in front of it, and talks to the
//! process with a client that reads strictly. Afterwards it asks all three what happened:
//!
//! ```no_run
//! use seawall_testkit::{Origin, Reply, Seawall, get};
//!
//! let origin = Origin::h1(|_request| Reply::ok("hello").header("cache-control", "max-age=60"));
//! let seawall = Seawall::with(
//!     "listeners: [{ address: '127.0.0.1:%{port}' }]
//! upstreams: { app: { servers: ['%{origin}'] } }
//! sites: [{ hosts: [example.com], routes: [{ path: /, upstream: app }] }]",
//! )
//! .set("origin", origin.addr())
//! .start();
//!
//! assert_eq!(get(seawall.addr(0), "example.com", "/", &[]).body, b"hello");
//! assert_eq!(origin.count(), 1);
//! ```
//!
//! Everything blocks, everything has a deadline, and a wait that fails says what it waited for and what it
//! saw last. A failed step panics: this crate is the body of a test, not a library for a server. Nothing
//! leaves the loopback, ports come from the kernel, and a process dies with the test that started it.

mod body;
mod call;
mod client;
mod dns;
mod folder;
mod headers;
mod http1;
mod origin;
mod pki;
mod process;
mod tls;
mod wait;

pub use body::{body, check_body, digest};
pub use call::Call;
pub use client::frames::{Frame, FrameClient, flags, kind};
pub use client::h2::{H2Client, H2Error, H2Stream};
pub use client::raw::{Closing, RawClient};
pub use client::response::{ReadError, Response};
pub use client::simple::{get, request};
pub use client::tls::TlsClient;
pub use dns::Dns;
pub use folder::folder;
pub use headers::Headers;
pub use http1::Framing;
pub use origin::gate::Gate;
pub use origin::record::Request;
pub use origin::reply::Reply;
pub use origin::{Origin, OriginBuilder};
pub use pki::{Identity, Pki};
pub use process::child::{Child, Finished};
pub use process::command::{curl, run};
pub use process::metrics::{Metrics, Sample};
pub use process::port::Port;
pub use process::seawall::{Seawall, SeawallBuilder, binary};
pub use process::tool::{python, tool};
pub use tls::TlsInfo;
pub use wait::{DEADLINE, OrDie, Settle, eventually};
