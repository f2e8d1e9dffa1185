//! Bounds that keep a state's payload within 256 KiB, even with names of 256 characters.

use contract::{Action, Verdict};
use step::single_line;

/// The most snapshots in a batch.
pub(crate) const MAX_BATCH: usize = 250;

/// The most deleted snapshots that the payload and the record list.
pub(crate) const MAX_LISTED_DELETED: usize = 100;

/// The most failed deletions that the payload and the record list.
pub(crate) const MAX_LISTED_FAILED: usize = 100;

/// The most verdicts that the payload and the record list.
const MAX_LISTED_VERDICTS: usize = 200;

/// The most that the listed verdicts take in the payload, in bytes of JSON. Names of 256 characters with
/// a dozen reasons each would otherwise fill it.
const MAX_VERDICTS_BYTES: usize = 100_000;

/// The most warnings that the payload and the record list.
pub(crate) const MAX_LISTED_WARNINGS: usize = 20;

/// The longest warning, or reason of a failed deletion, in bytes of JSON.
const MAX_SENTENCE_BYTES: usize = 300;

/// The beginning of a fact, as one line.
pub(crate) fn truncate_reason(fact: &str) -> String {
    truncate(fact, MAX_SENTENCE_BYTES)
}

/// The beginning of a warning, as one line. A name of 256 characters and the remedy fit.
pub(crate) fn truncate_warning(warning: &str) -> String {
    truncate(warning, 2 * MAX_SENTENCE_BYTES)
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
    single_line(text).chars().take_while(fits).collect()
}

/// The verdicts that fit into the payload, deletions first. The rest goes to the log.
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
            judged = verdict.snapshot_name,
            action = ?verdict.action,
            reasons = ?verdict.reasons,
            "verdict"
        );
    }
    verdicts
}

/// A length as the counts of the payload have it.
pub(crate) fn to_count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
