//! Listening sockets on their way from one process to the next.
//!
//! The two processes share a pair of unix sockets that nobody else can reach: one is born with the other's end. Each message
//! is one packet with its descriptors (SCM_RIGHTS, unix(7)), and never more of those than fit well below the kernel's
//! limit of 253, however many listeners there are.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg,
    setsockopt, socketpair, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

/// Descriptors in one message.
pub const MAX_DESCRIPTORS: usize = 16;
/// Seconds a message may wait to be taken.
const PATIENCE: i64 = 10;
/// Bytes in one message.
const MAX_MESSAGE: usize = 64 * 1024;

/// One end of the way.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Channel {
    /// Both ends: this process's, and the one to be handed to the other.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Self(ours), theirs))
    }

    /// The end that this process was born with.
    #[must_use]
    pub fn inherited(end: OwnedFd) -> Self {
        Self(end)
    }

    /// Another handle on this end.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Sends a message with at most [`MAX_DESCRIPTORS`] descriptors. They stay open here.
    ///
    /// # Errors
    /// When the other end is closed, does not read, or the message is too large.
    pub fn send(&self, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        if message.len() > MAX_MESSAGE || descriptors.len() > MAX_DESCRIPTORS {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let raw: Vec<_> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control = if raw.is_empty() { &[][..] } else { &rights[..] };
        let bytes = [IoSlice::new(message)];
        // A process that does not read must not hold this one.
        setsockopt(&self.0, sockopt::SendTimeout, &TimeVal::seconds(PATIENCE))?;
        let sent = loop {
            // No signal when the other end is gone: that is an answer.
            match sendmsg::<()>(self.0.as_raw_fd(), &bytes, control, MsgFlags::MSG_NOSIGNAL, None) {
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                outcome => break outcome?,
            }
        };
        if sent == message.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Waits for a message.
    ///
    /// # Errors
    /// `UnexpectedEof` when the other end is closed, `TimedOut` after `within`, `InvalidData` when part of the message was
    /// lost.
    pub fn receive(&self, within: Duration) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
        let until = Instant::now() + within;
        let mut buffer = vec![0; MAX_MESSAGE];
        let mut control = cmsg_space!([i32; MAX_DESCRIPTORS]);
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let received = loop {
            let left = until.saturating_duration_since(Instant::now());
            // Zero would be no limit.
            let millis = i64::try_from(left.as_millis()).unwrap_or(i64::MAX).max(1);
            setsockopt(&self.0, sockopt::ReceiveTimeout, &TimeVal::milliseconds(millis))?;
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            match recvmsg::<()>(self.0.as_raw_fd(), &mut parts, Some(&mut control), flags) {
                // A signal that is handled elsewhere.
                Err(Errno::EINTR) if Instant::now() < until => {}
                Err(Errno::EAGAIN | Errno::EINTR) => return Err(io::ErrorKind::TimedOut.into()),
                outcome => break outcome?,
            }
        };
        let mut descriptors = Vec::new();
        for message in received.cmsgs()? {
            if let ControlMessageOwned::ScmRights(raw) = message {
                // SAFETY: the kernel made these descriptors for this process with the message, and nobody else
                // has seen their numbers.
                descriptors.extend(raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
            }
        }
        let (length, cut) = (received.bytes, received.flags);
        if cut.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer.truncate(length);
        Ok((buffer, descriptors))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::{Channel, MAX_DESCRIPTORS};
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::time::Duration;

    const SOON: Duration = Duration::from_secs(5);

    #[test]
    fn many_listeners_cross_in_several_messages() {
        let (old, theirs) = Channel::pair().unwrap();
        let new = Channel::inherited(theirs);
        let listeners: Vec<TcpListener> =
            (0..50).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        for chunk in listeners.chunks(MAX_DESCRIPTORS) {
            let fds: Vec<_> = chunk.iter().map(AsFd::as_fd).collect();
            old.send(b"sockets", &fds).unwrap();
        }
        drop(old);
        let mut taken = Vec::new();
        let end = loop {
            match new.receive(SOON) {
                Ok((message, fds)) => {
                    assert_eq!(message, b"sockets");
                    taken.extend(fds.into_iter().map(TcpListener::from));
                }
                Err(error) => break error.kind(),
            }
        };
        assert_eq!(end, ErrorKind::UnexpectedEof);
        drop(listeners);
        let after: Vec<_> = taken.iter().map(|listener| listener.local_addr().unwrap()).collect();
        assert_eq!(after, addresses);
        for (listener, address) in taken.iter().zip(addresses) {
            let client = TcpStream::connect(address).unwrap();
            assert_eq!(listener.accept().unwrap().1, client.local_addr().unwrap());
        }
    }

    #[test]
    fn silence_ends_and_too_much_is_refused() {
        let (old, theirs) = Channel::pair().unwrap();
        let new = Channel::inherited(theirs);
        let error = new.receive(Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(old.send(&vec![0; 70_000], &[]).unwrap_err().kind(), ErrorKind::InvalidInput);
        let many = vec![new.as_fd(); MAX_DESCRIPTORS + 1];
        assert_eq!(old.send(b"x", &many).unwrap_err().kind(), ErrorKind::InvalidInput);
        drop(new);
        assert_eq!(old.send(b"x", &[]).unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}
