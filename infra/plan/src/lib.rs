//! The command `cargo plan`: tries a policy on a listing of snapshots, without AWS.
//!
//! - [`plan`]: the command's options, and what it prints.
//! - [`preview`]: what a run would do, why it would delete nothing, and notes on the policy.
//! - [`listing`]: the listing, as the aws CLI prints it.
//! - [`json`]: JSON from a file. `cargo local run` reads its input with it too.
//! - [`picture`]: draws the plan as SVG.
//!
//! Invariants:
//! - The crate `retention` makes the plan, as it does in the function, on the state that a run would see.
//! - A part of a listing is never taken for the whole.
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
