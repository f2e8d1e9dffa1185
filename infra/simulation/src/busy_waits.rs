//! The promise about busy applications: a run waits for a busy application until `application_timeout_seconds` have
//! passed, not shorter and not longer.

use jiff::Timestamp;
use serde_json::Value;

use crate::lambda::Failure;
use crate::transport::Invocation;

/// The broken promise, if an invocation made the run give up too early or wait too long. `application` is what the
/// invocation last learned about the application.
pub(crate) fn busy_wait_violation(
    invocation: &Invocation,
    ended: &Result<Value, Failure>,
    application: Option<&Value>,
) -> Option<&'static str> {
    let has_time = |input: &Value, since: &str, margin: i64| {
        let timeout = input["application_timeout_seconds"].as_i64();
        let since: Timestamp = since.parse().unwrap();
        let waited = invocation
            .began_by_own_clock
            .duration_since(since)
            .as_secs();
        waited + margin < timeout.unwrap_or(3_600)
    };
    let (payload, state_input) = (&invocation.payload, &invocation.state_input);
    match (invocation.function.as_str(), ended) {
        ("create-snapshot", Ok(output)) if output["snapshot_creation"] == "BUSY" => {
            let started = payload["execution_started_at"].as_str().unwrap();
            let has_time = has_time(&payload["input"], started, 0);
            (!has_time).then_some("a run does not wait for a busy application after its timeout")
        }
        ("create-snapshot", Err((error, _)))
            if error == "ApplicationBusy" && payload["definition"] == 3 =>
        {
            let started = payload["execution_started_at"].as_str().unwrap();
            let has_time = has_time(&payload["input"], started, 0);
            has_time.then_some("a run does not give up a busy application before its timeout")
        }
        ("prune-snapshots", Ok(output))
            if output["held_back"]["cause"] == "APPLICATION_NOT_RUNNING"
                && output["pruning"] == "DONE"
                && state_input["run"]["definition"] == 3
                && application.is_some_and(is_busy) =>
        {
            let input = &state_input["run"]["input"];
            let since = state_input["progress"]["application_busy_since"].as_str();
            let has_time = match since {
                // The function looked at its clock after it had received the listing. That takes less than a minute.
                Some(since) => has_time(input, since, 60),
                None => input["application_timeout_seconds"] != 0,
            };
            has_time
                .then_some("a run does not give up pruning a busy application before its timeout")
        }
        _ => None,
    }
}

/// Whether the application is busy, that is, in a status that it leaves by itself.
fn is_busy(application: &Value) -> bool {
    let status = application["ApplicationStatus"].as_str().unwrap();
    let lasting = "RUNNING READY STOPPING FORCE_STOPPING DELETING ROLLED_BACK";
    lasting.split(' ').all(|other| other != status)
}
