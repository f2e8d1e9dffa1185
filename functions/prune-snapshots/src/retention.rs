//! Which snapshots go, and why each stays: a function of the listing, the policy, what is
//! protected, and the time. No AWS, no clock.

use std::cmp::Reverse;
use std::collections::HashMap;

use contract::{Action, Retention, Verdict, is_managed};
use jiff::{SignedDuration, Timestamp};

/// How long a FAILED snapshot stays for people to look at.
const KEEP_FAILED_FOR: SignedDuration = SignedDuration::from_hours(24);

/// A snapshot as the service lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// 1 to 256 of `[a-zA-Z0-9_.-]`, unique for the application.
    pub name: String,
    /// Its place in its life.
    pub status: Status,
    /// The service leaves it out of some answers.
    pub created_at: Option<Timestamp>,
    /// The version of the application that it was taken of.
    pub application_version_id: i64,
}

/// A snapshot's place in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Being taken.
    Creating,
    /// Can be restored from.
    Ready,
    /// On its way out.
    Deleting,
    /// Could not be taken.
    Failed,
    /// One that this release does not know.
    Other(String),
}

/// Names that no rule may touch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Protected<'a> {
    /// This run's own snapshot.
    pub own: Option<&'a str>,
    /// The snapshot that the application restores from.
    pub restore_point: Option<&'a str>,
}

/// One verdict for each snapshot, newest first; those without a timestamp come last.
///
/// Candidates are the READY, managed snapshots with a timestamp; protected ones count among them.
/// What no rule and no protection keeps goes. Managed FAILED ones go after a day.
#[must_use]
pub fn plan(
    snapshots: &[Snapshot],
    policy: &Retention,
    protected: Protected<'_>,
    now: Timestamp,
) -> Vec<Verdict> {
    let mut newest_first: Vec<&Snapshot> = snapshots.iter().collect();
    newest_first.sort_by_key(|snapshot| Reverse((snapshot.created_at, &snapshot.name)));

    let newest_ready = newest_first
        .iter()
        .find(|snapshot| snapshot.status == Status::Ready && snapshot.created_at.is_some())
        .map(|snapshot| snapshot.name.as_str());
    let candidates: Vec<&Snapshot> = newest_first
        .iter()
        .copied()
        .filter(|snapshot| is_candidate(snapshot))
        .collect();
    let kept_by_rules = apply_rules(&candidates, policy);

    newest_first
        .into_iter()
        .map(|snapshot| {
            let mut reasons = protections(snapshot, protected, newest_ready);
            reasons.extend(kept_by_rules.get(snapshot.name.as_str()).cloned());
            let (action, reasons) = if reasons.is_empty() {
                let (action, reason) = judge_unprotected(snapshot, policy, now);
                (action, vec![reason])
            } else {
                (Action::Keep, reasons)
            };
            Verdict {
                snapshot_name: snapshot.name.clone(),
                action,
                reasons,
            }
        })
        .collect()
}

fn is_candidate(snapshot: &Snapshot) -> bool {
    snapshot.status == Status::Ready && snapshot.created_at.is_some() && is_managed(&snapshot.name)
}

/// Which rule keeps which of the candidates, newest first.
fn apply_rules<'a>(candidates: &[&'a Snapshot], policy: &Retention) -> HashMap<&'a str, String> {
    let keep_last = policy.keep_last.get();
    candidates
        .iter()
        .zip(1..=keep_last)
        .map(|(snapshot, number)| {
            let reason = format!("keep_last: {number} of {keep_last}");
            (snapshot.name.as_str(), reason)
        })
        .collect()
}

/// Why the snapshot stays whatever the rules say.
fn protections(
    snapshot: &Snapshot,
    protected: Protected<'_>,
    newest_ready: Option<&str>,
) -> Vec<String> {
    let name = Some(snapshot.name.as_str());
    // What is being taken or deleted is left alone by `judge_unprotected`.
    if matches!(snapshot.status, Status::Creating | Status::Deleting) {
        return Vec::new();
    }
    [
        (name == protected.own, "protected: this run's own snapshot"),
        (
            name == protected.restore_point,
            "protected: restore point of the application",
        ),
        (name == newest_ready, "protected: newest READY snapshot"),
    ]
    .into_iter()
    .filter(|(applies, _)| *applies)
    .map(|(_, reason)| reason.to_owned())
    .collect()
}

/// What becomes of a snapshot that no rule keeps and that is not protected by name.
fn judge_unprotected(snapshot: &Snapshot, policy: &Retention, now: Timestamp) -> (Action, String) {
    match (&snapshot.status, snapshot.created_at) {
        (Status::Creating, _) => (Action::Ignore, "CREATING".to_owned()),
        (Status::Deleting, _) => (Action::Ignore, "DELETING".to_owned()),
        (Status::Other(status), _) => (Action::Ignore, format!("unknown status {status}")),
        _ if !is_managed(&snapshot.name) => (
            Action::Ignore,
            "not managed: the name is not custom_ and 13 digits".to_owned(),
        ),
        (Status::Ready | Status::Failed, None) => {
            (Action::Keep, "protected: no creation timestamp".to_owned())
        }
        (Status::Ready, Some(_)) => (
            Action::Delete,
            format!("not among the newest {} (keep_last)", policy.keep_last),
        ),
        (Status::Failed, Some(created_at)) => {
            let age = now.duration_since(created_at);
            if age > KEEP_FAILED_FOR {
                let days = age.as_hours() / 24;
                let unit = if days == 1 { "day" } else { "days" };
                (Action::Delete, format!("failed {days} {unit} ago"))
            } else {
                (Action::Keep, "failed within the last day".to_owned())
            }
        }
    }
}
