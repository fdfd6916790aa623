//! Every file of the fuzzers' corpus, and some spoilt copies of each, through the functions that the fuzzers drive. What a
//! fuzzer once found stays found on the stable toolchain.
#![allow(clippy::expect_used, reason = "a test ends at the first surprise")]

#[path = "../../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "the fuzzers' crate has these functions as its public ones")]
mod fuzz;

use std::fs;
use std::path::Path;

#[test]
fn the_corpus_is_replayed() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (name, target) in fuzz::TARGETS {
        let files: Vec<_> = fs::read_dir(corpus.join(name)).expect("a corpus for each target").collect();
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            let bytes = fs::read(file.expect("a file").path()).expect("its content");
            target(&bytes);
            for cut in 0..bytes.len() {
                target(&bytes[..cut]);
                let mut spoilt = bytes.clone();
                spoilt[cut] ^= 0x20;
                target(&spoilt);
                spoilt[cut] = b'"';
                target(&spoilt);
            }
        }
    }
}
