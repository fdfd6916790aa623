//! `seawall run`.

use std::path::Path;

use super::Failure;
use crate::handover::{self, Inheritance};
use crate::load::Loaded;
use crate::server;

/// Serves until told to stop.
pub(crate) fn run(file: &Path) -> Result<(), Failure> {
    let channel = Inheritance::channel().map_err(Failure::sentence)?;
    let loaded = Loaded::read(file);
    let report = loaded.report();
    let Some(settings) = loaded.sound() else {
        if let Some(channel) = &channel {
            handover::fail(channel, &format!("the configuration is refused:\n{report}"));
        }
        return Err(Failure::text(report));
    };
    eprint!("{report}");
    // To tell the process before why it comes to nothing, wherever that shows.
    let spare = channel.as_ref().and_then(|channel| channel.try_clone().ok());
    let inheritance = channel.map(Inheritance::take).transpose();
    let inheritance = inheritance
        .map_err(|error| Failure::sentence(format!("the process before does not hand over: {error}")))?;
    server::run(file, &loaded, settings, inheritance).map_err(|error| {
        if let Some(spare) = &spare {
            handover::fail(spare, &error.to_string());
        }
        Failure::sentence(error)
    })
}
