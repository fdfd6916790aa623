//! A DNS server for a test, over UDP on the loopback.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use crate::wait::{DEADLINE, OrDie, eventually};

/// How long the server listens before it looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(20);
const A: u16 = 1;
const AAAA: u16 = 28;
const INTERNET: u16 = 1;
const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;

/// A server that answers questions for addresses as it is told. Dropping it closes its port.
#[derive(Debug)]
pub struct Dns {
    address: SocketAddr,
    book: Arc<Book>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Book {
    names: Mutex<BTreeMap<String, Entry>>,
    asked: Mutex<BTreeMap<String, usize>>,
    mute: AtomicBool,
    failing: AtomicBool,
    stop: AtomicBool,
}

#[derive(Debug, Clone)]
struct Entry {
    addresses: Vec<IpAddr>,
    ttl: u32,
}

impl Default for Dns {
    fn default() -> Self {
        Self::start()
    }
}

impl Dns {
    /// A server that knows no name yet.
    ///
    /// # Panics
    /// There is no free port.
    #[must_use]
    pub fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").or_die("bind a UDP port");
        socket.set_read_timeout(Some(LOOK)).or_die("set a read timeout");
        let address = socket.local_addr().or_die("read the address");
        let book = Arc::new(Book::default());
        let thread = std::thread::spawn({
            let book = Arc::clone(&book);
            move || serve(&socket, &book)
        });
        Self { address, book, thread: Some(thread) }
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn addr(&self) -> String {
        self.address.to_string()
    }

    /// From now on `name` has these addresses, for so many seconds.
    ///
    /// # Panics
    /// One of them is no address.
    #[track_caller]
    pub fn tell(&self, name: &str, addresses: &[&str], ttl: u32) {
        let addresses = addresses.iter().map(|text| text.parse().or_die("read an address")).collect();
        self.book.names.lock().insert(name.to_owned(), Entry { addresses, ttl });
    }

    /// Whether it takes questions and says nothing.
    pub fn mute(&self, mute: bool) {
        self.book.mute.store(mute, Ordering::SeqCst);
    }

    /// Whether it answers every question with SERVFAIL.
    pub fn fail(&self, failing: bool) {
        self.book.failing.store(failing, Ordering::SeqCst);
    }

    /// How often it was asked for `name`, whichever kind of address.
    #[must_use]
    pub fn asked(&self, name: &str) -> usize {
        self.book.asked.lock().get(name).copied().unwrap_or_default()
    }

    /// Waits until it has been asked for `name` at least so often.
    ///
    /// # Panics
    /// It is not within [`DEADLINE`].
    #[track_caller]
    pub fn wait_asked(&self, name: &str, times: usize) {
        eventually(DEADLINE, &format!("{times} questions for {name}"), || {
            let asked = self.asked(name);
            if asked >= times { Ok(()) } else { Err(format!("{asked} so far")) }
        });
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.book.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // If it panicked, the test has long seen that nobody answers.
            let _ = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, book: &Book) {
    let mut packet = [0; 1500];
    while !book.stop.load(Ordering::SeqCst) {
        let Ok((length, from)) = socket.recv_from(&mut packet) else { continue };
        let Some(question) = Question::read(&packet[..length]) else { continue };
        *book.asked.lock().entry(question.name.clone()).or_default() += 1;
        if !book.mute.load(Ordering::SeqCst) {
            // Who asked may have gone; nobody misses the answer then.
            let _ = socket.send_to(&question.answer(book), from);
        }
    }
}

/// The one question of a query (RFC 1035 section 4.1).
struct Question {
    id: [u8; 2],
    name: String,
    kind: u16,
    /// Name, type and class as they came, to be sent back.
    raw: Vec<u8>,
}

impl Question {
    fn read(packet: &[u8]) -> Option<Self> {
        let id = [*packet.first()?, *packet.get(1)?];
        let mut at = 12;
        let mut labels = Vec::new();
        loop {
            let length = usize::from(*packet.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            labels.push(String::from_utf8_lossy(packet.get(at..at + length)?).to_ascii_lowercase());
            at += length;
        }
        let kind = u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]);
        let raw = packet.get(12..at + 4)?.to_vec();
        Some(Self { id, name: labels.join("."), kind, raw })
    }

    fn answer(&self, book: &Book) -> Vec<u8> {
        let entry = book.names.lock().get(&self.name).cloned();
        let code = match &entry {
            _ if book.failing.load(Ordering::SeqCst) => SERVFAIL,
            Some(_) => 0,
            None => NXDOMAIN,
        };
        let records: Vec<Vec<u8>> = match entry {
            Some(entry) if code == 0 => {
                entry.addresses.iter().filter_map(|address| self.record(*address, entry.ttl)).collect()
            }
            _ => Vec::new(),
        };
        // A response, recursion desired and available.
        let mut out = vec![self.id[0], self.id[1], 0x81, 0x80 | code, 0, 1];
        out.extend(u16::try_from(records.len()).unwrap_or_default().to_be_bytes());
        out.extend([0; 4]);
        out.extend(&self.raw);
        out.extend(records.concat());
        out
    }

    /// A record of this address, when that kind was asked for. Its name points to the question's.
    fn record(&self, address: IpAddr, ttl: u32) -> Option<Vec<u8>> {
        let data = match (address, self.kind) {
            (IpAddr::V4(v4), A) => v4.octets().to_vec(),
            (IpAddr::V6(v6), AAAA) => v6.octets().to_vec(),
            _ => return None,
        };
        let mut out = vec![0xc0, 12];
        out.extend(self.kind.to_be_bytes());
        out.extend(INTERNET.to_be_bytes());
        out.extend(ttl.to_be_bytes());
        out.extend(u16::try_from(data.len()).unwrap_or_default().to_be_bytes());
        out.extend(data);
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A query for `app.example`.
    fn ask(dns: &Dns, kind: u16) -> Option<Vec<u8>> {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut query = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend(b"\x03App\x07example\x00");
        query.extend(kind.to_be_bytes());
        query.extend(INTERNET.to_be_bytes());
        socket.send_to(&query, dns.addr()).unwrap();
        let mut packet = [0; 512];
        let length = socket.recv(&mut packet).ok()?;
        Some(packet[..length].to_vec())
    }

    #[test]
    fn it_says_what_it_is_told() {
        let dns = Dns::start();
        let unknown = ask(&dns, A).unwrap();
        assert_eq!((&unknown[..2], unknown[3] & 15, unknown[7]), (&[7, 9][..], NXDOMAIN, 0));
        dns.tell("app.example", &["127.0.0.2", "::1", "127.0.0.3"], 60);
        let known = ask(&dns, A).unwrap();
        assert_eq!((known[3] & 15, known[7]), (0, 2), "only what was asked for");
        assert!(known.ends_with(&[0, 4, 127, 0, 0, 3]));
        assert_eq!(ask(&dns, AAAA).unwrap()[7], 1);
        dns.fail(true);
        assert_eq!(ask(&dns, A).unwrap()[3] & 15, SERVFAIL);
        dns.mute(true);
        assert_eq!(ask(&dns, A), None);
        assert_eq!(dns.asked("app.example"), 5);
    }
}
