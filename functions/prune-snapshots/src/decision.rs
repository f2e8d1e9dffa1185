//! What goes now, what waits, and what is held back: a function of one look at the service, the run and
//! what it has done so far. No AWS, no clock.

use std::collections::{HashMap, HashSet};

use contract::{Action, DoomedSnapshot, HeldBack, HeldBackCause, Mode, Run, Verdict};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use retention::{Protected, Snapshot, Status, plan};

use crate::application::Application;
use crate::gate::{self, Hold, Standing};
use crate::own_snapshot::Own;
use crate::payload::{BATCH, number};
use crate::progress::Tally;

/// How long a plan is good for. A batch that is entered later, after a redrive or a long backoff, is not
/// deleted but planned anew.
const PLAN_GOOD_FOR: SignedDuration = SignedDuration::from_mins(1);

/// How long a run waits for its own snapshot to be READY in the listing, at least one poll interval.
const LISTING_BEHIND_FOR: SignedDuration = SignedDuration::from_mins(1);

/// More failed deletions than this end the pruning.
const FAILURES_BORNE: u32 = 50;

/// What is decided.
#[derive(Debug)]
pub(crate) struct Decision {
    pub(crate) next: Next,
    /// How many deletions the plan wants, or has begun and not seen.
    pub(crate) wanted: u32,
    pub(crate) held_back: Option<HeldBack>,
    /// One for each listed snapshot, newest first.
    pub(crate) verdicts: Vec<Verdict>,
}

/// What the next entry of the state is for.
#[derive(Debug)]
pub(crate) enum Next {
    /// It deletes these.
    Delete(Vec<DoomedSnapshot>),
    /// After a wait it looks again, above all for what is not seen to be deleted yet.
    Look,
    /// There is none.
    Nothing,
}

/// What of the batch may be deleted now: all but the restore point while the application's gate is open
/// and the plan is fresh, otherwise nothing.
pub(crate) fn due<'a>(
    batch: &'a [DoomedSnapshot],
    planned_at: Option<Timestamp>,
    application: &Application,
    now: Timestamp,
) -> HashSet<&'a str> {
    let is_fresh = planned_at.is_some_and(|at| now.duration_since(at).abs() <= PLAN_GOOD_FOR);
    if !is_fresh || gate::application_gate(application).is_some() {
        return HashSet::new();
    }
    let names = batch.iter().map(|doomed| doomed.snapshot_name.as_str());
    let restore_point = application.restore.name();
    names.filter(|name| Some(*name) != restore_point).collect()
}

/// Decides by the listing and the application as they are now. `own` is the run's own snapshot, if its
/// mode takes one.
pub(crate) fn decide(
    listing: &[Snapshot],
    application: &Application,
    run: &Run,
    own: Option<&Own>,
    tally: &Tally,
    (zone, now): (&TimeZone, Timestamp),
) -> Decision {
    let verdicts = verdicts(listing, application, run, own, (zone, now));
    let doomed: HashSet<&str> = verdicts
        .iter()
        .filter(|verdict| verdict.action == Action::Delete)
        .map(|verdict| verdict.snapshot_name.as_str())
        .filter(|name| !tally.counted.contains(*name))
        .collect();
    let unseen = tally.unseen.iter().map(|doomed| &doomed.snapshot_name);
    let unlisted = unseen
        .filter(|name| !doomed.contains(name.as_str()))
        .count();
    let wanted = number(doomed.len() + unlisted);
    // Failures without a name are doomed once more by the listing.
    let not_counted_yet = wanted.saturating_sub(tally.failed_unnamed);
    let standing = match own {
        Some(own) => gate::standing(run, own, listing, now),
        None => gate::standing_without_own(run, listing, now),
    };

    if let Standing::NotListedYet(_) = standing
        && run.can_wait_before_pruning()
        && is_worth_waiting(tally.progress.waiting_since.as_deref(), now)
    {
        return Decision {
            next: Next::Look,
            wanted: not_counted_yet,
            held_back: None,
            verdicts,
        };
    }
    let hold = hold(application, run, standing, tally, wanted);
    let next = if !tally.unseen.is_empty() || tally.is_throttled {
        Next::Look
    } else if hold.is_some() || doomed.is_empty() || run.input.mode == Mode::Plan {
        Next::Nothing
    } else {
        Next::Delete(batch(listing, &verdicts, &doomed, &tally.tried))
    };
    Decision {
        next,
        wanted: not_counted_yet,
        held_back: hold.map(|Hold { cause, message }| HeldBack {
            cause,
            deletions_wanted: not_counted_yet,
            message,
        }),
        verdicts,
    }
}

fn is_worth_waiting(since: Option<&str>, now: Timestamp) -> bool {
    let since: Option<Timestamp> = since.and_then(|since| since.parse().ok());
    since.is_none_or(|since| now.duration_since(since).abs() < LISTING_BEHIND_FOR)
}

/// Why the plan is not carried out, if it is not. If the plan wants nothing, only a problem with the run's
/// own snapshot is a reason.
fn hold(
    application: &Application,
    run: &Run,
    standing: Standing,
    tally: &Tally,
    wanted: u32,
) -> Option<Hold> {
    let brake = || gate::brake(run, tally.begun(), wanted);
    if run.input.mode == Mode::Plan {
        return (wanted > 0).then(|| gate::policy_gate(run).or_else(brake))?;
    }
    let left = match standing {
        Standing::Problem(hold) | Standing::NotListedYet(hold) => return Some(hold),
        Standing::LeftToLaterRun(hold) | Standing::Incomparable(hold) => Some(hold),
        Standing::Newest => None,
    };
    if wanted == 0 {
        return None;
    }
    gate::application_gate(application)
        .or(left)
        .or_else(|| gate::policy_gate(run))
        .or_else(|| too_many_failures(tally.progress.failed_count))
        .or_else(brake)
}

fn too_many_failures(failed: u32) -> Option<Hold> {
    (failed > FAILURES_BORNE).then(|| Hold {
        cause: HeldBackCause::TooManyFailures,
        message: format!(
            "{failed} deletions failed, so no more were begun. Look at their reasons; the next run \
             tries them again."
        ),
    })
}

/// One verdict for each listed snapshot. Mode PLAN plans as if this run's own snapshot were READY
/// now.
fn verdicts(
    listing: &[Snapshot],
    application: &Application,
    run: &Run,
    own: Option<&Own>,
    (zone, now): (&TimeZone, Timestamp),
) -> Vec<Verdict> {
    let own_name = own.map_or_else(|| run.snapshot_name(), |own| own.name.clone());
    let protected = Protected {
        own: Some(&own_name),
        restore_point: application.restore.name(),
    };
    let policy = &run.input.retention;
    if run.input.mode != Mode::Plan {
        return plan(listing, policy, zone, protected, now);
    }
    let own = Snapshot {
        name: own_name.clone(),
        status: Status::Ready,
        created_at: Some(now),
        application_version_id: application.version_id,
    };
    let with_own: Vec<Snapshot> = listing.iter().cloned().chain([own]).collect();
    let mut verdicts = plan(&with_own, policy, zone, protected, now);
    verdicts.retain(|verdict| verdict.snapshot_name != own_name);
    verdicts
}

/// The oldest of the doomed, those first that were tried before, with what the delete call needs.
fn batch(
    listing: &[Snapshot],
    verdicts: &[Verdict],
    doomed: &HashSet<&str>,
    tried: &[DoomedSnapshot],
) -> Vec<DoomedSnapshot> {
    let by_name: HashMap<&str, &Snapshot> = listing
        .iter()
        .map(|snapshot| (snapshot.name.as_str(), snapshot))
        .collect();
    let tried: HashSet<&str> = tried.iter().map(|d| d.snapshot_name.as_str()).collect();
    let oldest_first = verdicts
        .iter()
        .rev()
        .filter(|verdict| doomed.contains(verdict.snapshot_name.as_str()));
    let mut batch: Vec<DoomedSnapshot> = oldest_first
        .filter_map(|verdict| {
            let snapshot = by_name.get(verdict.snapshot_name.as_str())?;
            Some(DoomedSnapshot {
                snapshot_name: snapshot.name.clone(),
                created_at: snapshot.created_at?.to_string(),
                application_version_id: snapshot.application_version_id,
                reason: verdict.reasons.join("; "),
                tried: tried.contains(snapshot.name.as_str()),
            })
        })
        .collect();
    batch.sort_by_key(|doomed| !doomed.tried);
    batch.truncate(BATCH);
    batch
}
