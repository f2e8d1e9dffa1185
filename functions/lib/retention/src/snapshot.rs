//! Snapshots as the service lists them.

use contract::is_snapshot_name;
use jiff::Timestamp;

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

impl From<&str> for Status {
    /// The status as the service writes it.
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
    /// The status as the service writes it.
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

/// The snapshots of all pages of a listing, each once, in the order of their names.
///
/// The order of pages is not documented, so a snapshot may be listed twice. If the two differ, its status is
/// unknown, and nothing deletes it.
///
/// # Errors
/// One sentence: a name that the service cannot have given.
pub fn merge(mut listed: Vec<Snapshot>) -> Result<Vec<Snapshot>, String> {
    if let Some(snapshot) = listed.iter().find(|it| !is_snapshot_name(&it.name)) {
        return Err(format!("{:?} is not the name of a snapshot", snapshot.name));
    }
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    listed.dedup_by(|again, first| {
        let is_listed_twice = again.name == first.name;
        if is_listed_twice && again != first {
            first.status = Status::Other("(listed twice, with different data)".to_owned());
        }
        is_listed_twice
    });
    Ok(listed)
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
        }
    }

    #[test]
    fn a_snapshot_listed_twice_counts_once_and_with_different_data_its_status_is_unknown() {
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
    fn a_name_that_the_service_cannot_have_given_is_refused() {
        for name in ["", "a b", &"x".repeat(257)] {
            let error = merge(vec![snapshot(name, "READY")]).unwrap_err();
            assert!(error.contains("is not the name of a snapshot"), "{error}");
        }
    }

    #[test]
    fn a_status_is_written_as_it_was_read() {
        for status in ["CREATING", "READY", "DELETING", "FAILED", "SOMETHING_NEW"] {
            assert_eq!(Status::from(status).as_str(), status);
        }
    }
}
