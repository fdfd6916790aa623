//! One transfer with curl.

use seawall_testkit::{Finished, OrDie, curl};

/// What curl got.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The version as curl names it: `1.0`, `1.1` or `2`.
    pub version: String,
    /// The status code.
    pub status: u16,
    /// The statuses of the 1xx answers before it.
    pub interim: Vec<u16>,
    /// The fields in order, names in lower case.
    pub fields: Vec<(String, String)>,
    /// The content; decoded if curl was asked to.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of the first field of this name (in lower case).
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// What the cache says it did; empty without a cache.
    #[must_use]
    pub fn cache(&self) -> &str {
        self.field("cache-status").unwrap_or_default()
    }

    /// The content as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Fetches a URL from whoever listens at `address`, whatever the URL's host, with these further arguments.
///
/// # Panics
/// curl fails; the message has its own.
#[track_caller]
#[must_use]
pub fn fetch(address: &str, url: &str, args: &[&str]) -> Answer {
    match try_fetch(address, url, args) {
        Ok(answer) => answer,
        Err(failed) => panic!("curl {url} {args:?}: {failed:?}"),
    }
}

/// Like [`fetch`], where a failure of curl is a possible outcome.
///
/// # Errors
/// How curl ended.
///
/// # Panics
/// There is no room for temporary files.
#[track_caller]
pub fn try_fetch(address: &str, url: &str, args: &[&str]) -> Result<Answer, Finished> {
    let folder = seawall_testkit::folder();
    let body = folder.path().join("body");
    let (connect, file) = (format!("::{address}"), body.display().to_string());
    let mut all =
        vec!["-D", "-", "-o", &file, "-w", "%{http_version} %{http_code}", "--connect-to", &connect];
    all.extend_from_slice(args);
    all.push(url);
    let done = curl(&all);
    if done.code != Some(0) {
        return Err(done);
    }
    let body = std::fs::read(&body).unwrap_or_default();
    Ok(read(&done.stdout, body).or_die(&format!("read curl's output {:?}", done.stdout)))
}

/// Heads of all answers, each with an empty line behind it, and the line of `-w`.
fn read(output: &str, body: Vec<u8>) -> Option<Answer> {
    let (heads, written) = output.rsplit_once('\n')?;
    let (version, status) = written.split_once(' ')?;
    let heads: Vec<&str> = heads.split("\r\n\r").map(str::trim).filter(|head| !head.is_empty()).collect();
    let (last, earlier) = heads.split_last()?;
    let code = |head: &&str| head.split(' ').nth(1)?.trim().parse().ok();
    let field = |line: &str| {
        let (name, value) = line.trim_end().split_once(':')?;
        Some((name.to_lowercase(), value.trim().to_owned()))
    };
    Some(Answer {
        version: version.to_owned(),
        status: status.parse().ok()?,
        interim: earlier.iter().map(code).collect::<Option<_>>()?,
        fields: last.lines().skip(1).filter_map(field).collect(),
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn heads_are_told_apart() {
        let output = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\nX: y: z\r\n\r\n1.1 200";
        let answer = read(output, Vec::new()).unwrap();
        assert_eq!(
            (answer.status, answer.version.as_str(), answer.interim.as_slice()),
            (200, "1.1", &[100][..])
        );
        assert_eq!(
            (answer.field("a"), answer.field("x"), answer.field("b")),
            (Some("b"), Some("y: z"), None)
        );
    }
}
