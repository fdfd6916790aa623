//! Threads for calls that may wait for the disk. Their number is bounded, and so is the number of those who wait.

use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};

type Job = Box<dyn FnOnce() + Send>;

/// Too many calls wait already, or the pool is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Busy;

/// The pool of one disk: a disk that hangs holds up nobody else's.
#[derive(Debug)]
pub(crate) struct Pool {
    jobs: crossbeam_channel::Sender<Job>,
    places: Arc<Semaphore>,
    size: usize,
}

impl Pool {
    /// Starts `threads` threads called `name`; up to `queue` calls may wait or run.
    pub(crate) fn new(name: &str, threads: usize, queue: usize) -> std::io::Result<Self> {
        let (jobs, todo) = crossbeam_channel::unbounded::<Job>();
        for number in 0..threads.max(1) {
            let todo = todo.clone();
            std::thread::Builder::new().name(format!("disk-{name}-{number}")).spawn(move || {
                while let Ok(job) = todo.recv() {
                    // A call that panics loses its own answer, not the thread.
                    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
                }
            })?;
        }
        Ok(Self { jobs, places: Arc::new(Semaphore::new(queue)), size: queue })
    }

    /// Runs `call`, unless too many wait already.
    pub(crate) async fn try_run<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Busy)?;
        self.hand_over(place, call).await
    }

    /// Runs `call`, and waits for a place if need be.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| Busy)?;
        self.hand_over(place, call).await
    }

    async fn hand_over<T: Send + 'static>(
        &self,
        place: tokio::sync::OwnedSemaphorePermit,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let (answer, answered) = oneshot::channel();
        let job = move || {
            let value = call();
            drop(place);
            // Nobody waits any more when the request has gone.
            let _ = answer.send(value);
        };
        self.jobs.send(Box::new(job)).map_err(|_| Busy)?;
        answered.await.map_err(|_| Busy)
    }

    /// Runs `call` sometime. For work whose number is bounded otherwise.
    pub(crate) fn spawn(&self, call: impl FnOnce() + Send + 'static) {
        // Without threads the process is ending.
        let _ = self.jobs.send(Box::new(call));
    }

    /// Calls that wait or run.
    pub(crate) fn waiting(&self) -> u64 {
        self.size.saturating_sub(self.places.available_permits()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_queue_is_bounded_and_a_panic_is_contained() {
        let pool = Arc::new(Pool::new("io", 1, 2).unwrap());
        let (open, gate) = crossbeam_channel::bounded::<()>(0);
        let mut blocked = Vec::new();
        for _ in 0..2 {
            let (pool, gate) = (Arc::clone(&pool), gate.clone());
            blocked.push(tokio::spawn(async move { pool.run(move || gate.recv().unwrap()).await }));
        }
        while pool.waiting() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.try_run(|| 1).await, Err(Busy));
        for _ in 0..2 {
            open.send(()).unwrap();
        }
        for task in blocked {
            task.await.unwrap().unwrap();
        }
        assert_eq!(pool.try_run(|| panic!("on purpose")).await, Err::<(), _>(Busy));
        assert_eq!(pool.try_run(|| 1).await, Ok(1));
        assert_eq!(pool.waiting(), 0);
    }
}
