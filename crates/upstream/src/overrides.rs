//! What an operator ordered for servers at run time, over what the settings say.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use pingora_core::protocols::l4::socket::SocketAddr;

/// Orders for one server; `None` leaves it to the settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Override {
    /// Take no new requests (`true`), or take them although the settings drain it (`false`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<bool>,
    /// Its share of the requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
}

/// No server of the pool is called so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such server")]
pub struct NoSuchServer;

/// The orders of a pool, by the name of a server in the settings or by one of its addresses. Only servers that exist
/// when they are ordered get an entry, so their number bounds the table.
#[derive(Debug, Default)]
pub(crate) struct Overrides(Mutex<BTreeMap<String, Override>>);

impl Overrides {
    pub(crate) fn set(&self, server: &str, order: Override) {
        let mut orders = self.0.lock();
        if order == Override::default() {
            orders.remove(server);
        } else {
            orders.insert(server.to_owned(), order);
        }
    }

    pub(crate) fn get(&self, server: &str) -> Override {
        self.0.lock().get(server).copied().unwrap_or_default()
    }

    pub(crate) fn all(&self) -> BTreeMap<String, Override> {
        self.0.lock().clone()
    }

    /// What holds for one address: an order for the address goes before one for the name it came from.
    pub(crate) fn of(&self, name: &str, address: &SocketAddr) -> Override {
        let orders = self.0.lock();
        if orders.is_empty() {
            return Override::default();
        }
        let by_name = orders.get(name).copied().unwrap_or_default();
        let by_address = orders.get(&address.to_string()).copied().unwrap_or_default();
        Override { drain: by_address.drain.or(by_name.drain), weight: by_address.weight.or(by_name.weight) }
    }

    /// Takes over the orders for which `keep` says yes to the server.
    pub(crate) fn inherit(&self, old: &Self, keep: impl Fn(&str) -> bool) {
        let kept =
            old.0.lock().iter().filter(|(server, _)| keep(server)).map(|(k, v)| (k.clone(), *v)).collect();
        *self.0.lock() = kept;
    }
}
