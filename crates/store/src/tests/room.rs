//! A file system that has less than the disk may take, and one that is in trouble from the start.

use super::*;
use crate::DiskState;
use crate::disk::io::faulty::{Fault, FaultyFiles};

const MIB: u64 = 1 << 20;

fn on(files: &FaultyFiles, settings: &StoreSettings) -> Rig {
    Rig::try_on(&(Arc::new(files.clone()) as Arc<dyn Files>), settings).unwrap()
}

async fn fill(store: &Rig, from: usize, to: usize) {
    for n in from..to {
        put(**store, &format!("/{n}"), 100_000).await;
    }
    store.flush();
}

#[tokio::test]
async fn what_others_take_is_given_up_and_comes_back() {
    let (folder, files) = (folder(), FaultyFiles::sound(Fault::From(5), false));
    let mut settings = settings(folder.path());
    let disk = DiskSettings { min_free: Some(ByteSize::mib(2)), ..settings.disk[0].clone() };
    settings.disk = vec![disk].into();
    let store = on(&files, &settings).recovered().await;
    let size = store.disk().capacity_bytes;
    fill(&store, 0, 100).await;
    let before = store.disk();
    assert!(before.bytes > 8 * MIB && before.limit_bytes == size, "{before:?}");
    // More than enough, and just enough.
    for free in [size * 2, size - before.bytes + 2 * MIB] {
        files.leave(free);
        store.look();
        assert_eq!(store.disk().limit_bytes, size, "{free}");
    }
    files.leave(3 * MIB);
    store.look();
    assert_eq!(store.disk().limit_bytes, before.bytes + MIB);
    // A mebibyte too little for what it leaves to others: something goes without anybody putting anything.
    files.leave(MIB);
    store.look();
    let after = store.disk();
    assert!(after.bytes <= before.bytes - MIB, "{after:?}");
    assert!(
        after.counts.evicted_small + after.counts.evicted_main + after.counts.evicted_files > 0,
        "{after:?}"
    );
    // What is new finds its place all the same, and the bound holds.
    files.leave(2 * MIB);
    store.look();
    let limit = store.disk().limit_bytes;
    fill(&store, 100, 140).await;
    assert!(store.disk().bytes <= limit, "{:?}", store.disk());
    store.drop_memory();
    assert!(has(*store, "/139", 100_000).await);
    files.leave(u64::MAX);
    store.look();
    assert_eq!(store.disk().limit_bytes, size);
}

#[tokio::test]
async fn a_disk_that_fails_from_the_start_is_left_out() {
    for errno in [5, 28, 30] {
        let folder = folder();
        let settings = settings(folder.path());
        let store = on(&FaultyFiles::new(Fault::From(errno), 0, false), &settings);
        assert_eq!((store.disk().state, store.disk().limit_bytes), (DiskState::Offline, 0), "{errno}");
        put(*store, "/a", 1000).await;
        assert!(has(*store, "/a", 1000).await, "memory goes on");
        assert!(
            purge(*store, &key("/a")).await.is_err(),
            "nothing keeps it from coming back after the next start"
        );
        assert!(!has(*store, "/a", 1000).await, "it holds all the same");
    }
}

#[test]
fn a_folder_that_may_not_be_used_is_refused() {
    let folder = folder();
    let files = FaultyFiles::new(Fault::From(13), 0, false);
    let refused = Rig::try_on(&(Arc::new(files) as Arc<dyn Files>), &settings(folder.path()));
    assert!(refused.is_err());
}

#[tokio::test]
async fn a_start_on_a_full_file_system_gives_up_what_is_oldest() {
    let folder = folder();
    let settings = settings(folder.path());
    let store = Rig::open(&settings).recovered().await;
    fill(&store, 0, 100).await;
    purge(*store, &key("/99")).await.unwrap();
    drop(store);
    let segments = || std::fs::read_dir(folder.path().join("segments")).unwrap().count();
    let before = segments();
    let files = FaultyFiles::sound(Fault::Full, true);
    files.break_now();
    let store = on(&files, &settings).recovered().await;
    assert_eq!(store.disk().state, DiskState::Ok);
    assert!(segments() < before, "a segment went for the journal");
    assert!(has(*store, "/98", 100_000).await, "the newest are there");
    assert!(!has(*store, "/99", 100_000).await, "the purge is, too");
}
