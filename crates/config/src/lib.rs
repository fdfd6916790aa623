//! YAML to typed settings, with diagnostics that name the line.
//!
//! A configuration goes through four stages, and this crate owns the first three:
//!
//! 1. [`Document::load`] reads the file (and the site files it includes), substitutes `${ENV}` and keeps
//!    the file, line and column of every key and value.
//! 2. [`Document::decode`] turns the tree into a capability's typed settings with `serde_yaml`. It does not
//!    stop at the first error: what is wrong is reported, taken out, and decoding goes on.
//! 3. Each capability checks its own settings and reports to [`Diagnostics`] by [`Path`].
//! 4. The binary resolves the checked settings into an immutable plan.
//!
//! ```
//! use seawall_config::{Diagnostics, Document};
//!
//! #[derive(Default, serde::Deserialize)]
//! #[serde(default, deny_unknown_fields)]
//! struct Settings { threads: u32 }
//!
//! let mut out = Diagnostics::default();
//! let mut document = Document::from_text("seawall.yaml", "thread: 2\n", &mut out).unwrap();
//! let settings: Option<Settings> = document.decode(&mut out);
//! assert!(settings.is_some());
//! let text = out.render(&document);
//! assert!(text.contains("seawall.yaml:1:1"), "{text}");
//! assert!(text.contains("did you mean `threads`?"), "{text}");
//! ```

mod decode;
mod diagnostic;
mod document;
mod environment;
mod include;
mod node;
mod path;
mod reference;
mod shape;
mod suggest;
pub mod units;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use document::Document;
pub use node::{Location, Node, NodeValue};
pub use path::{Path, Segment};
pub use reference::{markdown_reference, strict_schema};
pub use shape::{OneOrMany, Short, from_str_or_map};
pub use suggest::did_you_mean;
