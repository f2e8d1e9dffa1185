//! Counts what became of a batch, by the service's responses and by the listing.

use std::collections::HashSet;

use contract::{DeletedSnapshot, DoomedSnapshot, ErrorName, FailedDeletion, Progress};
use step::StepError;

use crate::deletion::Fate;
use crate::payload::{MAX_LISTED_DELETED, MAX_LISTED_FAILED, to_count, truncate_reason};
use crate::sighting::{Seen, Sighting};

/// The reason of a failed deletion that the service may have accepted.
const NOT_CONFIRMED: &str =
    "The deletion was not confirmed and is not retried. The service may still delete the snapshot.";

/// How many throttled batches in a row are planned again. The deletions of the next one count as failed.
const MAX_THROTTLED_BATCHES: u32 = 5;

/// The totals of the run after a batch.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) progress: Progress,
    /// Deletions that may still take effect. The next pass checks them again.
    pub(crate) pending: Vec<DoomedSnapshot>,
    /// Listed snapshots whose deletion was attempted once, without effect.
    pub(crate) to_retry: Vec<DoomedSnapshot>,
    /// Listed snapshots whose deletion this invocation did not attempt. An earlier delivery of the same invocation may
    /// have deleted them, which an outdated listing does not show.
    pub(crate) not_attempted: Vec<DoomedSnapshot>,
    /// Whether the whole batch was throttled, so that the next one has to wait.
    pub(crate) is_batch_throttled: bool,
    /// The names that this batch or the progress counts as deleted or failed. No later plan of the run wants
    /// them again, even if an outdated listing still shows them.
    pub(crate) counted: HashSet<String>,
    /// Failures that are counted but not listed by name, so that `counted` lacks them. A run with such failures has too many failures to delete anything more.
    pub(crate) failures_without_name: u32,
}

/// What one snapshot of the batch adds to the totals.
#[derive(Debug)]
enum Effect {
    Deleted,
    /// The deletion failed, for this reason.
    Failed(String),
    /// The snapshot still exists, and this was no attempt. The next plan may want it again.
    NotAttempted,
    /// The snapshot still exists after the first of two attempts. The next plan may want it again.
    Attempted,
    /// The deletion may still take effect. The next pass checks again.
    Pending,
}

/// Adds a batch to the totals. The snapshots of a batch that is throttled as a whole are planned again, up to
/// [`MAX_THROTTLED_BATCHES`] times in a row.
///
/// # Errors
/// Returns `AccessDenied` if the function has no permission to delete.
pub(crate) fn count(progress: Progress, sightings: Vec<Sighting>) -> Result<Tally, StepError> {
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
    let mut made_progress = false;
    for Sighting {
        snapshot: mut doomed,
        fate,
        seen,
    } in sightings
    {
        let name = &doomed.snapshot_name;
        if tally.counted.contains(name) {
            continue;
        }
        let unanswered = &mut tally.progress.unanswered;
        doomed.tried |= unanswered.contains(name);
        unanswered.retain(|unanswered| unanswered != name);
        if let (Fate::Throttled(error), Seen::Listed) = (&fate, seen) {
            let deletion = FailedDeletion {
                snapshot_name: name.clone(),
                reason: truncate_reason(&error.fact),
            };
            throttled.push((deletion, doomed.exempt));
        } else {
            made_progress |= !matches!(fate, Fate::NotAttempted);
        }
        match effect(&doomed, fate, seen)? {
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
            Effect::Attempted => tally.to_retry.push(tried(doomed)),
            Effect::Pending => tally.pending.push(tried(doomed)),
        }
    }
    let batches = &mut tally.progress.throttled_batches;
    if made_progress {
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

fn tried(doomed: DoomedSnapshot) -> DoomedSnapshot {
    DoomedSnapshot {
        tried: true,
        ..doomed
    }
}

/// # Errors
/// Returns `AccessDenied` if the function has no permission to delete.
fn effect(doomed: &DoomedSnapshot, fate: Fate, seen: Seen) -> Result<Effect, StepError> {
    let is_second_attempt = doomed.tried;
    let failed = |error: &StepError| Effect::Failed(truncate_reason(&error.fact));
    Ok(match (seen, fate) {
        (Seen::Gone, _) => Effect::Deleted,
        (_, Fate::Refused(error)) if error.name == ErrorName::AccessDenied => return Err(error),
        (_, Fate::Refused(error)) => failed(&error),
        (Seen::Listed, Fate::Accepted) if is_second_attempt => {
            let name = &doomed.snapshot_name;
            Effect::Failed(format!("{name} is still listed after its deletion."))
        }
        (_, Fate::Unconfirmed(error)) if is_second_attempt => failed(&error),
        (Seen::Listed, Fate::Unconfirmed(_)) => Effect::Attempted,
        (Seen::Listed, Fate::NotAttempted | Fate::Throttled(_)) => Effect::NotAttempted,
        (Seen::Unlisted, Fate::NotAttempted) if !is_second_attempt => Effect::NotAttempted,
        (Seen::Unlisted | Seen::Unknown, _) if is_second_attempt => {
            Effect::Failed(NOT_CONFIRMED.to_owned())
        }
        // An outdated listing still shows what was deleted, or does not show yet what exists.
        (Seen::Listed, Fate::Accepted) | (Seen::Unlisted | Seen::Unknown, _) => Effect::Pending,
    })
}

impl Tally {
    /// The deletions so far, successful and failed, that the brake counts.
    pub(crate) fn settled_ready(&self) -> u32 {
        let progress = &self.progress;
        let settled = progress.deleted_count.saturating_add(progress.failed_count);
        settled.saturating_sub(progress.exempt_count)
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

    /// Takes the snapshots whose deletion is not settled, for the next pass to check.
    pub(crate) fn take_unsettled(&mut self) -> Vec<DoomedSnapshot> {
        let mut unsettled = std::mem::take(&mut self.pending);
        unsettled.append(&mut self.to_retry);
        unsettled.append(&mut self.not_attempted);
        unsettled
    }

    /// The totals to hand on with the next batch. A deletion that was attempted and is not in the next batch
    /// counts as failed, although the service may still carry it out.
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
            let unanswered = std::mem::take(&mut self.progress.unanswered);
            given_up.extend(unanswered.into_iter().map(|name| (name, false)));
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
