//! Limits that keep the payload of a state within 256 KiB, even if all names have 256 characters.

use contract::{Action, Verdict};
use step::bounded_line;

/// The maximum number of snapshots in a batch.
pub(crate) const MAX_BATCH: usize = 250;

/// The maximum number of deleted snapshots that the payload and the audit record list.
pub(crate) const MAX_LISTED_DELETED: usize = 100;

/// The maximum number of failed deletions that the payload and the audit record list.
pub(crate) const MAX_LISTED_FAILED: usize = 100;

/// The maximum number of verdicts that the payload and the audit record list.
const MAX_LISTED_VERDICTS: usize = 200;

/// The maximum size of all listed verdicts, in bytes of JSON. Without this limit, verdicts with long names and many
/// reasons would fill the payload.
const MAX_VERDICTS_BYTES: usize = 100_000;

/// The maximum number of warnings that the payload and the audit record list.
pub(crate) const MAX_LISTED_WARNINGS: usize = 20;

/// The maximum size of the reason of a failed deletion, in bytes of JSON.
const MAX_REASON_BYTES: usize = 300;

/// The maximum size of a warning, in bytes of JSON. It leaves room for a name of 256 characters and the remedy.
const MAX_WARNING_BYTES: usize = 600;

/// Shortens the reason of a failed deletion and makes it one line.
pub(crate) fn truncate_reason(reason: &str) -> String {
    truncate(reason, MAX_REASON_BYTES)
}

/// Shortens a warning and makes it one line.
pub(crate) fn truncate_warning(warning: &str) -> String {
    truncate(warning, MAX_WARNING_BYTES)
}

fn truncate(text: &str, max_bytes: usize) -> String {
    let mut bytes = 0;
    let fits = |c: &char| {
        bytes += match c {
            '"' | '\\' => 2,
            other => other.len_utf8(),
        };
        bytes <= max_bytes
    };
    bounded_line(text).chars().take_while(fits).collect()
}

/// Returns the verdicts that fit into the payload, with deletions first, and logs the others.
pub(crate) fn truncate_verdicts(mut verdicts: Vec<Verdict>) -> Vec<Verdict> {
    verdicts.sort_by_key(|verdict| verdict.action != Action::Delete);
    let mut bytes = 0;
    let fitting = verdicts.iter().take_while(|verdict| {
        bytes += serde_json::to_vec(verdict).map_or(MAX_VERDICTS_BYTES, |json| json.len());
        bytes <= MAX_VERDICTS_BYTES
    });
    let listed = fitting.take(MAX_LISTED_VERDICTS).count();
    for verdict in verdicts.drain(listed..) {
        tracing::info!(
            snapshot = verdict.snapshot_name,
            action = ?verdict.action,
            reasons = ?verdict.reasons,
            "verdict"
        );
    }
    verdicts
}

/// Converts a length to the type of the counts in the payload.
pub(crate) fn to_count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
