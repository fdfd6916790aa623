//! Work that waits for a disk, away from the threads that serve connections.

use std::io;
use std::sync::Arc;

use tokio::sync::Semaphore;

/// A bound on how much of a runtime's blocking pool one folder may take: its threads are shared with everything else.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    permits: Arc<Semaphore>,
    most: u32,
}

impl Disk {
    /// At most `most` pieces of work at a time.
    pub(crate) fn new(most: u32) -> Self {
        let permits = usize::try_from(most).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { permits: Arc::new(Semaphore::new(permits)), most }
    }

    /// How much work is being done now.
    pub(crate) fn busy(&self) -> u32 {
        self.most.saturating_sub(u32::try_from(self.permits.available_permits()).unwrap_or(u32::MAX))
    }

    /// Does blocking work when its turn comes.
    ///
    /// # Errors
    /// When the work panicked, or the runtime is being shut down.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(io::Error::other)?;
        tokio::task::spawn_blocking(move || {
            // The permit goes along: when the asker has gone the thread is busy all the same.
            let _permit = permit;
            work()
        })
        .await
        .map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::Disk;
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    #[tokio::test]
    async fn work_beyond_the_bound_waits() {
        let disk = Arc::new(Disk::new(2));
        let (let_go, gate) = channel::<()>();
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let (report, reports) = channel();
        let tasks: Vec<_> = (0..5)
            .map(|_| {
                let (disk, gate, report) = (disk.clone(), gate.clone(), report.clone());
                tokio::spawn(async move {
                    let seen = disk.clone();
                    disk.run(move || {
                        gate.lock().unwrap().recv().unwrap();
                        report.send(seen.busy()).unwrap();
                    })
                    .await
                })
            })
            .collect();
        for _ in 0..5 {
            let_go.send(()).unwrap();
        }
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        drop(report);
        let seen: Vec<u32> = reports.iter().collect();
        assert_eq!(seen.len(), 5);
        assert!(seen.iter().all(|busy| (1..=2).contains(busy)), "{seen:?}");
        assert_eq!(disk.busy(), 0);
        assert!(disk.run(|| panic!("as a test")).await.is_err());
        assert_eq!(disk.busy(), 0, "a panic gives its turn back");
    }
}
