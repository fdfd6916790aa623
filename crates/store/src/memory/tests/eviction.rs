use std::collections::HashMap;

use pingora_cache::HitHandler;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

#[tokio::test]
async fn the_bound_holds_while_far_more_is_stored() {
    let store = store_of(ByteSize::mib(2));
    for i in 0..2000usize {
        put(store, &key(&format!("/{i}")), &vec![0; (i * 37) % 9000]).await;
        let stats = store.stats();
        assert!(stats.bytes <= stats.capacity_bytes, "{stats:?}");
    }
    let stats = store.stats();
    assert!(stats.bytes > stats.capacity_bytes * 9 / 10, "the room is used: {stats:?}");
    assert_eq!(stats.objects + stats.evicted_small + stats.evicted_main, 2000);
    assert!(stats.ghosts <= stats.objects.max(128));
    assert_eq!(store.table.len() as u64, stats.objects, "the table forgets what was evicted");
    assert_consistent(store);
}

/// Clients that each read one piece of an object of their own, and stall.
async fn stalled(store: &'static MemoryStore, objects: std::ops::Range<usize>) -> Vec<HitHandler> {
    let mut readers = Vec::new();
    for name in objects.map(|n| format!("/stalled/{n}")) {
        put(store, &key(&name), &vec![7; OBJECT]).await;
        let (_, mut hit) = find(store, &key(&name)).await.unwrap();
        assert!(hit.read_body().await.unwrap().is_some());
        readers.push(hit);
    }
    readers
}

const OBJECT: usize = 200_000;

/// Whether a response could be stored.
async fn stores(store: &'static MemoryStore, name: &str) -> bool {
    let meta = meta(Some(OBJECT));
    let Ok(mut miss) = testing::begin(store, &key(name), &meta).await else { return false };
    write(&mut miss, &vec![8; OBJECT]).await;
    miss.finish().await.unwrap();
    find(store, &key(name)).await.is_some()
}

#[tokio::test]
async fn what_stalled_clients_read_stays_charged_when_it_is_evicted() {
    let store = store_of(ByteSize::mib(4));
    let readers = stalled(store, 0..10).await;
    assert_eq!(store.stats().pinned_bytes, 0, "all of it is stored");
    for n in 0..100 {
        assert!(stores(store, &format!("/{n}")).await, "{n}");
        assert_consistent(store);
    }
    let stats = store.stats();
    assert!(stats.pinned_bytes >= 10 * OBJECT as u64, "{stats:?}");
    let room = stats.capacity_bytes - stats.pinned_bytes;
    assert!(stats.small_bytes + stats.main_bytes <= room, "the others share the rest: {stats:?}");
    drop(readers);
    assert_eq!(store.stats().pinned_bytes, 0);
    assert_consistent(store);
    for n in 0..100 {
        assert!(stores(store, &format!("/again/{n}")).await, "{n}");
    }
    let stats = store.stats();
    assert!(stats.bytes > stats.capacity_bytes * 9 / 10, "all of the room is used again: {stats:?}");
}

#[tokio::test]
async fn once_stalled_clients_have_all_the_memory_nothing_more_is_stored_and_nothing_evicted_in_vain() {
    let store = store_of(ByteSize::mib(4));
    let mut readers = stalled(store, 0..20).await;
    // Everything is read by somebody, and goes.
    store.clear();
    assert_consistent(store);
    put(store, &key("/small"), b"small").await;
    let before = store.stats();
    assert!(before.pinned_bytes >= 20 * OBJECT as u64, "{before:?}");
    assert!(!stores(store, "/large").await && !stores(store, "/another").await);
    let after = store.stats();
    assert!(find(store, &key("/small")).await.is_some(), "it was not evicted for what does not fit");
    assert!(after.bytes <= after.capacity_bytes && after.pinned_bytes == before.pinned_bytes, "{after:?}");
    readers.truncate(10);
    assert!(stores(store, "/large").await);
    for mut reader in readers {
        let rest = read_all(&mut reader).await.unwrap();
        assert!(
            rest.len() == OBJECT - (64 << 10) && rest.iter().all(|byte| *byte == 7),
            "they get all of it"
        );
    }
    assert_eq!(store.stats().pinned_bytes, 0);
    assert_consistent(store);
}

#[tokio::test]
async fn an_object_that_was_refreshed_while_it_was_read_is_charged_until_the_last_reader_is_done() {
    let store = store_of(ByteSize::mib(4));
    put(store, &key("/"), &vec![7; OBJECT]).await;
    let (before, one) = find(store, &key("/")).await.unwrap();
    let fresh = SystemTime::now() + Duration::from_secs(500);
    let new = CacheMeta::new(fresh, before.created(), 0, 0, before.response_header_copy());
    assert!(refresh(store, &key("/"), &new).await);
    let (_, other) = find(store, &key("/")).await.unwrap();
    store.clear();
    let pinned = store.stats().pinned_bytes;
    assert!((OBJECT as u64..2 * OBJECT as u64).contains(&pinned), "once: {pinned}");
    drop(other);
    assert_eq!(store.stats().pinned_bytes, pinned, "the first one has the old head and the same body");
    drop(one);
    assert_eq!(store.stats().pinned_bytes, 0);
    assert_consistent(store);
}

#[tokio::test]
async fn one_large_object_takes_a_little_from_every_shard() {
    let settings = StoreSettings {
        memory: ByteSize::mib(4),
        max_object: ByteSize::mib(1),
        shards: Some(16),
        ..StoreSettings::default()
    };
    let store = store(settings);
    for i in 0..2000 {
        put(store, &key(&format!("/{i}")), &[0; 2000]).await;
    }
    put(store, &key("/large"), &vec![0; 1 << 20]).await;
    assert!(find(store, &key("/large")).await.is_some(), "larger than a shard's share, yet stored");
    let fullest = store.shards.iter().map(super::super::Shard::load).max().unwrap();
    let empty = store.shards.iter().filter(|shard| shard.load() == 0).count();
    assert_eq!(empty, 0, "no shard was emptied for it (the fullest has {fullest})");
    assert_consistent(store);
}

/// A trace of popular keys (Zipf, exponent 0.9) among keys asked for once.
fn trace(seed: u64, len: usize, one_hit_share: f64) -> Vec<usize> {
    const POPULAR: usize = 2000;
    let mut random = StdRng::seed_from_u64(seed);
    let mut sums = Vec::with_capacity(POPULAR);
    let mut sum = 0.0;
    for rank in 1..=POPULAR {
        sum += 1.0 / (rank as f64).powf(0.9);
        sums.push(sum);
    }
    (0..len)
        .map(|i| {
            if random.random_bool(one_hit_share) {
                1_000_000 + i
            } else {
                let at = random.random_range(0.0..sum);
                sums.partition_point(|s| *s < at)
            }
        })
        .collect()
}

/// How many of `trace` an LRU of `room` objects would have had.
fn lru_hits(trace: &[usize], room: usize) -> usize {
    let (mut used, mut order) = (HashMap::new(), std::collections::BTreeMap::new());
    let mut hits = 0;
    for (now, key) in trace.iter().enumerate() {
        if let Some(before) = used.insert(*key, now) {
            hits += 1;
            order.remove(&before);
        }
        order.insert(now, *key);
        if order.len() > room {
            let (_, oldest) = order.pop_first().unwrap();
            used.remove(&oldest);
        }
    }
    hits
}

#[tokio::test]
async fn one_hit_wonders_do_not_push_out_the_popular_ones() {
    let settings = StoreSettings {
        memory: ByteSize::mib(1),
        shards: Some(1),
        max_object: ByteSize::kib(64),
        ..Default::default()
    };
    let store = store(settings);
    let trace = trace(42, 40_000, 0.5);
    let (mut hits, mut most) = (0, 0);
    for name in &trace {
        let key = key(&name.to_string());
        if find(store, &key).await.is_some() {
            hits += 1;
        } else {
            put(store, &key, &[0; 1500]).await;
        }
        most = most.max(store.table.len());
    }
    let lru = lru_hits(&trace, most);
    println!("room {most}, hits {hits}, LRU {lru}");
    assert!(hits as f64 > lru as f64 * 1.1, "{hits} hits, an LRU of {most} objects has {lru}");
    assert!(store.stats().main_objects > store.stats().small_objects);
}
