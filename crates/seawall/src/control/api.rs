//! What the control API asks for.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use async_trait::async_trait;
use futures::future::join_all;
use seawall_admin::{Control, Fault, MAX_PURGED, Order, Purge, Readiness, Reply};
use seawall_proxy::{Purge as Name, Purged, UpstreamKind, Zone};
use seawall_telemetry::{LogLevel, LogSettings, process_log};
use seawall_upstream::{Override, Pool};
use serde_json::{Value, json};

use super::Node;
use crate::lifecycle::Station;
use crate::signals::Wish;

/// The largest weight, as in the settings.
const MAX_WEIGHT: u32 = 256;

/// Names of one purge that are under way at once.
const AT_ONCE: usize = 64;

/// [`Node`] for the API: it needs the `Arc` to work on after a caller has left.
pub(crate) struct NodeControl(pub(crate) Arc<Node>);

#[async_trait]
impl Control for NodeControl {
    fn readiness(&self) -> Readiness {
        self.0.lifecycle.readiness()
    }

    fn status(&self) -> Reply {
        let node = &self.0;
        let last = node.last.lock().clone();
        let readiness = node.lifecycle.readiness();
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "program": self.program(),
            "instance": node.instance,
            "state": readiness.state,
            "ready": readiness.ready,
            "uptime_seconds": node.started.elapsed().as_secs(),
            "file": node.live.file,
            "generation": node.plan().generation,
            "last_load": { "at": seconds(last.at), "ok": last.error.is_none(), "error": last.error },
            "waiting": last.waiting,
            "listeners": node.listeners().iter().map(|listener| listener.name()).collect::<Vec<_>>(),
            "connections": node.gate.snapshot().connections,
            "requests_in_flight": node.metrics.requests_in_flight(),
        }))
    }

    fn plan(&self) -> Reply {
        let node = &self.0;
        let settings = serde_json::to_value(&*node.settings()).map_err(|error| internal(&error))?;
        let waiting = node.last.lock().waiting.clone();
        Ok(json!({ "generation": node.plan().generation, "waiting": waiting, "settings": settings }))
    }

    fn pools(&self, name: Option<&str>) -> Reply {
        match name {
            Some(name) => snapshot(&*self.pool(name)?),
            None => {
                let upstreams = self.0.upstreams.borrow().clone();
                let pools: Result<Vec<Value>, Fault> = upstreams
                    .values()
                    .filter_map(|upstream| match &upstream.kind {
                        UpstreamKind::Pool(pool) => Some(snapshot(pool)),
                        UpstreamKind::Files(_) => None,
                    })
                    .collect();
                Ok(json!({ "pools": pools? }))
            }
        }
    }

    fn order(&self, pool: &str, order: &Order) -> Reply {
        let pool = self.pool(pool)?;
        let before = pool.ordered(&order.server);
        let new = Override {
            drain: order.drain.unwrap_or(before.drain),
            weight: order.weight.unwrap_or(before.weight),
        };
        if new.weight.is_some_and(|weight| weight == 0 || weight > MAX_WEIGHT) {
            let advice = format!("a weight is from 1 to {MAX_WEIGHT}; to take a server out, drain it");
            return Err(Fault::new(400, "weight", advice));
        }
        self.0.while_here(|| pool.order(&order.server, new))?.map_err(|_| {
            let known: Vec<String> = pool.settings().servers.iter().map(|s| s.address.to_string()).collect();
            let message =
                format!("`{}` has no server `{}`; it has {}", pool.name(), order.server, known.join(", "));
            Fault::new(404, "server", message)
        })?;
        log::info!("upstream {}: {} is ordered to {new:?}", pool.name(), order.server);
        snapshot(&pool)
    }

    fn cache(&self) -> Reply {
        let memory = |zone: &Zone| {
            let stats = zone.store.stats();
            json!({
            "zone": zone.name,
            "tier": "memory",
            "objects": stats.objects,
            "bytes": stats.bytes,
            "capacity_bytes": stats.capacity_bytes,
            "hits": stats.hits,
            "misses": stats.misses,
            "inserts": stats.inserts,
            "evicted": stats.evicted_small + stats.evicted_main,
            "rejected": stats.rejected_too_large + stats.rejected_no_room,
            "fills_in_flight": stats.fills_in_flight,
            "purged": stats.purged_objects,
            "expired": stats.expired_objects,
            })
        };
        let zones = self.0.engine().zones.iter();
        Ok(json!({ "tiers": zones.map(|zone| memory(zone)).collect::<Vec<_>>() }))
    }

    async fn purge(&self, purge: Purge) -> Reply {
        if purge.is_empty() {
            return Err(Fault::new(400, "empty", "it names nothing to purge"));
        }
        if purge.len() > MAX_PURGED {
            return Err(Fault::new(400, "many", format!("a purge has at most {MAX_PURGED} names")));
        }
        let (plan, began) = (self.0.plan(), Instant::now());
        let mut done = Vec::with_capacity(purge.len());
        let zone = purge.zone.as_deref();
        let is_soft = |name: &Name<'_>| purge.soft.unwrap_or_else(|| name.is_soft_by_default());
        let mut outcomes = Vec::with_capacity(purge.len());
        let all: Vec<Name<'_>> = names(&purge).collect();
        for some in all.chunks(AT_ONCE) {
            // Those under way together share one write to the disk.
            let mut running = Vec::with_capacity(some.len());
            for name in some {
                running.push(plan.purge(*name, is_soft(name), zone));
            }
            outcomes.extend(join_all(running).await);
            if outcomes.iter().any(Result::is_err) {
                break;
            }
        }
        for (name, outcome) in all.into_iter().zip(outcomes) {
            let soft = is_soft(&name);
            match outcome {
                Ok(found) => {
                    let mut one = json!({ "by": name.by(), "name": text(name), "soft": soft });
                    if let Some(found) = found {
                        one["found"] = json!(found == Purged::Done);
                    }
                    done.push(one);
                }
                Err(error) => {
                    let status = if error.is_of_request() { 400 } else { 500 };
                    let mut fault = Fault::new(status, name.by(), error.to_string());
                    // A program has to know what need not be asked for again.
                    fault.details = Some(json!({ "purged": done }));
                    return Err(fault);
                }
            }
        }
        let took = began.elapsed();
        log::info!("purged {} names in {took:?}", done.len());
        Ok(json!({ "purged": done, "took_ms": took.as_secs_f64() * 1e3 }))
    }

    fn connections(&self) -> Reply {
        let gate = self.0.gate.snapshot();
        Ok(json!({
            "open": gate.connections,
            "max": gate.max_connections,
            "addresses": gate.addresses,
            "handshakes": gate.handshakes,
            "max_handshakes": gate.max_handshakes,
            "lingering": gate.lingering,
        }))
    }

    fn certificates(&self) -> Reply {
        let listed: Vec<Value> = self
            .0
            .listeners()
            .iter()
            .filter_map(|listener| Some((listener.name(), listener.tls()?.certificates())))
            .flat_map(|(listener, certificates)| {
                certificates.into_iter().map(move |one| {
                    json!({
                        "listener": listener,
                        "file": one.path,
                        "names": one.names,
                        "not_before": seconds(one.not_before),
                        "not_after": seconds(one.not_after),
                        "stapled": one.stapled,
                        "stale": one.stale,
                    })
                })
            })
            .collect();
        Ok(json!({ "certificates": listed, "ticket_keys": self.0.tickets.count() }))
    }

    fn log_level(&self, level: Option<&str>) -> Reply {
        if let Some(level) = level {
            let level: LogLevel = serde_json::from_value(level.into())
                .map_err(|_| Fault::new(400, "level", "a level is error, warn, info, debug or trace"))?;
            let settings = LogSettings { level, ..self.0.settings().log.clone() };
            process_log::install(&settings).map_err(|error| internal(&error))?;
            log::info!("the log level is {level:?} until the next reload");
        }
        Ok(json!({ "level": log::max_level().as_str().to_ascii_lowercase() }))
    }

    async fn reload(&self) -> Reply {
        log::info!("reloading: asked for over the control API");
        self.0.reload_now().await
    }

    async fn upgrade(&self) -> Reply {
        self.0.upgrade_now().await
    }

    fn stop(&self, now: bool) -> Reply {
        let wish = if now { Wish::StopNow } else { Wish::Drain };
        // Not for this process alone: an upgrade that is under way must not leave another one behind.
        self.0.while_here(|| self.0.lifecycle.reach(Station::Leaving))?;
        if self.0.wishes.try_send(wish).is_err() {
            return Err(Fault::new(503, "busy", "too much was asked for at once; try again"));
        }
        Ok(json!({ "stopping": true, "now": now }))
    }

    fn answered(&self, what: &'static str, status: u16) {
        self.0.metrics.admin_answered(what, status);
    }
}

impl NodeControl {
    /// The binary, and whether another one is in its place: `null` when there is none that could be read.
    fn program(&self) -> Value {
        let program = &self.0.program;
        json!({ "path": program.path(), "replaced": program.is_replaced().ok() })
    }

    fn pool(&self, name: &str) -> Result<Arc<Pool>, Fault> {
        let upstreams = self.0.upstreams.borrow().clone();
        upstreams.get(name).and_then(|upstream| upstream.pool().cloned()).ok_or_else(|| {
            let known: Vec<&str> =
                upstreams.iter().filter(|(_, u)| u.pool().is_some()).map(|(name, _)| name.as_str()).collect();
            Fault::new(404, "pool", format!("there is no pool `{name}`; there are: {}", known.join(", ")))
        })
    }
}

fn snapshot(pool: &Pool) -> Reply {
    serde_json::to_value(pool.snapshot()).map_err(|error| internal(&error))
}

fn internal(error: &dyn std::fmt::Display) -> Fault {
    Fault::new(500, "internal", error.to_string())
}

/// Seconds since 1970.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What a purge names, one by one.
fn names(purge: &Purge) -> impl Iterator<Item = Name<'_>> {
    let urls = purge.url.iter().chain(&purge.urls).map(|url| Name::Url(url));
    let keys = purge.keys.iter().map(|key| Name::Key(key));
    let tags = purge.tags.iter().map(|tag| Name::Tag(tag));
    let prefixes = purge.prefixes.iter().map(|prefix| Name::Prefix(prefix));
    let hosts = purge.hosts.iter().map(|host| Name::Host(host));
    urls.chain(keys)
        .chain(tags)
        .chain(prefixes)
        .chain(hosts)
        .chain(purge.everything.then_some(Name::Everything))
}

fn text(name: Name<'_>) -> Option<&str> {
    match name {
        Name::Url(text) | Name::Key(text) | Name::Tag(text) | Name::Prefix(text) | Name::Host(text) => {
            Some(text)
        }
        Name::Everything => None,
    }
}
