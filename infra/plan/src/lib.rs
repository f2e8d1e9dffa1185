//! The command `cargo plan`: tries a policy on a listing of snapshots, without AWS.
//!
//! - [`plan`]: the command's options, and what it prints.
//! - [`preview`]: what a run would delete, why it would delete nothing, and notes about the policy.
//! - [`listing`]: reads the listing, as the aws CLI prints it.
//! - [`json`]: reads JSON from a file, strictly. `cargo local run` uses it for its input too.
//! - [`picture`]: draws the plan as SVG.
//!
//! Invariants:
//! - The crate `retention` makes the plan, as it does for a run, from the snapshots that the run would see.
//! - If only a part of a listing is given, the command refuses it.
//! - Nothing here needs an AWS client, the engine or TLS.

#![allow(
    missing_docs,
    clippy::missing_errors_doc,
    reason = "only the command uses this; the errors are for people"
)]

pub mod json;
pub mod listing;
pub mod picture;
pub mod plan;
pub mod preview;
