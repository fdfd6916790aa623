use super::{Containment, Folder, Miss};
use crate::target::Target;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::path::Path;

const SECRET: &str = "the file outside";
const BOTH: [Containment; 2] = [Containment::Beneath, Containment::Walk];

/// A root with a secret beside it, and every kind of link.
fn site() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("d/e")).unwrap();
    fs::create_dir_all(dir.path().join("o")).unwrap();
    fs::write(dir.path().join("s"), SECRET).unwrap();
    fs::write(dir.path().join("o/s"), SECRET).unwrap();
    for name in ["a", "d/a", "d/e/a", "%2e"] {
        fs::write(root.join(name), format!("inside {name}")).unwrap();
    }
    symlink("../s", root.join("up")).unwrap();
    symlink("../../s", root.join("d/up")).unwrap();
    symlink(dir.path().join("s"), root.join("abs")).unwrap();
    symlink("../o", root.join("dir")).unwrap();
    symlink("..", root.join("par")).unwrap();
    symlink("/proc/self/root", root.join("proc")).unwrap();
    symlink("par/s", root.join("two")).unwrap();
    symlink("d/e/../a", root.join("in")).unwrap();
    symlink("d", root.join("ind")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    dir
}

fn folder(dir: &Path, containment: Containment) -> Folder {
    Folder::new(dir.join("root")).unwrap().contained_by(containment)
}

fn read(folder: &Folder, path: &str) -> Result<String, Miss> {
    let mut file = folder.now().unwrap().open(Path::new(path))?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(Miss::Broken)?;
    Ok(text)
}

#[test]
fn this_kernel_has_openat2() {
    // The other tests force both ways; this one tells when the better way is not the one in use.
    let dir = site();
    assert_eq!(Folder::new(dir.path().join("root")).unwrap().containment(), Containment::Beneath);
}

#[test]
fn opens_what_is_inside() {
    let dir = site();
    for containment in BOTH {
        let folder = folder(dir.path(), containment);
        for name in ["a", "d/a", "d/e/a", "%2e"] {
            assert_eq!(read(&folder, name).unwrap(), format!("inside {name}"));
        }
        assert!(folder.now().unwrap().open(Path::new("")).unwrap().metadata().unwrap().is_dir());
        assert!(folder.now().unwrap().open(Path::new("d/e")).unwrap().metadata().unwrap().is_dir());
    }
}

#[test]
fn links_out_are_not_followed() {
    let dir = site();
    for containment in BOTH {
        let folder = folder(dir.path(), containment);
        for name in ["up", "d/up", "abs", "dir/s", "par/s", "two", "proc/etc/passwd", "loop", "par/root/a"] {
            assert!(matches!(read(&folder, name), Err(Miss::NotFound)), "{containment:?} {name}");
        }
        // Even when the name itself climbs, which `Target` never lets through.
        for name in ["../s", "d/../../s", "/etc/passwd"] {
            assert!(matches!(read(&folder, name), Err(Miss::NotFound)), "{containment:?} {name}");
        }
    }
    // The control: joining paths would have served each of them.
    for name in ["up", "d/up", "abs", "dir/s", "par/s", "two", "../s", "d/../../s"] {
        assert_eq!(fs::read_to_string(dir.path().join("root").join(name)).unwrap(), SECRET, "{name}");
    }
}

#[test]
fn links_inside_are_followed_when_the_kernel_watches() {
    let dir = site();
    assert_eq!(read(&folder(dir.path(), Containment::Beneath), "in").unwrap(), "inside d/a");
    assert_eq!(read(&folder(dir.path(), Containment::Beneath), "ind/e/a").unwrap(), "inside d/e/a");
    assert!(matches!(read(&folder(dir.path(), Containment::Walk), "in"), Err(Miss::NotFound)));
    assert!(matches!(read(&folder(dir.path(), Containment::Walk), "ind/e/a"), Err(Miss::NotFound)));
}

#[test]
fn a_pipe_does_not_block_and_a_socket_is_not_there() {
    let dir = site();
    let root = dir.path().join("root");
    nix::unistd::mkfifo(&root.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    for containment in BOTH {
        let folder = folder(dir.path(), containment);
        let opened = folder.now().unwrap().open(Path::new("fifo")).unwrap();
        assert!(!opened.metadata().unwrap().is_file());
        assert!(matches!(read(&folder, "socket"), Err(Miss::NotFound)));
    }
}

#[test]
fn a_switched_root_is_seen_at_once() {
    let dir = tempfile::tempdir().unwrap();
    for release in ["one", "two"] {
        fs::create_dir(dir.path().join(release)).unwrap();
        fs::write(dir.path().join(release).join("a"), release).unwrap();
    }
    symlink("one", dir.path().join("root")).unwrap();
    let folder = folder(dir.path(), Containment::Beneath);
    let before = folder.now().unwrap();
    assert_eq!(read(&folder, "a").unwrap(), "one");
    symlink("two", dir.path().join("next")).unwrap();
    fs::rename(dir.path().join("next"), dir.path().join("root")).unwrap();
    assert_eq!(read(&folder, "a").unwrap(), "two");
    // One request keeps to one release.
    let mut text = String::new();
    before.open(Path::new("a")).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "one");
    fs::remove_file(dir.path().join("root")).unwrap();
    assert!(folder.now().is_err());
}

/// Decodes every escape and joins: what a careless server does.
fn naive(root: &Path, path: &str) -> Option<String> {
    let decoded = percent_encoding::percent_decode_str(path.trim_start_matches('/')).decode_utf8().ok()?;
    fs::read_to_string(root.join(decoded.as_ref())).ok()
}

fn request_path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("/"),
        Just("/"),
        Just("/"),
        Just(".."),
        Just("%2e%2e"),
        Just(".%2E"),
        Just("."),
        Just("%2f"),
        Just("%5c"),
        Just("%252e"),
        Just("%00"),
        Just("a"),
        Just("d"),
        Just("e"),
        Just("s"),
        Just("o"),
        Just("up"),
        Just("abs"),
        Just("dir"),
        Just("par"),
        Just("two"),
        Just("in"),
        Just("ind"),
        Just("root"),
        Just("proc"),
        Just("..%c0%af"),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| format!("/{}", pieces.concat()))
}

#[test]
fn no_path_ever_reads_the_file_outside() {
    let dir = site();
    let mut leaks_of_the_naive = 0;
    let mut served = 0;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..6000 {
        let path = request_path().new_tree(&mut runner).unwrap().current();
        leaks_of_the_naive += usize::from(naive(&dir.path().join("root"), &path).as_deref() == Some(SECRET));
        for containment in BOTH {
            let folder = folder(dir.path(), containment);
            let Ok(target) = Target::parse(&path, true) else { continue };
            let Ok(text) = read(&folder, target.path().to_str().unwrap_or("-")) else { continue };
            assert!(text.starts_with("inside "), "{containment:?} {path}: {text}");
            served += 1;
        }
    }
    // The control: the same paths leak from a naive server, and ours does serve files.
    assert!(leaks_of_the_naive > 10, "{leaks_of_the_naive}");
    assert!(served > 100, "{served}");
}
