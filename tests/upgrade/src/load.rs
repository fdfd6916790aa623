//! Requests at a fixed rate, whatever becomes of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use seawall_testkit::{Call, H2Client, H2Error, RawClient, Response};

/// How a client of the load connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// HTTP/1.1, a connection for each request.
    Fresh,
    /// HTTP/1.1, one connection for as long as it lasts. The server may close it with an answer; a close without one is a
    /// failure.
    KeepAlive,
    /// HTTP/2 without TLS, one connection until the server says goodbye.
    H2,
}

/// What came of a load.
#[derive(Debug, Default)]
pub struct Tally {
    /// Requests with a whole answer that was as it should be.
    pub good: u64,
    /// What was wrong with the others.
    pub failures: Vec<String>,
    /// The numbers of the good requests, as they were sent in `X-Sequence`.
    pub sequences: Vec<String>,
    /// Connections opened by clients that keep theirs.
    pub kept: u64,
}

impl Tally {
    /// Nothing failed, and there was something to fail.
    ///
    /// # Panics
    /// Otherwise, with the first failures.
    #[track_caller]
    pub fn assert_clean(&self, least: u64) {
        let shown: Vec<&String> = self.failures.iter().take(10).collect();
        assert!(self.failures.is_empty(), "{} of {} failed: {shown:#?}", self.failures.len(), self.good);
        assert!(self.good >= least, "only {} requests were made", self.good);
    }
}

/// Says whether an answer is as it should be. It is called before a request as well, and gives what it must know of
/// that moment to the judgement of the answer.
pub type Judge = Arc<dyn Fn() -> Box<dyn FnOnce(&Response) -> Result<(), String>> + Send + Sync>;

/// Clients that send, each by its own timetable: a slow answer makes the next request late but never fewer.
pub struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Tally>>,
}

impl Load {
    /// Starts `clients`, each with this many requests for `call` a second.
    #[must_use]
    pub fn start(address: &str, call: &Call, clients: &[Client], per_second: u32, judge: Judge) -> Self {
        let (stop, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let clients = clients
            .iter()
            .enumerate()
            .map(|(number, client)| {
                let worker = Worker {
                    number,
                    client: *client,
                    address: address.to_owned(),
                    call: call.clone(),
                    every: Duration::from_secs(1) / per_second,
                    // So that they do not all send at the same moment.
                    offset: Duration::from_millis(number as u64 * 7),
                    judge: Arc::clone(&judge),
                    stop: Arc::clone(&stop),
                    sent: Arc::clone(&sent),
                };
                std::thread::spawn(move || worker.run())
            })
            .collect();
        Self { stop, sent, clients }
    }

    /// Requests sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Ends it.
    ///
    /// # Panics
    /// A client did.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test fails by panicking")]
    pub fn finish(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        for client in self.clients {
            let tally = client.join().expect("a client of the load");
            all.good += tally.good;
            all.kept += tally.kept;
            all.sequences.extend(tally.sequences);
            all.failures.extend(tally.failures);
        }
        all
    }
}

struct Worker {
    number: usize,
    client: Client,
    address: String,
    call: Call,
    every: Duration,
    offset: Duration,
    judge: Judge,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

/// A connection that may be used again.
#[derive(Default)]
struct Kept {
    h1: Option<RawClient>,
    h2: Option<H2Client>,
}

impl Worker {
    fn run(self) -> Tally {
        let (mut tally, mut kept) = (Tally::default(), Kept::default());
        let mut due = Instant::now() + self.offset;
        while !self.stop.load(Ordering::Relaxed) {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            due += self.every;
            self.sent.fetch_add(1, Ordering::Relaxed);
            let judge = (self.judge)();
            let sequence = format!("{}-{}", self.number, tally.good + tally.failures.len() as u64);
            let call = self.call.clone().header("X-Sequence", &sequence);
            match self.exchange(&call, &mut kept, &mut tally).and_then(|response| judge(&response)) {
                Ok(()) => {
                    tally.good += 1;
                    tally.sequences.push(sequence);
                }
                Err(why) => {
                    kept = Kept::default();
                    tally.failures.push(format!("{:?}: {why}", self.client));
                }
            }
        }
        tally
    }

    fn exchange(&self, call: &Call, kept: &mut Kept, tally: &mut Tally) -> Result<Response, String> {
        if self.client == Client::H2 {
            return self.exchange_h2(call, kept, tally);
        }
        let mut connection = match kept.h1.take() {
            Some(connection) => connection,
            None => {
                tally.kept += u64::from(self.client == Client::KeepAlive);
                RawClient::try_tcp(&self.address).map_err(|error| format!("connect: {error}"))?
            }
        };
        let response = connection.exchange(call).map_err(|error| error.to_string())?;
        let closes = response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if self.client == Client::KeepAlive && !closes {
            kept.h1 = Some(connection);
        }
        Ok(response)
    }

    fn exchange_h2(&self, call: &Call, kept: &mut Kept, tally: &mut Tally) -> Result<Response, String> {
        // A GOAWAY lets the requests before it finish and refuses new ones unseen: those are sent elsewhere, as every
        // client does (RFC 9113 section 6.8).
        for fresh in [false, true] {
            if fresh || kept.h2.as_ref().is_none_or(H2Client::has_ended) {
                tally.kept += 1;
                kept.h2 = Some(H2Client::tcp(&self.address).map_err(|error| format!("connect: {error}"))?);
            }
            let Some(connection) = &kept.h2 else { break };
            match connection.start(call) {
                Ok(stream) => match stream.finish() {
                    // After the last stream that the goodbye says was seen.
                    Err(H2Error::GoAway(0)) if !fresh => {}
                    outcome => return outcome.map_err(|error| error.to_string()),
                },
                Err(error) if fresh => return Err(error.to_string()),
                Err(_) => {}
            }
        }
        Err("no connection".into())
    }
}
