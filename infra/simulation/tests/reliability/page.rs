//! Writes the page `resources/docs/faults.md`.

use std::fmt::Write;

use crate::matrix::{Cell, Role};

const INTRODUCTION: &str = "\
# Faults

[README](../../README.md) · [Deploy](deploy.md) · [Deploy by hand](console.md) · [Retention](retention.md) · [Operations](operations.md) · [Reference](reference.md) · [Reliability](reliability.md) · **Faults** · [Design](design.md) · [Changelog](changelog.md) · [Architecture](../../ARCHITECTURE.md)

This page has the result of each fault at each call of each function. The faults are: the errors in AWS's model of the
operation; the errors of any call (denied, throttled, an unknown code, HTTP 500 and 503); no answer; a connection that
closes before or after the service has done its work; and a page of a proxy. Under _once_, only the first such call meets
the fault. Under _always_, every such call does.

The run has mode `RUN`. Its application has five snapshots. The run must take one snapshot and delete three.

- `SUCCEEDED`: the run did that, was recorded, and was announced, each once unless the row says otherwise.
- `FAILED`: the execution ended in that state, with that error. The [table of errors](reference.md#errors) says what to
  do. So does the message, with the command. Each failed run was then recorded and announced from its event, without a
  fault.
- _The event is kept_: three attempts to handle the event failed, and the failure destination has it.

Some errors are not true, for example that a snapshot does not exist while it is listed. Their rows show what a function
believes.

Some calls happen only in another situation:

- _After a refused create_: another snapshot is being taken, for a minute under _once_, without end under _always_. Alone,
  the latter would be `ApplicationBusy`.
- _The restore point of a stopped application_: the run is skipped, and its restore point is deleted. Alone, that would be
  `SKIPPED` with a warning.
- `DescribeApplication` of `DescribeSnapshot`: the snapshot is never found. Alone, that would be `SnapshotNotFound`.
- `DescribeApplicationSnapshot` of `PruneSnapshots`: one deletion (_once_) or each deletion (_always_) is refused with
  `ResourceInUseException`. Alone, the latter would be `PRUNE_INCOMPLETE`.

The test `every_fault_at_every_call_is_retried_or_named` writes this page, with the functions' own code and SDK over
sockets. If the page differs from what they do, the test fails.
`UPDATE_EXPECT=1 cargo test --locked --test reliability every_fault` writes it again.
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
