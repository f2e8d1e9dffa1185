//! How many snapshots a run may take, and the promise that it waits for a busy application until its timeout, neither
//! shorter nor longer.

use jiff::Timestamp;
use serde_json::Value;

use crate::lambda::Failure;
use crate::services::own_name;
use crate::transport::Invocation;

/// The names of the snapshots that the run may take, by the payload of its first state.
pub(crate) fn attempts(payload: &Value) -> impl Iterator<Item = String> {
    let started = payload["execution_started_at"].as_str().unwrap();
    let started: Timestamp = started.parse().unwrap();
    let attempts = match payload["definition"].as_u64() {
        Some(3..) => payload["input"]["snapshot_attempts"].as_i64().unwrap_or(2),
        _ => 1,
    };
    let first = started.as_millisecond();
    let given = payload["input"]["snapshot_name"]
        .as_str()
        .map(str::to_owned);
    let attempts = if given.is_some() { 0 } else { attempts };
    let managed = (first..first + attempts).map(|id| own_name(&id.into()));
    given.into_iter().chain(managed)
}

/// How the run breaks the promise to wait for a busy application until its timeout, if it does.
pub(crate) fn broken_patience(
    invocation: &Invocation,
    ended: &Result<Value, Failure>,
    application: Option<&Value>,
) -> Option<&'static str> {
    let has_time = |input: &Value, since: &str, margin: i64| {
        let timeout = input["application_timeout_seconds"].as_i64();
        let since: Timestamp = since.parse().unwrap();
        let waited = invocation.clock.duration_since(since).as_secs();
        waited + margin < timeout.unwrap_or(3_600)
    };
    let (payload, state_input) = (&invocation.payload, &invocation.state_input);
    match (invocation.function.as_str(), ended) {
        ("create-snapshot", Ok(output)) if output["snapshot_creation"] == "BUSY" => {
            let started = payload["execution_started_at"].as_str().unwrap();
            let has_time = has_time(&payload["input"], started, 0);
            (!has_time).then_some("no run waits for a busy application after its timeout")
        }
        ("create-snapshot", Err((error, _)))
            if error == "ApplicationBusy" && payload["definition"] == 3 =>
        {
            let started = payload["execution_started_at"].as_str().unwrap();
            let has_time = has_time(&payload["input"], started, 0);
            has_time.then_some("no run gives up a busy application before its timeout")
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
                // The step has looked at its clock after the listing, which takes less than a minute.
                Some(since) => has_time(input, since, 60),
                None => input["application_timeout_seconds"] != 0,
            };
            has_time.then_some("no run gives up pruning before its timeout")
        }
        _ => None,
    }
}

/// Whether the application is about to change its status.
fn is_busy(application: &Value) -> bool {
    let status = application["ApplicationStatus"].as_str().unwrap();
    let lasting = "RUNNING READY STOPPING FORCE_STOPPING DELETING ROLLED_BACK";
    lasting.split(' ').all(|other| other != status)
}
