//! Which of two processes is asked.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use seawall_admin::Fault;

use super::guardian;
use crate::control::Node;
use crate::lifecycle::Station;

/// Where what is ordered counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passage {
    /// Here.
    Here,
    /// A new process was told to take connections.
    Committed,
    /// It does.
    Gone(u32),
}

impl Node {
    /// Does what changes this node, unless another process is about to be the node or is it already.
    ///
    /// # Errors
    /// 409 `succeeded`: the next to answer at the same place is the other process.
    pub(crate) fn while_here<T>(&self, act: impl FnOnce() -> T) -> Result<T, Fault> {
        let passage = self.passage.lock();
        if *passage == Passage::Here {
            return Ok(act());
        }
        Err(Fault::new(409, "succeeded", "another process has taken over; ask again and it answers"))
    }

    /// The point of no return: from now on orders are for the new process. Returns what `last` finds then.
    ///
    /// # Errors
    /// When this process was told to stop meanwhile. Then the new one must not take connections: nobody wants any.
    pub(super) fn commit_to_successor<T>(&self, last: impl FnOnce() -> T) -> Result<T, String> {
        let mut passage = self.passage.lock();
        if self.lifecycle.station() != Station::Ready {
            return Err("this process was told to stop meanwhile".into());
        }
        *passage = Passage::Committed;
        Ok(last())
    }

    pub(super) fn passed(&self, passage: Passage) {
        *self.passage.lock() = passage;
    }

    /// Notes the guardian of the process that is to be the next, or that there is none.
    pub(super) fn candidate(&self, pid: Option<u32>) {
        *self.candidate.lock() = pid;
    }

    /// Ends the process that was to be the next, when this one ends before it was told to be: nobody else would, and it keeps
    /// the listening sockets.
    pub(crate) fn abandon_candidate(&self) {
        let candidate = self.candidate.lock().take();
        if *self.passage.lock() == Passage::Here
            && let Some(guardian) = candidate
        {
            log::warn!("the process that was to take over is ended with this one");
            guardian::end(guardian);
        }
    }

    /// Leaves `Ready` for good; an upgrade that is under way comes to nothing, unless it is past its commit.
    pub(crate) fn leave(&self) {
        let _passage = self.passage.lock();
        self.lifecycle.reach(Station::Leaving);
    }

    /// Gives a signal on to the process that has taken over, a moment ago.
    pub(crate) fn pass_on(&self, signal: Signal) {
        let Passage::Gone(pid) = *self.passage.lock() else { return };
        let Ok(pid) = i32::try_from(pid) else { return };
        match kill(Pid::from_raw(pid), signal) {
            Ok(()) => log::info!("{signal} was passed on to process {pid}, which has taken over"),
            Err(error) => log::warn!("{signal} cannot be passed on to process {pid}: {error}"),
        }
    }
}
