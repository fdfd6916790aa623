//! Pools against real servers on loopback, and against a DNS that says what we want.

mod dns;
mod health;
mod origin;
mod peers;
mod pool;
mod replace;
mod tls;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::HeaderMap;

use crate::{
    Answer, Pool, Resolve, ResolveError, SelectError, SelectRequest, Selected, ServerId, UpstreamSettings,
};

/// A DNS without any names.
struct NoNames;

#[async_trait]
impl Resolve for NoNames {
    async fn lookup(&self, host: &str, _: crate::settings::Family) -> Result<Answer, ResolveError> {
        Err(ResolveError(format!("{host} does not exist")))
    }
}

fn settings(yaml: &str) -> UpstreamSettings {
    serde_yaml::from_str(yaml).unwrap()
}

fn pool(yaml: &str) -> Pool {
    Pool::new("test", &settings(yaml), Arc::new(NoNames)).unwrap()
}

fn select_for(pool: &Pool, client: &str, tried: &[ServerId]) -> Result<Selected, SelectError> {
    let headers = HeaderMap::new();
    let client: IpAddr = client.parse().unwrap();
    pool.select(&SelectRequest { uri: "/", headers: &headers, client }, tried)
}

fn select(pool: &Pool) -> Result<Selected, SelectError> {
    select_for(pool, "192.0.2.1", &[])
}

/// Waits until `condition` holds; panics when it does not within 10 seconds.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
