use super::*;
use crate::{FILL_ABANDONED, FILL_FAILED, READER_TOO_SLOW, Refusal, WRONG_LENGTH};

#[tokio::test]
async fn a_miss_a_fill_a_hit() {
    let store = store_of(ByteSize::mib(4));
    let key = key("/");
    assert!(find(store, &key).await.is_none());
    put(store, &key, b"hello").await;
    let (meta, mut hit) = find(store, &key).await.unwrap();
    assert_eq!(meta.headers()["etag"], "\"v1\"");
    assert!(meta.is_fresh(SystemTime::now()));
    assert_eq!(read_all(&mut hit).await.unwrap(), b"hello");
    assert!(hit.read_body().await.unwrap().is_none(), "the end stays the end");
    let stats = store.stats();
    assert_eq!((stats.hits, stats.misses, stats.inserts, stats.objects), (1, 1, 1, 1));
    assert_eq!((stats.fill_bytes, stats.fills_in_flight), (0, 0));
    assert_consistent(store);
}

#[tokio::test]
async fn an_empty_body_is_a_body() {
    let store = store_of(ByteSize::mib(4));
    let key = key("/empty");
    let miss = begin(store, &key, &meta(Some(0))).await;
    miss.finish().await.unwrap();
    assert_eq!(body_of(store, &key).await.unwrap(), b"");
}

#[tokio::test]
async fn small_writes_become_few_pieces_and_exact_memory() {
    let store = store_of(ByteSize::mib(4));
    let body: Vec<u8> = (0..150_000u32).map(|i| (i % 251) as u8).collect();
    for length in [None, Some(body.len())] {
        let key = key(if length.is_some() { "/known" } else { "/chunked" });
        let mut miss = begin(store, &key, &meta(length)).await;
        for part in body.chunks(1447) {
            write(&mut miss, part).await;
        }
        miss.finish().await.unwrap();
        let (_, mut hit) = find(store, &key).await.unwrap();
        let mut reads = 0;
        let mut all = Vec::new();
        while let Some(bytes) = hit.read_body().await.unwrap() {
            reads += 1;
            all.extend_from_slice(&bytes);
        }
        assert_eq!(all, body);
        assert!(reads <= 7, "{reads} reads for 150 kB");
        assert!(hit.get_eviction_weight() < body.len() + 4096, "{}", hit.get_eviction_weight());
        assert_consistent(store);
    }
}

#[tokio::test]
async fn a_hit_hands_out_the_stored_bytes_without_a_copy() {
    let store = store_of(ByteSize::mib(4));
    let key = key("/");
    put(store, &key, &[7; 5000]).await;
    let first = find(store, &key).await.unwrap().1.read_body().await.unwrap().unwrap();
    let second = find(store, &key).await.unwrap().1.read_body().await.unwrap().unwrap();
    assert_eq!(first.as_ptr(), second.as_ptr());
}

#[tokio::test]
async fn many_readers_follow_a_running_fill() {
    let store = store_of(ByteSize::mib(4));
    let key = key("/stream");
    let mut miss = begin(store, &key, &meta(None)).await;
    let mut readers = Vec::new();
    for _ in 0..100 {
        let (_, mut hit) = find(store, &key).await.unwrap();
        readers.push(tokio::spawn(async move { read_all(&mut hit).await.unwrap() }));
    }
    let mut own = own_reader(store, &key, &miss).await;
    let mut body = Vec::new();
    for i in 0..40u8 {
        let part = vec![i; 3000];
        write(&mut miss, &part).await;
        body.extend_from_slice(&part);
        let mut seen = Vec::new();
        while seen.len() < part.len() {
            seen.extend_from_slice(&own.read_body().await.unwrap().unwrap());
        }
        assert_eq!(seen, part, "bytes are readable as soon as they are written");
    }
    miss.finish().await.unwrap();
    assert!(own.read_body().await.unwrap().is_none());
    for reader in readers {
        assert_eq!(reader.await.unwrap(), body);
    }
    assert_eq!(store.stats().streamed_hits, 100);
    assert_eq!(body_of(store, &key).await.unwrap(), body);
}

#[tokio::test]
async fn a_dropped_fill_ends_its_readers_with_an_error() {
    let store = store_of(ByteSize::mib(4));
    let key = key("/broken");
    let mut miss = begin(store, &key, &meta(None)).await;
    write(&mut miss, b"half").await;
    let (_, mut before) = find(store, &key).await.unwrap();
    let (_, mut waiting) = find(store, &key).await.unwrap();
    assert_eq!(waiting.read_body().await.unwrap().unwrap(), "half");
    let waiting = tokio::spawn(async move { waiting.read_body().await });
    tokio::task::yield_now().await;
    drop(miss);
    assert_eq!(waiting.await.unwrap().unwrap_err().etype(), &FILL_FAILED);
    assert_eq!(read_all(&mut before).await.unwrap_err().etype(), &FILL_FAILED);
    assert!(find(store, &key).await.is_none(), "nothing was stored");
    let stats = store.stats();
    assert_eq!((stats.fills_failed, stats.bytes, stats.fills_in_flight), (1, 0, 0));
}

#[tokio::test]
async fn a_failed_fill_leaves_the_old_object() {
    let store = store_of(ByteSize::mib(4));
    let key = key("/");
    put(store, &key, b"old").await;
    let mut miss = begin(store, &key, &meta(None)).await;
    write(&mut miss, b"ne").await;
    drop(miss);
    assert_eq!(body_of(store, &key).await.unwrap(), b"old");
}

#[tokio::test]
async fn a_body_of_the_wrong_length_is_not_stored() {
    let store = store_of(ByteSize::mib(4));
    let key = key("/");
    let mut short = begin(store, &key, &meta(Some(10))).await;
    write(&mut short, b"12345").await;
    let (_, mut hit) = find(store, &key).await.unwrap();
    let error = short.finish().await.err().unwrap();
    assert_eq!(error.etype(), &WRONG_LENGTH);
    assert_eq!(read_all(&mut hit).await.unwrap_err().etype(), &FILL_FAILED);
    let mut long = begin(store, &key, &meta(Some(3))).await;
    let error = long.write_body(Bytes::from_static(b"12345"), true).await.unwrap_err();
    assert_eq!(error.etype(), &WRONG_LENGTH);
    drop(long);
    assert!(find(store, &key).await.is_none());
    let stats = store.stats();
    assert_eq!((stats.length_mismatches, stats.fills_failed, stats.bytes), (2, 2, 0));
}

#[tokio::test]
async fn the_newest_of_two_fills_wins() {
    let store = store_of(ByteSize::mib(4));
    let key = key("/");
    let mut old = begin(store, &key, &meta(None)).await;
    let mut new = begin(store, &key, &meta(None)).await;
    write(&mut old, b"old").await;
    write(&mut new, b"new").await;
    let mut of_old = own_reader(store, &key, &old).await;
    new.finish().await.unwrap();
    old.finish().await.unwrap();
    assert_eq!(body_of(store, &key).await.unwrap(), b"new");
    assert_eq!(read_all(&mut of_old).await.unwrap(), b"old", "each writer reads its own fill");
    assert_eq!(store.stats().fills_overtaken, 1);
    assert_consistent(store);
}

#[tokio::test]
async fn an_older_fill_is_not_stored_even_if_the_newer_object_is_gone_again() {
    let store = store_of(ByteSize::mib(4));
    let key = key("/");
    let mut old = begin(store, &key, &meta(None)).await;
    write(&mut old, b"old").await;
    put(store, &key, b"new").await;
    let (target, span) = (key.to_compact(), Span::inactive().handle());
    store.purge(PurgeTarget::Active(&target), PurgeType::Eviction, &span).await.unwrap();
    old.finish().await.unwrap();
    assert!(find(store, &key).await.is_none());
    assert_eq!(store.stats().fills_overtaken, 1);
    assert!(store.table.is_empty());
}

#[tokio::test]
async fn a_variant_that_its_primary_hides_is_not_stored() {
    let store = store_of(ByteSize::mib(4));
    let mut old = begin(store, &variant("/", 1), &meta(None)).await;
    write(&mut old, b"old").await;
    put(store, &key("/"), b"primary").await;
    old.finish().await.unwrap();
    assert!(find(store, &variant("/", 1)).await.is_none());
    assert_consistent(store);
}

#[tokio::test]
async fn what_is_known_to_be_too_large_is_refused() {
    let store = store_of(ByteSize::mib(4));
    let (key, meta) = (key("/large"), meta(Some((256 << 10) + 1)));
    assert_eq!(store.refusal(&key, meta.response_header()), Some(Refusal::TooLarge));
    assert!(store.get_miss_handler(&key, &meta, &Span::inactive().handle()).await.is_err());
    assert_eq!(store.refusal(&key, super::meta(Some(256 << 10)).response_header()), None);
    assert_eq!(store.stats().rejected_too_large, 2);
}

#[tokio::test]
async fn a_chunked_body_that_grows_too_large_still_reaches_its_client() {
    let store = store_of(ByteSize::mib(4));
    let key = key("/growing");
    let mut miss = begin(store, &key, &meta(None)).await;
    let mut own = own_reader(store, &key, &miss).await;
    let mut read = Vec::new();
    let body: Vec<u8> = (0..600_000u32).map(|i| (i % 253) as u8).collect();
    for part in body.chunks(16 << 10) {
        write(&mut miss, part).await;
        read.extend_from_slice(&own.read_body().await.unwrap().unwrap());
    }
    miss.finish().await.unwrap();
    read.extend_from_slice(&read_all(&mut own).await.unwrap());
    assert!(read == body, "the client got something else");
    assert!(find(store, &key).await.is_none());
    let stats = store.stats();
    assert_eq!((stats.rejected_too_large, stats.bytes, stats.fills_failed), (1, 0, 0));
    assert_eq!(
        store.refusal(&key, meta(None).response_header()),
        Some(Refusal::TooLarge),
        "it is remembered"
    );
    purge(store, &key).await;
    assert_eq!(store.refusal(&key, meta(None).response_header()), None, "until a purge");
}

#[tokio::test]
async fn a_reader_who_falls_out_of_the_window_gets_an_error() {
    let settings = StoreSettings {
        memory: ByteSize::mib(4),
        max_object: ByteSize::kib(64),
        pass_window: ByteSize::kib(64),
        ..StoreSettings::default()
    };
    let store = store(settings);
    let key = key("/");
    let mut miss = begin(store, &key, &meta(None)).await;
    let mut own = own_reader(store, &key, &miss).await;
    let (_, mut slow) = find(store, &key).await.unwrap();
    for _ in 0..20 {
        write(&mut miss, &[1; 16 << 10]).await;
        while own.read_body().await.unwrap().unwrap().is_empty() {}
    }
    assert_eq!(slow.read_body().await.unwrap_err().etype(), &READER_TOO_SLOW);
    drop(slow);
    miss.finish().await.unwrap();
    assert!(read_all(&mut own).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_origin_waits_for_a_client_who_is_behind() {
    let settings = StoreSettings {
        memory: ByteSize::mib(4),
        max_object: ByteSize::kib(64),
        pass_window: ByteSize::kib(256),
        ..StoreSettings::default()
    };
    let store = store(settings);
    let key = key("/");
    let mut miss = begin(store, &key, &meta(None)).await;
    let mut own = own_reader(store, &key, &miss).await;
    let started = tokio::time::Instant::now();
    for _ in 0..8 {
        write(&mut miss, &[1; 16 << 10]).await;
        while own.read_body().await.unwrap().unwrap().is_empty() {}
    }
    assert_eq!(started.elapsed(), Duration::ZERO, "a client who keeps up is not slowed down");
    for _ in 0..12 {
        write(&mut miss, &[1; 16 << 10]).await;
    }
    assert!(started.elapsed() > Duration::from_millis(100));
    while own.read_body().await.unwrap().unwrap().is_empty() {}
    let caught_up = tokio::time::Instant::now();
    write(&mut miss, &[1; 16 << 10]).await;
    assert_eq!(caught_up.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_is_not_cut_off_when_the_body_outgrows_the_store() {
    let settings =
        StoreSettings { memory: ByteSize::mib(8), max_object: ByteSize::mib(2), ..StoreSettings::default() };
    let store = store(settings);
    let key = key("/");
    let mut miss = begin(store, &key, &meta(None)).await;
    let mut own = own_reader(store, &key, &miss).await;
    // 1 MiB/s at the client; the origin is as fast as it may be.
    let client = tokio::spawn(async move {
        let mut len = 0usize;
        while let Some(bytes) = own.read_body().await.unwrap() {
            len += bytes.len();
            tokio::time::sleep(Duration::from_secs_f64(bytes.len() as f64 / 1_048_576.0)).await;
        }
        len
    });
    for _ in 0..96 {
        write(&mut miss, &[1; 64 << 10]).await;
    }
    miss.finish().await.unwrap();
    assert_eq!(client.await.unwrap(), 6 << 20);
    assert_eq!(store.stats().rejected_too_large, 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_first_client_does_not_slow_down_a_fill_that_others_read() {
    let settings =
        StoreSettings { memory: ByteSize::mib(8), max_object: ByteSize::mib(2), ..StoreSettings::default() };
    let store = store(settings);
    let key = key("/");
    let mut miss = begin(store, &key, &meta(None)).await;
    let _slow = own_reader(store, &key, &miss).await;
    let (_, _other) = find(store, &key).await.unwrap();
    let started = tokio::time::Instant::now();
    for _ in 0..31 {
        write(&mut miss, &[1; 64 << 10]).await;
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn a_fill_that_nobody_needs_stops() {
    let store = store_of(ByteSize::mib(4));
    let key = key("/");
    let mut miss = begin(store, &key, &meta(None)).await;
    let own = own_reader(store, &key, &miss).await;
    drop(own);
    write(&mut miss, &[0; 200 << 10]).await;
    let error = miss.write_body(Bytes::from(vec![0; 100 << 10]), false).await.unwrap_err();
    assert_eq!(error.etype(), &FILL_ABANDONED);
}

#[tokio::test]
async fn fills_cannot_take_all_the_memory() {
    let settings = StoreSettings {
        memory: ByteSize::mib(2),
        max_object: ByteSize::kib(512),
        fill_memory: Some(ByteSize::mib(1)),
        ..StoreSettings::default()
    };
    let store = store(settings);
    for i in 0..8 {
        put(store, &key(&format!("/{i}")), &[0; 64 << 10]).await;
    }
    let first = begin(store, &key("/a"), &meta(Some(500 << 10))).await;
    let second = begin(store, &key("/b"), &meta(Some(500 << 10))).await;
    let span = Span::inactive().handle();
    assert!(store.get_miss_handler(&key("/c"), &meta(Some(500 << 10)), &span).await.is_err());
    let stats = store.stats();
    assert_eq!((stats.rejected_no_room, stats.objects), (1, 8), "nothing was evicted in vain");
    // One of unknown length finds no room on the way, and goes on without being stored.
    let mut third = begin(store, &key("/d"), &meta(None)).await;
    let mut own = own_reader(store, &key("/d"), &third).await;
    write(&mut third, &[9; 100 << 10]).await;
    third.finish().await.unwrap();
    assert_eq!(read_all(&mut own).await.unwrap(), [9; 100 << 10]);
    assert!(find(store, &key("/d")).await.is_none());
    drop((first, second));
    put(store, &key("/d"), &[9; 100 << 10]).await;
    assert!(find(store, &key("/d")).await.is_some(), "there is room again");
    assert_consistent(store);
}

#[tokio::test]
async fn one_object_may_take_nearly_all_of_it() {
    let settings = StoreSettings {
        memory: ByteSize::mib(2),
        max_object: ByteSize::mib(2),
        fill_memory: Some(ByteSize::mib(2)),
        ..StoreSettings::default()
    };
    let store = store(settings);
    for i in 0..50 {
        put(store, &key(&format!("/{i}")), &[0; 10_000]).await;
    }
    put(store, &key("/large"), &vec![1; 1900 << 10]).await;
    assert!(find(store, &key("/large")).await.is_some());
    assert_eq!(store.stats().rejected_no_room, 0);
    assert_consistent(store);
}

#[tokio::test]
async fn the_number_of_fills_is_bounded() {
    let store = store(StoreSettings { max_fills: 2, ..StoreSettings::default() });
    let one = begin(store, &key("/1"), &meta(None)).await;
    let two = begin(store, &key("/2"), &meta(None)).await;
    let three = meta(None);
    assert_eq!(store.refusal(&key("/3"), three.response_header()), Some(Refusal::NoRoom));
    assert!(store.get_miss_handler(&key("/3"), &three, &Span::inactive().handle()).await.is_err());
    assert_eq!(store.stats().fills_in_flight, 2);
    one.finish().await.unwrap();
    assert!(store.get_miss_handler(&key("/3"), &three, &Span::inactive().handle()).await.is_ok());
    drop(two);
    assert_eq!(store.stats().fills_in_flight, 0);
}
