//! What has become of a batch: the service's answers and the listing, counted.

use std::collections::HashSet;

use contract::{DeletedSnapshot, DoomedSnapshot, ErrorName, FailedDeletion, Progress};
use step::StepError;

use crate::deletion::Fate;
use crate::payload::{self, DELETED_NAMED, FAILURES_NAMED};
use crate::sighting::Seen;

/// What is recorded of a deletion whose effect nobody has seen.
const NOT_SEEN: &str = "Not seen to be deleted, and no second try: it may be deleted yet.";

/// How many throttled batches in a row are tried again. The deletions of the next one have failed.
const THROTTLED_BATCHES_BORNE: u32 = 5;

/// The totals of the run after a batch.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) progress: Progress,
    /// Snapshots whose deletion may have taken effect and is not seen yet: another look shows it.
    pub(crate) unseen: Vec<DoomedSnapshot>,
    /// Listed snapshots whose deletion was tried once and did not take effect.
    pub(crate) tried: Vec<DoomedSnapshot>,
    /// Listed snapshots whose deletion was not tried, as far as this invocation knows. An earlier delivery of it may
    /// have tried, and a listing that is behind does not show that.
    pub(crate) untried: Vec<DoomedSnapshot>,
    /// Whether the whole batch was throttled, so that the next one has to wait.
    pub(crate) is_throttled: bool,
    /// The names of all that this batch or the progress counts as deleted or failed: no later plan of the
    /// run wants them again. A listing that is behind may show what is deleted.
    pub(crate) counted: HashSet<String>,
    /// How many failures of earlier batches the progress counts without their names, so that `counted` lacks
    /// them. A run with any has more failures than it bears, so no plan of it deletes.
    pub(crate) failed_unnamed: u32,
}

/// What one snapshot of the batch adds to the totals.
#[derive(Debug)]
enum Effect {
    Deleted,
    /// It failed for good.
    Failed(String),
    /// The next plan may want it again. This was no try.
    Again,
    /// The next plan may want it again. This was the first of its two tries.
    Tried,
    /// Another look decides.
    Unseen,
}

/// The totals with this batch. A batch that the service throttles as a whole comes again, some times.
///
/// # Errors
/// The function has no right to delete.
pub(crate) fn count(
    progress: Progress,
    batch: Vec<(DoomedSnapshot, Fate, Seen)>,
) -> Result<Tally, StepError> {
    let mut tally = Tally {
        counted: (progress.failed.iter().map(|failed| &failed.snapshot_name))
            .chain(
                progress
                    .deleted
                    .iter()
                    .map(|deleted| &deleted.snapshot_name),
            )
            .cloned()
            .collect(),
        failed_unnamed: progress
            .failed_count
            .saturating_sub(payload::number(progress.failed.len())),
        progress,
        ..Tally::default()
    };
    let mut throttled = Vec::new();
    let mut is_settled = false;
    for (mut doomed, fate, seen) in batch {
        let name = &doomed.snapshot_name;
        if tally.counted.contains(name) {
            continue;
        }
        let unanswered = &mut tally.progress.unanswered;
        let is_second = doomed.tried || unanswered.contains(name);
        unanswered.retain(|unanswered| unanswered != name);
        doomed.tried = is_second;
        let is_begun = !matches!(fate, Fate::NotBegun);
        if let (Fate::Throttled(error), Seen::Listed) = (&fate, &seen) {
            throttled.push((doomed.snapshot_name.clone(), payload::reason(&error.fact)));
        } else {
            is_settled |= is_begun;
        }
        match effect(&doomed, fate, seen)? {
            Effect::Deleted => tally.deleted(&doomed),
            Effect::Failed(reason) => tally.failed(doomed.snapshot_name, reason),
            Effect::Again if doomed.tried => tally.tried.push(doomed),
            Effect::Again => tally.untried.push(doomed),
            Effect::Tried => tally.tried.push(tried(doomed)),
            Effect::Unseen => tally.unseen.push(tried(doomed)),
        }
    }
    let batches = &mut tally.progress.throttled_batches;
    if is_settled {
        *batches = 0;
    } else if !throttled.is_empty() {
        *batches = batches.saturating_add(1);
        if *batches > THROTTLED_BATCHES_BORNE {
            for (name, reason) in throttled {
                tally.failed(name, reason);
            }
        } else {
            tally.is_throttled = true;
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
/// The function has no right to delete.
fn effect(doomed: &DoomedSnapshot, fate: Fate, seen: Seen) -> Result<Effect, StepError> {
    let is_second = doomed.tried;
    let failed = |error: &StepError| Effect::Failed(payload::reason(&error.fact));
    let not_seen = || Effect::Failed(NOT_SEEN.to_owned());
    Ok(match (seen, fate) {
        (Seen::Gone, _) => Effect::Deleted,
        (_, Fate::Refused(error)) if error.name == ErrorName::AccessDenied => return Err(error),
        (_, Fate::Refused(error)) => failed(&error),
        (Seen::Listed, Fate::Accepted) if is_second => {
            let name = &doomed.snapshot_name;
            Effect::Failed(format!("{name} is still listed after its deletion."))
        }
        (_, Fate::Unanswered(error)) if is_second => failed(&error),
        (Seen::Listed, Fate::Unanswered(_)) => Effect::Tried,
        (Seen::Listed, Fate::NotBegun | Fate::Throttled(_)) => Effect::Again,
        (Seen::Unlisted, Fate::NotBegun) if !is_second => Effect::Again,
        (Seen::Unlisted | Seen::Unknown, _) if is_second => not_seen(),
        // The listing may be behind: it shows what was accepted, or not what is there.
        (Seen::Listed, Fate::Accepted) | (Seen::Unlisted | Seen::Unknown, _) => Effect::Unseen,
    })
}

impl Tally {
    /// Failed deletions so far, and successful ones.
    pub(crate) fn begun(&self) -> u32 {
        self.progress
            .deleted_count
            .saturating_add(self.progress.failed_count)
    }

    fn deleted(&mut self, doomed: &DoomedSnapshot) {
        self.counted.insert(doomed.snapshot_name.clone());
        let progress = &mut self.progress;
        progress.deleted_count = progress.deleted_count.saturating_add(1);
        if progress.deleted.len() < DELETED_NAMED {
            progress.deleted.push(deleted(doomed));
        }
    }

    fn failed(&mut self, snapshot_name: String, reason: String) {
        let progress = &mut self.progress;
        progress.failed_count = progress.failed_count.saturating_add(1);
        self.counted.insert(snapshot_name.clone());
        if progress.failed.len() < FAILURES_NAMED {
            progress.failed.push(FailedDeletion {
                snapshot_name,
                reason,
            });
        }
    }

    /// The totals when `next` is the next batch. A deletion that was tried and is not tried again has failed
    /// as far as anybody knows, and the service may carry it out yet.
    pub(crate) fn before(mut self, next: &[DoomedSnapshot]) -> Progress {
        let next: HashSet<&str> = next.iter().map(|d| d.snapshot_name.as_str()).collect();
        let tried = std::mem::take(&mut self.tried);
        let tried = tried.into_iter().map(|doomed| doomed.snapshot_name);
        let mut ended: Vec<String> = tried
            .filter(|name| !next.contains(name.as_str()) && !self.counted.contains(name))
            .collect();
        if next.is_empty() {
            ended.append(&mut self.progress.unanswered);
        }
        for snapshot_name in ended {
            self.failed(snapshot_name, NOT_SEEN.to_owned());
        }
        self.progress
    }
}

fn deleted(doomed: &DoomedSnapshot) -> DeletedSnapshot {
    DeletedSnapshot {
        snapshot_name: doomed.snapshot_name.clone(),
        created_at: doomed
            .created_at
            .parse()
            .map_or_else(|_| doomed.created_at.clone(), step::for_people),
        application_version_id: doomed.application_version_id,
        reason: doomed.reason.clone(),
    }
}
