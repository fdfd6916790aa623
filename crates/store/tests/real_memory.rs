//! What the store charges for its objects is what the allocator hands out for them.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::SystemTime;

use bytes::Bytes;
use pingora_cache::storage::Storage;
use pingora_cache::trace::Span;
use pingora_cache::{CacheKey, CacheMeta};
use pingora_http::ResponseHeader;
use seawall_config::units::ByteSize;
use seawall_store::{MemoryStore, StoreSettings};

static LIVE: AtomicI64 = AtomicI64::new(0);

struct Counting;

// SAFETY: it passes every call on to the system's allocator unchanged, and only counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as i64, Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as i64, Relaxed);
        // SAFETY: `at` came from `alloc` above, hence from the system's allocator, with this layout.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn header(fields: usize, case: bool) -> ResponseHeader {
    let build = if case { ResponseHeader::build } else { ResponseHeader::build_no_case };
    let mut header = build(200, None).unwrap();
    for i in 0..fields {
        let name = if i == 0 { "Cache-Control".to_owned() } else { format!("X-Field-{i}") };
        header.append_header(name, "a value of some thirty bytes..").unwrap();
    }
    header
}

async fn put(store: &'static MemoryStore, name: &str, header: ResponseHeader, body: &[u8]) {
    let now = SystemTime::now();
    let (key, meta) = (CacheKey::new(name, ""), CacheMeta::new(now, now, 0, 0, header));
    let mut miss = store.get_miss_handler(&key, &meta, &Span::inactive().handle()).await.unwrap();
    for part in body.chunks(1400) {
        miss.write_body(Bytes::copy_from_slice(part), false).await.unwrap();
    }
    miss.finish().await.unwrap();
}

#[tokio::test]
async fn charges_what_it_takes() {
    const OBJECTS: u32 = 2000;
    for case in [true, false] {
        for (fields, body) in
            [(0, 0), (2, 100), (7, 1024), (12, 10_000), (30, 1024), (100, 5000), (10, 100_000)]
        {
            let settings = StoreSettings { memory: ByteSize::mib(512), ..StoreSettings::default() };
            let store = MemoryStore::leak(&settings).unwrap();
            let body = vec![7; body];
            let live = LIVE.load(Relaxed);
            for i in 0..OBJECTS {
                put(store, &format!("/{i}"), header(fields, case), &body).await;
            }
            let taken = (LIVE.load(Relaxed) - live) as f64 / f64::from(OBJECTS);
            let charged = store.stats().bytes as f64 / f64::from(OBJECTS);
            println!(
                "case {case}, {fields} fields, body {}: {taken:.0} taken, {charged:.0} charged",
                body.len()
            );
            assert!(
                charged >= taken * 0.97,
                "{fields} fields, {} bytes: {taken:.0} taken, {charged:.0} charged",
                body.len()
            );
            assert!(charged <= taken * 1.4 + 200.0, "too dear: {taken:.0} taken, {charged:.0} charged");
            store.clear();
        }
    }
}
