//! What the API can ask for, and how it is answered.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

/// What a request comes to: JSON, or why not.
pub type Reply = Result<Value, Fault>;

/// The running process, as the API sees it.
#[async_trait]
pub trait Control: Send + Sync + 'static {
    /// Whether requests should be sent here.
    fn readiness(&self) -> Readiness;
    /// The process and its configuration in a few words.
    fn status(&self) -> Reply;
    /// The configuration in effect, secrets masked.
    fn plan(&self) -> Reply;
    /// Every pool, or the one of this name.
    fn pools(&self, name: Option<&str>) -> Reply;
    /// Orders for a server of a pool.
    fn order(&self, pool: &str, order: &Order) -> Reply;
    /// The cache in numbers.
    fn cache(&self) -> Reply;
    /// Takes a response out of the cache.
    async fn purge(&self, purge: Purge) -> Reply;
    /// Client connections in numbers.
    fn connections(&self) -> Reply;
    /// Certificates and their dates.
    fn certificates(&self) -> Reply;
    /// The level of the process log, after setting it when one is given.
    fn log_level(&self, level: Option<&str>) -> Reply;
    /// Reads the configuration anew.
    async fn reload(&self) -> Reply;
    /// Exchanges the process for a new one of the binary on disk.
    async fn upgrade(&self) -> Reply;
    /// Ends the process, after draining unless `now`.
    fn stop(&self, now: bool) -> Reply;
    /// Hears of each answer, for metrics: what was asked, and the status.
    fn answered(&self, what: &'static str, status: u16);
}

/// Whether requests should be sent to this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readiness {
    /// Whether they should.
    pub ready: bool,
    /// Why not, or `ready`.
    pub state: &'static str,
}

/// `POST /v1/pools/{pool}/servers`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The server as it is written in the settings, or one of its addresses.
    pub server: String,
    /// Whether to drain it; absent leaves that as it is, null leaves it to the settings.
    #[serde(default, deserialize_with = "given")]
    pub drain: Option<Option<bool>>,
    /// Its share; absent leaves that as it is, null leaves it to the settings.
    #[serde(default, deserialize_with = "given")]
    pub weight: Option<Option<u32>>,
}

/// Tells `null` from a key that is not there.
fn given<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(from).map(Some)
}

/// Names in one purge, at most.
pub const MAX_PURGED: usize = 1000;

/// `POST /v1/purge`: everything that is named goes, in any combination.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Purge {
    /// One URL as a client asks for it, scheme and host included; the same as `urls` with one.
    pub url: Option<String>,
    /// URLs.
    pub urls: Vec<String>,
    /// Keys of objects, in hexadecimal digits.
    pub keys: Vec<String>,
    /// Tags that origins gave their responses.
    pub tags: Vec<String>,
    /// Hosts with a path: what is there and beneath.
    pub prefixes: Vec<String>,
    /// Hosts.
    pub hosts: Vec<String>,
    /// All there is.
    pub everything: bool,
    /// Keep the responses, but ask the origin before they are used again. When not given: not for URLs and keys, for all else.
    pub soft: Option<bool>,
    /// Only in this zone of the cache. In all when not given.
    pub zone: Option<String>,
}

impl Purge {
    /// How many names it has.
    #[must_use]
    pub fn len(&self) -> usize {
        let lists = [&self.urls, &self.keys, &self.tags, &self.prefixes, &self.hosts];
        let listed: usize = lists.iter().map(|list| list.len()).sum();
        listed + usize::from(self.url.is_some()) + usize::from(self.everything)
    }

    /// Whether it names nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// The HTTP status.
    pub status: u16,
    /// A fixed word for programs.
    pub code: &'static str,
    /// A sentence for people.
    pub message: String,
    /// More, when there is more: the diagnostics of a refused configuration.
    pub details: Option<Value>,
}

impl Fault {
    /// A fault without details.
    #[must_use]
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: None }
    }

    /// The body of the answer.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let (Some(details), Some(map)) = (&self.details, error.as_object_mut()) {
            map.insert("details".into(), details.clone());
        }
        json!({ "error": error })
    }
}
