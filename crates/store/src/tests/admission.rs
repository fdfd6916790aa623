use super::*;
use crate::{DiskAdmission, Refusal};

const SMALL: usize = 50_000;

fn picky(path: &Path) -> StoreSettings {
    let settings = settings(path);
    let disk = DiskSettings { admission: DiskAdmission::SecondRequest, ..settings.disk[0].clone() };
    StoreSettings { disk: vec![disk].into(), ..settings }
}

/// Objects that the disk has, and those it did not take for the reason.
fn taken(store: &Rig) -> (u64, u64) {
    store.flush();
    let disk = store.disk();
    (disk.objects, disk.counts.first_requests)
}

async fn open(settings: &StoreSettings) -> Rig {
    Rig::open(settings).recovered().await
}

#[tokio::test]
async fn the_first_request_writes_nothing_and_the_second_does() {
    let folder = folder();
    let store = open(&picky(folder.path())).await;
    put(*store, "/small", SMALL).await;
    assert_eq!((taken(&store), store.disk().counts.written_bytes), ((0, 1), 0));
    assert!(has(*store, "/small", SMALL).await, "memory has it");
    assert_eq!(taken(&store), (1, 1), "and this was the second request");
    let written = store.disk().counts.written_bytes;
    assert!(has(*store, "/small", SMALL).await && written > SMALL as u64);
    assert_eq!((taken(&store), store.disk().counts.written_bytes), ((1, 1), written), "written once");
    store.drop_memory();
    assert!(has(*store, "/small", SMALL).await);
}

#[tokio::test]
async fn without_the_setting_the_first_request_is_written() {
    let folder = folder();
    let store = open(&settings(folder.path())).await;
    put(*store, "/small", SMALL).await;
    put(*store, "/large", 300_000).await;
    assert_eq!((taken(&store), store.disk().remembered), ((2, 0), 0));
}

#[tokio::test]
async fn what_memory_lost_is_taken_when_it_is_fetched_again() {
    let folder = folder();
    let store = open(&picky(folder.path())).await;
    put(*store, "/small", SMALL).await;
    store.drop_memory();
    assert!(!has(*store, "/small", SMALL).await);
    put(*store, "/small", SMALL).await;
    assert_eq!((taken(&store), store.disk().remembered), ((1, 1), 1));
    store.drop_memory();
    assert!(has(*store, "/small", SMALL).await);
}

/// The length is known: it is refused before anything is read, and not the second time.
#[tokio::test]
async fn what_is_too_large_for_memory_passes_through_once() {
    let folder = folder();
    let store = open(&picky(folder.path())).await;
    let header = meta(Some(300_000));
    let refusal = || store.refusal(&key("/large"), header.response_header());
    assert_eq!(refusal(), Some(Refusal::FirstRequest));
    assert_eq!(taken(&store), (0, 1));
    put(*store, "/large", 300_000).await;
    assert_eq!(taken(&store), (1, 1));
    assert!(has(*store, "/large", 300_000).await);
    assert_eq!((store.stats().rejected_too_large, store.stats().rejected_no_room), (0, 0));
    // Whoever does not ask first is refused, too.
    assert!(begin(*store, &key("/other"), &header).await.is_err());
    assert!(begin(*store, &key("/other"), &header).await.is_ok());
}

/// The length is not known: its client gets all of it, through a window.
#[tokio::test]
async fn what_outgrows_memory_passes_through_once() {
    let folder = folder();
    let settings = StoreSettings { pass_window: ByteSize::kib(256), ..picky(folder.path()) };
    let store = open(&settings).await;
    let bytes = body("/chunked", 3_000_000);
    for round in 0..2 {
        assert!(put_and_read(*store, &key("/chunked"), false, &bytes).await.unwrap() == bytes, "{round}");
        assert_eq!(taken(&store), (round, 1));
        assert_eq!(has(*store, "/chunked", bytes.len()).await, round > 0);
    }
    let stats = store.stats();
    assert_eq!((stats.rejected_no_room, stats.fills_in_flight, stats.fill_bytes), (0, 0, 0));
    assert_eq!(store.disk().files, 1);
}

/// Also after a restart, which knows of no requests before it.
#[tokio::test]
async fn what_is_on_the_disk_and_is_fetched_anew_is_taken() {
    let folder = folder();
    let settings = picky(folder.path());
    let store = open(&settings).await;
    for len in [SMALL, 300_000] {
        put(*store, &format!("/{len}"), len).await;
        assert_eq!(has(*store, &format!("/{len}"), len).await, len == SMALL);
        if len != SMALL {
            put(*store, &format!("/{len}"), len).await;
        }
    }
    assert_eq!(taken(&store).0, 2);
    drop(store);
    let store = open(&settings).await;
    for len in [SMALL, 300_000] {
        let (name, bytes) = (format!("/{len}"), body("another", len));
        assert!(has(*store, &name, len).await, "{name}");
        assert!(put_and_read(*store, &key(&name), true, &bytes).await.unwrap() == bytes);
        store.flush();
        store.drop_memory();
        assert_eq!(body_of(*store, &key(&name)).await, Some(bytes), "{name}: the older one came back");
    }
    assert_eq!(taken(&store), (2, 0));
}

/// Until the disk has been looked through it may have an older one of anything: what is new takes its place.
#[tokio::test]
async fn while_another_process_writes_all_is_taken() {
    let folder = folder();
    let settings = picky(folder.path());
    let older = open(&settings).await;
    let younger = open(&settings).await;
    put(*younger, "/small", SMALL).await;
    put(*older, "/small", SMALL).await;
    assert_eq!((taken(&younger), taken(&older)), ((1, 0), (0, 1)), "the older one knows what it wrote");
    older.step_down();
    let started = Instant::now();
    // From when on it is alone is the writer's to see.
    while younger.disk().counts.first_requests == 0 {
        assert!(started.elapsed() < Duration::from_secs(60), "it takes all for ever");
        put(*younger, &format!("/{}", younger.disk().remembered), 100).await;
        younger.flush();
    }
}

#[tokio::test]
async fn a_purge_reaches_what_is_on_trial() {
    let folder = folder();
    let store = open(&picky(folder.path())).await;
    for soft in [false, true] {
        put(*store, "/p", SMALL).await;
        if soft {
            expire(*store, &key("/p")).await.unwrap();
        } else {
            purge(*store, &key("/p")).await.unwrap();
        }
        let found = find(*store, &key("/p")).await;
        assert_eq!(found.is_some(), soft, "a soft purge leaves it");
        if let Some((meta, _)) = found {
            assert!(!meta.is_fresh(SystemTime::now()));
        }
        store.flush();
        store.drop_memory();
        let below = find(*store, &key("/p")).await;
        assert_eq!(below.is_some(), soft);
        if let Some((meta, _)) = below {
            assert!(!meta.is_fresh(SystemTime::now()), "nor is it fresh on the disk");
        }
    }
}

#[tokio::test]
async fn a_304_is_kept_with_what_it_proved() {
    let folder = folder();
    let store = open(&picky(folder.path())).await;
    put(*store, "/r", SMALL).await;
    // To ask whether it still holds it was found: its second request.
    let (found, _) = find(*store, &key("/r")).await.unwrap();
    let later = found.created() + Duration::from_secs(4321);
    let header = found.response_header_copy();
    let new = CacheMeta::new(later, found.created(), 30, 30, header);
    assert!(store.update_meta(&key("/r"), &new, &Span::inactive().handle()).await.unwrap());
    store.flush();
    store.drop_memory();
    let (found, _) = find(*store, &key("/r")).await.unwrap();
    assert_eq!(found.fresh_until(), later);
}
