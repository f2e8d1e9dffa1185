//! The clock of a course.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// The time: that of the runtime, from a given one on. Who sleeps either waits on the runtime's clock, which
/// a paused runtime winds on, or winds this one on itself.
#[derive(Debug)]
pub struct Clock {
    from: Timestamp,
    started: Instant,
    /// Milliseconds that were skipped; `None` when nothing is.
    skipped: Option<AtomicU64>,
}

impl Clock {
    /// On the runtime's clock, which should be paused.
    pub fn of_the_runtime(from: Timestamp) -> Self {
        Self {
            from,
            started: Instant::now(),
            skipped: None,
        }
    }

    /// On the real clock, without the waits of the machine.
    pub fn that_skips(from: Timestamp) -> Self {
        Self {
            skipped: Some(AtomicU64::new(0)),
            ..Self::of_the_runtime(from)
        }
    }

    pub fn now(&self) -> Timestamp {
        let skipped = self
            .skipped
            .as_ref()
            .map_or(0, |ms| ms.load(Ordering::SeqCst));
        let passed = self.started.elapsed() + Duration::from_millis(skipped);
        self.from + SignedDuration::try_from(passed).unwrap()
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
