//! `cargo xtask bench`: measures the size, start, memory and speed of the functions. A value that has a budget must be
//! below it.
//!
//! `cold_start` starts the release binaries in new processes, which call AWS over TLS, as on Lambda. It measures size,
//! start time, memory and CPU time. `deletions` measures how long runs take that delete most of a full quota of
//! snapshots.

mod cold_start;
mod deletions;
mod servers;

use std::iter::once;

use anyhow::Result;
use comfy_table::CellAlignment;
use engine::Engine;
use engine::functions::Profile;
use engine::prepare::prepare;
use output::{new_table, say};

use cold_start::{CALLS, PROCESSES};
use deletions::LATENCY_MS;

/// The measurements of a function, or of a run: a row of a table. All rows of a table have the same columns.
struct Row {
    name: String,
    values: Vec<Measured>,
}

/// A value and its budget as they are printed. The budget is empty if the value has none.
struct Measured {
    title: &'static str,
    value: String,
    budget: String,
    is_over: bool,
}

/// A measurement. The value is `None` if this system does not measure it.
fn measured(title: &'static str, unit: &str, value: Option<f64>, budget: Option<f64>) -> Measured {
    Measured {
        title,
        value: value.map_or("-".to_owned(), |value| format!("{value:.2} {unit}")),
        budget: budget.map_or(String::new(), |budget| format!("< {budget} {unit}")),
        is_over: budget.is_some() && value >= budget,
    }
}

/// Measures everything, and prints tables to stdout. Returns whether every value is below its budget.
pub async fn run() -> Result<bool> {
    let engine = Engine::start(prepare(Profile::Release).await?).await?;
    let measured = measure(&engine).await;
    engine.stop().await;
    let over_budget = over_budget(&measured?);
    for line in &over_budget {
        say!("Over budget: {line}")?;
    }
    Ok(over_budget.is_empty())
}

async fn measure(engine: &Engine) -> Result<Vec<Row>> {
    let (mut rows, certificates) = cold_start::measure(engine).await?;
    say!("{}", table("function", &rows))?;
    say!(
        "\nMedian and worst of {PROCESSES} processes. Start: until the function first asks for work. Memory: the peak. \
         CPU: of the start and {CALLS} HTTPS calls.\n\
         All CAs: {certificates} certificates are trusted instead of one."
    )?;
    let deletions = [deletions::measure(engine).await?];
    say!("\nRuns on a full quota of snapshots, each call answered after {LATENCY_MS} ms:")?;
    say!("{}", table("", &deletions))?;
    rows.extend(deletions);
    Ok(rows)
}

fn table(title: &str, rows: &[Row]) -> String {
    let mut table = new_table([]);
    let columns = rows.first().map_or(&[][..], |row| row.values.as_slice());
    table.set_header(once(title).chain(columns.iter().map(|it| it.title)));
    for Row { name, values } in rows {
        let values = values.iter().map(|it| it.value.as_str());
        table.add_row(once(name.as_str()).chain(values));
    }
    let budgets = columns.iter().map(|it| it.budget.as_str());
    table.add_row(once("budget").chain(budgets));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

fn over_budget(rows: &[Row]) -> Vec<String> {
    let mut over = Vec::new();
    for Row { name, values } in rows {
        for it in values.iter().filter(|it| it.is_over) {
            over.push(format!(
                "{name}, {}: {}, budget {}",
                it.title, it.value, it.budget
            ));
        }
    }
    over
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

fn worst(values: &[f64]) -> Option<f64> {
    values.iter().copied().max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(megabytes: f64, starts: [f64; 3], seconds: [f64; 3]) -> Vec<Row> {
        let mut samples = <[cold_start::Samples; 2]>::default();
        samples[0].start = starts.to_vec();
        let function = cold_start::row("f".to_owned(), megabytes, &samples);
        vec![function, deletions::row(seconds)]
    }

    #[test]
    fn the_median_must_be_below_the_budget_but_the_worst_value_need_not() {
        let kept = rows(5.9, [900.0, 14.9, 1.0], [14.9, 111.4, 29.9]);
        assert_eq!(over_budget(&kept), Vec::<String>::new());
        let broken = rows(6.0, [1.0, 15.5, 16.0], [14.9, 112.0, 30.0]);
        assert_eq!(
            over_budget(&broken),
            [
                "f, binary: 6.00 MB, budget < 6 MB",
                "f, start: 15.50 ms, budget < 15 ms",
                "970 deletions, 10 a second: 112.00 s, budget < 111.5 s",
                "970 deletions, longest invocation: 30.00 s, budget < 30 s"
            ]
        );
    }

    #[test]
    fn a_value_that_is_not_measured_is_shown_as_a_dash() {
        let rows = rows(5.9, [1.0, 2.0, 3.0], [0.0; 3]);
        let table = table("function", &rows[..1]);
        let row = table.lines().find(|line| line.trim().starts_with("f "));
        let cells: Vec<&str> = row.into_iter().flat_map(str::split_whitespace).collect();
        assert_eq!(cells.join(" "), "f 5.90 MB 2.00 ms 3.00 ms - - - - - -");
    }
}
