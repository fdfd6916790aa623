//! Clients that do not take what was read for them: what they hold together has a bound, and beyond it everybody is served.

use pingora_cache::HitHandler;

use super::*;
use crate::disk::io::faulty::{Fault, FaultyFiles};

/// A body in a file of its own: three chunks and a bit.
const LEN: usize = 200_000;
const ROOM: ByteSize = ByteSize::mib(1);
/// What a reader gets when there is no room for a chunk.
const PIECE: usize = 16 << 10;

struct Stalled {
    folder: TempDir,
    files: FaultyFiles,
    store: Rig,
}

impl Stalled {
    /// A store with one object, on a disk.
    async fn new(read_buffer: ByteSize) -> Self {
        let folder = folder();
        let mut settings = settings(folder.path());
        let mut disk = settings.disk[0].clone();
        disk.read_buffer = read_buffer;
        settings.disk = vec![disk].into();
        let files = FaultyFiles::sound(Fault::Short, true);
        let store = Rig::try_on(&(Arc::new(files.clone()) as Arc<dyn Files>), &settings).unwrap();
        put(*store, "/large", LEN).await;
        until(|| store.disk().files == 1).await;
        // Nobody finds the fill any more.
        store.flush();
        Self { folder, files, store }
    }

    /// A reader of it, and what it read first.
    async fn reader(&self) -> (HitHandler, Bytes) {
        let (_, mut hit) = find(*self.store, &key("/large")).await.unwrap();
        let first = hit.read_body().await.unwrap().unwrap();
        (hit, first)
    }

    /// So many readers that have each read once.
    async fn readers(&self, count: usize) -> Vec<(HitHandler, Bytes)> {
        let mut readers = Vec::new();
        for _ in 0..count {
            readers.push(self.reader().await);
        }
        readers
    }
}

#[tokio::test]
async fn readers_hold_no_more_than_there_is_room_for_and_get_all_bytes() {
    for cold in [false, true] {
        let rig = Stalled::new(ROOM).await;
        if cold {
            rig.files.chill();
        }
        let bytes = body("/large", LEN);
        let readers = rig.readers(100).await;
        let held = rig.store.disk().read_buffer_bytes;
        assert!(held <= ROOM.bytes() && held > ROOM.bytes() / 2, "{held}");
        let large = readers.iter().filter(|(_, first)| first.len() > PIECE).count();
        assert!(readers.iter().all(|(_, first)| first.len() >= PIECE), "no smaller ones than needed");
        assert!((1..=16).contains(&large), "{large} readers hold a chunk");
        for (mut hit, first) in readers.into_iter().rev() {
            let mut all = first.to_vec();
            all.extend(read_all(&mut hit).await.unwrap());
            assert!(all == bytes);
        }
        assert_eq!(rig.store.disk().read_buffer_bytes, 0, "all of it was given back");
    }
}

/// The negative control: with room for all of them all hold a chunk.
#[tokio::test]
async fn with_room_they_hold_more() {
    let rig = Stalled::new(ByteSize::mib(32)).await;
    let readers = rig.readers(100).await;
    assert!(readers.iter().all(|(_, first)| first.len() > PIECE));
    assert!(rig.store.disk().read_buffer_bytes > 6 * ROOM.bytes());
}

#[tokio::test]
async fn ranges_are_right_without_room() {
    let rig = Stalled::new(ROOM).await;
    let full = rig.readers(20).await;
    let bytes = body("/large", LEN);
    let edges = [0, 1, PIECE - 1, PIECE, PIECE + 1, 65_535, 65_536, 65_537, 131_072, 180_000, LEN - 1];
    for from in edges {
        for len in [1, 2, PIECE, 40_000, LEN] {
            let to = from.saturating_add(len).min(LEN);
            let (_, mut hit) = find(*rig.store, &key("/large")).await.unwrap();
            hit.seek(from, Some(to)).unwrap();
            let read = rig.store.disk().counts.read_bytes;
            assert!(read_all(&mut hit).await.unwrap() == bytes[from..to], "{from}..{to}");
            // Whole chunks are checked, and each of their other pieces is read once more: no more than that is read.
            let asked = (to - from) as u64;
            let read = rig.store.disk().counts.read_bytes - read;
            assert!(read <= 2 * asked + (64 << 10) * 5 / 2, "{from}..{to}: {read} bytes read");
        }
    }
    drop(full);
}

#[tokio::test]
async fn damage_is_noticed_in_whatever_piece_it_is() {
    for piece in [0, 1, 3, 4, 12] {
        let rig = Stalled::new(ROOM).await;
        let full = rig.readers(20).await;
        let (mut early, first) = rig.reader().await;
        assert_eq!(first.len(), PIECE, "there is no room for more");
        let objects = std::fs::read_dir(rig.folder.path().join("objects")).unwrap();
        let files = objects.flat_map(|sub| std::fs::read_dir(sub.unwrap().path()).unwrap());
        let path = files.map(|file| file.unwrap().path()).next().unwrap();
        let mut stored = std::fs::read(&path).unwrap();
        let at = piece * PIECE + 4 * (piece * PIECE / (64 << 10)) + 100;
        stored[at] ^= 1;
        std::fs::write(&path, stored).unwrap();
        // One that knows the sums of the first chunk already, and one that comes anew.
        let outcome = read_all(&mut early).await;
        assert_eq!(outcome.is_ok(), piece == 0, "the first piece was read before");
        if let Some((_, mut late)) = find(*rig.store, &key("/large")).await {
            assert!(read_all(&mut late).await.is_err(), "damage in piece {piece}");
        }
        assert!(find(*rig.store, &key("/large")).await.is_none(), "it is forgotten");
        drop(full);
    }
}
