//! The command `cargo xtask`, for people who build or change the project.
//!
//! - [`check`]: lints the template, the definition and the dependencies.
//! - [`build`]: builds the functions for a deployment.
//! - [`package`]: makes a zip that can be deployed with the aws CLI alone.
//! - [`bench`]: measures the size, start, memory and speed of the release binaries.
//! - [`mutants`]: checks that a test fails when the functions' code is changed.
//! - [`tools`]: installs pinned tools, and runs them.

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
