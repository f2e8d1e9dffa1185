//! The command `cargo local`: the snapshot manager on one machine, without an AWS account.
//!
//! - [`command`]: what all commands share.
//! - [`demo`]: the demonstration.
//! - [`follow`]: prints an execution while it runs.
//! - [`report`]: reads and prints the audit record.
//! - [`running`]: the engines that run.

#![allow(
    missing_docs,
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    reason = "only the commands use this; the errors are for people"
)]

pub mod command;
pub mod demo;
pub mod follow;
pub mod report;
pub mod running;
