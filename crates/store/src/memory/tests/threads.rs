use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

/// A body that says which key and which version it belongs to, over and over, and ends in its own length.
fn signed(key: u64, version: u64, len: usize) -> Vec<u8> {
    let mut word = key.to_le_bytes().to_vec();
    word.extend_from_slice(&version.to_le_bytes());
    word.iter().copied().cycle().take(len - len % 16).collect()
}

fn assert_signed(key: u64, body: &[u8]) -> u64 {
    let version = u64::from_le_bytes(body[8..16].try_into().unwrap());
    assert!(body == signed(key, version, body.len()), "a torn or foreign body under {key}");
    version
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_writers_readers_and_purgers_see_whole_bodies_only() {
    let settings = StoreSettings {
        memory: ByteSize::mib(1),
        max_object: ByteSize::kib(64),
        shards: Some(4),
        ..StoreSettings::default()
    };
    let store = store(settings);
    let mut tasks = Vec::new();
    for worker in 0..8u64 {
        tasks.push(tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(worker);
            let mut whole = 0;
            for round in 0..400 {
                let number = random.random_range(0..60u64);
                let key = key(&number.to_string());
                if random.random_bool(0.03) {
                    purge(store, &key).await;
                    continue;
                }
                if let Some((meta, mut hit)) = find(store, &key).await {
                    match read_all(&mut hit).await {
                        Ok(body) => {
                            assert_signed(number, &body);
                            let length: usize =
                                meta.headers()["content-length"].to_str().unwrap().parse().unwrap();
                            assert_eq!(length, body.len());
                            whole += 1;
                        }
                        Err(error) => assert_eq!(error.etype(), &crate::FILL_FAILED),
                    }
                    continue;
                }
                let body = signed(number, worker << 32 | round, random.random_range(16..40_000));
                let mut miss = begin(store, &key, &meta(Some(body.len()))).await;
                let breaks = random.random_bool(0.1);
                let end = if breaks { body.len() / 2 } else { body.len() };
                for part in body[..end].chunks(5000) {
                    write(&mut miss, part).await;
                    tokio::task::yield_now().await;
                }
                if end == body.len() {
                    miss.finish().await.unwrap();
                }
                if round % 16 == 0 {
                    let stats = store.stats();
                    assert!(stats.bytes <= stats.capacity_bytes);
                }
            }
            whole
        }));
    }
    let mut whole = 0;
    for task in tasks {
        whole += task.await.unwrap();
    }
    assert!(whole > 100, "the test read something: {whole}");
    assert!(store.stats().evicted_small > 0 && store.stats().fills_failed > 0);
    assert_consistent(store);
    store.clear();
    assert_eq!(store.stats().bytes, 0);
}

/// The origin's version only grows. A purge after a change means: from now on never an older version.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_racing_fill_undoes_a_purge() {
    let store = store_of(ByteSize::mib(4));
    let origin = Arc::new(AtomicU64::new(1));
    let purged = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let (origin, purged, stop) = (Arc::clone(&origin), Arc::clone(&purged), Arc::clone(&stop));
        tasks.push(tokio::spawn(async move {
            let (key, mut hits) = (key("/"), 0u64);
            while !stop.load(SeqCst) {
                let least = purged.load(SeqCst);
                let epoch = store.epoch();
                if let Some((_, mut hit)) = find(store, &key).await {
                    let body = read_all(&mut hit).await.unwrap();
                    let version = assert_signed(0, &body);
                    assert!(version >= least, "version {version} came back after the purge of {least}");
                    hits += 1;
                    tokio::task::yield_now().await;
                    continue;
                }
                // The origin answers now; the answer takes a while to get here.
                let version = origin.load(SeqCst);
                tokio::task::yield_now().await;
                let mut meta = meta(None);
                meta.extensions_mut().insert(epoch);
                let mut miss = begin(store, &key, &meta).await;
                for part in signed(0, version, 4096).chunks(1024) {
                    write(&mut miss, part).await;
                    tokio::task::yield_now().await;
                }
                miss.finish().await.unwrap();
            }
            hits
        }));
    }
    for version in 2..150 {
        origin.store(version, SeqCst);
        purge(store, &key("/")).await;
        purged.store(version, SeqCst);
        let hits = store.stats().hits;
        until(|| store.stats().hits > hits).await;
    }
    stop.store(true, SeqCst);
    for task in tasks {
        assert!(task.await.unwrap() > 0);
    }
    assert!(store.stats().fills_purged > 0, "the race took place");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_readers_of_one_fill() {
    let store = store(StoreSettings { max_object: ByteSize::mib(8), ..StoreSettings::default() });
    let key = key("/video");
    let mut miss = begin(store, &key, &meta(None)).await;
    let mut readers = Vec::new();
    for _ in 0..1000 {
        let (_, mut hit) = find(store, &key).await.unwrap();
        readers.push(tokio::spawn(async move {
            let mut len = 0;
            while let Some(bytes) = hit.read_body().await.unwrap() {
                assert!(bytes.iter().all(|b| *b == 5));
                len += bytes.len();
            }
            len
        }));
    }
    for _ in 0..32 {
        write(&mut miss, &[5; 16 << 10]).await;
        tokio::task::yield_now().await;
    }
    let held = store.stats().bytes;
    assert!(held < (512 << 10) + (80 << 10), "readers share the pieces: {held}");
    miss.finish().await.unwrap();
    for reader in readers {
        assert_eq!(reader.await.unwrap(), 512 << 10);
    }
}
