use std::time::SystemTime;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::purges::Scope;

/// What a tail has to tell; a gap is `None`.
fn next_of(tail: &mut Tail) -> Vec<Option<Purge>> {
    let mut all = Vec::new();
    let told = tail.more(&crate::disk::io::RealFiles, &mut |next| {
        all.push(match next {
            Next::Purge(purge) => Some(*purge),
            Next::Gap => None,
        });
    });
    told.unwrap();
    all
}

fn told_by(tail: &mut Tail) -> Vec<Purge> {
    next_of(tail).into_iter().map(|next| next.expect("no gap")).collect()
}

/// A journal that is about to be followed, with `purges` in it.
fn followed(purges: &[Purge]) -> (tempfile::TempDir, Folder, Journal, Tail) {
    let root = tempfile::tempdir().unwrap();
    let files = crate::disk::io::RealFiles;
    let (folder, _) = Folder::open(&files, root.path()).unwrap();
    let journal = Journal::start(&files, &folder, purges).unwrap();
    let tail = Tail::new(1, folder.purges(1));
    (root, folder, journal, tail)
}

#[test]
fn a_journal_that_was_shortened_and_has_grown_past_what_was_read_is_read_from_its_beginning() {
    let files = crate::disk::io::RealFiles;
    let purges: Vec<Purge> = (0..5_000u64).map(|n| Purge::hard(Scope::Url, n.into(), n)).collect();
    let (_root, folder, mut journal, mut tail) = followed(&purges[..10]);
    assert_eq!(told_by(&mut tail), purges[..10]);
    // The last of the old file, a file that nobody sees, and one that is longer than what was read.
    journal.append(&purges[10..20]).unwrap();
    journal.shorten(&files, &folder, &purges[20..30]).unwrap();
    journal.shorten(&files, &folder, &purges[20..40]).unwrap();
    journal.append(&purges[40..]).unwrap();
    assert_eq!(told_by(&mut tail), purges[10..]);
    assert_eq!(told_by(&mut tail), []);
    journal.append(&purges[..1]).unwrap();
    assert_eq!(told_by(&mut tail), purges[..1]);
}

#[test]
fn what_was_purged_last_is_read_although_the_journal_was_removed() {
    let purges: Vec<Purge> = (0..20u64).map(|n| Purge::hard(Scope::Url, n.into(), n)).collect();
    let (_root, folder, mut journal, mut tail) = followed(&purges[..10]);
    assert_eq!(told_by(&mut tail), purges[..10]);
    journal.append(&purges[10..]).unwrap();
    std::fs::remove_file(folder.purges(1)).unwrap();
    assert_eq!(told_by(&mut tail), purges[10..]);
    assert_eq!(told_by(&mut tail), []);
}

#[test]
fn a_gap_is_told_once_it_is_sure_and_what_is_behind_it_is_read() {
    let purges: Vec<Purge> = (0..30u64).map(|n| Purge::hard(Scope::Url, n.into(), n)).collect();
    let (_root, folder, mut journal, mut tail) = followed(&purges[..10]);
    assert_eq!(told_by(&mut tail), purges[..10]);
    let file = crate::disk::io::RealFiles.open(&folder.purges(1), Mode::Write).unwrap();
    let spoil = |line: usize, bytes: &[u8]| write_all(&*file, bytes, (line * LINE) as u64).unwrap();
    journal.append(&purges[10..20]).unwrap();
    journal.append(&purges[20..25]).unwrap();
    spoil(10, &[0; LINE]);
    assert_eq!(next_of(&mut tail), [], "it may be on its way");
    assert!(tail.is_unsure());
    spoil(10, &encode(0, &purges[10]));
    assert_eq!(told_by(&mut tail), purges[10..25], "it was");
    assert!(!tail.is_unsure());
    journal.append(&purges[25..26]).unwrap();
    journal.append(&purges[26..27]).unwrap();
    spoil(25, &[0; LINE]);
    assert_eq!(next_of(&mut tail), []);
    assert_eq!(next_of(&mut tail), [None, Some(purges[26])]);
    journal.append(&purges[27..]).unwrap();
    assert_eq!(next_of(&mut tail)[..1], [Some(purges[27])]);
    assert!(!tail.is_unsure());
}

#[test]
fn a_long_journal_is_shortened_and_followed() {
    let root = tempfile::tempdir().unwrap();
    let files = crate::disk::io::RealFiles;
    let (folder, _) = Folder::open(&files, root.path()).unwrap();
    let mut journal = Journal::start(&files, &folder, &[]).unwrap();
    let mut tail = Tail::new(1, folder.purges(1));
    let purges: Vec<Purge> = (0..40_000u64).map(|n| Purge::hard(Scope::Url, 7, n)).collect();
    journal.append(&purges).unwrap();
    assert_eq!(told_by(&mut tail).len(), 40_000);
    assert!(journal.is_long(1) && !journal.is_long(20_000));
    journal.shorten(&files, &folder, &purges[39_999..]).unwrap();
    journal.append(&purges[..1]).unwrap();
    assert_eq!(told_by(&mut tail), [purges[39_999], purges[0]]);
    assert_eq!(std::fs::read_dir(folder.purges_folder()).unwrap().count(), 1);
    assert!(!journal.is_long(0), "it is short now");
}

#[test]
fn a_torn_tail_is_cut_and_damage_is_told() {
    let file = tempfile::tempfile().unwrap();
    let purges: Vec<Purge> = (0..10u64)
        .map(|n| {
            let hard = Purge::hard(Scope::Url, u128::from(n), n);
            if n.is_multiple_of(2) { hard } else { Purge::soft(Scope::Url, 5, n, SystemTime::now()) }
        })
        .collect();
    // One after the other.
    let bytes: Vec<u8> = purges.iter().flat_map(|purge| encode(0, purge)).collect();
    write_all(&file, &bytes, 0).unwrap();
    assert_eq!(read(&file, 0).unwrap().purges, purges);
    file.set_len(bytes.len() as u64 - 1).unwrap();
    let told = read(&file, 0).unwrap();
    assert!(told.damaged.is_none());
    assert_eq!((told.purges.len(), told.len), (9, 9 * LINE as u64));
    write_all(&file, &[0xff], 100).unwrap();
    let told = read(&file, 0).unwrap();
    assert_eq!(told.damaged, Some(3 * LINE as u64));
    assert_eq!(told.purges.len(), 2);
}

#[test]
fn what_was_appended_at_once_may_be_torn_anywhere_and_what_came_before_may_not() {
    let purges: Vec<Purge> = (0..400u64).map(|n| Purge::hard(Scope::Tag, u128::from(n), n)).collect();
    let write = |sizes: &[usize]| {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let mut journal = Journal::begin(Arc::clone(&file) as Arc<dyn Handle>, &[]).unwrap();
        let mut rest = &purges[..];
        for size in sizes {
            journal.append(&rest[..*size]).unwrap();
            rest = &rest[*size..];
        }
        file
    };
    let lose = |file: &std::fs::File, line: usize| {
        write_all(file, &[0; LINE], (line * LINE) as u64).unwrap();
        read(file, 0).unwrap()
    };
    let file = write(&[1, 3, 396]);
    let told = read(&*file, 0).unwrap();
    assert_eq!((told.purges, told.damaged, told.len), (purges.clone(), None, (400 * LINE) as u64));
    // The last append is torn, in its first line and in one in the middle.
    for line in [200, 4] {
        let told = lose(&file, line);
        assert!(told.damaged.is_none(), "line {line}");
        assert_eq!(told.purges, purges[..line]);
    }
    assert!(lose(&file, 3).damaged.is_some(), "that was acknowledged");
    // It was not the last one.
    let file = write(&[1, 398, 1]);
    assert!(lose(&file, 200).damaged.is_some());
}

#[test]
fn purges_are_written_over_zeros() {
    let file = Arc::new(tempfile::tempfile().unwrap());
    let mut journal = Journal::begin(Arc::clone(&file) as Arc<dyn Handle>, &[]).unwrap();
    let mut purges = Vec::new();
    let mut grown = 0;
    for n in 0..3000u64 {
        let before = file.metadata().unwrap().len();
        purges.push(Purge::hard(Scope::Tag, u128::from(n), n));
        journal.append(&purges[purges.len() - 1..]).unwrap();
        assert_eq!(file.metadata().unwrap().len(), before, "purge {n} made the file longer");
        journal.make_room().unwrap();
        grown += u32::from(file.metadata().unwrap().len() > before);
    }
    assert!((2..5).contains(&grown), "{grown}");
    assert_eq!(read(&*file, 0).unwrap().purges, purges);
}

/// A call that changes a file.
#[derive(Debug, Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Sync,
}

/// A file that remembers what was done to it.
#[derive(Debug, Default)]
struct Recorded(Mutex<Vec<Change>>);

impl Recorded {
    fn changes(&self) -> usize {
        self.0.lock().len()
    }
}

impl Handle for Recorded {
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn read_cached_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.lock().push(Change::Write { at: usize::try_from(offset).unwrap(), bytes: bytes.to_vec() });
        Ok(bytes.len())
    }
    fn allocate(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn len(&self) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn id(&self) -> io::Result<crate::disk::io::FileId> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn sync(&self) -> io::Result<()> {
        self.0.lock().push(Change::Sync);
        Ok(())
    }
    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }
}

/// What of `synced` and the writes `since` then a disk has when the power goes: of the latter any sectors, and any length that
/// the file had meanwhile.
fn after_a_loss_of_power(synced: &[u8], since: &[Change], rng: &mut StdRng) -> Vec<u8> {
    const SECTOR: usize = 512;
    let mut disk = synced.to_vec();
    let mut lens = vec![disk.len()];
    let luck = rng.random_range(0..=4);
    for change in since {
        let Change::Write { at, bytes } = change else { continue };
        disk.resize(disk.len().max(at + bytes.len()), 0);
        for (sector, part) in bytes.chunks(SECTOR).enumerate() {
            if rng.random_range(0..4) < luck {
                let at = at + sector * SECTOR;
                disk[at..at + part.len()].copy_from_slice(part);
            }
        }
        lens.push(disk.len());
    }
    disk.truncate(lens[rng.random_range(0..lens.len())]);
    disk
}

#[test]
fn whenever_the_power_goes_what_was_acknowledged_is_there() {
    let purges: Vec<Purge> = (0..2500u64).map(|n| Purge::hard(Scope::Tag, u128::from(n), n)).collect();
    let seed = rand::rng().random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let file = Arc::new(Recorded::default());
    let mut journal = Journal::begin(Arc::clone(&file) as Arc<dyn Handle>, &purges[..100]).unwrap();
    // How many are acknowledged, and after how many changes.
    let mut acknowledged = vec![(100, file.changes())];
    while let Some(&(done, _)) = acknowledged.last().filter(|(done, _)| *done < purges.len()) {
        // Some are larger than a page.
        let some = if acknowledged.len().is_multiple_of(8) { 200 } else { rng.random_range(1..=3) };
        let some = some.min(purges.len() - done);
        journal.append(&purges[done..done + some]).unwrap();
        acknowledged.push((done + some, file.changes()));
        journal.make_room().unwrap();
    }
    let changes = file.0.lock().clone();
    let (mut torn, mut partly) = (0, 0);
    let (mut synced, mut synced_to) = (Vec::new(), 0);
    for upto in 1..=changes.len() {
        if matches!(changes[upto - 1], Change::Sync) {
            for change in &changes[synced_to..upto] {
                let Change::Write { at, bytes } = change else { continue };
                synced.resize(synced.len().max(at + bytes.len()), 0);
                synced[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            synced_to = upto;
        }
        let safe = acknowledged.iter().rfind(|(_, after)| *after <= upto).map_or(0, |(done, _)| *done);
        for _ in 0..6 {
            let disk = after_a_loss_of_power(&synced, &changes[synced_to..upto], &mut rng);
            let told = told(&disk, 0);
            assert!(told.damaged.is_none(), "seed {seed}: all is thrown away, after {upto} changes");
            let all = told.purges.len();
            assert!(all >= safe, "seed {seed}: after {upto} changes {all} of {safe}");
            assert_eq!(told.purges, purges[..all], "seed {seed}: after {upto} changes");
            let behind = disk.chunks(LINE).skip(all).any(|line| decode(line).is_some());
            torn += u32::from(behind);
            partly += u32::from(all > safe);
        }
    }
    assert!(torn > 10 && partly > 10, "seed {seed}: {torn} with a gap, {partly} in part: they prove little");
}
