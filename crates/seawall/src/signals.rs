//! What a process is told by signals.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// What a signal, or the control API, asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Drain,
    StopNow,
    ReopenLogs,
    Reload,
    Upgrade,
    /// A successor takes connections: only from within.
    Succeeded,
}

/// Wishes that may wait; whoever wishes more asks for what is about to be done.
const WAITING: usize = 16;

/// Catches signals from now on, on a thread of its own: Pingora looks for them only once its services run, and
/// until then the default action would end the process.
pub(crate) fn catch() -> std::io::Result<(mpsc::Sender<Wish>, mpsc::Receiver<Wish>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let wishes = [
        (SignalKind::terminate(), Wish::Drain),
        (SignalKind::interrupt(), Wish::StopNow),
        (SignalKind::user_defined1(), Wish::ReopenLogs),
        (SignalKind::hangup(), Wish::Reload),
        (SignalKind::quit(), Wish::Upgrade),
    ];
    let (sender, receiver) = mpsc::channel(WAITING);
    let guard = runtime.enter();
    let mut streams = Vec::new();
    for (kind, wish) in wishes {
        streams.push((signal(kind)?, wish));
    }
    drop(guard);
    let to = sender.clone();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async move {
            let mut tasks = tokio::task::JoinSet::new();
            for (mut stream, wish) in streams {
                let sender = to.clone();
                tasks.spawn(async move {
                    while stream.recv().await.is_some() {
                        // Full: the same was asked for already and is about to be done.
                        let _ = sender.try_send(wish);
                    }
                });
            }
            while tasks.join_next().await.is_some() {}
        });
    })?;
    Ok((sender, receiver))
}
