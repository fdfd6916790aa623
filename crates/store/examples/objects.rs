//! Fills a disk with many small objects, or opens one that was filled, and prints how long it took as JSON. Made for
//! `benchmarks/store.py`:
//!
//! ```text
//! objects fill FOLDER GIB COUNT BYTES   ends without closing the store, as after a kill -9
//! objects open FOLDER GIB               until everything is found again; then closes the store
//! objects purge FOLDER GIB              the same, and then purges by tag
//! objects first FOLDER GIB              purges by tag at once, and again when everything is found
//! ```

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement may panic, and prints")]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use pingora_cache::storage::Storage;
use pingora_cache::trace::Span;
use pingora_cache::{CacheKey, CacheMeta};
use pingora_http::ResponseHeader;
use seawall_config::units::ByteSize;
use seawall_store::{DiskSettings, Label, Labels, NoExtensions, Store, StoreSettings};

fn open(folder: &str, gib: &str) -> &'static Store {
    let disk = DiskSettings::new(folder, ByteSize::mib(gib.parse::<u64>().unwrap() * 1024));
    let settings =
        StoreSettings { memory: ByteSize::mib(16), disk: vec![disk].into(), ..StoreSettings::default() };
    Store::open(&settings, Arc::new(NoExtensions)).unwrap()
}

fn key(number: usize) -> CacheKey {
    CacheKey::new(format!("/shop/{number}"), "")
}

/// Bytes of memory this process holds.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

async fn fill(store: &'static Store, count: usize, bytes: usize) {
    let mut header = ResponseHeader::build_no_case(200, None).unwrap();
    header.insert_header("content-type", "text/plain").unwrap();
    header.insert_header("cache-control", "max-age=3600").unwrap();
    let (now, body) = (SystemTime::now(), Bytes::from(vec![b'x'; bytes]));
    let every = ((16 << 20) / (bytes + 1024)).max(1);
    for number in 0..count {
        let mut meta = CacheMeta::new(now + Duration::from_secs(86_400), now, 0, 0, header.clone());
        let (path, group) = (format!("/shop/{}/{number}", number % 1000), format!("group-{}", number % 10));
        meta.extensions_mut().insert(Labels::new("example.com", &path, ["all", &group].into_iter()));
        let mut miss = store.get_miss_handler(&key(number), &meta, &Span::inactive().handle()).await.unwrap();
        miss.write_body(body.clone(), true).await.unwrap();
        miss.finish().await.unwrap();
        if number % every == 0 {
            store.flush();
        }
    }
    store.flush();
}

/// How many of up to a thousand objects are found.
async fn found(store: &'static Store, count: usize) -> usize {
    let mut found = 0;
    for number in (0..count).step_by((count / 1000).max(1)) {
        found += usize::from(store.lookup(&key(number), &Span::inactive().handle()).await.unwrap().is_some());
    }
    found
}

/// Milliseconds until a purge of a tag that nothing has is answered.
async fn purge_of_none(store: &'static Store) -> f64 {
    let began = Instant::now();
    store.purge_labels(&[Label::Tag("none")], false).await.unwrap();
    began.elapsed().as_secs_f64() * 1e3
}

async fn wait_found(store: &'static Store) {
    while !store.is_recovered() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn purges(store: &'static Store, count: usize) {
    for (what, label, soft) in [
        ("a tag of none", Label::Tag("none"), false),
        ("a tag of a tenth, hard", Label::Tag("group-3"), false),
        ("a tag of all, soft", Label::Tag("all"), true),
        ("a tag of all, hard", Label::Tag("all"), false),
    ] {
        let began = Instant::now();
        store.purge_labels(&[label], soft).await.unwrap();
        let took = began.elapsed().as_secs_f64() * 1e3;
        println!(
            "{{\"purge\": \"{what}\", \"ms\": {took:.3}, \"left_of_1000\": {}}}",
            found(store, count).await
        );
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["fill", folder, gib, count, bytes] => {
            let store = open(folder, gib);
            let began = Instant::now();
            fill(store, count.parse().unwrap(), bytes.parse().unwrap()).await;
            let disk = &store.disk_stats()[0];
            println!(
                "{{\"objects\": {}, \"seconds\": {:.3}, \"bytes\": {}}}",
                disk.objects,
                began.elapsed().as_secs_f64(),
                disk.bytes
            );
        }
        [how @ ("open" | "purge"), folder, gib] => {
            let (before, began) = (resident(), Instant::now());
            let store = open(folder, gib);
            let (ready, ready_memory) = (began.elapsed(), resident());
            wait_found(store).await;
            let (took, disk) = (began.elapsed(), &store.disk_stats()[0]);
            let memory = resident().saturating_sub(ready_memory);
            println!(
                "{{\"objects\": {}, \"ready_seconds\": {:.3}, \"found_seconds\": {:.3}, \"index_bytes\": {}, \
                 \"resident_bytes\": {memory}, \"resident_at_rest\": {}, \"found_of_1000\": {}}}",
                disk.objects,
                ready.as_secs_f64(),
                took.as_secs_f64(),
                disk.index_bytes,
                ready_memory.saturating_sub(before),
                found(store, usize::try_from(disk.objects).unwrap()).await
            );
            if how == "purge" {
                purges(store, usize::try_from(disk.objects).unwrap()).await;
            }
            store.close();
        }
        ["first", folder, gib] => {
            let store = open(folder, gib);
            let first = purge_of_none(store).await;
            wait_found(store).await;
            println!("{{\"first_ms\": {first:.3}, \"next_ms\": {:.3}}}", purge_of_none(store).await);
            store.close();
        }
        _ => println!("objects fill FOLDER GIB COUNT BYTES | open|purge|first FOLDER GIB"),
    }
}
