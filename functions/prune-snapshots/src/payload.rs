//! What fits a state's payload of 256 KiB, also with names of 256 characters.

use contract::Verdict;
use step::single_line;

/// The most that one entry of the state deletes.
pub(crate) const BATCH: usize = 250;

/// The most deleted snapshots that are named in the payload and the record.
pub(crate) const DELETED_NAMED: usize = 100;

/// The most failed deletions that are named in the payload and the record.
pub(crate) const FAILURES_NAMED: usize = 100;

/// The most verdicts in the payload and the record.
const VERDICTS_NAMED: usize = 200;

/// The most that the verdicts take of the payload, in bytes: names of 256 characters and a dozen
/// reasons each would otherwise fill it.
const VERDICTS_BYTES: usize = 100_000;

/// The longest reason of a failed deletion, in bytes as JSON.
const REASON_LENGTH: usize = 300;

/// The beginning of a fact, as one line.
pub(crate) fn reason(fact: &str) -> String {
    let mut bytes = 0;
    let short = |c: &char| {
        bytes += match c {
            '"' | '\\' => 2,
            other => other.len_utf8(),
        };
        bytes <= REASON_LENGTH
    };
    single_line(fact).chars().take_while(short).collect()
}

/// As many verdicts as the payload holds; the rest goes to the log.
pub(crate) fn named(mut verdicts: Vec<Verdict>) -> Vec<Verdict> {
    let mut bytes = 0;
    let fit = verdicts.iter().take_while(|verdict| {
        bytes += serde_json::to_vec(verdict).map_or(VERDICTS_BYTES, |json| json.len() + 1);
        bytes <= VERDICTS_BYTES
    });
    let fit = fit.take(VERDICTS_NAMED).count();
    for verdict in verdicts.drain(fit..) {
        tracing::info!(
            judged = verdict.snapshot_name,
            action = ?verdict.action,
            reasons = ?verdict.reasons,
            "verdict"
        );
    }
    verdicts
}

/// The length of a list, as payloads count.
pub(crate) fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
