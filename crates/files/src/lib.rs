//! A folder served as if it were an origin, so that its files pass through the cache like any origin's.
//!
//! Pingora reaches it as a peer, without a port and without a socket on disk: [`FilesOrigin::peer`] carries a
//! connector that makes a socket pair, hands one end to Pingora and serves HTTP/1.1 on the other.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use seawall_files::{FilesOrigin, FilesSettings};
//!
//! let settings: FilesSettings = "./src".parse()?;
//! let origin = FilesOrigin::new(&settings)?;
//! let peer = origin.peer(); // what `upstream_peer` returns
//! assert_eq!(origin.stats().open, 0);
//! # drop(peer);
//! # Ok(())
//! # }
//! ```
//!
//! A request is answered in one visit to the blocking pool: find the file, judge the conditions, choose
//! the ranges, read the first chunk. Only long bodies come back for more.

mod body;
mod conditional;
mod connect;
mod content_type;
mod disk;
mod error;
mod folder;
mod origin;
mod range;
mod respond;
mod settings;
mod target;
mod validators;

pub use error::FilesError;
pub use origin::{FilesOrigin, FilesStats};
pub use settings::FilesSettings;
