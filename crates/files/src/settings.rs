//! What the configuration says about a served folder.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use http::HeaderValue;
use schemars::JsonSchema;
use seawall_config::units::Span;
use seawall_config::{Diagnostics, OneOrMany};
use serde::{Deserialize, Serialize};

use crate::FilesError;

/// A folder served as an origin. As a text it is the folder; as a map it takes more settings.
///
/// Only `GET`, `HEAD` and `OPTIONS` are answered, folders are never listed, and symbolic links that lead out of
/// the folder are refused (absolute links always are, even to a place inside).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilesSettings {
    /// The folder to serve. A relative path starts from the folder Seawall is started in, not from the
    /// configuration file's. It is opened anew for each request, so a link that is switched to a new release
    /// takes effect at once.
    pub root: PathBuf,
    /// The file names tried, in order, for a path that ends in `/`. With an empty list, or when none of them
    /// exists, such a path is 404.
    #[serde(default = "default_index")]
    pub index: OneOrMany<String>,
    /// The `Cache-Control` value to send with files. Without it none is sent, and the route's cache rules decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<String>,
    /// Whether files and folders whose names begin with a dot are served. When off they are 404, except
    /// `/.well-known/`, which RFC 8615 makes public.
    #[serde(default)]
    pub dot_files: bool,
    /// How many connections Pingora may hold open to this folder, idle ones included. Each takes two file
    /// descriptors, and one more and 64 KiB of memory while a file is being sent. Beyond it, a new connection waits (see `wait`).
    #[serde(default = "default_max_connections")]
    pub max_connections: u32,
    /// How many requests may wait for a connection. Beyond it they fail at once, as if the origin refused to
    /// connect.
    #[serde(default = "default_max_waiting")]
    pub max_waiting: u32,
    /// How long a request waits for a connection before it fails as a connect timeout. `0` never waits.
    #[serde(default = "default_wait")]
    pub wait: Span,
    /// How many reads may be at the disk at once, each on a thread of its own. Beyond it, reads wait their turn; as a
    /// connection has one read at a time, no more than `max_connections` ever wait.
    #[serde(default = "default_max_reads")]
    pub max_reads: u32,
}

fn default_index() -> OneOrMany<String> {
    vec!["index.html".to_owned()].into()
}

const fn default_max_connections() -> u32 {
    512
}

const fn default_max_waiting() -> u32 {
    1024
}

const fn default_wait() -> Span {
    Span::secs(1)
}

const fn default_max_reads() -> u32 {
    32
}

impl FromStr for FilesSettings {
    type Err = Infallible;

    /// The short form: the folder. An empty text is found by [`FilesSettings::check`].
    fn from_str(root: &str) -> Result<Self, Infallible> {
        Ok(Self::for_root(root))
    }
}

impl FilesSettings {
    /// The defaults for one folder.
    #[must_use]
    pub fn for_root(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            index: default_index(),
            cache_control: None,
            dot_files: false,
            max_connections: default_max_connections(),
            max_waiting: default_max_waiting(),
            wait: default_wait(),
            max_reads: default_max_reads(),
        }
    }

    /// Reports everything wrong with these settings. `at` is where they stand; `relative_to` is the folder that a
    /// relative root starts from, which is the working directory when [`crate::FilesOrigin`] is built.
    pub fn check(&self, at: &seawall_config::Path, out: &mut Diagnostics, relative_to: &Path) {
        for problem in self.problems(relative_to) {
            out.error(&at.key(problem.key()), problem.to_string()).hint(problem.hint());
        }
        if self.root == Path::new("/") {
            out.warning(&at.key("root"), "this serves every file of the machine that Seawall can read")
                .hint("name the folder that is meant to be public");
        }
        let asks_for_a_line = self.max_waiting > 0 && self.max_waiting != default_max_waiting();
        if asks_for_a_line && self.wait.is_zero() {
            out.warning(&at.key("max_waiting"), "no request ever waits, because `wait` is 0")
                .hint("give `wait` a time such as `1s`, or remove `max_waiting`");
        }
    }

    /// Every reason why [`crate::FilesOrigin::new`] would refuse, in the order of the keys.
    pub(crate) fn problems(&self, relative_to: &Path) -> Vec<FilesError> {
        let mut found: Vec<FilesError> = check_root(&self.root, relative_to).err().into_iter().collect();
        found.extend(
            self.index
                .iter()
                .filter(|name| !is_plain_name(name))
                .map(|n| FilesError::Index { name: n.clone() }),
        );
        if let Some(value) = &self.cache_control
            && (value.trim().is_empty() || HeaderValue::from_str(value).is_err())
        {
            found.push(FilesError::CacheControl { value: value.escape_debug().to_string() });
        }
        if self.max_connections == 0 {
            found.push(FilesError::NoConnections);
        }
        if self.max_reads == 0 {
            found.push(FilesError::NoReads);
        }
        found
    }
}

fn check_root(root: &Path, relative_to: &Path) -> Result<(), FilesError> {
    if root.as_os_str().is_empty() {
        return Err(FilesError::NoRoot);
    }
    let root = relative_to.join(root);
    let unreadable = |source| FilesError::Unreadable { root: root.clone(), source };
    if !std::fs::metadata(&root).map_err(unreadable)?.is_dir() {
        return Err(FilesError::NotAFolder { root });
    }
    std::fs::read_dir(&root).map(drop).map_err(unreadable)
}

fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', '\0'])
}

#[cfg(test)]
mod tests;
