//! A file system of a test's own, in a mount namespace that ends with the test.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use seawall_testkit::{DEADLINE, eventually};

/// A process that holds a namespace with a file system in it.
pub(crate) struct Mount {
    holder: Child,
    point: PathBuf,
    unprivileged: bool,
    /// Where the file system is, with what else it needs.
    _folder: tempfile::TempDir,
}

impl Mount {
    /// A file system in memory with `mebibytes` of room; none where nobody may have a namespace, as in some containers.
    pub(crate) fn memory(mebibytes: u32) -> Option<Self> {
        let mut probe = unshare();
        if !probe.arg("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
            eprintln!("NOT TESTED: this needs root, or user namespaces (and unshare, of util-linux)");
            return None;
        }
        let folder = seawall_testkit::folder();
        let mount = format!("mount -t tmpfs -o size={mebibytes}m none \"$0\"");
        Some(Self::hold(folder, &mount))
    }

    /// ext4 with `mebibytes` of room, that goes read-only on an error. Only for root.
    pub(crate) fn ext4(mebibytes: u32) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "only root may mount ext4");
        let folder = seawall_testkit::folder();
        let image = folder.path().join("image").display().to_string();
        let mount = format!(
            "truncate -s {mebibytes}M {image} && mkfs.ext4 -q -F {image} && mount -o loop,errors=remount-ro {image} \"$0\""
        );
        Self::hold(folder, &mount)
    }

    fn hold(folder: tempfile::TempDir, mount: &str) -> Self {
        let point = folder.path().join("mount");
        std::fs::create_dir(&point).expect("a mount point");
        let mut command = unshare();
        // It ends when its standard input does.
        command.args(["sh", "-ec", &format!("{mount}; touch \"$0/ready\"; read -r line || true")]);
        let holder = command.arg(&point).stdin(Stdio::piped()).spawn().expect("unshare, of util-linux");
        let mut mount = Self { holder, point, unprivileged: is_unprivileged(), _folder: folder };
        eventually(DEADLINE, "a file system in a namespace (this needs root or user namespaces)", || {
            assert!(mount.holder.try_wait().expect("its state").is_none(), "there is no namespace to be had");
            mount.outside().join("ready").exists()
        });
        mount
    }

    /// Where the file system is for processes inside.
    pub(crate) fn inside(&self) -> &Path {
        &self.point
    }

    /// Where it is for the test.
    pub(crate) fn outside(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.point.strip_prefix("/").expect("an absolute path"))
    }

    /// The words that start a program inside.
    pub(crate) fn enter(&self) -> Vec<String> {
        let mut words =
            vec!["nsenter".to_owned(), format!("--target={}", self.holder.id()), "--mount".to_owned()];
        if self.unprivileged {
            words.extend(["--user", "--preserve-credentials"].map(str::to_owned));
        }
        // Into the folder that the caller is in.
        words.push(format!("--wd={}", std::env::current_dir().expect("a folder").display()));
        words
    }

    /// Runs a program inside.
    pub(crate) fn run(&self, program: &[&str]) {
        let words: Vec<String> =
            self.enter().into_iter().chain(program.iter().map(|word| (*word).to_owned())).collect();
        let status = Command::new(&words[0]).args(&words[1..]).status().expect("nsenter, of util-linux");
        assert!(status.success(), "{program:?}: {status}");
    }

    /// Fills it to the last byte, once more if need be, and hands out the file that does.
    pub(crate) fn fill(&self) -> PathBuf {
        let path = self.outside().join("ballast");
        let mut file = File::options().create(true).append(true).open(&path).expect("a file");
        let block = vec![0; 64 << 10];
        while file.write_all(&block).is_ok() {}
        while file.write_all(&block[..512]).is_ok() {}
        path
    }
}

fn is_unprivileged() -> bool {
    !nix::unistd::geteuid().is_root()
}

/// Runs what follows in a mount namespace of its own.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(if is_unprivileged() {
        &["--user", "--map-root-user", "--mount"][..]
    } else {
        &["--mount"]
    });
    command
}

impl Drop for Mount {
    fn drop(&mut self) {
        // The namespace goes with its last process, and the file system with the namespace.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
