//! Why a folder cannot be served.

use std::io;
use std::path::PathBuf;

/// What is wrong with the settings of a folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// No folder was named.
    #[error("no folder to serve was given")]
    NoRoot,
    /// The working directory, which a relative root starts from, is gone or closed to us.
    #[error("cannot find the working directory, from which `{}` starts: {source}", .root.display())]
    NoWorkingDirectory {
        /// The root as it was written.
        root: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder cannot be opened for reading.
    #[error("cannot read the folder `{}`: {source}", .root.display())]
    Unreadable {
        /// The folder, as an absolute path.
        root: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The path names something else than a folder.
    #[error("`{}` is not a folder", .root.display())]
    NotAFolder {
        /// The path, made absolute.
        root: PathBuf,
    },
    /// An index entry is not a plain file name.
    #[error("`{name}` is not a plain file name")]
    Index {
        /// The entry as it was written.
        name: String,
    },
    /// The value does not fit into a header.
    #[error("`{value}` cannot be sent as a header value")]
    CacheControl {
        /// The value as it was written.
        value: String,
    },
    /// With no connection allowed, nothing would ever be served.
    #[error("at least one connection must be allowed")]
    NoConnections,
    /// With no read allowed, nothing would ever be served.
    #[error("at least one read at a time must be allowed")]
    NoReads,
}

impl FilesError {
    /// The settings key it is about.
    pub(crate) fn key(&self) -> &'static str {
        match self {
            Self::NoRoot
            | Self::NoWorkingDirectory { .. }
            | Self::Unreadable { .. }
            | Self::NotAFolder { .. } => "root",
            Self::Index { .. } => "index",
            Self::CacheControl { .. } => "cache_control",
            Self::NoConnections => "max_connections",
            Self::NoReads => "max_reads",
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::NoRoot => "write the folder, as in `files: ./conf/site`".into(),
            Self::NoWorkingDirectory { .. } => "write an absolute path".into(),
            Self::Unreadable { root, source } if source.kind() == io::ErrorKind::NotFound => format!(
                "create it or correct the path; a relative path starts from the folder Seawall is started in \
                 (looked for `{}`)",
                root.display()
            ),
            Self::Unreadable { .. } => "the user Seawall runs as must be able to read it".into(),
            Self::NotAFolder { .. } => "name the folder that holds the files".into(),
            Self::Index { .. } => "write a name such as `index.html`, without `/`".into(),
            Self::CacheControl { .. } => {
                "write one line of visible characters, as in `public, max-age=3600`".into()
            }
            Self::NoConnections | Self::NoReads => {
                "remove the key to get the default, or write 1 or more".into()
            }
        }
    }
}
