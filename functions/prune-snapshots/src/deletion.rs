//! Deletes one batch.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use aws_sdk_kinesisanalyticsv2::Client;
use aws_sdk_kinesisanalyticsv2::config::{Config, retry::RetryConfig};
use aws_sdk_kinesisanalyticsv2::primitives::DateTime;
use contract::{DoomedSnapshot, ErrorName};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use step::{CallError, StepError};
use tokio::time::Instant;

use crate::sighting::{Presence, presence};

/// No deletion starts later than this after the first. The rest goes into the next batch. With the listing
/// that follows, the invocation ends within 30 s.
const START_WITHIN: Duration = Duration::from_secs(15);

/// How many deletions run concurrently at first. Each success raises the limit by a fraction of one, and
/// each throttled deletion halves it. So the function finds the rate that the service allows.
const INITIAL_CONCURRENCY: f64 = 4.0;

/// How many deletions run concurrently at most.
const MAX_CONCURRENCY: f64 = 16.0;

/// The pause before the next deletion after a throttled one.
const THROTTLE_PAUSE: Duration = Duration::from_millis(100);

/// What became of the deletion of one snapshot.
#[derive(Debug)]
pub(crate) enum Fate {
    /// The service accepted it, or says that the snapshot is DELETING or does not exist.
    Accepted,
    /// It was not attempted: the snapshot may not be deleted now, or there was no time left.
    NotAttempted,
    /// The service throttled it.
    Throttled(StepError),
    /// The service did not respond or is busy, so the deletion may have started or not.
    Unconfirmed(StepError),
    /// The service refused it for a reason that a retry does not remove.
    Refused(StepError),
}

/// Deletes the snapshots of the batch that are `deletable`, with one attempt each. The fates are in the
/// order of the batch.
pub(crate) async fn delete_all(
    flink: &Client,
    application: &str,
    batch: &[DoomedSnapshot],
    deletable: &HashSet<&str>,
) -> Vec<Fate> {
    let end = Instant::now() + START_WITHIN;
    let mut fates: Vec<Fate> = batch.iter().map(|_| Fate::NotAttempted).collect();
    let queue = batch.iter().enumerate();
    let queue: Vec<(usize, &DoomedSnapshot)> = queue
        .filter(|(_, doomed)| deletable.contains(doomed.snapshot_name.as_str()))
        .collect();
    let mut queue = queue.into_iter().peekable();
    let mut running = FuturesUnordered::new();
    let mut limit = INITIAL_CONCURRENCY;
    let mut not_before = Instant::now();
    loop {
        let now = Instant::now();
        let can_start = now < end && queue.peek().is_some() && has_room(running.len(), limit);
        if can_start && now >= not_before {
            if let Some((index, doomed)) = queue.next() {
                running.push(async move { (index, delete(flink, application, doomed).await) });
            }
            continue;
        }
        if running.is_empty() && !can_start {
            return fates;
        }
        tokio::select! {
            // In this order, so that a simulation with the same responses takes the same course.
            biased;
            Some((index, fate)) = running.next() => {
                let is_throttled = matches!(fate, Fate::Throttled(_));
                if is_throttled {
                    not_before = Instant::now() + THROTTLE_PAUSE;
                }
                limit = next_limit(limit, is_throttled);
                fates[index] = fate;
            }
            () = tokio::time::sleep_until(not_before), if can_start => (),
        }
    }
}

/// The concurrency limit after a deletion.
fn next_limit(limit: f64, is_throttled: bool) -> f64 {
    if is_throttled {
        (limit / 2.0).max(1.0)
    } else {
        (limit + 1.0 / limit).min(MAX_CONCURRENCY)
    }
}

/// Whether one more deletion stays within the limit.
fn has_room(running: usize, limit: f64) -> bool {
    u32::try_from(running).is_ok_and(|running| f64::from(running) + 1.0 <= limit)
}

async fn delete(flink: &Client, application: &str, doomed: &DoomedSnapshot) -> Fate {
    let name = &doomed.snapshot_name;
    let created_at = DateTime::from(SystemTime::from(doomed.created_at));
    let response = flink
        .delete_application_snapshot()
        .application_name(application)
        .snapshot_name(name)
        .snapshot_creation_timestamp(created_at)
        // All calls share one retry budget of the SDK, which a burst of throttling exhausts.
        .customize()
        .config_override(Config::builder().retry_config(RetryConfig::disabled()))
        .send()
        .await;
    let response = response
        .map_err(|error| CallError::of("DeleteApplicationSnapshot", &error))
        .and_then(|response| flink::check_origin("DeleteApplicationSnapshot", &response));
    let Err(call_error) = response else {
        tracing::info!(deleted = name, reason = doomed.reason, "snapshot deleted");
        return Fate::Accepted;
    };
    tracing::warn!(not_deleted = name, error = %call_error.message, "deletion failed");
    if flink::is_not_found(&call_error) {
        return Fate::Accepted;
    }
    let error_name = flink::error_name(&call_error);
    let error = call_error.into_step_error(error_name);
    if error_name == ErrorName::Throttled {
        return Fate::Throttled(error);
    }
    // The service refuses to delete a snapshot whose deletion an earlier attempt has started.
    match presence(flink, application, doomed).await {
        Ok(Presence::Gone | Presence::Deleting) => Fate::Accepted,
        Ok(_) if may_pass(error_name) => Fate::Unconfirmed(error),
        Ok(_) => Fate::Refused(error),
        Err(lookup_error) if lookup_error.name == ErrorName::Throttled => {
            Fate::Throttled(lookup_error)
        }
        Err(lookup_error) if may_pass(lookup_error.name) => Fate::Unconfirmed(lookup_error),
        Err(lookup_error) => Fate::Refused(lookup_error),
    }
}

/// Whether a second attempt may succeed.
fn may_pass(error: ErrorName) -> bool {
    error.is_retryable() || error == ErrorName::ApplicationBusy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttling_halves_the_limit_down_to_one_and_successes_raise_it_up_to_the_maximum() {
        let mut limit = INITIAL_CONCURRENCY;
        for expected in [2, 1, 1] {
            limit = next_limit(limit, true);
            assert!(
                has_room(expected - 1, limit) && !has_room(expected, limit),
                "{limit}"
            );
        }
        for _ in 0..1_000 {
            let higher = next_limit(limit, false);
            assert!(
                higher > limit || !has_room(16, limit) && has_room(15, limit),
                "{limit}"
            );
            limit = higher;
        }
        assert!(has_room(15, limit) && !has_room(16, limit), "{limit}");
    }

    #[test]
    fn as_many_successes_as_run_at_once_raise_the_limit_by_about_one() {
        let raised = (0..8).fold(8.0, |limit, _| next_limit(limit, false));
        assert!((8.9..=9.0).contains(&raised), "{raised}");
    }
}
