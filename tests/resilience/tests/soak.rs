//! Mixed load on little memory and a small disk, while objects change, are purged and evicted, and the process is killed,
//! stopped and started: every body that a client gets is whole, of the right object, and no older than the last purge of it
//! that was answered.
//!
//! `SEAWALL_SOAK_SECONDS` says how long; `make soak` says 600.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use seawall_testkit::{Call, Origin, Reply, Request, Response, Seawall, request};

const OBJECTS: usize = 240;
const TAGS: usize = 8;
const CLIENTS: u64 = 6;

const YAML: &str = "
listeners: [{ address: '127.0.0.1:%{port}' }]
admin: { listen: 'unix:%{dir}/admin.sock' }
cache:
  memory: 2MiB
  memory_object: 64KiB
  max_object: 4MiB
  disk: { path: '%{dir}/store', size: 32MiB }
  purge: { allow: [127.0.0.1], show_key: true }
  collapse: { refreshes: 16, upstream_refreshes: 16 }
upstreams: { app: { servers: ['%{origin}'] } }
sites: [{ hosts: [soak.example], routes: [{ path: /, upstream: app, cache: { stale_while_revalidate: 5s, background_fill: 50% } }] }]
";

/// A small generator: what it gives can be had again from its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

fn dice(seed: u64) -> Dice {
    Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
}

/// The body of an object in one of its versions.
fn content(object: usize, version: u64) -> Vec<u8> {
    let mut dice = dice(((object as u64) << 32) | version);
    let len = match dice.roll(10) {
        0..5 => 100 + dice.roll(4000),
        5..8 => 4000 + dice.roll(100_000),
        _ => 100_000 + dice.roll(900_000),
    };
    let mut bytes = Vec::with_capacity(len as usize + 8);
    while bytes.len() < len as usize {
        dice.roll(2);
        bytes.extend_from_slice(&dice.0.to_le_bytes());
    }
    bytes.truncate(len as usize);
    bytes
}

/// What is true about the objects.
#[derive(Default)]
struct World {
    /// The version that the origin has.
    versions: Vec<AtomicU64>,
    /// The oldest version that may still be served.
    oldest: Vec<AtomicU64>,
    counts: Counts,
    over: AtomicBool,
}

#[derive(Default)]
struct Counts {
    bodies: AtomicU64,
    parts: AtomicU64,
    hits: AtomicU64,
    purges: AtomicU64,
    left: AtomicU64,
    broken: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, SeqCst);
}

fn world() -> Arc<World> {
    let ones = || (0..OBJECTS).map(|_| AtomicU64::new(1)).collect();
    Arc::new(World { versions: ones(), oldest: ones(), ..World::default() })
}

fn number(path: &str) -> usize {
    path.trim_start_matches('/').parse().expect("the number of an object")
}

fn origin(world: &Arc<World>) -> Origin {
    let world = Arc::clone(world);
    Origin::h1(move |request: &Request| {
        let object = number(request.path());
        let version = world.versions[object].load(SeqCst);
        let etag = format!("\"{version}\"");
        let lifetime = if object.is_multiple_of(3) { "max-age=1" } else { "max-age=600" };
        let fields = [("cache-control", lifetime), ("etag", &*etag)];
        let reply = if request.header("if-none-match") == Some(&*etag) {
            Reply::new(304)
        } else {
            Reply::ok(content(object, version))
        };
        let reply = reply.headers(&fields).header("xkey", &format!("t{}", object % TAGS));
        if object.is_multiple_of(2) { reply } else { reply.chunked() }
    })
}

impl World {
    /// An object changes at the origin. Hands out the version that it has now.
    fn change(&self, object: usize) -> u64 {
        self.versions[object].fetch_add(1, SeqCst) + 1
    }

    fn purged(&self, object: usize, version: u64) {
        self.oldest[object].fetch_max(version, SeqCst);
        count(&self.counts.purges);
    }

    /// Panics unless the response is of `object`, whole, and no older than `oldest`.
    fn check(&self, object: usize, oldest: u64, response: &Response) {
        let etag = response.header("etag").unwrap_or_default();
        let version: u64 = etag.trim_matches('"').parse().expect("a version");
        assert!(version >= oldest, "/{object}: version {version} after a purge of what was before {oldest}");
        let whole = content(object, version);
        let status = response.header("cache-status").unwrap_or_default();
        match response.status {
            200 => {
                assert!(response.body == whole, "/{object}: a foreign or torn body ({status})");
                count(&self.counts.bodies);
            }
            206 => {
                let range = response.header("content-range").and_then(|range| range.strip_prefix("bytes "));
                let (range, len) = range.and_then(|range| range.split_once('/')).expect("a range");
                let (first, last) = range.split_once('-').expect("its ends");
                let (first, last): (usize, usize) =
                    (first.parse().expect("a number"), last.parse().expect("a number"));
                assert_eq!(len, whole.len().to_string(), "/{object} {status}");
                assert!(response.body == whole[first..=last], "/{object}: foreign bytes ({status})");
                count(&self.counts.parts);
            }
            other => panic!("/{object}: {other} ({status})"),
        }
        if status.contains("; hit") {
            count(&self.counts.hits);
        }
    }
}

/// Does what clients do until it is over. A connection that fails is no fault: the process may just have been killed.
fn client(world: &World, address: &str, seed: u64) {
    let mut dice = dice(seed);
    while !world.over.load(SeqCst) {
        // Some are wanted more than others.
        let object = (dice.roll(OBJECTS as u64) * dice.roll(OBJECTS as u64) / OBJECTS as u64) as usize;
        let path = format!("/{object}");
        let oldest = world.oldest[object].load(SeqCst);
        let get = || Call::get("soak.example", &path);
        match dice.roll(40) {
            0 => {
                let version = world.change(object);
                match request(address, &Call::new("PURGE", "soak.example", &path)) {
                    Ok(done) if done.status == 200 || done.status == 404 => world.purged(object, version),
                    Ok(done) => panic!("PURGE {path}: {}", done.status),
                    Err(_) => count(&world.counts.broken),
                }
            }
            1 => {
                // It leaves in the middle.
                let Ok(mut early) = seawall_testkit::RawClient::try_tcp(address) else { continue };
                early.deadline(Duration::from_secs(30));
                if early.try_send(get().to_bytes()).is_ok() {
                    let _ = early.try_read_exact(200);
                }
                count(&world.counts.left);
            }
            2..8 => {
                let first = dice.roll(100);
                let last = first + dice.roll(200_000);
                let range = format!("bytes={first}-{last}");
                match request(address, &get().header("Range", &range)) {
                    // A small object may have no such bytes in its new version.
                    Ok(response) if response.status == 416 => {}
                    Ok(response) => world.check(object, oldest, &response),
                    Err(_) => count(&world.counts.broken),
                }
            }
            _ => match request(address, &get()) {
                Ok(response) => world.check(object, oldest, &response),
                Err(_) => count(&world.counts.broken),
            },
        }
    }
}

/// Purges as an operator does.
fn operate(world: &World, seawall: &Seawall, dice: &mut Dice) {
    let tag = dice.roll(TAGS as u64) as usize;
    let mode = if dice.roll(2) == 0 { "--hard" } else { "--soft" };
    let changed: Vec<(usize, u64)> =
        (tag..OBJECTS).step_by(TAGS).map(|object| (object, world.change(object))).collect();
    let done = seawall.control(&["purge", mode, "--tag", &format!("t{tag}")]);
    assert_eq!(done.code, Some(0), "{done:?}");
    if mode == "--hard" {
        changed.into_iter().for_each(|(object, version)| world.purged(object, version));
    }
    let object = dice.roll(OBJECTS as u64) as usize;
    let response =
        request(seawall.addr(0), &Call::get("soak.example", &format!("/{object}"))).expect("an answer");
    let status = response.header("cache-status").unwrap_or_default();
    if let Some((key, _)) = status.split_once("; key=\"").and_then(|(_, rest)| rest.split_once('"')) {
        let version = world.change(object);
        let done = seawall.control(&["purge", "--key", key]);
        assert_eq!(done.code, Some(0), "{done:?}");
        world.purged(object, version);
    }
}

#[test]
fn every_body_is_right_whatever_happens() {
    let seconds =
        std::env::var("SEAWALL_SOAK_SECONDS").map_or(8, |text| text.parse().expect("a number of seconds"));
    let seed = std::process::id().into();
    println!("seed {seed}");
    let world = world();
    let origin = origin(&world);
    let mut seawall = Some(Seawall::with(YAML).set("origin", origin.addr()).start());
    let address = seawall.as_ref().expect("it runs").addr(0).to_owned();
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut restarts, mut evicted, mut dice) = (0u32, 0.0, dice(seed));
    std::thread::scope(|scope| {
        let clients: Vec<_> = (1..=CLIENTS)
            .map(|client_number| {
                let (world, address) = (&*world, &*address);
                scope.spawn(move || client(world, address, seed * CLIENTS + client_number))
            })
            .collect();
        while Instant::now() < until && clients.iter().all(|client| !client.is_finished()) {
            let now = seawall.take().expect("it runs");
            operate(&world, &now, &mut dice);
            // So much is read in a life of the process.
            let enough = world.counts.bodies.load(SeqCst) + 200 + dice.roll(800);
            while world.counts.bodies.load(SeqCst) < enough
                && clients.iter().all(|client| !client.is_finished())
            {
                std::thread::yield_now();
                std::thread::park_timeout(Duration::from_millis(2));
            }
            let metrics = now.metrics();
            for (tier, queue) in [
                ("memory", "small"),
                ("memory", "main"),
                ("disk", "small"),
                ("disk", "main"),
                ("disk", "file"),
            ] {
                let labels = [("tier", tier), ("queue", queue)];
                evicted += metrics.find("seawall_cache_evictions_total", &labels).unwrap_or(0.0);
            }
            let disk = now.folder().join("store").display().to_string();
            let corrupt = metrics.find("seawall_disk_errors_total", &[("disk", &*disk), ("kind", "corrupt")]);
            assert_eq!(corrupt.unwrap_or(0.0), 0.0, "nothing is damaged by a kill");
            let signal = if dice.roll(3) == 0 { Signal::SIGTERM } else { Signal::SIGKILL };
            seawall = Some(now.restart(signal));
            restarts += 1;
        }
        world.over.store(true, SeqCst);
        for client in clients {
            client.join().expect("a client that found nothing wrong");
        }
    });
    let counts = &world.counts;
    let [bodies, parts, hits, purges, left, broken] =
        [&counts.bodies, &counts.parts, &counts.hits, &counts.purges, &counts.left, &counts.broken]
            .map(|counter| counter.load(SeqCst));
    println!(
        "{seconds} s: {bodies} bodies and {parts} parts checked, {hits} hits, {purges} purged objects, {restarts} \
         restarts, {evicted} objects evicted, {left} clients that left, {broken} broken connections"
    );
    assert!(bodies > 300 && parts > 30 && hits > 100 && purges > 10 && restarts > 0, "it proves little");
    assert!(evicted > 0.0, "nothing had to make room");
}
