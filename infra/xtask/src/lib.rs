//! The command `cargo xtask`, for those who build or change the project.
//!
//! - [`check`]: lints what is deployed, and the dependencies.
//! - [`build`]: builds the functions for a deployment.
//! - [`package`]: makes a zip that deploys with the aws CLI alone.
//! - [`bench`]: measures size, start, memory and speed of the release binaries.
//! - [`mutants`]: tests the tests.
//! - [`tools`]: pinned tools, and how they run.

#![allow(
    missing_docs,
    clippy::missing_errors_doc,
    reason = "only the command uses this; the errors are for people"
)]

pub mod bench;
pub mod build;
pub mod check;
pub mod mutants;
pub mod package;
pub mod tools;
