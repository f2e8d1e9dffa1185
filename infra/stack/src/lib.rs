//! Reads `infra/template.yaml` and the state machine's definition, for the tables, policies, pictures and tests that
//! are derived from them.
//!
//! - [`template`]: the template, with its parameters, conditions and intrinsic functions resolved.
//! - [`definition`]: the definition, with its substitutions, and as a diagram.
//! - [`stack`]: the functions, roles and definition of a deployment.
//!
//! Invariant: nothing here starts a process or opens a connection.

#![allow(
    missing_docs,
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    reason = "the names say it, and the errors are messages for people"
)]

pub mod definition;
pub mod stack;
pub mod template;

pub use stack::{
    ACCOUNT, AWS_RETRY_DELAYS, EVERY_APPLICATION, FunctionSettings, REGION, Role, STACK, Stack,
};
