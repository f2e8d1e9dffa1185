//! A run: its input, its run id, and the names of its snapshots.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::retention::policy_with_a_rule;
use crate::{ApplicationName, Bounded, MANAGED_PREFIX, Retention, SnapshotName};

/// Fields that a newer release wrote and this release does not know, with their unchanged values.
pub type UnknownFields = BTreeMap<String, Value>;

/// The input of an execution. The first step of a run refuses an unknown field. Every later step passes unknown fields
/// on unchanged, because the stack can go back to an older release in the middle of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
#[schemars(extend("not" = {
    "required": ["mode", "snapshot_name"],
    "properties": { "mode": { "enum": ["PRUNE", "PLAN"] }, "snapshot_name": { "type": "string" } },
}))]
pub struct RunInput {
    /// The name of the Flink application: 1 to 128 characters of `a-z A-Z 0-9 _ . -`.
    pub application_name: ApplicationName,
    /// `RUN`: take a snapshot, then delete the snapshots that the policy does not keep. `PRUNE`: only delete the
    /// snapshots that the policy does not keep. `PLAN`: take and delete nothing, and report what a `RUN` would delete.
    #[serde(default)]
    pub mode: Mode,
    /// The retention policy: which snapshots to keep. The default policy keeps the 30 newest READY snapshots
    /// (`keep_last` is 30). A policy in the input replaces the default policy. If the new policy has no `keep_last`,
    /// `keep_last` is off. If it leaves out `keep_last_versions`, `keep_last_runtimes`, `keep_names`, `timezone`,
    /// `scope` or `max_deletions_per_run`, the field still has its own default.
    #[serde(default, deserialize_with = "policy_with_a_rule")]
    pub retention: Retention,
    /// The name of the snapshot that this run takes, for example `before-upgrade`: 1 to 256 characters of
    /// `a-z A-Z 0-9 _ . -`. Only mode `RUN` accepts this field. By default, the name is `custom_` and the run id, which
    /// is the start time of the execution in epoch milliseconds. Snapshots with such a name, `custom_` and 13 digits,
    /// are called managed. The field does not accept such a name, so a snapshot with a `snapshot_name` is not managed,
    /// and no policy with scope `MANAGED` deletes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_name: Option<SnapshotName>,
    /// The shortest time between two polls of the run's snapshot or of a busy application, in seconds, 1 to 300. The
    /// longer a run has waited, the less often it polls.
    #[serde(default = "default_poll_interval")]
    pub poll_interval_seconds: Bounded<1, 300>,
    /// How long the run waits for its snapshot, in seconds, 60 to 86,400. If the snapshot reaches this age and is still
    /// not READY, the run fails with `SnapshotTimedOut`.
    #[serde(default = "default_ready_timeout")]
    pub ready_timeout_seconds: Bounded<60, 86_400>,
    /// How long a run waits for a busy application, in seconds, 0 to 86,400. Before the snapshot, this time starts with
    /// the execution. If the application is still busy when the time is up, the run fails with `ApplicationBusy`.
    /// Before the deletions, this time starts when the run first finds the application busy. If the application is
    /// still busy when the time is up, the run deletes nothing more and ends `PRUNE_INCOMPLETE`.
    #[serde(default = "default_application_timeout")]
    pub application_timeout_seconds: Bounded<0, 86_400>,
    /// How many snapshots the run tries to take at most, 1 to 5. The run takes another snapshot only if the one before
    /// it ends FAILED. A run with a `snapshot_name` makes only one attempt.
    #[serde(default = "default_snapshot_attempts")]
    pub snapshot_attempts: Bounded<1, 5>,
    /// Which runs send a notification. `ALL`: every run. `PROBLEMS`: a run that ends FAILED, `TIMED_OUT`, ABORTED or
    /// `PRUNE_INCOMPLETE`; a run with warnings; and a run that succeeds after a redrive, if its failure was notified.
    #[serde(default)]
    pub notify_on: NotifyOn,
    /// The fields that this release does not know. Empty in a run that this release started.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: UnknownFields,
}

impl RunInput {
    /// The names of the fields that this release knows.
    pub const FIELDS: [&str; 9] = [
        "application_name",
        "mode",
        "retention",
        "snapshot_name",
        "poll_interval_seconds",
        "ready_timeout_seconds",
        "application_timeout_seconds",
        "snapshot_attempts",
        "notify_on",
    ];

    /// Refuses a field that this release does not know, because a misspelt setting must not be ignored.
    ///
    /// # Errors
    /// One sentence that begins with the field.
    pub fn refuse_unknown_fields(&self) -> Result<(), String> {
        refuse_unknown("", &self.unknown, &Self::FIELDS)?;
        refuse_unknown("retention.", &self.retention.unknown, &Retention::FIELDS)
    }

    /// Refuses a `snapshot_name` in a mode that takes no snapshot.
    ///
    /// # Errors
    /// One sentence that begins with the field.
    pub fn refuse_unused_snapshot_name(&self) -> Result<(), String> {
        if self.snapshot_name.is_none() || self.mode == Mode::Run {
            return Ok(());
        }
        Err(
            "snapshot_name: only mode RUN takes a snapshot; leave the name out, or use mode RUN"
                .to_owned(),
        )
    }
}

/// Refuses unknown fields. `place` is the path of the object that has them: empty, or with a dot at its end.
///
/// # Errors
/// One sentence that begins with the first unknown field, and lists the known fields.
pub(crate) fn refuse_unknown(
    place: &str,
    unknown: &UnknownFields,
    known: &[&str],
) -> Result<(), String> {
    let Some(field) = unknown.keys().next() else {
        return Ok(());
    };
    let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    let known = known.join(", ");
    let field = field.escape_debug();
    Err(format!(
        "{place}{field}: this field is unknown; expected one of {known}"
    ))
}

/// The same as the default of `snapshot_creation_wait_time_seconds` in the original sample.
const fn default_poll_interval() -> Bounded<1, 300> {
    Bounded::of::<15>()
}

const fn default_ready_timeout() -> Bounded<60, 86_400> {
    Bounded::of::<7_200>()
}

const fn default_application_timeout() -> Bounded<0, 86_400> {
    Bounded::of::<3_600>()
}

const fn default_snapshot_attempts() -> Bounded<1, 5> {
    Bounded::of::<2>()
}

/// The seconds until the next poll, after `waited_seconds` of polling: a quarter of `waited_seconds`, but at least the
/// poll interval and at most 300. The growing interval saves state transitions, which cost money.
#[must_use]
pub fn wait_seconds(waited_seconds: u64, poll_interval_seconds: u32) -> u32 {
    u32::try_from(waited_seconds / 4)
        .unwrap_or(u32::MAX)
        .clamp(poll_interval_seconds, 300)
}

/// What a run does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum Mode {
    /// Take a snapshot, then delete the snapshots that the policy does not keep.
    #[default]
    Run,
    /// Only delete the snapshots that the policy does not keep.
    Prune,
    /// Take and delete nothing, and report what a `RUN` would delete.
    Plan,
}

/// Which runs send a notification. Every run is recorded, whether it sends one or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum NotifyOn {
    /// Every run.
    #[default]
    All,
    /// A run that ends FAILED, `TIMED_OUT`, ABORTED or `PRUNE_INCOMPLETE`, a run with warnings, and a run that succeeds
    /// after a redrive, if its failure was notified.
    Problems,
}

/// One run. Every retry and every redrive of an execution works on the same run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// The run id: the start time of the execution in epoch milliseconds, rounded down. It is the sort key of the
    /// table.
    pub run_id: i64,
    /// The ARN of the execution.
    pub execution_arn: String,
    /// The input of the execution, completed with the defaults.
    pub input: RunInput,
    /// The number of the state machine definition with which the execution started. A redrive uses the same definition.
    /// The definition of release 0.1.0 does not pass a number on and counts as 1.
    #[serde(default = "first_definition")]
    pub definition: u32,
}

/// The number of the definition of release 0.1.0.
pub(crate) const fn first_definition() -> u32 {
    1
}

impl Run {
    /// The first definition whose `IsPruningDone` has a choice for `WAIT`.
    const FIRST_DEFINITION_WITH_WAIT: u32 = 2;

    /// The first definition that has choices for `BUSY` and `FAILED`. It has the state `WaitForApplication`, and it
    /// does not retry `ApplicationBusy`.
    const FIRST_DEFINITION_WITH_BUSY_AND_FAILED: u32 = 3;

    /// Whether the execution's definition has a choice for the output `WAIT` of `PruneSnapshots`. If it has none, that
    /// output would fail the execution.
    #[must_use]
    pub const fn definition_handles_wait(&self) -> bool {
        self.definition >= Self::FIRST_DEFINITION_WITH_WAIT
    }

    /// Whether the execution's definition has choices for the output `BUSY` of `CreateSnapshot`, after which the run
    /// waits for the application, and for the output `FAILED` of `DescribeSnapshot`, after which the run takes another
    /// snapshot.
    #[must_use]
    pub const fn definition_handles_busy_and_failed(&self) -> bool {
        self.definition >= Self::FIRST_DEFINITION_WITH_BUSY_AND_FAILED
    }

    /// The seconds, 1 to 300, until the next poll of a busy application for which the run has waited `waited_seconds`.
    /// `None` if the execution's definition cannot wait for an application, or if the run has waited for
    /// `application_timeout_seconds`. The last wait is shortened so that it ends at that timeout.
    #[must_use]
    pub fn application_wait_seconds(&self, waited_seconds: u64) -> Option<u32> {
        let left = u64::from(self.input.application_timeout_seconds.get())
            .saturating_sub(waited_seconds)
            .try_into()
            .unwrap_or(u32::MAX);
        let wait = wait_seconds(waited_seconds, self.input.poll_interval_seconds.get());
        (left > 0 && self.definition_handles_busy_and_failed()).then(|| wait.min(left))
    }

    /// The name of the first snapshot of this run, if the run takes one: the `snapshot_name` of its input, or else
    /// `custom_` and the run id.
    #[must_use]
    pub fn snapshot_name(&self) -> String {
        match &self.input.snapshot_name {
            Some(name) => name.as_str().to_owned(),
            None => managed_name(self.run_id),
        }
    }

    /// The names of the snapshots that this run may take, in the order of its attempts. A run with a
    /// `snapshot_name` makes only one attempt.
    pub fn snapshot_names(&self) -> impl Iterator<Item = String> {
        let later = (self.run_id..=self.last_attempt_id()).skip(1);
        std::iter::once(self.snapshot_name()).chain(later.map(managed_name))
    }

    /// The number in the name of the last attempt's snapshot: the run id plus the number of attempts minus one. A
    /// larger number in the name of a managed snapshot belongs to a later run.
    #[must_use]
    pub fn last_attempt_id(&self) -> i64 {
        let attempts =
            if self.definition_handles_busy_and_failed() && self.input.snapshot_name.is_none() {
                self.input.snapshot_attempts.get()
            } else {
                1
            };
        self.run_id.saturating_add(i64::from(attempts) - 1)
    }

    /// Whether the run takes another snapshot if the snapshot `snapshot_name` ends FAILED.
    #[must_use]
    pub fn has_attempt_after(&self, snapshot_name: &str) -> bool {
        self.snapshot_names()
            .skip_while(|name| name != snapshot_name)
            .nth(1)
            .is_some()
    }
}

fn managed_name(run_id: i64) -> String {
    format!("{MANAGED_PREFIX}{run_id:013}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::is_managed;

    fn run(definition: u32, input: Value) -> Run {
        Run {
            run_id: 1_763_835_747_949,
            execution_arn: String::new(),
            input: serde_json::from_value(input).unwrap(),
            definition,
        }
    }

    #[test]
    fn each_attempt_of_a_run_has_a_different_managed_name() {
        for (definition, attempts, names) in [
            (3, 1, &["custom_1763835747949"][..]),
            (
                3,
                3,
                &[
                    "custom_1763835747949",
                    "custom_1763835747950",
                    "custom_1763835747951",
                ],
            ),
            // Under an older definition, a run makes one attempt.
            (2, 3, &["custom_1763835747949"]),
        ] {
            let input =
                serde_json::json!({ "application_name": "orders", "snapshot_attempts": attempts });
            let run = run(definition, input);
            assert_eq!(run.snapshot_names().collect::<Vec<_>>(), names);
            assert!(names.iter().all(|name| is_managed(name)));
            for (place, name) in names.iter().enumerate() {
                assert_eq!(
                    run.has_attempt_after(name),
                    place + 1 < names.len(),
                    "{name}"
                );
            }
            assert!(!run.has_attempt_after("custom_1763835747999"));
        }
        // The largest run id does not make the numbers overflow.
        let mut last = run(3, serde_json::json!({ "application_name": "orders" }));
        last.run_id = i64::MAX;
        assert_eq!(last.snapshot_names().count(), 1);
    }

    #[test]
    fn the_wait_grows_with_the_time_waited_between_the_poll_interval_and_300() {
        for (waited, poll, wait) in [
            (0, 15, 15),
            (60, 15, 15),
            (64, 15, 16),
            (3_600, 15, 300),
            (u64::MAX, 15, 300),
            (0, 300, 300),
            (7, 1, 1),
            (8, 1, 2),
        ] {
            assert_eq!(
                wait_seconds(waited, poll),
                wait,
                "{waited} s, at least {poll}"
            );
        }
    }

    #[test]
    fn a_run_waits_for_a_busy_application_until_its_timeout() {
        for (definition, timeout, waited, wait) in [
            (3, 3_600, 0, Some(15)),
            (3, 3_600, 400, Some(100)),
            (3, 3_600, 3_599, Some(1)),
            (3, 3_600, 3_600, None),
            (3, 3_600, u64::MAX, None),
            (3, 10, 0, Some(10)),
            (3, 0, 0, None),
            (2, 3_600, 0, None),
            (1, 3_600, 0, None),
        ] {
            let input = serde_json::json!({
                "application_name": "orders", "application_timeout_seconds": timeout
            });
            let run = run(definition, input);
            assert_eq!(
                run.application_wait_seconds(waited),
                wait,
                "{definition}, {timeout}, {waited}"
            );
        }
    }

    #[test]
    fn a_definition_gets_only_outputs_that_it_has_choices_for() {
        for (definition, handles_wait, handles_busy_and_failed) in [
            (1, false, false),
            (2, true, false),
            (3, true, true),
            (4, true, true),
        ] {
            let run = run(
                definition,
                serde_json::json!({ "application_name": "orders" }),
            );
            assert_eq!(run.definition_handles_wait(), handles_wait, "{definition}");
            assert_eq!(
                run.definition_handles_busy_and_failed(),
                handles_busy_and_failed,
                "{definition}"
            );
        }
    }

    #[test]
    fn without_a_snapshot_name_the_snapshot_of_a_run_is_managed() {
        let run = run(1, serde_json::json!({ "application_name": "orders" }));
        assert_eq!(run.snapshot_name(), "custom_1763835747949");
        assert!(is_managed(&run.snapshot_name()));
    }

    #[test]
    fn the_snapshot_has_the_snapshot_name_of_the_input_which_only_mode_run_accepts() {
        let named = |mode: &str| -> RunInput {
            let input = serde_json::json!({
                "application_name": "orders", "mode": mode, "snapshot_name": "before-upgrade"
            });
            serde_json::from_value(input).unwrap()
        };
        let run = Run {
            run_id: 1_763_835_747_949,
            execution_arn: String::new(),
            input: named("RUN"),
            definition: 1,
        };
        assert_eq!(run.snapshot_name(), "before-upgrade");
        assert_eq!(run.input.refuse_unused_snapshot_name(), Ok(()));
        for mode in ["PRUNE", "PLAN"] {
            let refused = named(mode).refuse_unused_snapshot_name().unwrap_err();
            assert!(
                refused.starts_with("snapshot_name: only mode RUN"),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_number_out_of_range_is_refused_with_the_range() {
        for (wrong, fact) in [
            ("0", "integer `0`"),
            ("301", "integer `301`"),
            ("-1", "integer `-1`"),
            ("4294967297", "integer `4294967297`"),
        ] {
            let input =
                format!(r#"{{"application_name":"orders","poll_interval_seconds":{wrong}}}"#);
            let refused = serde_json::from_str::<RunInput>(&input).unwrap_err();
            let expected = format!("invalid value: {fact}, expected a whole number from 1 to 300");
            assert!(refused.to_string().starts_with(&expected), "{refused}");
        }
    }

    #[test]
    fn each_field_that_the_run_input_leaves_out_has_its_default() {
        let input: RunInput = serde_json::from_str(r#"{"application_name":"orders"}"#).unwrap();
        assert_eq!(
            serde_json::to_value(input).unwrap(),
            serde_json::json!({
                "application_name": "orders",
                "mode": "RUN",
                "retention": {
                    "keep_last": 30, "keep_last_versions": 2, "keep_last_runtimes": 2, "keep_names": [],
                    "timezone": "UTC", "scope": "MANAGED"
                },
                "poll_interval_seconds": 15,
                "ready_timeout_seconds": 7200,
                "application_timeout_seconds": 3600,
                "snapshot_attempts": 2,
                "notify_on": "ALL"
            })
        );
    }
}
