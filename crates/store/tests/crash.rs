//! Killed at random moments, the store never serves a body that is not whole and its own, and never what was purged.
//!
//! The test runs itself as a child that fills, reads and purges without end, kills it, and lets another child look
//! through what is left. `SEAWALL_CRASHES` says how often; `make soak` says 2000.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use pingora_cache::storage::{PurgeTarget, PurgeType, Storage};
use pingora_cache::trace::Span;
use pingora_cache::{CacheKey, CacheMeta};
use pingora_http::ResponseHeader;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use seawall_config::units::ByteSize;
use seawall_store::{DiskSettings, NoExtensions, Store, StoreSettings};

const FOLDER: &str = "SEAWALL_CRASH_FOLDER";
const SEED: &str = "SEAWALL_CRASH_SEED";
const KEYS: u32 = 200;
const TASKS: u32 = 4;

fn open(folder: &Path) -> &'static Store {
    let settings = StoreSettings {
        memory: ByteSize::mib(4),
        max_object: ByteSize::mib(4),
        memory_object: Some(ByteSize::kib(128)),
        disk: vec![DiskSettings::new(folder.join("store"), ByteSize::mib(32))].into(),
        ..StoreSettings::default()
    };
    Store::open(&settings, Arc::new(NoExtensions)).unwrap()
}

fn key(number: u32) -> CacheKey {
    CacheKey::new(format!("/{number}"), "")
}

/// A body that tells whose it is, of what generation and how long.
fn body(number: u32, generation: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 8);
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&generation.to_le_bytes());
    bytes.extend_from_slice(&(len as u64).to_le_bytes());
    let mut state = (generation ^ (u64::from(number) << 40)) | 1;
    while bytes.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// The generation of a body that is whole and belongs to `number`.
fn generation_of(number: u32, bytes: &[u8]) -> Option<u64> {
    let whose = u32::from_le_bytes(*bytes.first_chunk()?);
    let generation = u64::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
    (whose == number && bytes == body(number, generation, bytes.len())).then_some(generation)
}

async fn put(store: &'static Store, number: u32, generation: u64, rng: &mut StdRng) {
    let len = match rng.random_range(0..10) {
        0..5 => rng.random_range(24..4000),
        5..8 => rng.random_range(4000..130_000),
        _ => rng.random_range(130_000..1_500_000),
    };
    let bytes = body(number, generation, len);
    let mut header = ResponseHeader::build(200, None).unwrap();
    if rng.random_bool(0.5) {
        header.insert_header("Content-Length", len.to_string()).unwrap();
    }
    let now = SystemTime::now();
    let meta = CacheMeta::new(now + Duration::from_secs(3600), now, 0, 0, header);
    let span = Span::inactive().handle();
    let Ok(mut miss) = store.get_miss_handler(&key(number), &meta, &span).await else { return };
    // Some fills break off.
    let broken = rng.random_bool(0.1);
    for part in bytes.chunks(30_000) {
        if let Err(error) = miss.write_body(Bytes::copy_from_slice(part), false).await {
            // The disk is full of what is not synced yet, or behind: then nobody wants this one any more.
            assert_eq!(error.etype(), &seawall_store::FILL_ABANDONED, "{error}");
            return;
        }
        if broken && rng.random_bool(0.3) {
            return;
        }
    }
    if !broken {
        miss.finish().await.unwrap();
    }
}

async fn read(store: &'static Store, number: u32) -> Option<u64> {
    let (_, mut hit) = store.lookup(&key(number), &Span::inactive().handle()).await.unwrap()?;
    let mut bytes = Vec::new();
    while let Some(part) = hit.read_body().await.unwrap() {
        bytes.extend_from_slice(&part);
    }
    Some(generation_of(number, &bytes).unwrap_or_else(|| panic!("{number}: a foreign or torn body")))
}

async fn work(store: &'static Store, task: u32, seed: u64, folder: std::path::PathBuf) {
    let mut rng = StdRng::seed_from_u64((seed << 8) | u64::from(task));
    let mut log = std::fs::OpenOptions::new().append(true).create(true).open(folder.join("purged")).unwrap();
    // Generations grow over restarts.
    let mut generation = u64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap();
    loop {
        // Each task has its own keys, so that it knows the order of what happens to them.
        let number = rng.random_range(0..KEYS / TASKS) * TASKS + task;
        match rng.random_range(0..10) {
            0..6 => {
                generation += 1;
                put(store, number, generation, &mut rng).await;
            }
            6..9 => {
                read(store, number).await;
            }
            _ => {
                let compact = key(number).to_compact();
                let target = PurgeTarget::Active(&compact);
                let span = Span::inactive().handle();
                if store.purge(target, PurgeType::Invalidation, &span).await.is_ok() {
                    // One write, so that lines of other tasks do not get in between.
                    log.write_all(format!("{number} {generation}\n").as_bytes()).unwrap();
                }
            }
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
}

#[test]
#[ignore = "a child of `survives_kills_at_random_moments`"]
fn child_that_works() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let seed = std::env::var(SEED).unwrap().parse().unwrap();
    let folder = Path::new(&folder).to_owned();
    runtime().block_on(async move {
        let store = open(&folder);
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..TASKS {
            tasks.spawn(work(store, task, seed, folder.clone()));
        }
        std::fs::write(folder.join("ready"), "").unwrap();
        tasks.join_next().await.unwrap().unwrap();
    });
}

#[test]
#[ignore = "a child of `survives_kills_at_random_moments`"]
fn child_that_looks() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let mut purged: HashMap<u32, u64> = HashMap::new();
    for line in std::fs::read_to_string(folder.join("purged")).unwrap_or_default().lines() {
        if let Some((number, generation)) = line.split_once(' ') {
            purged.insert(number.parse().unwrap(), generation.parse().unwrap());
        }
    }
    runtime().block_on(async move {
        let store = open(folder);
        while !store.is_recovered() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut found = 0;
        for number in 0..KEYS {
            for _ in 0..2 {
                if let Some(generation) = read(store, number).await {
                    found += 1;
                    let gone = purged.get(&number).copied().unwrap_or(0);
                    assert!(generation > gone, "{number}: a purge was undone");
                }
            }
        }
        let stats = &store.disk_stats()[0];
        assert_eq!(stats.counts.corrupt, 0, "a kill alone damages nothing that the index names");
        assert!(stats.bytes <= stats.capacity_bytes);
        std::fs::write(folder.join("found"), format!("{found} {}", purged.len())).unwrap();
    });
}

fn child(name: &str, folder: &Path, seed: u64) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env(SEED, seed.to_string());
    command
}

#[test]
fn survives_kills_at_random_moments() {
    let times: u32 = std::env::var("SEAWALL_CRASHES").ok().map_or(60, |times| times.parse().unwrap());
    let seed = rand::rng().random_range(0..1u64 << 40);
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let (mut found, mut purges) = (0u64, 0u64);
    for time in 0..times {
        let _ = std::fs::remove_file(folder.path().join("ready"));
        let mut worker = child("child_that_works", folder.path(), seed + u64::from(time))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let began = Instant::now();
        // Some are killed while they open the store.
        let early = rng.random_bool(0.1);
        while !early && !folder.path().join("ready").exists() {
            assert!(began.elapsed() < Duration::from_secs(30), "the child does not start");
            assert!(worker.try_wait().unwrap().is_none(), "the child ended");
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_micros(rng.random_range(0..200_000)));
        worker.kill().unwrap();
        let done = worker.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.code().is_none(), "seed {seed}, round {time}: it ended by itself: {said}");
        let done = child("child_that_looks", folder.path(), 0).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "seed {seed}, round {time}: {said}");
        let text = std::fs::read_to_string(folder.path().join("found")).unwrap();
        let (some, gone) = text.split_once(' ').unwrap();
        found += some.parse::<u64>().unwrap();
        purges = gone.parse().unwrap();
    }
    println!("{times} kills, {found} bodies checked, {purges} purged keys");
    assert!(found > u64::from(times) * 10, "{found} bodies in {times} rounds prove little");
    assert!(times < 50 || purges > 10, "{purges} purges prove little");
}
