//! The same system on one machine: the real template, the real definition, the real functions in processes of their
//! own, real SDK calls, and no AWS account.
//!
//! [`engine`] puts it together: [`ministack`], an emulator of AWS that others wrote, deploys the template by `CloudFormation`
//! and runs what it deploys. [`proxy`] is the one address of all services. It knows which function calls, enforces
//! [`permissions`], injects [`faults`] for tests, and serves [`msf`], our emulator of Managed Flink. [`template`] and [`stack`]
//! read from the template what tests, tables and policies are derived from. [`follow`], [`report`], [`demo`] and [`bench`]
//! are what a person sees. [`deployment`] lints and builds what is deployed to AWS, with tools that [`python`] and
//! [`cargo_deny`] install; [`mutations`] tries the tests with bugs on purpose; [`plan`] tries a policy on a listing, and
//! [`picture`] draws it.

pub mod bench;
pub mod cargo_deny;
pub mod definition;
pub mod demo;
pub mod deployment;
pub mod engine;
pub mod faults;
pub mod follow;
pub mod functions;
pub mod ministack;
pub mod msf;
pub mod mutations;
pub mod permissions;
pub mod picture;
pub mod plan;
pub mod proxy;
pub mod python;
pub mod report;
pub mod stack;
pub mod template;
