//! Prints the output of all commands, and decides their exit codes.
//!
//! - [`say!`] prints results to stdout, and [`note!`] prints progress and errors to stderr. They replace the macros of
//!   the standard library, which panic if the reader has closed the pipe or the disk is full.
//! - [`new_table`]: the style of all tables.
//! - [`arguments`] and [`exit_code`]: the beginning and the end of every command.

mod table;

use std::error::Error;
use std::fmt::{Arguments, Display, Formatter};
use std::io::{self, ErrorKind, Write, stderr, stdout};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

pub use table::new_table;

/// The exit code of a command when the reader of its stdout has closed the pipe. A shell reports the same code for a
/// program that SIGPIPE has ended.
const READER_GONE: u8 = 128 + 13;

/// The error that the reader of stdout has closed the pipe, as `head` does after its last line.
#[derive(Debug)]
struct ReaderGone;

impl Display for ReaderGone {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("nothing reads stdout any more")
    }
}

impl Error for ReaderGone {}

/// Prints a line to stdout. Takes the same arguments as `println!`.
///
/// # Errors
///
/// Returns an error if stdout cannot be written. If the reader has closed the pipe, [`exit_code`] ends the command
/// without a message.
#[macro_export]
macro_rules! say {
    ($($argument:tt)*) => { $crate::print(::std::format_args!($($argument)*)) };
}

/// Prints a line to stderr. Takes the same arguments as `eprintln!`. If stderr cannot be written, the line is dropped.
#[macro_export]
macro_rules! note {
    ($($argument:tt)*) => { $crate::report(::std::format_args!($($argument)*)) };
}

/// The function behind [`say!`].
///
/// # Errors
///
/// Returns an error if stdout cannot be written.
pub fn print(line: Arguments<'_>) -> Result<()> {
    stdout_result(writeln!(stdout().lock(), "{line}"))
}

fn stdout_result(result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        result => result.context("stdout cannot be written"),
    }
}

/// Parses the arguments of the command. If they ask for help, or are wrong, prints the help or the error.
///
/// # Errors
///
/// Returns the exit code if the command must end at once.
pub fn arguments<C: Parser>() -> Result<C, ExitCode> {
    C::try_parse().map_err(|error| {
        let result = error.print();
        if error.use_stderr() {
            ExitCode::from(2)
        } else {
            exit_code(stdout_result(result).map(|()| ExitCode::SUCCESS))
        }
    })
}

/// The function behind [`note!`].
pub fn report(line: Arguments<'_>) {
    let _ = writeln!(stderr().lock(), "{line}");
}

/// The exit code of a command. An error is printed with its causes, and the exit code is 2. If the reader of stdout has
/// closed the pipe, nothing is printed, and the exit code is 141.
#[must_use]
pub fn exit_code(result: Result<ExitCode>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(error) if error.is::<ReaderGone>() => ExitCode::from(READER_GONE),
        Err(error) => {
            note!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
