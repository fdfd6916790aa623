//! Every bad file gets exactly its diagnostics: `tests/bad/NAME.yaml` and, beside it, what `seawall check` says.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

#[test]
fn every_bad_file_gets_its_diagnostics() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let mut count = 0;
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("the corpus") {
        let file = entry.expect("a file").path();
        if file.extension().is_none_or(|ext| ext != "yaml") {
            continue;
        }
        count += 1;
        let name = file.file_name().expect("a name");
        let done = Command::new(env!("CARGO_BIN_EXE_seawall"))
            .current_dir(&folder)
            .args(["check", "-q", "--strict"])
            .arg(name)
            .output()
            .expect("the binary");
        let expected =
            std::fs::read_to_string(file.with_extension("txt")).expect("the diagnostics beside the file");
        let said = String::from_utf8_lossy(&done.stderr);
        if done.status.code() != Some(1) || said != expected || !done.stdout.is_empty() {
            wrong.push(format!("{}: {:?}\n{said}", name.display(), done.status.code()));
        }
    }
    assert!(count >= 60, "only {count} files");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
