//! What `infra/template.yaml` and the state machine's definition say, for everything that is derived from them.
//!
//! - [`template`]: the template with its parameters, conditions and intrinsic functions resolved.
//! - [`definition`]: the definition, filled in as a deployment does, and as a diagram.
//! - [`stack`]: the functions, roles, rule and definition of one deployment.
//!
//! Invariant: nothing here starts a process or opens a connection.

#![allow(clippy::missing_errors_doc, reason = "the errors are texts for people")]

pub mod definition;
pub mod stack;
pub mod template;

pub use stack::{
    ACCOUNT, AWS_RETRY_DELAYS, EVERY_APPLICATION, FailureRule, FunctionSettings, REGION, Role,
    STACK, Stack,
};
