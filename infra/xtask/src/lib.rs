//! The command `cargo xtask`, for who builds or changes the project.
//!
//! - [`deployment`]: what is deployed to AWS, linted and built.
//! - [`cargo_tools`]: tools of cargo, pinned.
//! - [`bench`]: size, start, memory and speed of the release binaries.
//! - [`mutants`]: the tests, tested.

#![allow(clippy::missing_errors_doc, reason = "the errors are texts for people")]

pub mod bench;
pub mod cargo_tools;
pub mod deployment;
pub mod mutants;
