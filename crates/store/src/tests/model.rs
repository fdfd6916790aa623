//! Random operations against a plain map. The store may have less than the map (evicted, not written in time), never
//! anything else.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Op {
    Put { key: u8, len: usize, known: bool },
    Break { key: u8, len: usize },
    Find { key: u8, from: usize },
    Refresh { key: u8 },
    Purge { key: u8 },
    Expire { key: u8 },
    Clear,
    Flush,
    DropMemory,
    Stop,
    Kill,
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..10u8;
    let len = prop_oneof![0..2000usize, 60_000..140_000usize, 140_000..900_000usize];
    prop_oneof![
        8 => (key.clone(), len.clone(), any::<bool>()).prop_map(|(key, len, known)| Op::Put { key, len, known }),
        2 => (key.clone(), len).prop_map(|(key, len)| Op::Break { key, len }),
        8 => (key.clone(), 0..200_000usize).prop_map(|(key, from)| Op::Find { key, from }),
        2 => key.clone().prop_map(|key| Op::Refresh { key }),
        2 => key.clone().prop_map(|key| Op::Purge { key }),
        1 => key.prop_map(|key| Op::Expire { key }),
        1 => Just(Op::Clear),
        2 => Just(Op::Flush),
        3 => Just(Op::DropMemory),
        1 => Just(Op::Stop),
        2 => Just(Op::Kill),
    ]
}

/// Even numbers are primaries, each odd one is a variant of the number below it.
fn name(number: u8) -> CacheKey {
    let primary = format!("/{}", number & !1);
    if number.is_multiple_of(2) { key(&primary) } else { variant(&primary, number) }
}

#[derive(Debug, Clone)]
struct Known {
    /// Any of these may be found: after a kill what was not yet written is not there, and what it replaced is.
    bodies: Vec<Vec<u8>>,
    stale: bool,
}

async fn run(ops: Vec<Op>) {
    let folder = folder();
    let settings = settings(folder.path());
    let mut store = Rig::open(&settings).recovered().await;
    let mut model: HashMap<u8, Known> = HashMap::new();
    for (stamp, op) in ops.into_iter().enumerate() {
        match op {
            Op::Put { key, len, known } => {
                let bytes = body(&format!("{key} {stamp}"), len);
                let seen = put_and_read(*store, &name(key), known, &bytes).await.unwrap();
                assert!(seen == bytes);
                let entry = model.entry(key).or_insert(Known { bodies: vec![], stale: false });
                entry.bodies.push(bytes);
                entry.stale = false;
            }
            Op::Break { key, len } => {
                let mut miss = begin(*store, &name(key), &meta(None)).await.unwrap();
                miss.write_body(Bytes::from(body("broken", len + 1)), false).await.unwrap();
            }
            Op::Find { key, from } => {
                let Some((meta, mut hit)) = find(*store, &name(key)).await else { continue };
                let known = model.get(&key).unwrap_or_else(|| panic!("{key}: from nowhere"));
                assert!(
                    !(known.stale && meta.is_fresh(SystemTime::now())),
                    "{key}: fresh after a soft purge"
                );
                let all = read_all(&mut hit).await.unwrap();
                assert!(known.bodies.contains(&all), "{key}: {} bytes that are not its own", all.len());
                let from = from.min(all.len());
                hit.seek(from, Some(from + 1000)).unwrap();
                assert!(read_all(&mut hit).await.unwrap() == all[from..all.len().min(from + 1000)]);
            }
            Op::Refresh { key } => {
                let Some((old, _)) = find(*store, &name(key)).await else { continue };
                let fresh = SystemTime::now() + Duration::from_secs(100);
                let new = CacheMeta::new(fresh, old.created(), 0, 0, old.response_header_copy());
                if store.update_meta(&name(key), &new, &Span::inactive().handle()).await.unwrap() {
                    model.get_mut(&key).unwrap().stale = false;
                }
            }
            Op::Purge { key } => {
                purge(*store, &name(key)).await.unwrap();
                model.remove(&key);
                if key.is_multiple_of(2) {
                    model.remove(&(key + 1));
                }
                assert!(find(*store, &name(key)).await.is_none());
            }
            Op::Expire { key } => {
                expire(*store, &name(key)).await.unwrap();
                for member in [key, if key.is_multiple_of(2) { key + 1 } else { key }] {
                    if let Some(known) = model.get_mut(&member) {
                        known.stale = true;
                    }
                }
            }
            Op::Clear => {
                store.clear().await.unwrap();
                model.clear();
            }
            Op::Flush => store.flush(),
            Op::DropMemory => store.drop_memory(),
            Op::Stop => {
                drop(store);
                store = Rig::open(&settings).recovered().await;
            }
            Op::Kill => {
                store.kill();
                store = Rig::open(&settings).recovered().await;
            }
        }
        assert!(store.disk().bytes <= store.disk().capacity_bytes);
        assert_eq!(store.disk().counts.corrupt, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_a_plain_map(ops in prop::collection::vec(op(), 1..60)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(ops));
    }
}
