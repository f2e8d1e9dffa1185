//! Snapshots as the service lists them, and what follows from a listing.

use std::fmt;

use contract::{Retention, Scope, is_snapshot_name};
use jiff::{SignedDuration, Timestamp};

/// A snapshot as the service lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// 1 to 256 characters of `[a-zA-Z0-9_.-]`, unique within the application.
    pub name: String,
    /// The status in the listing.
    pub status: Status,
    /// The creation time. `None` if the response does not contain it.
    pub created_at: Option<Timestamp>,
    /// The version of the application when the snapshot was taken.
    pub application_version_id: i64,
    /// The Flink runtime of the application when the snapshot was taken, for example `FLINK-1_20`. `None`
    /// if the response does not contain it.
    pub runtime: Option<String>,
}

impl Snapshot {
    /// Whether the snapshot was created at most 24 hours before `now`, or after `now`.
    #[must_use]
    pub fn is_from_last_day(&self, now: Timestamp) -> bool {
        let is_recent = |at| now.duration_since(at) <= SignedDuration::from_hours(24);
        self.created_at.is_some_and(is_recent)
    }
}

/// The status of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// The service is creating the snapshot.
    Creating,
    /// An application can restore from the snapshot.
    Ready,
    /// The service is deleting the snapshot.
    Deleting,
    /// The service could not create the snapshot.
    Failed,
    /// A status that this release does not know.
    Other(String),
}

impl From<&str> for Status {
    /// Converts the status in a response.
    fn from(status: &str) -> Self {
        match status {
            "CREATING" => Self::Creating,
            "READY" => Self::Ready,
            "DELETING" => Self::Deleting,
            "FAILED" => Self::Failed,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl Status {
    /// The status as in a response.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Creating => "CREATING",
            Self::Ready => "READY",
            Self::Deleting => "DELETING",
            Self::Failed => "FAILED",
            Self::Other(status) => status,
        }
    }
}

/// Why nobody can restore from a snapshot that the application or the policy names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The snapshot is not in the listing.
    NotListed,
    /// The service is deleting the snapshot.
    Deleting,
    /// The service could not create the snapshot.
    Failed,
}

impl Loss {
    /// Returns why nobody can restore from the snapshot with this name. `None` if the snapshot is READY or CREATING, or
    /// has an unknown status.
    #[must_use]
    pub fn of(snapshot_name: &str, listing: &[Snapshot]) -> Option<Self> {
        let listed = listing.iter().find(|it| it.name == snapshot_name);
        match listed.map(|snapshot| &snapshot.status) {
            None => Some(Self::NotListed),
            Some(Status::Deleting) => Some(Self::Deleting),
            Some(Status::Failed) => Some(Self::Failed),
            Some(Status::Creating | Status::Ready | Status::Other(_)) => None,
        }
    }
}

/// Returns the warning that a later run may delete the snapshot that a run took with this `snapshot_name`. `None` if
/// the policy keeps the snapshot: its scope is not ALL, or the name is in `keep_names`.
#[must_use]
pub fn unpinned_warning(snapshot_name: &str, policy: &Retention) -> Option<String> {
    (policy.scope == Scope::All && !policy.keep_names.contains(snapshot_name)).then(|| {
        format!(
            "With scope ALL, a later run may delete the snapshot {snapshot_name}. To keep it, add its name to \
             keep_names (in a stack: the parameter KeepNames)."
        )
    })
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotListed => "is not listed",
            Self::Deleting => "is DELETING",
            Self::Failed => "is FAILED",
        })
    }
}

/// Merges the snapshots of all pages of a listing. In the result, each snapshot occurs once, and the snapshots are
/// sorted by name.
///
/// AWS does not document the order of a listing, so a snapshot can be on two pages. If its two entries differ, the
/// merged snapshot has an unknown status. A snapshot with an unknown status is never deleted.
///
/// # Errors
/// Returns one sentence if a name cannot be the name of a snapshot.
pub fn merge(mut listed: Vec<Snapshot>) -> Result<Vec<Snapshot>, String> {
    if let Some(snapshot) = listed.iter().find(|it| !is_snapshot_name(&it.name)) {
        return Err(format!("{:?} is not the name of a snapshot", snapshot.name));
    }
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    listed.dedup_by(|second, first| {
        let is_duplicate = second.name == first.name;
        if is_duplicate && second != first {
            first.status = Status::Other("(listed twice, with different data)".to_owned());
        }
        is_duplicate
    });
    Ok(listed)
}

/// Returns the listing as it would be after a run has taken the snapshot `own`. If the listing has a snapshot with this
/// name already, the run would not take another one, so the listing is returned unchanged.
#[must_use]
pub fn with_own_snapshot(listing: &[Snapshot], own: Snapshot) -> Vec<Snapshot> {
    let is_listed = listing.iter().any(|snapshot| snapshot.name == own.name);
    let own = (!is_listed).then_some(own);
    listing.iter().cloned().chain(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(name: &str, status: &str) -> Snapshot {
        Snapshot {
            name: name.to_owned(),
            status: Status::from(status),
            created_at: None,
            application_version_id: 1,
            runtime: None,
        }
    }

    #[test]
    fn a_snapshot_that_is_listed_twice_is_merged_and_has_an_unknown_status_if_the_entries_differ() {
        let listed = |second| vec![snapshot("b", "READY"), snapshot("a", "READY"), second];
        let merged = |second| merge(listed(second)).unwrap();
        let same = merged(snapshot("b", "READY"));
        assert_eq!(same, [snapshot("a", "READY"), snapshot("b", "READY")]);
        let different = merged(snapshot("b", "CREATING"));
        assert_eq!(different.len(), 2);
        assert!(matches!(different[1].status, Status::Other(_)));
        let moved = Snapshot {
            created_at: Some(Timestamp::UNIX_EPOCH),
            ..snapshot("b", "READY")
        };
        assert!(matches!(merged(moved)[1].status, Status::Other(_)));
    }

    #[test]
    fn an_invalid_name_is_refused() {
        for name in ["", "a b", &"x".repeat(257)] {
            let error = merge(vec![snapshot(name, "READY")]).unwrap_err();
            assert!(error.contains("is not the name of a snapshot"), "{error}");
        }
    }

    #[test]
    fn the_runs_own_snapshot_is_added_unless_it_is_listed_already() {
        let listing = [snapshot("a", "CREATING"), snapshot("b", "READY")];
        let added = with_own_snapshot(&listing, snapshot("c", "READY"));
        let expected = [&listing[..], &[snapshot("c", "READY")]].concat();
        assert_eq!(added, expected);
        assert_eq!(with_own_snapshot(&listing, snapshot("a", "READY")), listing);
    }

    #[test]
    fn only_a_snapshot_that_nobody_can_restore_from_is_lost() {
        let statuses = ["READY", "CREATING", "DELETING", "FAILED", "SOMETHING_NEW"];
        let listing = statuses.map(|status| snapshot(status, status));
        for (name, loss) in [
            ("gone", Some(Loss::NotListed)),
            ("DELETING", Some(Loss::Deleting)),
            ("FAILED", Some(Loss::Failed)),
            ("READY", None),
            ("CREATING", None),
            ("SOMETHING_NEW", None),
        ] {
            assert_eq!(Loss::of(name, &listing), loss, "{name}");
        }
    }

    #[test]
    fn a_snapshot_is_from_the_last_day_for_exactly_24_hours() {
        let now: Timestamp = "2026-11-27T20:00:00Z".parse().unwrap();
        for (created_at, expected) in [
            (None, false),
            (Some("2026-11-26T19:59:59Z"), false),
            (Some("2026-11-26T20:00:00Z"), true),
            (Some("2026-11-27T19:00:00Z"), true),
            (Some("2026-11-27T20:00:01Z"), true),
        ] {
            let snapshot = Snapshot {
                created_at: created_at.map(|at| at.parse().unwrap()),
                ..snapshot("a", "READY")
            };
            assert_eq!(snapshot.is_from_last_day(now), expected, "{created_at:?}");
        }
    }

    #[test]
    fn a_status_is_converted_to_the_string_that_it_was_converted_from() {
        for status in ["CREATING", "READY", "DELETING", "FAILED", "SOMETHING_NEW"] {
            assert_eq!(Status::from(status).as_str(), status);
        }
    }
}
