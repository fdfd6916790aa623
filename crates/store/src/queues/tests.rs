use super::*;
use crate::body::Body;
use crate::entry::Object;
use crate::head::Head;
use pingora_cache::CacheMeta;
use pingora_http::ResponseHeader;
use std::time::SystemTime;

fn entry(key: u128, weight: u64) -> Arc<Entry> {
    let now = SystemTime::now();
    let header = ResponseHeader::build_no_case(200, Some(0)).unwrap();
    let head = Arc::new(Head::freeze(&CacheMeta::new(now, now, 0, 0, header)).unwrap());
    let entry = Entry::new(key, key);
    entry.swap_object(Some(Arc::new(Object {
        head,
        body: Arc::new(Body::default()),
        fill: 1,
        weight,
        epoch: 0,
        judged: 0.into(),
    })));
    Arc::new(entry)
}

fn insert(queues: &mut Queues, key: u128) -> Arc<Entry> {
    let entry = entry(key, 10);
    queues.insert(&entry, 10);
    entry
}

#[test]
fn newcomers_leave_in_order_and_come_back_to_main() {
    let mut queues = Queues::new(1000);
    for key in 0..20 {
        insert(&mut queues, key);
    }
    let (first, from) = queues.evict().unwrap();
    assert_eq!((first.key, from), (0, From::Small));
    assert_eq!(insert(&mut queues, 0).place(), Place::Main, "its ghost was remembered");
    assert_eq!(insert(&mut queues, 99).place(), Place::Small);
}

#[test]
fn hits_earn_a_place_in_main() {
    let mut queues = Queues::new(100);
    let kept = insert(&mut queues, 1);
    kept.touch();
    insert(&mut queues, 2);
    insert(&mut queues, 3);
    assert_eq!(queues.evict().unwrap().0.key, 2, "nobody asked for it again");
    assert_eq!(kept.place(), Place::Main);
}

#[test]
fn main_gives_further_rounds_for_hits() {
    let mut queues = Queues::new(1_000_000);
    let entries: Vec<_> = (0..4)
        .map(|key| {
            queues.ghost.put(key);
            insert(&mut queues, key)
        })
        .collect();
    entries[0].touch();
    assert_eq!(queues.evict().map(|(e, from)| (e.key, from)), Some((1, From::Main)));
    assert_eq!(queues.evict().unwrap().0.key, 2);
    assert_eq!(queues.evict().unwrap().0.key, 3);
    assert_eq!(queues.evict().unwrap().0.key, 0);
    assert!(queues.evict().is_none());
}

#[test]
fn removal_leaves_no_trace_that_grows() {
    let mut queues = Queues::new(1000);
    let stays = insert(&mut queues, 0);
    for key in 1..10_000 {
        let entry = insert(&mut queues, key);
        queues.remove(&entry, 10);
    }
    assert!(queues.small.items.len() < 3 * COMPACT_FROM, "{}", queues.small.items.len());
    let sizes = queues.sizes();
    assert_eq!((sizes.small_objects, sizes.small_bytes), (1, 10));
    assert_eq!(queues.evict().unwrap().0.key, stays.key);
    assert!(queues.evict().is_none());
}

#[test]
fn a_withdrawn_ticket_does_not_speak_for_a_requeued_entry() {
    let mut queues = Queues::new(1000);
    let entry = insert(&mut queues, 1);
    insert(&mut queues, 2);
    queues.remove(&entry, 10);
    queues.insert(&entry, 10);
    assert_eq!(queues.evict().unwrap().0.key, 2, "it queues at the end again");
    assert_eq!(queues.evict().unwrap().0.key, 1);
    assert!(queues.evict().is_none());
    assert_eq!(queues.sizes().small_bytes, 0);
}

#[test]
fn many_hits_cost_a_bounded_number_of_rounds() {
    let mut queues = Queues::new(100);
    for key in 0..100 {
        let entry = insert(&mut queues, key);
        for _ in 0..50 {
            entry.touch();
        }
    }
    assert!(queues.evict().is_some());
    assert_eq!(queues.sizes().small_objects + queues.sizes().main_objects, 99);
}
