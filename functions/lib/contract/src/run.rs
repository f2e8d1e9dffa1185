//! A run: its input and its identity.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::retention::with_a_rule;
use crate::{ApplicationName, Bounded, MANAGED_PREFIX, Retention, SnapshotName};

/// Fields that this release does not know, as a newer one wrote them.
pub type UnknownFields = BTreeMap<String, Value>;

/// The input of an execution. The first step of a run refuses an unknown field. Every later step passes it on,
/// because the stack can go back to an older release in the middle of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
#[schemars(extend("not" = {
    "required": ["mode", "snapshot_name"],
    "properties": { "mode": { "enum": ["PRUNE", "PLAN"] }, "snapshot_name": { "type": "string" } },
}))]
pub struct RunInput {
    /// The Flink application: 1 to 128 of `a-z A-Z 0-9 _ . -`.
    pub application_name: ApplicationName,
    /// `RUN`: take a snapshot, then prune. `PRUNE`: take no snapshot, only prune. `PLAN`: take and delete
    /// nothing, and report the plan.
    #[serde(default)]
    pub mode: Mode,
    /// Which snapshots to keep. A policy that is given replaces the default: nothing is merged.
    #[serde(default, deserialize_with = "with_a_rule")]
    pub retention: Retention,
    /// The name of this run's snapshot, for example `before-upgrade`: 1 to 256 of `a-z A-Z 0-9 _ . -`, but not `custom_`
    /// and 13 digits. Only in mode `RUN`. With this name the snapshot is not managed, so no policy of scope `MANAGED`
    /// deletes it. Without one, the name is `custom_` and the run id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_name: Option<SnapshotName>,
    /// The shortest wait between two looks at the snapshot or at a busy application, in seconds, 1 to 300.
    #[serde(default = "default_poll_interval")]
    pub poll_interval_seconds: Bounded<1, 300>,
    /// The age in seconds, 60 to 86,400, from which a snapshot that is not READY fails the run with
    /// `SnapshotTimedOut`.
    #[serde(default = "default_ready_timeout")]
    pub ready_timeout_seconds: Bounded<60, 86_400>,
    /// How long a run waits for a busy application, in seconds, 0 to 86,400. Before the snapshot, it counts from the
    /// start of the execution. When it is over, the run fails with `ApplicationBusy`. Before the deletions, it counts
    /// from the first wait. When it is over, the run ends `PRUNE_INCOMPLETE`.
    #[serde(default = "default_application_timeout")]
    pub application_timeout_seconds: Bounded<0, 86_400>,
    /// The most snapshots that one run tries to take, 1 to 5. The run takes another one only after a snapshot has FAILED. A
    /// run with a `snapshot_name` has one attempt.
    #[serde(default = "default_snapshot_attempts")]
    pub snapshot_attempts: Bounded<1, 5>,
    /// Which runs are announced: `ALL`, or only `PROBLEMS`, which are FAILED, `TIMED_OUT`, ABORTED and
    /// `PRUNE_INCOMPLETE`, every run with warnings, and the good end of a run whose failure was announced.
    #[serde(default)]
    pub notify_on: NotifyOn,
    /// Empty in a run that this release started.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: UnknownFields,
}

impl RunInput {
    /// The fields in the schema.
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

    /// Refuses a field that this release does not know: a misspelt setting must not be ignored.
    ///
    /// # Errors
    /// One sentence that begins with the field.
    pub fn refuse_unknown_fields(&self) -> Result<(), String> {
        refuse("", &self.unknown, &Self::FIELDS)?;
        refuse("retention.", &self.retention.unknown, &Retention::FIELDS)
    }

    /// Refuses a name for a snapshot that the mode does not take.
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

/// # Errors
/// Names the first unknown field, and the known ones.
pub(crate) fn refuse(place: &str, unknown: &UnknownFields, known: &[&str]) -> Result<(), String> {
    let Some(field) = unknown.keys().next() else {
        return Ok(());
    };
    let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    let known = known.join(", ");
    let field = field.escape_debug();
    Err(format!(
        "{place}{field}: unknown field `{field}`, expected one of {known}"
    ))
}

/// The default of the original sample's `snapshot_creation_wait_time_seconds`.
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

/// Seconds until the next look at something that a run has waited for this long: a quarter of that time, at least the
/// poll interval, at most 300. So what is slow costs few state transitions.
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
    /// Take a snapshot, then prune.
    #[default]
    Run,
    /// Take no snapshot, only prune.
    Prune,
    /// Take and delete nothing, and report the plan.
    Plan,
}

/// Which runs are announced. Every run is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum NotifyOn {
    /// All runs.
    #[default]
    All,
    /// Only runs that end FAILED, `TIMED_OUT`, ABORTED or `PRUNE_INCOMPLETE`, runs with warnings, and the good end
    /// of a run whose failure was announced.
    Problems,
}

/// One run. It is the same on every retry and redrive of its execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// The start time of the execution in epoch milliseconds, truncated. The table's sort key.
    pub run_id: i64,
    /// The ARN of the execution.
    pub execution_arn: String,
    /// The input of the execution, with defaults.
    pub input: RunInput,
    /// The number of the definition that the execution follows, also after a redrive. The definition of release
    /// 0.1.0 gives none and counts as 1.
    #[serde(default = "first_definition")]
    pub definition: u32,
}

/// The number of the definition of release 0.1.0.
pub(crate) const fn first_definition() -> u32 {
    1
}

impl Run {
    /// The first definition whose `IsPruningDone` knows `WAIT`.
    const WAITS_BEFORE_PRUNING: u32 = 2;

    /// The first definition with `WaitForApplication`. It does not retry `ApplicationBusy`.
    const WAITS_FOR_APPLICATION: u32 = 3;

    /// Whether the execution's definition knows the answer `WAIT` of `PruneSnapshots`.
    #[must_use]
    pub const fn can_wait_before_pruning(&self) -> bool {
        self.definition >= Self::WAITS_BEFORE_PRUNING
    }

    /// Whether the execution's definition waits for a busy application, and takes another snapshot if one fails: it
    /// knows the answers `BUSY` of `CreateSnapshot` and `FAILED` of `DescribeSnapshot`.
    #[must_use]
    pub const fn can_wait_for_application(&self) -> bool {
        self.definition >= Self::WAITS_FOR_APPLICATION
    }

    /// The wait in seconds, 1 to 300, before the next look at an application that has been busy this long. `None` if
    /// the execution's definition has no such wait, or if `application_timeout_seconds` are over. The last wait ends
    /// when they are.
    #[must_use]
    pub fn wait_for_application(&self, waited_seconds: u64) -> Option<u32> {
        let left = u64::from(self.input.application_timeout_seconds.get())
            .saturating_sub(waited_seconds)
            .try_into()
            .unwrap_or(u32::MAX);
        let wait = wait_seconds(waited_seconds, self.input.poll_interval_seconds.get());
        (left > 0 && self.can_wait_for_application()).then(|| wait.min(left))
    }

    /// The name of the first snapshot that this run takes, if it takes one: that of its input, or else a managed one.
    #[must_use]
    pub fn snapshot_name(&self) -> String {
        match &self.input.snapshot_name {
            Some(name) => name.as_str().to_owned(),
            None => managed_name(self.run_id),
        }
    }

    /// The names of the snapshots that this run may take, in the order of its attempts. A run with a
    /// `snapshot_name` has one attempt.
    pub fn snapshot_names(&self) -> impl Iterator<Item = String> {
        let later = (self.run_id..=self.last_attempt_id()).skip(1);
        std::iter::once(self.snapshot_name()).chain(later.map(managed_name))
    }

    /// The number in the name of the last snapshot that this run may take. A later run has a greater run id.
    #[must_use]
    pub fn last_attempt_id(&self) -> i64 {
        let attempts = if self.can_wait_for_application() && self.input.snapshot_name.is_none() {
            self.input.snapshot_attempts.get()
        } else {
            1
        };
        self.run_id.saturating_add(i64::from(attempts) - 1)
    }

    /// Whether the run takes another snapshot if this one ends FAILED.
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
    fn each_attempt_has_a_managed_name_of_its_own() {
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
            // An older definition has one attempt.
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
        // No payload makes the numbers overflow.
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
                run.wait_for_application(waited),
                wait,
                "{definition}, {timeout}, {waited}"
            );
        }
    }

    #[test]
    fn only_a_definition_that_knows_an_answer_gets_it() {
        for (definition, before_pruning, for_application) in [
            (1, false, false),
            (2, true, false),
            (3, true, true),
            (4, true, true),
        ] {
            let run = run(
                definition,
                serde_json::json!({ "application_name": "orders" }),
            );
            assert_eq!(
                run.can_wait_before_pruning(),
                before_pruning,
                "{definition}"
            );
            assert_eq!(
                run.can_wait_for_application(),
                for_application,
                "{definition}"
            );
        }
    }

    #[test]
    fn a_run_names_its_snapshot_so_that_it_is_managed() {
        let run = run(1, serde_json::json!({ "application_name": "orders" }));
        assert_eq!(run.snapshot_name(), "custom_1763835747949");
        assert!(is_managed(&run.snapshot_name()));
    }

    #[test]
    fn a_name_of_ones_own_is_the_snapshots_and_only_mode_run_has_one() {
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
    fn what_is_left_out_of_the_run_input_has_its_default() {
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
