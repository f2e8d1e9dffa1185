//! The same system on one machine: the real definition, the real functions in processes of their
//! own, real SDK calls, and no AWS account.
//!
//! [`engine`] puts it together as the template says, which [`template`] reads and [`stack`] makes use of:
//! [`moto`] interprets the definition and keeps tables, topics and
//! queues; [`gateway`] is the one endpoint of all services, where [`permissions`] are enforced; behind it [`lambda`] runs the functions,
//! [`msf`] emulates Managed Flink, [`executions`] adds what moto's Step Functions lacks, and
//! [`faults`] are injected for tests. [`follow`], [`report`], [`demo`] and [`bench`] are what a person
//! sees. [`deployment`] lints and builds what is deployed to AWS, with tools that [`python`] and [`cargo_deny`] install;
//! [`mutations`] tries the tests with bugs on purpose; [`plan`] tries a
//! policy on a listing, and [`picture`] draws it.

pub mod bench;
pub mod cargo_deny;
pub mod definition;
pub mod demo;
pub mod deployment;
pub mod engine;
pub mod executions;
pub mod faults;
pub mod follow;
pub mod functions;
pub mod gateway;
pub mod lambda;
pub mod moto;
pub mod msf;
pub mod mutations;
pub mod permissions;
pub mod picture;
pub mod plan;
pub mod python;
pub mod report;
pub mod stack;
pub mod template;
