//! Updates the totals of the run: how many snapshots are deleted, and how many deletions have failed.

use std::collections::HashSet;

use contract::{DeletedSnapshot, DoomedSnapshot, ErrorName, FailedDeletion, Progress};
use step::StepError;

use crate::confirmation::{CheckedDeletion, Existence};
use crate::deletion::DeletionResult;
use crate::payload::{MAX_LISTED_DELETED, MAX_LISTED_FAILED, to_count, truncate_reason};

/// The reason of a deletion that counts as failed although the service may have accepted it.
const NOT_CONFIRMED: &str =
    "The deletion was not confirmed and is not retried. The service may still delete the snapshot.";

/// How many throttled batches in a row are planned again. If the next batch is throttled too, its deletions count as
/// failed.
const MAX_THROTTLED_BATCHES: u32 = 5;

/// The totals of the run after a batch, and the snapshots of the batch whose deletion is neither confirmed nor failed.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) progress: Progress,
    /// Snapshots whose deletion may still take effect. The next pass checks them again.
    pub(crate) pending: Vec<DoomedSnapshot>,
    /// Snapshots that still exist after one attempt to delete them. The second attempt has not been made.
    pub(crate) to_retry: Vec<DoomedSnapshot>,
    /// Snapshots that the listing or a lookup still shows, and that no known attempt has been made to delete. Lambda
    /// can invoke the function twice for the same step, so an earlier invocation may have deleted such a snapshot. An
    /// outdated listing would not show that.
    pub(crate) not_attempted: Vec<DoomedSnapshot>,
    /// Whether the run has to wait before the next batch, because the service throttled every delete call of this one.
    pub(crate) is_batch_throttled: bool,
    /// The names of the snapshots that this batch or an earlier one has counted as deleted or failed. The run does not
    /// try to delete them again, even if an outdated listing still shows them.
    pub(crate) counted: HashSet<String>,
    /// The number of failed deletions whose names are not listed in the payload, so that `counted` lacks these names.
    /// This is 0 unless more than 100 deletions have failed, and then the run deletes nothing more.
    pub(crate) failures_without_name: u32,
}

/// How the attempt to delete one snapshot counts.
#[derive(Debug)]
enum Effect {
    /// The snapshot counts as deleted.
    Deleted,
    /// The deletion counts as failed, for this reason.
    Failed(String),
    /// The snapshot still exists, and this does not count as an attempt. The next plan may include the snapshot again.
    NotAttempted,
    /// The snapshot still exists after the first of two attempts. The next plan may include the snapshot again.
    Attempted,
    /// The deletion may still take effect. The next pass checks the snapshot again.
    Pending,
}

/// Adds the results of a batch to the totals. If the service throttled every delete call of the batch, its snapshots
/// are planned again, up to [`MAX_THROTTLED_BATCHES`] times in a row.
///
/// # Errors
/// Returns `AccessDenied` if the function has no permission to delete.
pub(crate) fn add_batch(
    progress: Progress,
    checked: Vec<CheckedDeletion>,
) -> Result<Tally, StepError> {
    let deleted = progress.deleted.iter().map(|it| &it.snapshot_name);
    let failed = progress.failed.iter().map(|it| &it.snapshot_name);
    let mut tally = Tally {
        counted: deleted.chain(failed).cloned().collect(),
        failures_without_name: progress
            .failed_count
            .saturating_sub(to_count(progress.failed.len())),
        progress,
        ..Tally::default()
    };
    let mut throttled = Vec::new();
    let mut has_unthrottled_result = false;
    for CheckedDeletion {
        snapshot: mut doomed,
        result,
        existence,
    } in checked
    {
        let name = &doomed.snapshot_name;
        if tally.counted.contains(name) {
            continue;
        }
        // Payloads of release 0.1.0 list the names of snapshots that were tried, instead of setting `tried`.
        let tried_names = &mut tally.progress.unanswered;
        doomed.tried |= tried_names.contains(name);
        tried_names.retain(|tried_name| tried_name != name);
        if let (DeletionResult::Throttled(error), Existence::Listed) = (&result, existence) {
            let deletion = FailedDeletion {
                snapshot_name: name.clone(),
                reason: truncate_reason(&error.fact),
            };
            throttled.push((deletion, doomed.exempt));
        } else {
            has_unthrottled_result |= !matches!(result, DeletionResult::NotAttempted);
        }
        match effect(&doomed, result, existence)? {
            Effect::Deleted => tally.add_deleted(&doomed),
            Effect::Failed(reason) => {
                let snapshot_name = doomed.snapshot_name;
                let deletion = FailedDeletion {
                    snapshot_name,
                    reason,
                };
                tally.add_failed(deletion, doomed.exempt);
            }
            Effect::NotAttempted if doomed.tried => tally.to_retry.push(doomed),
            Effect::NotAttempted => tally.not_attempted.push(doomed),
            Effect::Attempted => tally.to_retry.push(mark_tried(doomed)),
            Effect::Pending => tally.pending.push(mark_tried(doomed)),
        }
    }
    let batches = &mut tally.progress.throttled_batches;
    if has_unthrottled_result {
        *batches = 0;
    } else if !throttled.is_empty() {
        *batches = batches.saturating_add(1);
        if *batches > MAX_THROTTLED_BATCHES {
            for (deletion, is_exempt) in throttled {
                tally.add_failed(deletion, is_exempt);
            }
        } else {
            tally.is_batch_throttled = true;
        }
    }
    Ok(tally)
}

fn mark_tried(doomed: DoomedSnapshot) -> DoomedSnapshot {
    DoomedSnapshot {
        tried: true,
        ..doomed
    }
}

/// Decides how the attempt to delete `doomed` counts. A run makes at most two attempts to delete a snapshot.
///
/// # Errors
/// Returns `AccessDenied` if the function has no permission to delete.
fn effect(
    doomed: &DoomedSnapshot,
    result: DeletionResult,
    existence: Existence,
) -> Result<Effect, StepError> {
    let is_second_attempt = doomed.tried;
    let failed = |error: &StepError| Effect::Failed(truncate_reason(&error.fact));
    Ok(match (existence, result) {
        (Existence::Gone, _) => Effect::Deleted,
        (_, DeletionResult::Refused(error)) if error.name == ErrorName::AccessDenied => {
            return Err(error);
        }
        (_, DeletionResult::Refused(error)) => failed(&error),
        // The snapshot is listed.
        (Existence::Listed, DeletionResult::NotAttempted | DeletionResult::Throttled(_)) => {
            Effect::NotAttempted
        }
        (Existence::Listed, DeletionResult::Unconfirmed(error)) if is_second_attempt => {
            failed(&error)
        }
        (Existence::Listed, DeletionResult::Unconfirmed(_)) => Effect::Attempted,
        (Existence::Listed, DeletionResult::AcceptedOrGone) if is_second_attempt => {
            let name = &doomed.snapshot_name;
            Effect::Failed(format!("{name} is still listed after its deletion."))
        }
        // The snapshot is not listed.
        (_, DeletionResult::Unconfirmed(error)) if is_second_attempt => failed(&error),
        (Existence::FoundByName | Existence::Unknown, _) if is_second_attempt => {
            Effect::Failed(NOT_CONFIRMED.to_owned())
        }
        (Existence::FoundByName, DeletionResult::NotAttempted) => Effect::NotAttempted,
        // The listing may be outdated. It may still show a deleted snapshot, or not show an existing one yet.
        (Existence::Listed, DeletionResult::AcceptedOrGone)
        | (Existence::FoundByName | Existence::Unknown, _) => Effect::Pending,
    })
}

impl Tally {
    /// The number of deletions so far that the brake counts. Failed deletions count too. Deletions of FAILED snapshots
    /// do not.
    pub(crate) fn deletions_for_brake(&self) -> u32 {
        let progress = &self.progress;
        let all = progress.deleted_count.saturating_add(progress.failed_count);
        all.saturating_sub(progress.exempt_count)
    }

    fn add_deleted(&mut self, doomed: &DoomedSnapshot) {
        self.counted.insert(doomed.snapshot_name.clone());
        let progress = &mut self.progress;
        progress.exempt_count = progress.exempt_count.saturating_add(doomed.exempt.into());
        progress.deleted_count = progress.deleted_count.saturating_add(1);
        if progress.deleted.len() < MAX_LISTED_DELETED {
            progress.deleted.push(deleted(doomed));
        }
    }

    fn add_failed(&mut self, deletion: FailedDeletion, is_exempt: bool) {
        self.counted.insert(deletion.snapshot_name.clone());
        let progress = &mut self.progress;
        progress.exempt_count = progress.exempt_count.saturating_add(is_exempt.into());
        progress.failed_count = progress.failed_count.saturating_add(1);
        if progress.failed.len() < MAX_LISTED_FAILED {
            progress.failed.push(deletion);
        }
    }

    /// Takes the snapshots whose deletion is neither confirmed nor failed, so that the next pass checks them.
    pub(crate) fn take_unsettled(&mut self) -> Vec<DoomedSnapshot> {
        let mut unsettled = std::mem::take(&mut self.pending);
        unsettled.append(&mut self.to_retry);
        unsettled.append(&mut self.not_attempted);
        unsettled
    }

    /// Returns the totals for the output. If a snapshot was tried and is not in the next batch, the run makes no second
    /// attempt. Its deletion then counts as failed, although the service may still carry it out.
    pub(crate) fn into_progress(mut self, next_batch: &[DoomedSnapshot]) -> Progress {
        let next: HashSet<&str> = next_batch
            .iter()
            .map(|doomed| doomed.snapshot_name.as_str())
            .collect();
        let to_retry = std::mem::take(&mut self.to_retry);
        let to_retry = to_retry
            .into_iter()
            .map(|doomed| (doomed.snapshot_name, doomed.exempt));
        let mut given_up: Vec<(String, bool)> = to_retry
            .filter(|(name, _)| !next.contains(name.as_str()) && !self.counted.contains(name))
            .collect();
        if next.is_empty() {
            let tried_names = std::mem::take(&mut self.progress.unanswered);
            given_up.extend(tried_names.into_iter().map(|name| (name, false)));
        }
        for (snapshot_name, is_exempt) in given_up {
            let deletion = FailedDeletion {
                snapshot_name,
                reason: NOT_CONFIRMED.to_owned(),
            };
            self.add_failed(deletion, is_exempt);
        }
        self.progress
    }
}

fn deleted(doomed: &DoomedSnapshot) -> DeletedSnapshot {
    DeletedSnapshot {
        snapshot_name: doomed.snapshot_name.clone(),
        created_at: step::rounded_to_millis(doomed.created_at),
        application_version_id: doomed.application_version_id,
        reason: doomed.reason.clone(),
    }
}
