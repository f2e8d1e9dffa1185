//! The command `cargo plan`: tries a policy on a listing of snapshots, without AWS.
//!
//! - [`plan`]: reads the listing and the policy, makes the plan and prints it.
//! - [`picture`]: draws the plan as SVG.
//!
//! Invariant: the crate `retention` makes the plan, as it does in the function. Nothing here needs an AWS client, the
//! engine or TLS.

#![allow(
    missing_docs,
    clippy::missing_errors_doc,
    reason = "only the command uses this; the errors are for people"
)]

pub mod picture;
pub mod plan;
