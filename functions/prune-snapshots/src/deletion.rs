//! Calls `DeleteApplicationSnapshot` for the snapshots of one batch.

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

use crate::confirmation::{NameLookup, look_up};

/// Delete calls start only within this time after the batch begins. Snapshots that were not tried by then go into the
/// next batch. The limit leaves time for the listing after the batch, so that the invocation ends within 30 s.
const START_WITHIN: Duration = Duration::from_secs(15);

/// How many delete calls run concurrently at first. A throttled call halves the limit. Any other result adds
/// 1/limit to the limit, so it grows by about one for each round of calls. In this way the function approaches the rate
/// that the service allows.
const INITIAL_CONCURRENCY: f64 = 4.0;

/// How many delete calls run concurrently at most.
const MAX_CONCURRENCY: f64 = 16.0;

/// The pause between a throttled call and the next delete call.
const THROTTLE_PAUSE: Duration = Duration::from_millis(100);

/// The result of the attempt to delete one snapshot.
#[derive(Debug)]
pub(crate) enum DeletionResult {
    /// The service accepted the deletion, or the snapshot is DELETING or does not exist.
    AcceptedOrGone,
    /// The deletion was not attempted, because the snapshot must not be deleted now or no time was left.
    NotAttempted,
    /// The service throttled the call.
    Throttled(StepError),
    /// The delete call, or the lookup after it, failed for a reason that may pass, so another attempt may succeed. If
    /// the service did not respond, the deletion may nevertheless have started.
    Unconfirmed(StepError),
    /// The delete call, or the lookup after it, failed for a reason that a retry will not cure.
    Refused(StepError),
}

/// Attempts once to delete each snapshot of the batch whose name is in `deletable`. Returns one result for each
/// snapshot of the batch, in the same order.
pub(crate) async fn delete_batch(
    client: &Client,
    application: &str,
    batch: &[DoomedSnapshot],
    deletable: &HashSet<&str>,
) -> Vec<DeletionResult> {
    let end = Instant::now() + START_WITHIN;
    let mut results: Vec<DeletionResult> =
        batch.iter().map(|_| DeletionResult::NotAttempted).collect();
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
                running.push(async move { (index, delete(client, application, doomed).await) });
            }
            continue;
        }
        if running.is_empty() && !can_start {
            return results;
        }
        tokio::select! {
            // A fixed polling order makes simulations deterministic.
            biased;
            Some((index, result)) = running.next() => {
                let is_throttled = matches!(result, DeletionResult::Throttled(_));
                if is_throttled {
                    not_before = Instant::now() + THROTTLE_PAUSE;
                }
                limit = next_limit(limit, is_throttled);
                results[index] = result;
            }
            () = tokio::time::sleep_until(not_before), if can_start => (),
        }
    }
}

/// The concurrency limit after the result of a delete call.
fn next_limit(limit: f64, is_throttled: bool) -> f64 {
    if is_throttled {
        (limit / 2.0).max(1.0)
    } else {
        (limit + 1.0 / limit).min(MAX_CONCURRENCY)
    }
}

/// Whether one more concurrent call stays within the limit.
fn has_room(running: usize, limit: f64) -> bool {
    u32::try_from(running).is_ok_and(|running| f64::from(running) + 1.0 <= limit)
}

async fn delete(client: &Client, application: &str, doomed: &DoomedSnapshot) -> DeletionResult {
    let name = &doomed.snapshot_name;
    let created_at = DateTime::from(SystemTime::from(doomed.created_at));
    let response = client
        .delete_application_snapshot()
        .application_name(application)
        .snapshot_name(name)
        .snapshot_creation_timestamp(created_at)
        // The SDK must not retry, because many throttled calls would exhaust the retry budget that all calls share. The
        // next batch retries instead.
        .customize()
        .config_override(Config::builder().retry_config(RetryConfig::disabled()))
        .send()
        .await;
    let response = response
        .map_err(|error| CallError::of("DeleteApplicationSnapshot", &error))
        .and_then(|response| flink::check_is_from_service("DeleteApplicationSnapshot", &response));
    let Err(call_error) = response else {
        tracing::info!(snapshot = name, reason = doomed.reason, "deletion accepted");
        return DeletionResult::AcceptedOrGone;
    };
    tracing::warn!(snapshot = name, error = %call_error.message, "deletion not accepted");
    if flink::is_not_found(&call_error) {
        return DeletionResult::AcceptedOrGone;
    }
    let error_name = flink::error_name(&call_error);
    let error = call_error.into_step_error(error_name);
    if error_name == ErrorName::Throttled {
        return DeletionResult::Throttled(error);
    }
    // If an earlier attempt has started the deletion, the service refuses to delete the snapshot again. The lookup
    // shows whether that is the reason.
    match look_up(client, application, doomed).await {
        Ok(NameLookup::Gone | NameLookup::Deleting) => DeletionResult::AcceptedOrGone,
        Ok(NameLookup::Exists | NameLookup::Unknown) if is_transient(error_name) => {
            DeletionResult::Unconfirmed(error)
        }
        Ok(NameLookup::Exists | NameLookup::Unknown) => DeletionResult::Refused(error),
        Err(lookup_error) if lookup_error.name == ErrorName::Throttled => {
            DeletionResult::Throttled(lookup_error)
        }
        Err(lookup_error) if is_transient(lookup_error.name) => {
            DeletionResult::Unconfirmed(lookup_error)
        }
        Err(lookup_error) => DeletionResult::Refused(lookup_error),
    }
}

/// Whether the cause of the error may pass, so that a second attempt may succeed.
fn is_transient(error: ErrorName) -> bool {
    error.is_retryable() || error == ErrorName::ApplicationBusy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttling_halves_the_limit_down_to_one_and_other_results_raise_it_to_the_maximum() {
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
    fn eight_results_without_throttling_raise_a_limit_of_8_by_about_one() {
        let raised = (0..8).fold(8.0, |limit, _| next_limit(limit, false));
        assert!((8.9..=9.0).contains(&raised), "{raised}");
    }
}
