//! What a person writes under `upstreams: { name: … }`.

mod balance;
mod dns;
mod health;
mod name_server;
mod retry;
mod server;
mod text;
mod timing;
mod tls;
mod upstream;

#[cfg(test)]
mod tests;

pub use balance::{Balance, HashBy, HashSettings};
pub use dns::{DnsSettings, Family};
pub use health::{HealthSettings, HttpCheckSettings, StatusRange};
pub use name_server::NameServer;
pub use retry::{BudgetSettings, RetrySettings};
pub use server::ServerSettings;
pub(crate) use text::text_setting;
pub use timing::Timeouts;
pub(crate) use tls::is_server_name;
pub use tls::{TlsSettings, TlsVersion};
pub use upstream::{KEEP_HOST, Protocol, UpstreamSettings};
