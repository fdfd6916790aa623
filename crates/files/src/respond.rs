//! One request, one answer. Everything here blocks and runs on the blocking pool.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName,
    LAST_MODIFIED, LOCATION, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use crate::body::{FileBody, Opened, Piece};
use crate::conditional::{Verdict, allows_range, judge};
use crate::content_type::content_type;
use crate::disk::Disk;
use crate::folder::{Folder, Miss, Root};
use crate::range::{Selection, Slice, select};
use crate::target::{Refusal, Target};
use crate::validators::Validators;

const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
/// RFC 9110 §4.1 asks for 8,000 at least.
const LONGEST_TARGET: usize = 16 * 1024;
/// How often a file that changes while its first chunk is read is tried again.
const CHANGE_TRIES: usize = 3;

pub(crate) type Reply = Response<FileBody>;

/// Answers requests from a folder.
#[derive(Debug)]
pub(crate) struct Responder {
    pub(crate) folder: Folder,
    pub(crate) index: Vec<String>,
    pub(crate) cache_control: Option<HeaderValue>,
    pub(crate) dot_files: bool,
    /// Where this and the reading of bodies happens.
    pub(crate) disk: Disk,
    /// Bodies given up half-way.
    pub(crate) aborted: Arc<AtomicU64>,
}

/// A regular file, ready to be sent.
struct Found {
    file: File,
    seen: Metadata,
    name: PathBuf,
}

impl Responder {
    /// The answer to a request, as of `now`.
    pub(crate) fn answer(&self, request: &Parts, now: SystemTime) -> Reply {
        let mut reply = self.dispatch(request, now);
        let headers = reply.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if request.method == Method::HEAD {
            // Content-Length stays: it is the length that GET would have.
            *reply.body_mut() = FileBody::default();
        }
        reply
    }

    fn dispatch(&self, request: &Parts, now: SystemTime) -> Reply {
        match request.method {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => {
                let mut reply = empty(StatusCode::NO_CONTENT);
                reply.headers_mut().insert(ALLOW, ALLOWED);
                return reply;
            }
            _ => {
                let mut reply = plain(StatusCode::METHOD_NOT_ALLOWED);
                reply.headers_mut().insert(ALLOW, ALLOWED);
                return reply;
            }
        }
        if request.uri.path_and_query().is_some_and(|target| target.as_str().len() > LONGEST_TARGET) {
            return plain(StatusCode::URI_TOO_LONG);
        }
        match Target::parse(request.uri.path(), self.dot_files) {
            Ok(target) => self.serve(request, &target, now),
            Err(Refusal::Malformed) => plain(StatusCode::BAD_REQUEST),
            Err(Refusal::Hidden) => plain(StatusCode::NOT_FOUND),
        }
    }

    fn serve(&self, request: &Parts, target: &Target, now: SystemTime) -> Reply {
        let mut tries = CHANGE_TRIES;
        loop {
            tries = tries.saturating_sub(1);
            match self.attempt(request, target, now) {
                Ok(reply) => return reply,
                Err(Miss::Broken(error)) if error.kind() == io::ErrorKind::UnexpectedEof && tries > 0 => {}
                Err(Miss::NotFound) => return plain(StatusCode::NOT_FOUND),
                Err(Miss::Forbidden) => return plain(StatusCode::FORBIDDEN),
                Err(Miss::Broken(error)) => {
                    log::error!("files: cannot serve {:?}: {error}", self.folder.path().join(target.path()));
                    return plain(StatusCode::INTERNAL_SERVER_ERROR);
                }
            }
        }
    }

    fn attempt(&self, request: &Parts, target: &Target, now: SystemTime) -> Result<Reply, Miss> {
        let root = self.folder.now().map_err(Miss::Broken)?;
        if target.folder {
            let found = self.index_of(&root, target.path())?;
            return self.send(request, found, now);
        }
        let file = root.open(target.path())?;
        let seen = file.metadata().map_err(Miss::Broken)?;
        if seen.is_dir() {
            // No redirect to a 404: it would tell which folders there are.
            self.index_of(&root, target.path())?;
            return Ok(add_slash(target, request.uri.query()));
        }
        self.send(request, regular(file, seen, target.path())?, now)
    }

    fn index_of(&self, root: &Root, folder: &Path) -> Result<Found, Miss> {
        for name in &self.index {
            let path = folder.join(name);
            match root.open(&path) {
                Ok(file) => {
                    let seen = file.metadata().map_err(Miss::Broken)?;
                    if seen.is_file() {
                        return regular(file, seen, &path);
                    }
                }
                Err(Miss::NotFound) => {}
                Err(other) => return Err(other),
            }
        }
        Err(Miss::NotFound)
    }

    fn send(&self, request: &Parts, found: Found, now: SystemTime) -> Result<Reply, Miss> {
        let validators = Validators::new(&found.seen, now);
        match judge(&request.headers, &validators) {
            Verdict::Failed => return Ok(plain(StatusCode::PRECONDITION_FAILED)),
            Verdict::NotModified => {
                let mut reply = empty(StatusCode::NOT_MODIFIED);
                self.describe(reply.headers_mut(), &validators);
                return Ok(reply);
            }
            Verdict::Serve => {}
        }
        let size = found.seen.len();
        let kind = content_type(&found.name);
        let is_get = request.method == Method::GET;
        let selection = if is_get { asked(&request.headers, &validators, size) } else { Selection::Whole };
        let mut reply = empty(StatusCode::OK);
        let headers = reply.headers_mut();
        let pieces = match selection {
            Selection::Unsatisfiable => {
                let mut reply = plain(StatusCode::RANGE_NOT_SATISFIABLE);
                reply.headers_mut().insert(CONTENT_RANGE, value(&format!("bytes */{size}")));
                return Ok(reply);
            }
            Selection::Whole => {
                headers.insert(CONTENT_TYPE, kind);
                if size > 0 { vec![Piece::Slice(Slice { start: 0, end: size })] } else { Vec::new() }
            }
            Selection::Parts(parts) => {
                let (content_type, pieces) = match *parts.as_slice() {
                    [one] => {
                        headers.insert(CONTENT_RANGE, value(&one.content_range(size)));
                        (kind, vec![Piece::Slice(one)])
                    }
                    _ => multipart(&parts, size, &kind),
                };
                headers.insert(CONTENT_TYPE, content_type);
                *reply.status_mut() = StatusCode::PARTIAL_CONTENT;
                pieces
            }
        };
        self.describe(reply.headers_mut(), &validators);
        let length = if is_get {
            let path = self.folder.path().join(&found.name);
            let opened =
                Opened::new(found.file, &found.seen, path, self.disk.clone(), Arc::clone(&self.aborted));
            *reply.body_mut() = FileBody::from_pieces(opened, pieces).map_err(Miss::Broken)?;
            reply.body().len()
        } else {
            size
        };
        reply.headers_mut().insert(CONTENT_LENGTH, length.into());
        Ok(reply)
    }

    /// What 200, 206 and 304 say alike (RFC 9110 §15.4.5).
    fn describe(&self, headers: &mut HeaderMap, validators: &Validators) {
        let set = |headers: &mut HeaderMap, name: HeaderName, bytes: &[u8]| {
            if let Ok(value) = HeaderValue::from_bytes(bytes) {
                headers.insert(name, value);
            }
        };
        set(headers, ETAG, &validators.tag.to_bytes());
        set(headers, LAST_MODIFIED, httpdate::fmt_http_date(validators.modified).as_bytes());
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        if let Some(value) = &self.cache_control {
            headers.insert(CACHE_CONTROL, value.clone());
        }
    }
}

/// Refuses what is neither a file nor a folder: devices, sockets, pipes.
fn regular(file: File, seen: Metadata, name: &Path) -> Result<Found, Miss> {
    if seen.is_file() { Ok(Found { file, seen, name: name.to_path_buf() }) } else { Err(Miss::NotFound) }
}

fn asked(headers: &HeaderMap, validators: &Validators, size: u64) -> Selection {
    let mut values = headers.get_all(RANGE).iter();
    match (values.next(), values.next()) {
        // Range is not a list field: two of them are nonsense.
        (Some(value), None) if allows_range(headers, validators) => select(value.as_bytes(), size),
        _ => Selection::Whole,
    }
}

/// `multipart/byteranges` (RFC 9110 §14.6). The boundary is random, so that no file can contain it on purpose.
fn multipart(parts: &[Slice], size: u64, kind: &HeaderValue) -> (HeaderValue, Vec<Piece>) {
    let boundary = format!("{:032x}", rand::random::<u128>());
    let mut pieces = Vec::with_capacity(parts.len().saturating_mul(2).saturating_add(1));
    for part in parts {
        let mut head = format!("\r\n--{boundary}\r\nContent-Type: ").into_bytes();
        head.extend_from_slice(kind.as_bytes());
        head.extend_from_slice(format!("\r\nContent-Range: {}\r\n\r\n", part.content_range(size)).as_bytes());
        pieces.push(Piece::Text(head.into()));
        pieces.push(Piece::Slice(*part));
    }
    pieces.push(Piece::Text(format!("\r\n--{boundary}--\r\n").into()));
    (value(&format!("multipart/byteranges; boundary={boundary}")), pieces)
}

fn add_slash(target: &Target, query: Option<&str>) -> Reply {
    let mut reply = plain(StatusCode::PERMANENT_REDIRECT);
    let location =
        HeaderValue::from_str(&target.with_slash(query)).unwrap_or_else(|_| value(&target.with_slash(None)));
    reply.headers_mut().insert(LOCATION, location);
    reply
}

/// A value made of visible ASCII.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(FileBody::default());
    *reply.status_mut() = status;
    reply
}

/// The status in words: errors tell nothing about the folder.
fn plain(status: StatusCode) -> Reply {
    let text = format!("{} {}\n", status.as_u16(), status.canonical_reason().unwrap_or("Error"));
    let mut reply = Response::new(FileBody::text(text));
    *reply.status_mut() = status;
    let length = reply.body().len();
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CONTENT_LENGTH, length.into());
    reply
}

#[cfg(test)]
mod tests;
