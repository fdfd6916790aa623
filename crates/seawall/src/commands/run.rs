//! `seawall run`.

use std::path::Path;

use super::Failure;
use crate::load::Loaded;
use crate::server;

/// Serves until told to stop.
pub(crate) fn run(file: &Path) -> Result<(), Failure> {
    let loaded = Loaded::read(file);
    let report = loaded.report();
    let Some(settings) = loaded.sound() else { return Err(Failure::text(report)) };
    eprint!("{report}");
    server::run(settings).map_err(Failure::sentence)
}
