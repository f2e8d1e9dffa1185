//! What commands print, and the exit code with which they end.
//!
//! - [`say!`] is for results, on stdout, and [`note!`] for progress and errors, on stderr. They replace the macros of the
//!   standard library, which panic if the reader has gone or the disk is full.
//! - [`new_table`]: the style of every table.
//! - [`arguments`] and [`exit_code`]: how a command begins and ends.

mod table;

use std::error::Error;
use std::fmt::{Arguments, Display, Formatter};
use std::io::{self, ErrorKind, Write, stderr, stdout};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

pub use table::new_table;

/// The exit code of a command whose reader has gone: what a shell reports for a program that SIGPIPE has ended.
const READER_GONE: u8 = 128 + 13;

/// The reader of stdout has closed it, as `head` does after its last line.
#[derive(Debug)]
struct ReaderGone;

impl Display for ReaderGone {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("nothing reads stdout any more")
    }
}

impl Error for ReaderGone {}

/// Prints a line to stdout; takes the arguments of `println!`.
///
/// # Errors
///
/// Returns an error if stdout cannot be written. [`exit_code`] ends the command quietly if its reader has gone.
#[macro_export]
macro_rules! say {
    ($($argument:tt)*) => { $crate::print(::std::format_args!($($argument)*)) };
}

/// Prints a line to stderr; takes the arguments of `eprintln!`. If stderr cannot be written, the command goes on
/// without the line.
#[macro_export]
macro_rules! note {
    ($($argument:tt)*) => { $crate::report(::std::format_args!($($argument)*)) };
}

/// What [`say!`] does.
///
/// # Errors
///
/// Returns an error if stdout cannot be written.
pub fn print(line: Arguments<'_>) -> Result<()> {
    printed(writeln!(stdout().lock(), "{line}"))
}

fn printed(result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        result => result.context("stdout cannot be written"),
    }
}

/// The arguments of the command. Prints help, or what is wrong with the arguments.
///
/// # Errors
///
/// Returns the exit code if the command ends here.
pub fn arguments<C: Parser>() -> Result<C, ExitCode> {
    C::try_parse().map_err(|error| {
        let result = error.print();
        if error.use_stderr() {
            ExitCode::from(2)
        } else {
            exit_code(printed(result).map(|()| ExitCode::SUCCESS))
        }
    })
}

/// What [`note!`] does.
pub fn report(line: Arguments<'_>) {
    let _ = writeln!(stderr().lock(), "{line}");
}

/// The exit code of a command. An error is printed with its causes, and its exit code is 2. If the reader of stdout has
/// gone, nothing is printed, and the exit code is 141.
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
