//! One timer for many deadlines.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is set rarely. Deadlines of a connection mostly move away (each request brings a new one), so a
/// later deadline leaves the timer as it is: it goes off too early, sees the new deadline, and is set to that.
/// A busy connection thus sets it once per timeout, not once per request.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Ready when `at` has passed; otherwise the task is woken then, or earlier.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if at < sleep.deadline() {
            sleep.as_mut().reset(at);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= at {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Alarm;
    use std::future::poll_fn;
    use std::time::Duration;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn deadlines_may_move_both_ways() {
        let mut alarm = Alarm::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let pending = poll_fn(|cx| std::task::Poll::Ready(alarm.poll(cx, after(10)).is_pending())).await;
        assert!(pending);
        poll_fn(|cx| alarm.poll(cx, after(3))).await;
        assert_eq!(start.elapsed().as_secs(), 3, "earlier than set");
        poll_fn(|cx| alarm.poll(cx, after(20))).await;
        assert_eq!(start.elapsed().as_secs(), 20, "later than it went off");
        poll_fn(|cx| alarm.poll(cx, after(5))).await;
        assert_eq!(start.elapsed().as_secs(), 20, "long past");
    }
}
