//! Looking into a folder from outside: for tools, not for serving. Reads only, takes no lock, and may run beside a
//! process that uses the folder; what is just being written then counts as unfinished.

use std::io;
use std::path::Path;

use super::find::Head;
use super::folder::parse_segment;
use super::front::read_body;
use super::io::{Files, Handle, Mode, RealFiles, read_exact};
use super::journal;
use super::reclaim::{body_is_sound, record_is_sound};
use super::record::{Header, Place, stored_len};
use super::recover::header_at;
use super::toc;
use crate::codec::{NoExtensions, decode_meta};

/// What is in a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Segment files.
    pub segments: u64,
    /// Those that were sealed: synced, and never changed since.
    pub sealed: u64,
    /// Records in them, replaced ones among them.
    pub records: u64,
    /// Bytes of segments.
    pub segment_bytes: u64,
    /// Bodies in files of their own.
    pub files: u64,
    /// Their bytes.
    pub file_bytes: u64,
    /// Purges in the journals.
    pub purges: u64,
    /// What is not as it should be, in words.
    pub damage: Vec<String>,
}

/// A record, for a listing.
#[derive(Debug, Clone)]
pub struct Record {
    /// The file it is in.
    pub segment: String,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// The number of its fill.
    pub seq: u64,
    /// The hash of its key.
    pub key: u128,
    /// The hash of its primary key.
    pub family: u128,
    /// Bytes of body.
    pub body_len: u64,
    /// Where the body is: `here`, `file` or `record`.
    pub body: &'static str,
    /// The status of the response.
    pub status: u16,
    /// Until when it is fresh, in seconds since 1970.
    pub fresh_until: u64,
}

/// Reads all tables and headers in the folder `path`, with `verify` every byte of every body too. `visit` is called
/// for each record.
///
/// # Errors
/// When the folder cannot be read.
pub fn inspect(path: &Path, verify: bool, visit: &mut dyn FnMut(&Record)) -> io::Result<Report> {
    let files = RealFiles;
    let mut report = Report::default();
    let folder = path.join("segments");
    let mut names: Vec<String> =
        files.list(&folder)?.into_iter().filter(|name| parse_segment(name).is_some()).collect();
    names.sort_unstable();
    for name in names {
        if let Err(error) = segment(&files, path, &name, verify, &mut report, visit) {
            report.damage.push(format!("{name}: {error}"));
        }
    }
    for sub in files.list(&path.join("objects"))? {
        let sub = path.join("objects").join(sub);
        for name in files.list(&sub)? {
            // It may go while it is looked at.
            if let Ok(len) = files.open(&sub.join(name), Mode::Read).and_then(|file| file.len()) {
                report.files += 1;
                report.file_bytes += len;
            }
        }
    }
    for name in files.list(&path.join("purges"))? {
        let told = journal::read(&*files.open(&path.join("purges").join(&name), Mode::Read)?, 0)?;
        report.purges += told.purges.len() as u64;
        if told.damaged.is_some() {
            report.damage.push(format!("purges/{name}: a line in the middle is damaged"));
        }
    }
    Ok(report)
}

fn segment(
    files: &RealFiles,
    root: &Path,
    name: &str,
    verify: bool,
    report: &mut Report,
    visit: &mut dyn FnMut(&Record),
) -> io::Result<()> {
    let path = root.join("segments").join(name);
    let file = files.open(&path, Mode::Read)?;
    report.segments += 1;
    report.segment_bytes += file.len()?;
    let table = toc::read(&*files.open(&path.with_file_name(format!("{name}.toc")), Mode::Read)?)?;
    report.sealed += u64::from(table.sealed);
    if table.damaged {
        report.damage.push(format!("{name}.toc: damaged after {} records", table.entries.len()));
    }
    for entry in table.entries {
        report.records += 1;
        match front(&*file, entry.offset) {
            Some(head) if head.header.key == entry.key => {
                let whole = !verify || whole(files, root, &*file, &head.header, entry.offset)?;
                if !whole {
                    report.damage.push(format!("{name}: the record at {} is damaged", entry.offset));
                }
                visit(&listing(name, entry.offset, &head));
            }
            _ => report.damage.push(format!("{name}: there is no record at {}", entry.offset)),
        }
    }
    Ok(())
}

fn front(file: &dyn Handle, offset: u64) -> Option<Head> {
    let header = header_at(file, offset)?;
    let mut bytes = vec![0; usize::try_from(header.body_at()).ok()?];
    read_exact(file, &mut bytes, offset).ok()?;
    Head::parse(&bytes.into()).ok()?
}

fn whole(
    files: &RealFiles,
    root: &Path,
    file: &dyn Handle,
    header: &Header,
    offset: u64,
) -> io::Result<bool> {
    if !record_is_sound(file, header, offset)? {
        return Ok(false);
    }
    if header.place != Place::File {
        return Ok(true);
    }
    let path =
        root.join("objects").join(format!("{:02x}", header.seq & 0xff)).join(format!("{:016x}", header.seq));
    match files.open(&path, Mode::Read) {
        // Replaced or evicted: the record is history.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
        Ok(body) => Ok(body.len()? == stored_len(header.body_len)
            && body_is_sound(header.seq, header.body_len, &read_body(&*body, 0, header.body_len)?)),
    }
}

fn listing(name: &str, offset: u64, head: &Head) -> Record {
    let header = &head.header;
    let meta = decode_meta(&head.meta, &NoExtensions).map(|decoded| decoded.meta);
    let fresh = meta.as_ref().map(pingora_cache::CacheMeta::fresh_until);
    Record {
        segment: name.to_owned(),
        offset,
        seq: header.seq,
        key: header.key,
        family: header.family,
        body_len: header.body_len,
        body: match header.place {
            Place::Here => "here",
            Place::File => "file",
            Place::Record { .. } => "record",
        },
        status: meta.as_ref().map_or(0, |meta| meta.response_header().status.as_u16()),
        fresh_until: fresh.map_or(0, |time| super::record::micros(time) / 1_000_000),
    }
}
