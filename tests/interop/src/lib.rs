//! End-to-end tests: clients and origins that others wrote. The tests are in `tests/`; each starts a real
//! `seawall` process between a real client (curl, h2load, grpcio, `websockets`) and a real origin (nginx, Python's
//! `http.server`, grpcio, `websockets`). The Python programs are in `python/`.
//!
//! `make setup-test` installs all of them. A test whose tool is missing fails and says so.

mod edge;
mod fetch;
mod h2load;
mod nginx;
mod script;

pub use edge::{Edge, EdgeBuilder};
pub use fetch::{Answer, fetch, try_fetch};
pub use h2load::Load;
pub use nginx::Nginx;
pub use script::{Script, ask};
