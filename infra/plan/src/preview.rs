//! Previews what a run would do. The plan is made by the same code as in the function.

use std::collections::HashSet;

use contract::{HeldBack, MANAGED_PREFIX, Retention, Scope, SnapshotName, Verdict};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use retention::{
    BrakeCounts, Loss, RunProtection, Snapshot, Status, brake, doomed_names, is_in_scope,
    keep_within_start, left_to_later_run, plan, unpinned_warning, with_own_snapshot,
};

/// A run that is previewed: its policy, and everything else on which its plan depends.
#[derive(Debug)]
pub struct PreviewedRun<'a> {
    pub policy: &'a Retention,
    pub zone: &'a TimeZone,
    /// Whether the run takes a snapshot, as it does in mode RUN.
    pub takes_snapshot: bool,
    /// The `snapshot_name` in the input of the run.
    pub snapshot_name: Option<&'a SnapshotName>,
    /// The snapshot from which the application is configured to restore.
    pub restore_point: Option<&'a str>,
    /// The `ApplicationVersionId` of the application. If it is `None`, the highest one in the listing is used.
    pub application_version: Option<i64>,
    /// The `RuntimeEnvironment` of the application. If it is `None`, that of the newest listed snapshot that
    /// has one is used.
    pub runtime: Option<&'a str>,
    /// When the run starts.
    pub now: Timestamp,
}

/// What the run would do.
#[derive(Debug)]
pub struct Preview {
    /// The snapshots that the run sees when it prunes: the listing, and its own snapshot if it takes one.
    pub snapshots: Vec<Snapshot>,
    /// The verdict on the run's own snapshot, if it takes one.
    pub own: Option<Verdict>,
    /// The verdicts on the listed snapshots, newest first.
    pub verdicts: Vec<Verdict>,
    /// Why the run would delete nothing although its plan deletes snapshots. `None` if nothing prevents
    /// the deletions, or if there are none.
    pub held_back: Option<HeldBack>,
    /// Remarks for the reader, mostly about settings that may not do what they seem to do.
    pub notes: Vec<String>,
}

impl Preview {
    /// All verdicts. The verdict on the run's own snapshot is the first.
    pub fn all_verdicts(&self) -> impl Iterator<Item = &Verdict> {
        self.own.iter().chain(&self.verdicts)
    }
}

impl PreviewedRun<'_> {
    #[must_use]
    pub fn preview(&self, listing: &[Snapshot]) -> Preview {
        let snapshots = self.snapshots(listing);
        let mut verdicts = self.verdicts(&snapshots);
        let doomed: HashSet<&str> = doomed_names(&verdicts).collect();
        let counts = self.brake_counts(&snapshots, &doomed);
        let doomed = to_count(doomed.len());
        let hold = || {
            // `now` is the run id, the time of the snapshot and the current time.
            left_to_later_run(self.now.as_millisecond(), self.now, listing, self.now)
                .or_else(|| brake(self.policy, counts))
        };
        let hold = if doomed > 0 { hold() } else { None };
        let notes = self.notes(listing, &snapshots);
        let own_place = if snapshots.len() > listing.len() {
            let own_name = self.own_name();
            verdicts.iter().position(|it| it.snapshot_name == own_name)
        } else {
            None
        };
        Preview {
            own: own_place.map(|place| verdicts.remove(place)),
            snapshots,
            verdicts,
            held_back: hold.map(|hold| hold.into_held_back(doomed)),
            notes,
        }
    }

    /// The snapshots that the run sees when it prunes.
    fn snapshots(&self, listing: &[Snapshot]) -> Vec<Snapshot> {
        if !self.takes_snapshot {
            return listing.to_vec();
        }
        let version = self
            .application_version
            .or_else(|| highest_version(listing));
        let own = Snapshot {
            name: self.own_name(),
            status: Status::Ready,
            created_at: Some(self.now),
            application_version_id: version.unwrap_or(1),
            runtime: self
                .runtime
                .or_else(|| last_runtime(listing))
                .map(str::to_owned),
        };
        with_own_snapshot(listing, own)
    }

    /// The counts that the deletion limit is checked against.
    fn brake_counts(&self, snapshots: &[Snapshot], doomed: &HashSet<&str>) -> BrakeCounts {
        let scope = self.policy.scope;
        let ready = snapshots
            .iter()
            .filter(|it| it.status == Status::Ready && is_in_scope(&it.name, scope));
        let wanted = ready.clone().filter(|it| doomed.contains(it.name.as_str()));
        BrakeCounts {
            attempted: 0,
            wanted: to_count(wanted.count()),
            total: to_count(ready.clone().count()),
            from_last_day: to_count(ready.filter(|it| it.is_from_last_day(self.now)).count()),
        }
    }

    /// The name of the snapshot that the run takes. Its run id is the time at which it starts.
    fn own_name(&self) -> String {
        match self.snapshot_name {
            Some(name) => name.as_str().to_owned(),
            None => format!("{MANAGED_PREFIX}{:013}", self.now.as_millisecond()),
        }
    }

    fn verdicts(&self, snapshots: &[Snapshot]) -> Vec<Verdict> {
        let own_name = self.own_name();
        let protected = RunProtection {
            own: Some(&own_name),
            restore_point: self.restore_point,
        };
        plan(snapshots, self.policy, self.zone, protected, self.now)
    }

    /// The words by which a note refers to the newest snapshot in scope.
    fn newest(&self) -> &'static str {
        let scope = self.policy.scope;
        if self.takes_snapshot && is_in_scope(&self.own_name(), scope) {
            "newest snapshot, the run's own"
        } else if scope == Scope::Managed {
            "newest managed snapshot"
        } else {
            "newest snapshot"
        }
    }

    fn notes(&self, listing: &[Snapshot], snapshots: &[Snapshot]) -> Vec<String> {
        let mut notes = notes_on_unrestorable(snapshots, self.policy, self.restore_point);
        notes.extend(
            self.snapshot_name
                .and_then(|name| unpinned_warning(name.as_str(), self.policy)),
        );
        let doomed = |run: &PreviewedRun<'_>, snapshots: &[Snapshot]| -> Vec<String> {
            let verdicts = run.verdicts(snapshots);
            doomed_names(&verdicts).map(str::to_owned).collect()
        };
        let doomed_now = doomed(self, snapshots);
        if let Some(version) = highest_version(listing)
            && self.application_version.is_none()
        {
            let newer = PreviewedRun {
                application_version: Some(version.saturating_add(1)),
                ..*self
            };
            if doomed(&newer, &newer.snapshots(listing)) != doomed_now {
                notes.push(format!(
                    "The plan assumes version {version} of the application, the highest in the listing. With a higher \
                     version, other snapshots would be protected. If the application has one, give it with \
                     --application-version."
                ));
            }
        }
        if let Some(within) = &self.policy.keep_within {
            notes.push(match keep_within_start(snapshots, self.policy, self.zone, self.now) {
                Some(begin) => format!(
                    "keep_within keeps the snapshots taken after {begin:.0}, which is {within} before the \
                     {}.",
                    self.newest()
                ),
                None => "keep_within keeps every snapshot to which the rules apply.".to_owned(),
            });
        }
        for (rule, remove) in RULES {
            let mut without = self.policy.clone();
            remove(&mut without);
            let run = PreviewedRun {
                policy: &without,
                ..*self
            };
            if without != *self.policy && doomed(&run, snapshots) == doomed_now {
                notes.push(format!(
                    "Without {rule}, the run would delete the same snapshots, because every snapshot that \
                     {rule} keeps is also kept for another reason."
                ));
            }
        }
        notes
    }
}

/// The highest version in the listing. Versions only increase, so the application has this version or a higher one.
fn highest_version(listing: &[Snapshot]) -> Option<i64> {
    listing.iter().map(|it| it.application_version_id).max()
}

/// The runtime of the newest listed snapshot that has a runtime.
fn last_runtime(listing: &[Snapshot]) -> Option<&str> {
    let with_runtime = listing.iter().filter(|it| it.runtime.is_some());
    let newest = with_runtime.max_by_key(|it| (it.created_at, &it.name))?;
    newest.runtime.as_deref()
}

fn to_count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// A note for each name in `keep_names`, and for the restore point, if no application can restore from the snapshot.
fn notes_on_unrestorable(
    snapshots: &[Snapshot],
    policy: &Retention,
    restore_point: Option<&str>,
) -> Vec<String> {
    let keep_names = policy.keep_names.as_slice().iter();
    let keep_names = keep_names.map(|name| ("keep_names", name.as_str()));
    let restore_point = restore_point.map(|name| ("--restore-point", name));
    let names = keep_names.chain(restore_point);
    names
        .filter_map(|(place, name)| {
            let loss = Loss::of(name, snapshots)?;
            Some(format!(
                "{place} has {name:?}, which {loss}, so no application can restore from it."
            ))
        })
        .collect()
}

/// The name of a rule, and a function that removes the rule from a policy.
type Rule = (&'static str, fn(&mut Retention));

const RULES: [Rule; 7] = [
    ("keep_last", |policy| policy.keep_last = None),
    ("keep_hourly", |policy| policy.keep_hourly = None),
    ("keep_daily", |policy| policy.keep_daily = None),
    ("keep_weekly", |policy| policy.keep_weekly = None),
    ("keep_monthly", |policy| policy.keep_monthly = None),
    ("keep_yearly", |policy| policy.keep_yearly = None),
    ("keep_within", |policy| policy.keep_within = None),
];
