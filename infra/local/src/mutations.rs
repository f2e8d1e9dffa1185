//! Bugs on purpose: each is put into a copy of the workspace, whose tests must then fail.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

/// The workspace's folder.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The tests that need nothing but cargo.
const TESTS: [&str; 3] = ["wire", "retention", "reliability"];

/// The fault matrix is among them, and needs botocore.
const WITHOUT: &str = "every_fault";

/// Courses of the simulation for each bug.
const COURSES: &str = "500";

/// Where the verdicts are written down.
const PAGE: &str = "resources/docs/mutations.md";

/// A bug: a place in a file, and what stands there instead.
#[derive(Clone, Copy, Debug)]
pub struct Mutation {
    /// What is wrong then, for people.
    pub bug: &'static str,
    /// From the workspace's folder on.
    pub file: &'static str,
    /// Stands in the file exactly once.
    pub right: &'static str,
    /// Stands there instead.
    pub wrong: &'static str,
}

/// The bugs.
pub const MUTATIONS: [Mutation; 18] = [
    Mutation {
        bug: "The newest of the doomed are deleted first",
        file: "functions/prune-snapshots/src/decision.rs",
        right: "        .rev()\n        .filter(|verdict| doomed.contains",
        wrong: "        .filter(|verdict| doomed.contains",
    },
    Mutation {
        bug: "The run's own snapshot is looked for after the application's status",
        file: "functions/create-snapshot/src/handler.rs",
        right: "    if let Some(own) = find_own(flink, &run, &snapshot_name).await? {
        return Ok(adopted(run, &own, now));
    }
    if let Some(skipped) = look_at_application(flink, &run).await? {
        return Ok(skipped);
    }
    let Err",
        wrong: "    if let Some(skipped) = look_at_application(flink, &run).await? {
        return Ok(skipped);
    }
    if let Some(own) = find_own(flink, &run, &snapshot_name).await? {
        return Ok(adopted(run, &own, now));
    }
    let Err",
    },
    Mutation {
        bug: "After a refused creation nobody looks whether it was carried out",
        file: "functions/create-snapshot/src/handler.rs",
        right: "    if let Some(own) = find_own(flink, &run, &snapshot_name).await? {
        return Ok(adopted(run, &own, now));
    }
    if let Some(skipped) = look_at_application(flink, &run).await? {
        return Ok(skipped);
    }
    if let Some(other)",
        wrong: "    if let Some(skipped) = look_at_application(flink, &run).await? {
        return Ok(skipped);
    }
    if let Some(other)",
    },
    Mutation {
        bug: "The batch in the input is not deleted",
        file: "functions/prune-snapshots/src/decision.rs",
        right: "    names.filter(|name| Some(*name) != restore_point).collect()",
        wrong: "    names.filter(|_| restore_point == Some(\"\")).collect()",
    },
    Mutation {
        bug: "A restore point that was named since the plan is deleted",
        file: "functions/prune-snapshots/src/decision.rs",
        right: "    names.filter(|name| Some(*name) != restore_point).collect()",
        wrong: "    names.filter(|_| restore_point != Some(\"\")).collect()",
    },
    Mutation {
        bug: "A plan is made from the pages before one that failed",
        file: "functions/prune-snapshots/src/listing.rs",
        right: "                    return Err(refusal.into_flink_error(ErrorName::ApplicationNotFound));",
        wrong: "                    break;",
    },
    Mutation {
        bug: "FAILED snapshots count as kept",
        file: "functions/prune-snapshots/src/retention.rs",
        right: "            snapshot.status == Status::Ready && is_in_scope(&snapshot.name, policy.scope)",
        wrong: "            matches!(snapshot.status, Status::Ready | Status::Failed)
                && is_in_scope(&snapshot.name, policy.scope)",
    },
    Mutation {
        bug: "Snapshots that are not managed are deleted under scope MANAGED",
        file: "functions/prune-snapshots/src/retention.rs",
        right: "    scope == Scope::All || is_managed(snapshot_name)",
        wrong: "    scope == Scope::All || is_managed(snapshot_name) || !snapshot_name.is_empty()",
    },
    Mutation {
        bug: "The brake forgets what the run has deleted before",
        file: "functions/prune-snapshots/src/progress.rs",
        right: "        self.progress
            .deleted_count
            .saturating_add(self.progress.failed_count)",
        wrong: "        self.progress.failed_count",
    },
    Mutation {
        bug: "Snapshots are deleted though the application does not run",
        file: "functions/prune-snapshots/src/gate.rs",
        right: "    if application.status != \"RUNNING\" {",
        wrong: "    if application.status == \"DELETING\" {",
    },
    Mutation {
        bug: "A deletion whose answer was lost is not counted",
        file: "functions/prune-snapshots/src/progress.rs",
        right: "        (Seen::Gone, _) => Effect::Deleted,",
        wrong:
            "        (Seen::Gone, fate) if !matches!(fate, Fate::Unanswered(_)) => Effect::Deleted,
        (Seen::Gone, _) => Effect::Again,",
    },
    Mutation {
        bug: "A record overwrites what is later, or another execution's",
        file: "functions/record-and-notify/src/table.rs",
        right: "\"attribute_not_exists(app_name) OR (execution_arn = :execution_arn AND ({not_later}))\"",
        wrong: "\"attribute_not_exists(nothing) OR (execution_arn = :execution_arn AND ({not_later}))\"",
    },
    Mutation {
        bug: "A refused announcement is taken for one that was made",
        file: "functions/record-and-notify/src/handler.rs",
        right: "        .map_err(|error| error::publish(Refusal::of(\"Publish\", &error), &config.topic_arn))?;",
        wrong: "        .unwrap_or_else(|_| aws_sdk_sns::operation::publish::PublishOutput::builder().build());",
    },
    Mutation {
        bug: "A repeat announces the run again",
        file: "functions/record-and-notify/src/table.rs",
        right: "        Some(notified) if announces(&notified, record) => Told::Announced(notified.message_id),",
        wrong: "        Some(notified) if false && announces(&notified, record) => Told::Announced(notified.message_id),",
    },
    Mutation {
        bug: "A batch is deleted however old its plan is",
        file: "functions/prune-snapshots/src/decision.rs",
        right: "now.duration_since(at).abs() <= PLAN_GOOD_FOR",
        wrong: "now.duration_since(at).abs() >= SignedDuration::ZERO",
    },
    Mutation {
        bug: "What was just refused counts as deleted when it is not listed",
        file: "functions/prune-snapshots/src/progress.rs",
        right: "        _ => !is_listed,",
        wrong: "        Fate::Throttled(_) => false,
        _ => !is_listed,",
    },
    Mutation {
        bug: "The last state's late write stands above the event of the end",
        file: "functions/record-and-notify/src/table.rs",
        right: "\"redrive_count = :redrive_count AND NOT outcome IN (:failed, :timed_out, :aborted)\"",
        wrong: "\"redrive_count = :redrive_count\"",
    },
    Mutation {
        bug: "A run whose own snapshot is gone ends well if nothing was to go",
        file: "functions/prune-snapshots/src/decision.rs",
        right: "        Standing::Problem(hold) | Standing::NotListedYet(hold) => return Some(hold),",
        wrong: "        Standing::Problem(hold) | Standing::NotListedYet(hold) => Some(hold),",
    },
];

/// What the tests made of a bug.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The bug.
    pub mutation: Mutation,
    /// The tests that failed, named as cargo names them; empty when nothing has noticed.
    pub caught_by: Vec<String>,
}

/// Puts each bug into a copy of the workspace below `target`, one at a time, and runs the tests that need
/// nothing but cargo. `told` hears each verdict as it comes.
///
/// # Errors
/// A text for people: the tests fail without any bug, a bug has no place or does not compile, a file cannot be
/// written.
pub async fn run(target: &Path, mut told: impl FnMut(&Verdict)) -> Result<Vec<Verdict>, String> {
    let copy = target.join("local/mutations");
    make_copy(&copy).map_err(|error| format!("{}: {error}", copy.display()))?;
    for mutation in &MUTATIONS {
        mutated(mutation, &read(&copy.join(mutation.file))?)?;
    }
    // Cargo cannot tell the copy's crates from the originals, so they may not share a folder.
    let target = &target.join("local/mutations-target");
    let without = failures(&copy, target).await?;
    if !without.is_empty() {
        return Err(format!(
            "without any bug these fail: {}",
            without.join(", ")
        ));
    }
    let mut verdicts = Vec::new();
    for mutation in MUTATIONS {
        let file = copy.join(mutation.file);
        let write = |text: &str| {
            fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))
        };
        let text = read(&file)?;
        write(&mutated(&mutation, &text)?)?;
        let caught_by = failures(&copy, target).await;
        write(&text)?;
        let verdict = Verdict {
            mutation,
            caught_by: caught_by.map_err(|error| format!("{}: {error}", mutation.bug))?,
        };
        told(&verdict);
        verdicts.push(verdict);
    }
    Ok(verdicts)
}

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

/// The file with the bug.
///
/// # Errors
/// Its place is not there exactly once.
fn mutated(mutation: &Mutation, text: &str) -> Result<String, String> {
    match text.matches(mutation.right).count() {
        1 => Ok(text.replace(mutation.right, mutation.wrong)),
        times => Err(format!(
            "{}: {:?} stands {times} times in {}; correct the list in infra/local/src/mutations.rs",
            mutation.bug, mutation.right, mutation.file
        )),
    }
}

/// What the tests are made of, without what was built from it.
fn make_copy(copy: &Path) -> std::io::Result<()> {
    if copy.exists() {
        fs::remove_dir_all(copy)?;
    }
    for part in [
        "functions",
        "infra",
        "statemachine",
        "resources",
        ".cargo",
        ".clippy.toml",
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
    ] {
        copy_all(&Path::new(WORKSPACE).join(part), &copy.join(part))?;
    }
    Ok(())
}

fn copy_all(from: &Path, to: &PathBuf) -> std::io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(|_| ());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy_all(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// The names of the tests that fail in the copy, once each.
async fn failures(copy: &Path, target: &Path) -> Result<Vec<String>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["test", "--locked", "--offline", "--no-fail-fast"])
        .args(TESTS.iter().flat_map(|test| ["--test", test]))
        .args(["--", "--skip", WITHOUT])
        .current_dir(copy)
        .env("SIMULATION_COURSES", COURSES)
        .env("CARGO_TARGET_DIR", target)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| format!("cargo could not be started: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let mut failed: Vec<String> = said
        .lines()
        .filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"))
        .map(|name| name.rsplit("::").next().unwrap_or(name).to_owned())
        .collect();
    failed.sort();
    failed.dedup();
    if !output.status.success() && failed.is_empty() {
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = said.lines().rev().take(20).collect();
        let lines: Vec<&str> = lines.into_iter().rev().collect();
        return Err(format!("cargo test failed:\n{}", lines.join("\n")));
    }
    Ok(failed)
}

/// Writes the page of the verdicts.
///
/// # Errors
/// A text for people: it cannot be written.
pub fn write(verdicts: &[Verdict]) -> Result<(), String> {
    let file = Path::new(WORKSPACE).join(PAGE);
    fs::write(&file, page(verdicts)).map_err(|error| format!("{}: {error}", file.display()))
}

fn page(verdicts: &[Verdict]) -> String {
    let mut page = format!(
        "# Bugs on purpose\n\n\
         What `cargo local mutate` has written. Each bug was put into a copy of the workspace, one at a time, and the\n\
         tests that need nothing but cargo were run (`cargo test --test {} -- --skip {WITHOUT}`,\n\
         with {COURSES} courses of the simulation). A bug that no test notices fails the command.\n\n| bug | in | caught by |\n|---|---|---|\n",
        TESTS.join(" --test ")
    );
    for Verdict {
        mutation,
        caught_by,
    } in verdicts
    {
        let tests: Vec<String> = caught_by
            .iter()
            .map(|name| name.replace('_', " "))
            .collect();
        let _ = writeln!(
            page,
            "| {} | `{}` | {} |",
            mutation.bug,
            mutation.file,
            if tests.is_empty() {
                "**nothing**".to_owned()
            } else {
                tests.join("; ")
            }
        );
    }
    page
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn each_bug_has_its_place_and_changes_it() {
        for mutation in MUTATIONS {
            let file = Path::new(WORKSPACE).join(mutation.file);
            let text = fs::read_to_string(file).unwrap();
            assert_ne!(mutated(&mutation, &text).unwrap(), text, "{}", mutation.bug);
        }
    }

    #[test]
    fn the_page_has_every_bug_and_each_was_caught() {
        let page = Path::new(WORKSPACE).join(PAGE);
        let page = fs::read_to_string(page).unwrap();
        let rows: Vec<Vec<&str>> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
            .map(|row| row.split(" | ").collect())
            .collect();
        let bugs: Vec<(&str, String)> = rows[1..]
            .iter()
            .map(|row| (row[0], row[1].replace('`', "")))
            .collect();
        let expected: Vec<(&str, String)> = MUTATIONS
            .iter()
            .map(|mutation| (mutation.bug, mutation.file.to_owned()))
            .collect();
        assert_eq!(bugs, expected, "run `cargo local mutate`");
        let tests = [
            "functions/create-snapshot/tests/wire.rs",
            "functions/describe-snapshot/tests/wire.rs",
            "functions/prune-snapshots/tests/wire.rs",
            "functions/prune-snapshots/tests/retention.rs",
            "functions/record-and-notify/tests/wire.rs",
            "infra/local/tests/reliability/redrive.rs",
            "infra/local/tests/reliability/simulation.rs",
        ];
        let tests = tests.map(|file| fs::read_to_string(Path::new(WORKSPACE).join(file)).unwrap());
        for test in rows[1..].iter().flat_map(|row| row[2].split("; ")) {
            let name = format!("fn {}(", test.replace(' ', "_"));
            let exists = tests.iter().any(|file| file.contains(&name));
            assert!(exists, "no test {test:?}: run `cargo local mutate`");
        }
    }
}
