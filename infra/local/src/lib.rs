//! The command `cargo local`: the snapshot manager on one machine, without an AWS account.
//!
//! - [`demo`]: the demonstration, which is the command without arguments.
//! - [`up`], [`run`] and [`redrive`]: the commands of these names.
//! - [`start`]: starts an engine of the command's own.
//! - [`running`]: the engines that run already.
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
