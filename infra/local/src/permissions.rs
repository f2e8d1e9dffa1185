//! Who may do what: the policies of the template's roles, held against every call.
//!
//! A call without an allowing statement for its action and resource is denied, as AWS denies it.
//! Calls of clients that have no role, such as a person's, are not looked at.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use iam_rs::{
    Arn, Context, Decision, IAMPolicy, IAMRequest, PolicyEvaluator, Principal, PrincipalId,
};
use serde_json::Value;

/// The roles of all callers.
#[derive(Debug, Default)]
pub struct Permissions(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    roles: BTreeMap<String, Role>,
    denied: Vec<String>,
}

/// What a caller may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// The ARN of the role.
    pub arn: String,
    /// Its policies' documents.
    pub policies: Vec<Value>,
}

/// What a call does, in IAM's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// For example `sns:Publish`.
    pub action: String,
    /// The ARN of what it is done to.
    pub resource: String,
}

impl Permissions {
    /// Sets the role of a caller.
    pub fn set(&self, caller: &str, role: Role) {
        self.lock().roles.insert(caller.to_owned(), role);
    }

    /// The role of a caller.
    pub fn role(&self, caller: &str) -> Option<Role> {
        self.lock().roles.get(caller).cloned()
    }

    /// The denials so far, in AWS's words.
    pub fn denied(&self) -> Vec<String> {
        self.lock().denied.clone()
    }

    /// Whether the caller's role allows it. A caller without a role may do everything.
    ///
    /// # Errors
    /// AWS's words for the denial.
    pub fn check(&self, caller: &str, access: &Access) -> Result<(), String> {
        let mut state = self.lock();
        let Some(role) = state.roles.get(caller) else {
            return Ok(());
        };
        if role.allows(access) {
            return Ok(());
        }
        let Access { action, resource } = access;
        let session =
            role.arn
                .replacen(":iam:", ":sts:", 1)
                .replacen(":role/", ":assumed-role/", 1);
        let denial = format!(
            "User: {session}/{caller} is not authorized to perform: {action} on resource: {resource} because no identity-based policy allows the {action} action"
        );
        state.denied.push(denial.clone());
        Err(denial)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Role {
    /// What cannot be understood allows nothing.
    fn allows(&self, access: &Access) -> bool {
        let policies: Result<Vec<IAMPolicy>, _> = self
            .policies
            .iter()
            .map(|policy| serde_json::from_value(policy.clone()))
            .collect();
        let (Ok(policies), Ok(resource)) = (policies, Arn::parse(&access.resource)) else {
            return false;
        };
        is_allowed(
            policies,
            Principal::Aws(PrincipalId::String(self.arn.clone())),
            access,
            resource,
            Context::new(),
        )
    }
}

fn is_allowed(
    policies: Vec<IAMPolicy>,
    principal: Principal,
    access: &Access,
    resource: Arn,
    context: Context,
) -> bool {
    let request = IAMRequest::new_with_context(principal, &access.action, resource, context);
    PolicyEvaluator::with_policies(policies)
        .evaluate(&request)
        .is_ok_and(|result| result.decision == Decision::Allow)
}

/// Whether a resource's policy lets a service do it on behalf of `source`, an ARN.
#[must_use]
pub fn lets_service(policy: &Value, service: &str, source: &str, access: &Access) -> bool {
    let (Ok(policy), Ok(resource)) = (
        serde_json::from_value(policy.clone()),
        Arn::parse(&access.resource),
    ) else {
        return false;
    };
    let context = Context::new().with_string("aws:SourceArn", source);
    let principal = Principal::Service(PrincipalId::String(service.to_owned()));
    is_allowed(vec![policy], principal, access, resource, context)
}
