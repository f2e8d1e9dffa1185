//! Writes the page `resources/docs/faults.md`.

use std::fmt::Write;

use crate::matrix::{Cell, Role};

const INTRODUCTION: &str = "\
# Faults

[README](../../README.md) · [Deploy](deploy.md) · [Deploy by hand](console.md) · [Retention](retention.md) · [Operations](operations.md) · [Reference](reference.md) · [Reliability](reliability.md) · **Faults** · [Design](design.md) · [Changelog](changelog.md) · [Architecture](../../ARCHITECTURE.md)

This page has a row for each call that a function makes and each fault that the call can meet, with the result of the
run. The faults are:

- each error in AWS's model of the operation;
- the errors that any call can have: access denied, throttling, an unknown error code, and HTTP 500 and 503;
- no answer;
- a connection that closes before or after the service has carried out the call;
- an HTML page instead of an answer, as a proxy on the way may send.

In the column _once_, only the first such call meets the fault. In the column _always_, every such call does.

The run has mode `RUN`. Its application has five snapshots, so the run must take one snapshot and delete three.

- `SUCCEEDED`: the run took its snapshot and made its deletions. It was recorded once and notified once, unless the row
  says otherwise.
- `FAILED`: the execution failed with the error in the row. The message of the error says what to do, and has the
  command. The [table of errors](reference.md#errors) has the same instructions. Afterwards, the run was recorded and
  notified from the event of its failure, without a fault.

In the last section, the run has already failed, and the fault is injected while `record-and-notify` handles the event
of the failure:

- _Recorded_ and _notified_ say what the function did in spite of the fault.
- `FAILED` and _the event is kept_: three attempts to handle the event failed with the error in the row, and the event
  is now in the queue for such events, which is the failure destination of the function.

Some of the injected errors contradict the state of the service, for example an error that a snapshot does not exist
while it is listed. These rows show the result if a function gets such an error.

Some calls happen only in a special situation:

- _After a refused create_: another snapshot is CREATING, for a minute in the column _once_, and forever in the column
  _always_. Without a fault, the run would succeed after that minute, or fail with `ApplicationBusy`.
- _The restore point of a stopped application_: the application is stopped, and the snapshot that it is configured to
  restore from was deleted. Without a fault, the run would end `SKIPPED` with a warning.
- `DescribeApplication` of `DescribeSnapshot`: the snapshot is never found. Without a fault, the run would fail with
  `SnapshotNotFound`.
- `DescribeApplicationSnapshot` of `PruneSnapshots`: one deletion (_once_) or every deletion (_always_) is refused with
  `ResourceInUseException`. Without a fault, the run would succeed, or end `PRUNE_INCOMPLETE`.

The test `every_fault_at_every_call_is_retried_or_named` generates this page. It runs the code of the functions with the
real SDK over sockets, and fails if the results differ from the page.
`UPDATE_EXPECT=1 cargo test --locked --test reliability every_fault` generates the page again.
";

/// The results as tables. Faults that have the same results share a row.
pub(crate) fn page(cells: &[Cell], results: &[String]) -> String {
    let mut rows: Vec<(Role, &str, &[String], Vec<&str>)> = Vec::new();
    for (cell, results) in cells.chunks(2).zip(results.chunks(2)) {
        let (role, call, fault) = (cell[0].role, cell[0].call, cell[0].fault.as_str());
        let same = rows
            .iter_mut()
            .find(|row| (row.0, row.1, row.2) == (role, call, results));
        match same {
            Some(row) => row.3.push(fault),
            None => rows.push((role, call, results, vec![fault])),
        }
    }
    let mut page = INTRODUCTION.to_owned();
    let mut last_role = None;
    for (role, call, results, faults) in rows {
        if last_role != Some(role) {
            last_role = Some(role);
            let title = match role {
                Role::State(state) => state,
                Role::OnEvent => "RecordAndNotify, on the event of a run that has failed",
            };
            let head = "| call | fault | once | always |\n|---|---|---|---|";
            let _ = writeln!(page, "\n## {title}\n\n{head}");
        }
        let call = match call.split_once(", ") {
            Some((operation, when)) => format!("`{operation}`, {when}"),
            None => format!("`{call}`"),
        };
        let (faults, results) = (faults.join(", "), results.join(" | "));
        let _ = writeln!(page, "| {call} | {faults} | {results} |");
    }
    page
}
