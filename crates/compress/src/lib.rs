//! Content codings: which one a client gets, which responses may be coded, what their heads become, and the encoders.
//!
//! Nothing here knows of Pingora or of the cache. A request is asked once what coding it is to have
//! ([`CompressPolicy::choose`]); a response is asked whether it may have one ([`CompressPolicy::assess`]); then
//! [`representation`] says what its head becomes and a [`Stream`] codes its body piece by piece, each piece flushed, so
//! that no byte waits for the next.

mod coding;
mod encoder;
mod fields;
mod media;
mod negotiate;
mod policy;
pub mod representation;
mod settings;
mod stream;

pub use coding::Coding;
pub use fields::content_length;
pub use negotiate::choose;
pub use policy::{CompressPolicy, Unfit, forbids_transform, is_grpc};
pub use settings::{AskOrigin, CompressSettings, LevelSettings};
pub use stream::{Stream, StreamOptions};
