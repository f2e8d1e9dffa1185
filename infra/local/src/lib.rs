//! The command `cargo local`: the same system on one machine, without an AWS account.
//!
//! - [`command`]: what the commands share.
//! - [`demo`]: the main job as a demonstration.
//! - [`follow`]: an execution as it happens.
//! - [`report`]: the audit record, read and shown.

#![allow(clippy::missing_errors_doc, reason = "the errors are texts for people")]

pub mod command;
pub mod demo;
pub mod follow;
pub mod report;
