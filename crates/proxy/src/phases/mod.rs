//! The phases of a request, in the order in which it meets them.

pub(crate) mod admit;
pub(crate) mod background;
pub(crate) mod encode;
pub(crate) mod fetch;
pub(crate) mod interim;
pub(crate) mod invalidate;
pub(crate) mod lookup;
pub(crate) mod parts;
pub(crate) mod post;
pub(crate) mod ranges;
pub(crate) mod record;
pub(crate) mod refresh;
pub(crate) mod respond;
pub(crate) mod route;
pub(crate) mod select;
pub(crate) mod store;
