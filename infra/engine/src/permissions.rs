//! Checks each call of a function against the policies of the function's deployed role.
//!
//! A call is denied, as on AWS, if no statement allows its action on its resource, or if a statement denies it. These
//! are not checked:
//! - calls of people and other clients
//! - calls of the state machine, of Lambda, of `EventBridge` and of the schedule
//! - the use of keys by SNS and `DynamoDB`
//! - the delivery of logs and traces
//! - who may assume a role

use std::collections::BTreeMap;
use std::sync::Mutex;

use anyhow::{Context as _, Result};
use iam_rs::{
    Arn, Context, ContextValue, Decision, IAMPolicy, IAMRequest, PolicyEvaluator, Principal,
    PrincipalId,
};
use serde_json::Value;
use stack::Role;

use crate::lock;

/// The roles of the functions, by the functions' names.
#[derive(Debug, Default)]
pub struct Permissions(Mutex<BTreeMap<String, GrantedRole>>);

#[derive(Debug)]
struct GrantedRole {
    role: Role,
    parsed: Vec<IAMPolicy>,
}

/// A use of a resource that needs a permission.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// For example `sns:Publish`.
    pub action: String,
    pub resource: String,
    /// The partition keys of the `DynamoDB` items that the call uses. In IAM, this is the context key
    /// `dynamodb:LeadingKeys`.
    pub leading_keys: Vec<String>,
    /// The other context keys of IAM, each with its value.
    pub context: BTreeMap<String, String>,
}

impl Permissions {
    /// Gives a function a role. The error says which policy cannot be parsed.
    pub fn set(&self, caller: &str, role: Role) -> Result<()> {
        let policies = role.policies.iter().cloned();
        let parsed: Result<Vec<IAMPolicy>, _> = policies.map(serde_json::from_value).collect();
        let parsed = parsed.with_context(|| format!("a policy of {}", role.arn))?;
        lock(&self.0).insert(caller.to_owned(), GrantedRole { role, parsed });
        Ok(())
    }

    /// Updates the policies of the roles. `policies` has the current policies of each role, by the role's ARN. A role
    /// that is not in `policies` keeps what it has.
    pub(crate) fn update(&self, mut policies: BTreeMap<String, Vec<Value>>) -> Result<()> {
        let callers = lock(&self.0);
        let roles = callers.iter();
        let roles = roles.map(|(name, caller)| (name.clone(), caller.role.clone()));
        let roles: Vec<(String, Role)> = roles.collect();
        drop(callers);
        for (caller, Role { arn, .. }) in roles {
            if let Some(policies) = policies.remove(&arn) {
                self.set(&caller, Role { arn, policies })?;
            }
        }
        Ok(())
    }

    pub fn role(&self, caller: &str) -> Option<Role> {
        let callers = lock(&self.0);
        callers.get(caller).map(|caller| caller.role.clone())
    }

    /// Checks whether the caller's role allows an access. The error is a message like AWS's own.
    pub fn check(&self, caller: &str, access: &Access) -> Result<(), String> {
        let (action, resource) = (&access.action, &access.resource);
        let callers = lock(&self.0);
        let Some(GrantedRole { role, parsed }) = callers.get(caller) else {
            return Err(format!("{caller} has no role, so it may not {action}"));
        };
        let principal = Principal::Aws(PrincipalId::String(role.arn.clone()));
        let why = match is_allowed(parsed.clone(), principal, access) {
            Ok(true) => return Ok(()),
            Ok(false) => format!("no identity-based policy allows the {action} action"),
            Err(error) => format!("{error:#}"),
        };
        let session = role.arn.replacen(":iam:", ":sts:", 1);
        let session = session.replacen(":role/", ":assumed-role/", 1);
        Err(format!(
            "User: {session}/{caller} is not authorized to perform: {action} on resource: {resource} because {why}"
        ))
    }
}

fn is_allowed(policies: Vec<IAMPolicy>, principal: Principal, access: &Access) -> Result<bool> {
    let mut context = Context::new();
    if !access.leading_keys.is_empty() {
        let keys = ContextValue::StringList(access.leading_keys.clone());
        context.insert("dynamodb:LeadingKeys".to_owned(), keys);
    }
    for (key, value) in &access.context {
        context.insert(key.clone(), ContextValue::String(value.clone()));
    }
    let resource = Arn::parse(&access.resource)?;
    let request = IAMRequest::new_with_context(principal, &access.action, resource, context);
    let result = PolicyEvaluator::with_policies(policies).evaluate(&request)?;
    Ok(result.decision == Decision::Allow)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HISTORY: &str = "states:GetExecutionHistory";
    const TABLE: &str = "arn:aws:dynamodb:eu-central-2:123456789012:table/t";

    fn role(statements: &Value) -> Role {
        Role {
            arn: "arn:aws:iam::123456789012:role/x".to_owned(),
            policies: vec![json!({"Version": "2012-10-17", "Statement": statements})],
        }
    }

    fn access(action: &str, resource: &str) -> Access {
        Access {
            action: action.to_owned(),
            resource: resource.to_owned(),
            ..Access::default()
        }
    }

    #[test]
    fn a_role_allows_its_actions_on_its_resources_and_nothing_else() {
        let permissions = Permissions::default();
        let role = role(&json!([
            {"Effect": "Allow", "Action": ["sns:Publish", "sns:Subscribe"], "Resource": "arn:aws:sns:eu-central-2:123456789012:t"},
            {"Effect": "Allow", "Action": "states:GetExecutionHistory", "Resource": "arn:aws:states:eu-central-2:123456789012:execution:m:*"},
            {"Effect": "Deny", "Action": "sns:Subscribe", "Resource": "arn:aws:sns:eu-central-2:123456789012:t"},
        ]));
        permissions.set("f", role).unwrap();
        for (action, service, resource, allowed) in [
            ("sns:Publish", "sns:eu-central-2", "t", true),
            ("sns:Publish", "sns:eu-central-2", "tt", false),
            ("sns:Publish", "sns:eu-central-1", "t", false),
            ("sns:Subscribe", "sns:eu-central-2", "t", false),
            ("sns:DeleteTopic", "sns:eu-central-2", "t", false),
            (HISTORY, "states:eu-central-2", "execution:m:e", true),
            (HISTORY, "states:eu-central-2", "execution:mm:e", false),
        ] {
            let resource = format!("arn:aws:{service}:123456789012:{resource}");
            let checked = permissions.check("f", &access(action, &resource));
            assert_eq!(checked.is_ok(), allowed, "{action} {resource}: {checked:?}");
        }
        let denied = |access| permissions.check("f", &access).unwrap_err();
        denied(access("sns:Publish", "no arn"));
        let denial = format!(
            "User: arn:aws:sts::123456789012:assumed-role/x/f is not authorized to perform: sns:Publish on resource: \
             {TABLE} because no identity-based policy allows the sns:Publish action"
        );
        assert_eq!(denied(access("sns:Publish", TABLE)), denial);
        let nobody = permissions.check("g", &access("sns:Publish", TABLE));
        let denial = "g has no role, so it may not sns:Publish";
        assert_eq!(nobody, Err(denial.to_owned()));
    }

    #[test]
    fn a_policy_that_cannot_be_parsed_is_refused_when_it_is_set() {
        let refused = Permissions::default().set("f", role(&json!("all")));
        let refused = format!("{:#}", refused.unwrap_err());
        let start = "a policy of arn:aws:iam::123456789012:role/x: ";
        assert!(refused.starts_with(start), "{refused}");
    }
}
