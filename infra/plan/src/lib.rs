//! The command `cargo plan`: a policy tried on a listing, without AWS.
//!
//! - [`plan`]: reads the listing and the policy, plans, and prints.
//! - [`picture`]: the plan as SVG.
//!
//! Invariant: it plans by the crate `retention`, as the function does, and needs no AWS client, engine or TLS.

#![allow(clippy::missing_errors_doc, reason = "the errors are texts for people")]

pub mod picture;
pub mod plan;
