//! Deletes one batch.

use std::collections::HashSet;
use std::time::Duration;

use aws_sdk_kinesisanalyticsv2::Client;
use aws_sdk_kinesisanalyticsv2::config::{Config, retry::RetryConfig};
use aws_sdk_kinesisanalyticsv2::primitives::DateTime;
use contract::{DoomedSnapshot, ErrorName};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use step::{CallError, StepError};
use tokio::time::Instant;

use crate::sighting::{Presence, presence};

/// No delete is begun later than this after the first; what is left goes into the next batch. With
/// the listing that follows, the invocation ends within 30 s.
const BEGIN_WITHIN: Duration = Duration::from_secs(15);

/// How many deletes are under way at first, and at most. Each success makes room for a part of one
/// more, each throttled one halves the room: so the function finds the rate that the service allows.
const CONCURRENCY: (f64, f64) = (4.0, 16.0);

/// After a throttled delete none is begun for so long.
const PAUSE: Duration = Duration::from_millis(100);

/// What became of the deletion of one snapshot.
#[derive(Debug)]
pub(crate) enum Fate {
    /// The service accepted it, or says that the snapshot is DELETING or gone.
    Accepted,
    /// It was not begun: it may not be, or not in time.
    NotBegun,
    /// The service refused it because there were too many calls.
    Throttled(StepError),
    /// The service did not answer, or is busy.
    Unanswered(StepError),
    /// The service refused it for a reason that a repeat does not remove.
    Refused(StepError),
}

/// Deletes what of the batch is `due`, each snapshot with one try; the fates are in the batch's order.
pub(crate) async fn delete_all(
    flink: &Client,
    application: &str,
    batch: &[DoomedSnapshot],
    due: &HashSet<&str>,
) -> Vec<Fate> {
    let end = Instant::now() + BEGIN_WITHIN;
    let mut fates: Vec<Fate> = batch.iter().map(|_| Fate::NotBegun).collect();
    let waiting = batch.iter().enumerate();
    let waiting: Vec<(usize, &DoomedSnapshot)> = waiting
        .filter(|(_, doomed)| due.contains(doomed.snapshot_name.as_str()))
        .collect();
    let mut waiting = waiting.into_iter().peekable();
    let mut under_way = FuturesUnordered::new();
    let mut room = CONCURRENCY.0;
    let mut not_before = Instant::now();
    loop {
        let now = Instant::now();
        let is_next = now < end && waiting.peek().is_some() && is_room(under_way.len(), room);
        if is_next && now >= not_before {
            if let Some((place, doomed)) = waiting.next() {
                under_way.push(async move { (place, delete(flink, application, doomed).await) });
            }
            continue;
        }
        if under_way.is_empty() && !is_next {
            return fates;
        }
        tokio::select! {
            // In this order, so that the same answers at the same times are the same course.
            biased;
            Some((place, fate)) = under_way.next() => {
                let throttled = matches!(fate, Fate::Throttled(_));
                if throttled {
                    not_before = Instant::now() + PAUSE;
                }
                room = room_after(room, throttled);
                fates[place] = fate;
            }
            () = tokio::time::sleep_until(not_before), if is_next => (),
        }
    }
}

/// The room for deletes after one of them.
fn room_after(room: f64, throttled: bool) -> f64 {
    if throttled {
        (room / 2.0).max(1.0)
    } else {
        (room + 1.0 / room).min(CONCURRENCY.1)
    }
}

/// Whether one more fits.
fn is_room(under_way: usize, room: f64) -> bool {
    u32::try_from(under_way).is_ok_and(|under_way| f64::from(under_way) + 1.0 <= room)
}

async fn delete(flink: &Client, application: &str, doomed: &DoomedSnapshot) -> Fate {
    let name = &doomed.snapshot_name;
    let created_at = doomed.created_at.parse::<Timestamp>().ok();
    let Some(created_at) = created_at.and_then(|at| DateTime::from_nanos(at.as_nanosecond()).ok())
    else {
        return Fate::Refused(StepError::unexpected(format!(
            "The timestamp {:?} of {name} is not RFC 3339.",
            doomed.created_at
        )));
    };
    let answer = flink
        .delete_application_snapshot()
        .application_name(application)
        .snapshot_name(name)
        .snapshot_creation_timestamp(created_at)
        // The SDK's own retries share one budget in the process, which a burst of throttling empties.
        .customize()
        .config_override(Config::builder().retry_config(RetryConfig::disabled()))
        .send()
        .await;
    let Err(error) = answer else {
        tracing::info!(deleted = name, reason = doomed.reason, "snapshot deleted");
        return Fate::Accepted;
    };
    let refusal = CallError::of("DeleteApplicationSnapshot", &error);
    tracing::warn!(not_deleted = name, refusal = %refusal.message);
    if flink::is_gone(&refusal) {
        return Fate::Accepted;
    }
    let error_name = flink::error_name(&refusal);
    if error_name == ErrorName::Throttled {
        return Fate::Throttled(refusal.into_step_error(error_name));
    }
    // An earlier try may have begun this deletion, and the service then refuses a second one.
    match presence(flink, application, name).await {
        Ok(Presence::Gone | Presence::Deleting) => Fate::Accepted,
        Ok(_) if error_name.is_retryable() => Fate::Unanswered(refusal.into_step_error(error_name)),
        Ok(_) => Fate::Refused(refusal.into_step_error(error_name)),
        Err(error) if error.name == ErrorName::Throttled => Fate::Throttled(error),
        Err(error) if error.name.is_retryable() => Fate::Unanswered(error),
        Err(error) => Fate::Refused(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttling_halves_the_room_down_to_one_and_successes_widen_it_up_to_the_most() {
        let mut room = CONCURRENCY.0;
        for expected in [2, 1, 1] {
            room = room_after(room, true);
            assert!(
                is_room(expected - 1, room) && !is_room(expected, room),
                "{room}"
            );
        }
        for _ in 0..1_000 {
            let wider = room_after(room, false);
            assert!(
                wider > room || !is_room(16, room) && is_room(15, room),
                "{room}"
            );
            room = wider;
        }
        assert!(is_room(15, room) && !is_room(16, room), "{room}");
    }
}
