//! `seawall store`: looking into the folder of a disk.

use std::fmt::Write as _;

use seawall_store::{ObjectKey, inspect};

use super::{Failure, print};
use crate::cli::{StoreArgs, StoreTask};

/// Prints what is in the folder. Damage makes `verify` fail.
pub(crate) fn run(args: &StoreArgs) -> Result<(), Failure> {
    let mut text = String::new();
    let dump = args.task == StoreTask::Dump;
    let verify = args.task == StoreTask::Verify;
    let mut visit = |record: &seawall_store::Record| {
        if dump {
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{}@{} seq={:016x} key={} variant={:032x} status={} body={} {} fresh_until={}",
                record.segment,
                record.offset,
                record.seq,
                ObjectKey::of_family(record.family),
                record.key,
                record.status,
                record.body_len,
                record.body,
                record.fresh_until
            );
        }
    };
    let report = inspect(&args.path, verify, &mut visit)
        .map_err(|error| Failure::sentence(format!("cannot read {}: {error}", args.path.display())))?;
    if !dump {
        let _ = writeln!(
            text,
            "{} segments ({} sealed) with {} records, {} bytes\n{} bodies in files of their own, {} bytes\n{} purges",
            report.segments,
            report.sealed,
            report.records,
            report.segment_bytes,
            report.files,
            report.file_bytes,
            report.purges
        );
    }
    print(&text)?;
    if report.damage.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = report.damage.iter().map(|damage| format!("damage: {damage}\n")).collect();
    if verify { Err(Failure::text(lines.concat())) } else { print(&lines.concat()) }
}
