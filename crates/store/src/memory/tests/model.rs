use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Op {
    Put { key: u8, len: usize, known: bool },
    Break { key: u8, len: usize },
    Find { key: u8 },
    Purge { key: u8 },
    Expire { key: u8 },
    Refresh { key: u8, len: usize },
    Begin { key: u8, len: usize },
    Finish,
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..12u8;
    prop_oneof![
        6 => (key.clone(), 0..200_000usize, any::<bool>()).prop_map(|(key, len, known)| Op::Put { key, len, known }),
        1 => (key.clone(), 0..100_000usize).prop_map(|(key, len)| Op::Break { key, len }),
        6 => key.clone().prop_map(|key| Op::Find { key }),
        2 => key.clone().prop_map(|key| Op::Purge { key }),
        1 => key.clone().prop_map(|key| Op::Expire { key }),
        1 => (key.clone(), 0..5000usize).prop_map(|(key, len)| Op::Refresh { key, len }),
        2 => (key, 0..50_000usize).prop_map(|(key, len)| Op::Begin { key, len }),
        2 => Just(Op::Finish),
        1 => Just(Op::Clear),
    ]
}

/// Even numbers are primaries, each odd one is a variant of the number below it.
fn name(number: u8) -> CacheKey {
    let primary = format!("/{}", number & !1);
    if number.is_multiple_of(2) { key(&primary) } else { variant(&primary, number) }
}

fn body(stamp: u32, len: usize) -> Vec<u8> {
    stamp.to_le_bytes().into_iter().cycle().take(len).collect()
}

/// What the store may hold at most: an object it evicted is missing, one it should not have is a fault.
#[derive(Default)]
struct Model {
    bodies: HashMap<u8, Vec<u8>>,
}

impl Model {
    fn purge(&mut self, number: u8) {
        self.bodies.remove(&number);
        if number.is_multiple_of(2) {
            self.bodies.remove(&(number + 1));
        }
    }
}

/// None when the store refuses, as it may: too large, or too large the last time.
async fn try_begin(store: &'static MemoryStore, number: u8, length: Option<usize>) -> Option<MissHandler> {
    store.get_miss_handler(&name(number), &meta(length), &Span::inactive().handle()).await.ok()
}

async fn run(ops: Vec<Op>) {
    let settings = StoreSettings {
        memory: ByteSize::mib(1),
        max_object: ByteSize::kib(150),
        shards: Some(4),
        ..StoreSettings::default()
    };
    let store = store(settings);
    let mut model = Model::default();
    // At most one fill runs beside the operations, so that the model stays simple.
    let mut running: Option<(u8, Vec<u8>, MissHandler)> = None;
    let mut running_valid = true;
    for (stamp, op) in ops.into_iter().enumerate() {
        let stamp = u32::try_from(stamp).unwrap();
        match op {
            Op::Put { key, len, known } => {
                let bytes = body(stamp, len);
                let Some(mut miss) = try_begin(store, key, known.then_some(len)).await else { continue };
                let _reader = own_reader(store, &name(key), &miss).await;
                for part in bytes.chunks(30_000) {
                    write(&mut miss, part).await;
                }
                miss.finish().await.unwrap();
                // The running one is older now.
                if len <= 150 << 10 {
                    running_valid &= running.as_ref().is_none_or(|(other, ..)| *other != key);
                    model.bodies.insert(key, bytes);
                    if key.is_multiple_of(2) {
                        model.bodies.remove(&(key + 1));
                    }
                }
            }
            Op::Break { key, len } => {
                let Some(mut miss) = try_begin(store, key, None).await else { continue };
                write(&mut miss, &body(stamp, len)).await;
                drop(miss);
            }
            Op::Find { key } => {
                if running.as_ref().is_some_and(|(other, ..)| *other == key) {
                    continue;
                }
                if let Some(found) = body_of(store, &name(key)).await {
                    assert!(
                        model.bodies.get(&key).is_some_and(|expected| *expected == found),
                        "{key}: foreign body"
                    );
                }
            }
            Op::Purge { key } => {
                purge(store, &name(key)).await;
                model.purge(key);
                running_valid &= running
                    .as_ref()
                    .is_none_or(|(other, ..)| *other != key && (key % 2 == 1 || *other != key + 1));
                assert!(find(store, &name(key)).await.is_none(), "{key}: still there after a purge");
            }
            Op::Expire { key } => {
                expire(store, &name(key)).await;
                if let Some((meta, _)) = find(store, &name(key)).await {
                    assert!(!meta.is_fresh(SystemTime::now()));
                }
            }
            Op::Refresh { key, len } => {
                if running.as_ref().is_some_and(|(other, ..)| *other == key) {
                    continue;
                }
                let Some((old, _)) = find(store, &name(key)).await else { continue };
                let mut header = old.response_header_copy();
                header.insert_header("X-Padding", "x".repeat(len)).unwrap();
                refresh(store, &name(key), &CacheMeta::new(SystemTime::now(), old.created(), 0, 0, header))
                    .await;
            }
            Op::Begin { key, len } if running.is_none() => {
                let bytes = body(stamp, len);
                let Some(mut miss) = try_begin(store, key, None).await else { continue };
                write(&mut miss, &bytes).await;
                running = Some((key, bytes, miss));
                running_valid = true;
            }
            Op::Begin { .. } => {}
            Op::Finish => {
                let Some((key, bytes, miss)) = running.take() else { continue };
                miss.finish().await.unwrap();
                if running_valid {
                    model.bodies.insert(key, bytes);
                    if key.is_multiple_of(2) {
                        // Variants younger than this fill may stay.
                        if find(store, &name(key + 1)).await.is_none() {
                            model.bodies.remove(&(key + 1));
                        }
                    }
                } else if let Some(found) = body_of(store, &name(key)).await {
                    assert!(found != bytes || bytes.is_empty(), "{key}: a purged or older fill was stored");
                }
            }
            Op::Clear => {
                store.clear();
                model.bodies.clear();
                running_valid = false;
            }
        }
        assert_consistent(store);
    }
    drop(running);
    store.clear();
    let stats = store.stats();
    assert_eq!((stats.bytes, stats.fill_bytes, stats.fills_in_flight), (0, 0, 0));
    assert!(store.table.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_a_plain_map_and_keeps_its_bound(ops in prop::collection::vec(op(), 1..80)) {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(run(ops));
    }
}
