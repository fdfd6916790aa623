//! A fault at every call of a short workload, in every way.

use super::*;
use crate::DiskState;
use crate::disk::io::faulty::{Fault, FaultyFiles};

const EIO: i32 = 5;
const ENOENT: i32 = 2;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;

const OBJECTS: [(&str, usize, bool); 5] = [
    ("/empty", 0, true),
    ("/a", 1000, true),
    ("/b", 100_000, false),
    ("/file", 500_000, true),
    ("/chunked", 600_000, false),
];

/// What must hold whatever fails: clients that fill get their answer, nobody gets a wrong one, and a purge that was
/// acknowledged holds for good. Whether reads may end in an error is up to the fault.
async fn workload(files: &FaultyFiles, settings: &StoreSettings, reads_fail: bool) -> bool {
    let Ok(store) = Rig::try_on(&(Arc::new(files.clone()) as Arc<dyn Files>), settings) else { return false };
    for (name, len, known) in OBJECTS {
        let bytes = body(name, len);
        let seen = put_and_read(*store, &key(name), known, &bytes).await;
        match seen {
            Ok(seen) => assert!(seen == bytes, "{name}"),
            Err(error) => assert!(reads_fail, "{name}: a client that fills must not notice: {error}"),
        }
    }
    store.flush();
    store.drop_memory();
    for round in 0..2 {
        for (name, len, _) in OBJECTS {
            if let Some((_, mut hit)) = find(*store, &key(name)).await {
                match read_all(&mut hit).await {
                    Ok(found) => assert!(found == body(name, len), "{name} {round}"),
                    Err(error) => assert!(reads_fail, "{name}: {error}"),
                }
            }
        }
    }
    if let Some((old, _)) = find(*store, &key("/b")).await {
        let new = CacheMeta::new(old.fresh_until(), old.created(), 0, 0, old.response_header_copy());
        let _ = store.update_meta(&key("/b"), &new, &Span::inactive().handle()).await.unwrap();
    }
    let purged = purge(*store, &key("/a")).await.is_ok();
    assert!(find(*store, &key("/a")).await.is_none(), "a purge holds at once, recorded or not");
    if files.happened() && matches!(files.fault(), Fault::Death) {
        store.kill();
    } else {
        drop(store);
    }
    purged
}

async fn afterwards(settings: &StoreSettings, purged: bool) -> usize {
    let store = Rig::open(settings).recovered().await;
    let mut found = 0;
    for (name, len, _) in OBJECTS {
        let there = has(*store, name, len).await;
        found += usize::from(there);
        assert!(!(there && purged && name == "/a"), "a restart undid a purge");
    }
    assert!(store.disk().bytes <= store.disk().capacity_bytes);
    put(*store, "/later", 10_000).await;
    store.flush();
    store.drop_memory();
    assert!(has(*store, "/later", 10_000).await, "the folder is of use again");
    found
}

async fn every_call(fault: Fault, writes_only: bool) {
    let reads_fail = !writes_only;
    let count = {
        let folder = folder();
        let files = FaultyFiles::sound(fault, writes_only);
        assert!(workload(&files, &settings(folder.path()), false).await);
        assert_eq!(afterwards(&settings(folder.path()), true).await, OBJECTS.len() - 1);
        files.calls()
    };
    assert!(count > 30, "{count} calls");
    let mut happened = 0;
    for nth in 0..count {
        let folder = folder();
        let files = FaultyFiles::new(fault, nth, writes_only);
        let settings = settings(folder.path());
        let purged = workload(&files, &settings, reads_fail).await;
        happened += u64::from(files.happened());
        afterwards(&settings, purged).await;
    }
    // The last calls may not come, because threads take turns differently.
    assert!(happened >= count * 8 / 10, "{happened} of {count}");
}

#[tokio::test]
async fn a_write_fails_once() {
    every_call(Fault::Once(EIO), true).await;
}

#[tokio::test]
async fn a_write_is_short() {
    every_call(Fault::Short, true).await;
}

#[tokio::test]
async fn the_file_system_fills_up() {
    every_call(Fault::From(ENOSPC), true).await;
}

#[tokio::test]
async fn the_file_system_becomes_read_only() {
    every_call(Fault::From(EROFS), true).await;
}

#[tokio::test]
async fn every_write_fails_from_some_point_on() {
    every_call(Fault::From(EIO), true).await;
}

#[tokio::test]
async fn any_call_fails_once() {
    every_call(Fault::Once(EIO), false).await;
}

#[tokio::test]
async fn any_file_is_gone_once() {
    every_call(Fault::Once(ENOENT), false).await;
}

#[tokio::test]
async fn any_transfer_is_short() {
    every_call(Fault::Short, false).await;
}

#[tokio::test]
async fn the_disk_dies() {
    every_call(Fault::From(EIO), false).await;
}

#[tokio::test]
async fn the_process_dies_at_any_call() {
    every_call(Fault::Death, false).await;
}

#[tokio::test]
async fn a_budget_of_errors_takes_the_disk_out() {
    let folder = folder();
    let files = FaultyFiles::sound(Fault::From(EIO), true);
    let store = Rig::try_on(&(Arc::new(files.clone()) as Arc<dyn Files>), &settings(folder.path()))
        .unwrap()
        .recovered()
        .await;
    put(*store, "/before", 1000).await;
    store.flush();
    files.break_now();
    for n in 0..100 {
        put(*store, &format!("/{n}"), 1000).await;
        put(*store, &format!("/large/{n}"), 200_000).await;
        store.flush();
    }
    let stats = store.disk();
    assert_eq!(stats.state, DiskState::ReadOnly);
    assert!(stats.counts.write_errors >= 16 && stats.counts.write_errors < 60, "{stats:?}");
    store.drop_memory();
    assert!(has(*store, "/before", 1000).await, "it is still read");
    let error = purge(*store, &key("/before")).await.unwrap_err();
    assert_eq!(error.etype(), &crate::PURGE_NOT_RECORDED);
    assert_eq!(store.disk().state, DiskState::Offline, "what it has may be purged and not know it");
    assert!(!has(*store, "/before", 1000).await);
    files.mend();
}

#[tokio::test]
async fn one_disk_of_two_may_die() {
    let (bad, good) = (folder(), folder());
    let settings = |folders: &[&TempDir]| StoreSettings {
        disk: folders
            .iter()
            .map(|f| DiskSettings::new(f.path(), ByteSize::mib(16)))
            .collect::<Vec<_>>()
            .into(),
        ..super::settings(good.path())
    };
    let both = settings(&[&bad, &good]);
    let store = Rig::open(&both).recovered().await;
    for n in 0..40 {
        put(*store, &format!("/{n}"), 1000).await;
    }
    store.flush();
    store.drop_memory();
    // The journal of one disk is taken away, as by a disk that is unplugged.
    store.break_journal(0);
    for n in 0..40 {
        purge(*store, &key(&format!("/{n}"))).await.unwrap();
    }
    assert_eq!(store.disk_stats()[0].state, DiskState::Offline);
    for n in 0..40 {
        put(*store, &format!("/again/{n}"), 1000).await;
    }
    store.flush();
    store.drop_memory();
    for n in 0..40 {
        assert!(has(*store, &format!("/again/{n}"), 1000).await, "its URLs moved to the other one");
    }
    drop(store);
    let store = Rig::open(&both).recovered().await;
    for n in 0..40 {
        assert!(!has(*store, &format!("/{n}"), 1000).await, "the other disk knows of the purges");
    }
}
