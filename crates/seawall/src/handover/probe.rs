//! The health of a new process, asked for over a connection of its own and answered by what will serve.

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

use pingora::apps::ServerApp as _;
use pingora::protocols::l4::stream::Stream;
use pingora::server::ShutdownWatch;
use seawall_admin::AdminApp;
use seawall_listen::Channel;
use serde_json::Value;
use tokio::sync::mpsc;

use super::message::{Message, send};

/// No answer is larger.
const MAX_ANSWER: u64 = 64 * 1024;
const REQUEST: &[u8] = b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Answers the process before, on the threads that will serve, while the doors are closed.
pub(crate) struct Health {
    pub(crate) asked: mpsc::Receiver<UnixStream>,
    pub(crate) app: Arc<AdminApp>,
}

impl Health {
    /// Answers one question after the other; never returns while questions may come.
    pub(crate) async fn answer(&mut self, shutdown: &ShutdownWatch) {
        while let Some(stream) = self.asked.recv().await {
            match stream.set_nonblocking(true).and_then(|()| tokio::net::UnixStream::from_std(stream)) {
                Ok(stream) => {
                    let _ = self.app.process_new(Box::new(Stream::from(stream)), shutdown).await;
                }
                Err(error) => log::error!("the process before cannot be answered: {error}"),
            }
        }
        std::future::pending().await
    }
}

/// Asks the process at the other end, which calls itself `instance`.
pub(super) fn ask(channel: &Channel, until: Instant, instance: &str) -> Result<(), String> {
    let answer = exchange(channel, until).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            "the new process hangs: no answer when asked for its health until server.upgrade_timeout"
                .to_owned()
        }
        _ => format!("the new process ended while asked for its health: {error}"),
    })?;
    judge(&answer, instance)
}

fn exchange(channel: &Channel, until: Instant) -> io::Result<Vec<u8>> {
    let (mut ours, theirs) = UnixStream::pair()?;
    send(channel, &Message::Ask, &[theirs.as_fd()])?;
    drop(theirs);
    ours.write_all(REQUEST)?;
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        ours.set_read_timeout(Some(left))?;
        match ours.read(&mut piece) {
            Ok(0) => return Ok(answer),
            Ok(_) if answer.len() as u64 > MAX_ANSWER => return Err(io::ErrorKind::InvalidData.into()),
            Ok(count) => answer.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn judge(answer: &[u8], instance: &str) -> Result<(), String> {
    let text = String::from_utf8_lossy(answer);
    if text.is_empty() {
        return Err("the new process ended while asked for its health".into());
    }
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let line = head.lines().next().unwrap_or_default();
    if !line.starts_with("HTTP/1.1 200 ") {
        return Err(format!("asked for its health the new process says `{line}`"));
    }
    let said: Value = serde_json::from_str(body)
        .map_err(|error| format!("asked for its health the new process makes no sense: {error}"))?;
    if said["instance"] != instance {
        return Err(format!("another process than the new one answers for it: {}", said["instance"]));
    }
    if said["state"] != "prepared" {
        return Err(format!("the new process is not ready to take over: its state is {}", said["state"]));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::judge;

    #[test]
    fn only_a_whole_answer_of_that_process_counts() {
        let answer =
            |status: &str, body: &str| format!("HTTP/1.1 {status}\r\nX: y\r\n\r\n{body}").into_bytes();
        let good = r#"{"instance":"me","state":"prepared"}"#;
        assert_eq!(judge(&answer("200 OK", good), "me"), Ok(()));
        for (answer, reason) in [
            (Vec::new(), "ended"),
            (answer("503 Service Unavailable", good), "says `HTTP/1.1 503"),
            (answer("200 OK", &good[..20]), "makes no sense"),
            (answer("200 OK", r#"{"instance":"other","state":"prepared"}"#), "another process"),
            (answer("200 OK", r#"{"instance":"me","state":"leaving"}"#), "\"leaving\""),
            (answer("200 OK", "{}"), "another process"),
            (b"HTTP/1.1 200 OK".to_vec(), "makes no sense"),
        ] {
            let error = judge(&answer, "me").unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
