//! The command `cargo local`: runs the snapshot manager on one machine, without an AWS account.
//!
//! - [`demo`]: the demonstration, which the command runs if it has no arguments.
//! - [`up`], [`run`] and [`redrive`]: the subcommands with these names.
//! - [`start`]: starts an engine.
//! - [`running`]: finds an engine that is running already.
//! - [`follow`]: prints an execution while it runs.
//! - [`report`]: reads and prints the audit record.

#![allow(
    missing_docs,
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    reason = "only the commands use this; the errors are for people"
)]

pub mod demo;
pub mod follow;
pub mod redrive;
pub mod report;
pub mod run;
pub mod running;
pub mod start;
pub mod up;
