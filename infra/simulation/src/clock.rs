//! The clock of a course.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// A clock that starts at a given time. A sleep either waits for the timers of the Tokio runtime, or moves this clock
/// forward at once.
#[derive(Debug)]
pub struct Clock {
    start: Timestamp,
    created: Instant,
    /// The sum of all sleeps so far, in milliseconds. `None` if sleeps wait for the runtime.
    skipped: Option<AtomicU64>,
}

impl Clock {
    /// A clock that follows the runtime's clock, for use with [`in_virtual_time`].
    pub fn of_runtime(start: Timestamp) -> Self {
        Self {
            start,
            created: Instant::now(),
            skipped: None,
        }
    }

    /// A clock that follows the real time, but a sleep takes no time.
    pub fn skipping(start: Timestamp) -> Self {
        Self {
            skipped: Some(AtomicU64::new(0)),
            ..Self::of_runtime(start)
        }
    }

    pub fn now(&self) -> Timestamp {
        let skipped = self
            .skipped
            .as_ref()
            .map_or(0, |milliseconds| milliseconds.load(Ordering::SeqCst));
        let passed = self.created.elapsed() + Duration::from_millis(skipped);
        self.start + SignedDuration::try_from(passed).unwrap()
    }

    pub async fn sleep(&self, duration: Duration) {
        if let Some(skipped) = &self.skipped {
            let milliseconds = u64::try_from(duration.as_millis()).unwrap();
            skipped.fetch_add(milliseconds, Ordering::SeqCst);
        } else {
            tokio::time::sleep(duration).await;
        }
    }
}

/// Runs a future on a runtime whose time is paused: when all tasks wait, the clock jumps to the next timer.
pub fn in_virtual_time<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}
