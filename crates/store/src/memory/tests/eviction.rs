use std::collections::HashMap;

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
