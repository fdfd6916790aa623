//! How long purges and restarts take over a million objects. It only prints, and checks what it prints about:
//! `cargo test --release -p seawall-store --test purge_time -- --ignored --nocapture`

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement may panic, and prints")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use pingora_cache::storage::Storage;
use pingora_cache::trace::Span;
use pingora_cache::{CacheKey, CacheMeta};
use pingora_http::ResponseHeader;
use seawall_config::units::ByteSize;
use seawall_store::{DiskSettings, Label, Labels, NoExtensions, Store, StoreSettings};

const OBJECTS: usize = 1_000_000;

fn open(disk: Option<&Path>) -> &'static Store {
    let mut settings = StoreSettings { memory: ByteSize::mib(2048), ..StoreSettings::default() };
    if let Some(path) = disk {
        settings.memory = ByteSize::mib(64);
        let mut disk = DiskSettings::new(path, ByteSize::mib(4096));
        disk.write_buffer = ByteSize::mib(256);
        settings.disk = vec![disk].into();
    }
    Store::open(&settings, Arc::new(NoExtensions)).unwrap()
}

async fn fill(store: &'static Store) {
    let mut header = ResponseHeader::build_no_case(200, None).unwrap();
    header.insert_header("content-type", "text/plain").unwrap();
    header.insert_header("cache-control", "max-age=3600").unwrap();
    let now = SystemTime::now();
    for number in 0..OBJECTS {
        let mut meta = CacheMeta::new(now + Duration::from_secs(3600), now, 0, 0, header.clone());
        let (path, group) = (format!("/shop/{}/{number}", number % 1000), format!("group-{}", number % 10));
        let tags = ["all", &group];
        meta.extensions_mut().insert(Labels::new("example.com", &path, tags.into_iter()));
        let mut miss = store.get_miss_handler(&key(number), &meta, &Span::inactive().handle()).await.unwrap();
        miss.write_body(Bytes::from(format!("{number:0100}")), true).await.unwrap();
        miss.finish().await.unwrap();
        if number % 100_000 == 0 {
            store.flush();
        }
    }
    store.flush();
}

fn key(number: usize) -> CacheKey {
    CacheKey::new(format!("/shop/{number}"), "")
}

/// How many of a thousand objects are found.
async fn found(store: &'static Store) -> usize {
    let mut found = 0;
    for number in (0..OBJECTS).step_by(OBJECTS / 1000) {
        found += usize::from(store.lookup(&key(number), &Span::inactive().handle()).await.unwrap().is_some());
    }
    found
}

async fn purge(store: &'static Store, what: &str, label: Label<'_>, soft: bool) {
    let began = Instant::now();
    store.purge_labels(&[label], soft).await.unwrap();
    let took = began.elapsed();
    let left = found(store).await;
    println!("  {what:<24} {:>9.3} ms, {left} of 1000 looked for are found", took.as_secs_f64() * 1e3);
}

async fn all_purges(store: &'static Store) {
    assert_eq!(found(store).await, 1000);
    purge(store, "a tag of none", Label::Tag("none"), false).await;
    purge(store, "a prefix of 1000, hard", Label::Prefix { host: "example.com", path: "/shop/1" }, false)
        .await;
    purge(store, "a tag of all, soft", Label::Tag("all"), true).await;
    assert_eq!(found(store).await, 1000);
    purge(store, "a tag of all, hard", Label::Tag("all"), false).await;
    assert_eq!(found(store).await, 0);
    purge(store, "everything, hard", Label::Everything, false).await;
}

#[tokio::test]
#[ignore = "a measurement: it takes minutes and a GiB"]
async fn purges_of_a_million_objects() {
    let store = open(None);
    fill(store).await;
    println!("in memory: {} objects", store.stats().objects);
    all_purges(store).await;
    store.close();

    let folder = tempfile::tempdir().unwrap();
    let store = open(Some(folder.path()));
    fill(store).await;
    println!("on disk: {} objects", store.disk_stats()[0].objects);
    store.close();
    for how in ["after a stop", "again"] {
        let began = Instant::now();
        let store = open(Some(folder.path()));
        let ready = began.elapsed();
        while !store.is_recovered() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let disk = &store.disk_stats()[0];
        println!(
            "  opened {how}: ready after {:.3} s, all {} objects found again after {:.3} s, index {} bytes ({:.1} an object)",
            ready.as_secs_f64(),
            disk.objects,
            began.elapsed().as_secs_f64(),
            disk.index_bytes,
            disk.index_bytes as f64 / disk.objects as f64
        );
        assert!(ready < Duration::from_secs(2));
        if how == "again" {
            all_purges(store).await;
        }
        store.close();
    }
}
