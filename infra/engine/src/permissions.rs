//! Who may do what: the policies of the functions' roles as they are deployed, held against every call of a function.
//!
//! A call without an allowing statement for its action and resource is denied, as AWS denies it.
//! Not judged: calls of people and other clients; what the state machine, Lambda, `EventBridge` and the schedule do; the
//! keys, which SNS would use; the delivery of logs and traces; who may assume a role.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use iam_rs::{
    Arn, Context, ContextValue, Decision, IAMPolicy, IAMRequest, PolicyEvaluator, Principal,
    PrincipalId,
};
use stack::Role;

use crate::lock;

/// The roles of all callers.
#[derive(Debug, Default)]
pub struct Permissions(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    callers: BTreeMap<String, Caller>,
    denied: Vec<String>,
}

#[derive(Debug)]
struct Caller {
    role: Role,
    parsed: Vec<IAMPolicy>,
}

/// What a call does, in IAM's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// For example `sns:Publish`.
    pub action: String,
    /// The ARN of what it is done to.
    pub resource: String,
    /// The partition keys of `DynamoDB` that it touches, the context key `dynamodb:LeadingKeys`; none where there are none.
    pub leading_keys: Vec<String>,
}

impl Permissions {
    /// Sets the role of a caller.
    pub fn set(&self, caller: &str, role: Role) -> Result<(), String> {
        let parsed = role.policies.iter().map(|policy| {
            serde_json::from_value(policy.clone())
                .map_err(|error| format!("a policy of {}: {error}", role.arn))
        });
        let parsed = parsed.collect::<Result<_, String>>()?;
        let callers = &mut self.lock().callers;
        callers.insert(caller.to_owned(), Caller { role, parsed });
        Ok(())
    }

    /// The role of a caller.
    pub fn role(&self, caller: &str) -> Option<Role> {
        let state = self.lock();
        state.callers.get(caller).map(|caller| caller.role.clone())
    }

    /// The denials so far, in AWS's words.
    pub fn denied(&self) -> Vec<String> {
        self.lock().denied.clone()
    }

    /// Whether the caller's role allows it.
    pub fn check(&self, caller: &str, access: &Access) -> Result<(), String> {
        let mut state = self.lock();
        let Access {
            action, resource, ..
        } = access;
        let denial = match state.callers.get(caller) {
            None => format!("{caller} has no role, so it may not {action}"),
            Some(Caller { role, parsed }) => {
                let principal = Principal::Aws(PrincipalId::String(role.arn.clone()));
                let why = match allows(parsed.clone(), principal, access) {
                    Ok(true) => return Ok(()),
                    Ok(false) => format!("no identity-based policy allows the {action} action"),
                    Err(error) => error,
                };
                let session =
                    role.arn
                        .replacen(":iam:", ":sts:", 1)
                        .replacen(":role/", ":assumed-role/", 1);
                format!(
                    "User: {session}/{caller} is not authorized to perform: {action} on resource: {resource} because {why}"
                )
            }
        };
        state.denied.push(denial.clone());
        Err(denial)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

/// Whether the policies allow it.
fn allows(policies: Vec<IAMPolicy>, principal: Principal, access: &Access) -> Result<bool, String> {
    let mut context = Context::new();
    if !access.leading_keys.is_empty() {
        let keys = ContextValue::StringList(access.leading_keys.clone());
        context.insert("dynamodb:LeadingKeys".to_owned(), keys);
    }
    let resource = Arn::parse(&access.resource).map_err(|error| error.to_string())?;
    let request = IAMRequest::new_with_context(principal, &access.action, resource, context);
    let result = PolicyEvaluator::with_policies(policies).evaluate(&request);
    let result = result.map_err(|error| error.to_string())?;
    Ok(result.decision == Decision::Allow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn access(action: &str, resource: &str) -> Access {
        Access {
            action: action.to_owned(),
            resource: resource.to_owned(),
            leading_keys: Vec::new(),
        }
    }

    #[test]
    fn a_row_may_be_written_only_under_the_keys_that_the_role_names() {
        let table = "arn:aws:dynamodb:eu-central-2:123456789012:table/t";
        let permissions = Permissions::default();
        let policies = vec![json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": "dynamodb:UpdateItem", "Resource": table,
            "Condition": {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["orders", "(unknown)"]}},
        }]})];
        let arn = "arn:aws:iam::123456789012:role/x".to_owned();
        permissions.set("f", Role { arn, policies }).unwrap();
        for (keys, allowed) in [
            (&["orders"][..], true),
            (&["(unknown)"], true),
            (&["orders", "(unknown)"], true),
            (&["orders2"], false),
            (&["Orders"], false),
            (&[""], false),
            (&["orders", "payments"], false),
        ] {
            let keys = keys.iter().map(|key| (*key).to_owned()).collect();
            let access = Access {
                leading_keys: keys,
                ..access("dynamodb:UpdateItem", table)
            };
            let checked = permissions.check("f", &access);
            assert_eq!(checked.is_ok(), allowed, "{access:?}: {checked:?}");
        }
    }

    #[test]
    fn a_role_allows_its_actions_on_its_resources_and_nothing_else() {
        let permissions = Permissions::default();
        let policies = vec![json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": ["sns:Publish", "sns:Subscribe"], "Resource": "arn:aws:sns:eu-central-2:123456789012:t"},
            {"Effect": "Allow", "Action": "states:GetExecutionHistory", "Resource": "arn:aws:states:eu-central-2:123456789012:execution:m:*"},
            {"Effect": "Deny", "Action": "sns:Subscribe", "Resource": "arn:aws:sns:eu-central-2:123456789012:t"},
        ]})];
        let arn = "arn:aws:iam::123456789012:role/x".to_owned();
        permissions.set("f", Role { arn, policies }).unwrap();
        for (action, resource, allowed) in [
            (
                "sns:Publish",
                "arn:aws:sns:eu-central-2:123456789012:t",
                true,
            ),
            (
                "sns:Publish",
                "arn:aws:sns:eu-central-2:123456789012:tt",
                false,
            ),
            (
                "sns:Publish",
                "arn:aws:sns:eu-central-1:123456789012:t",
                false,
            ),
            (
                "sns:Subscribe",
                "arn:aws:sns:eu-central-2:123456789012:t",
                false,
            ),
            (
                "sns:DeleteTopic",
                "arn:aws:sns:eu-central-2:123456789012:t",
                false,
            ),
            (
                "states:GetExecutionHistory",
                "arn:aws:states:eu-central-2:123456789012:execution:m:e",
                true,
            ),
            (
                "states:GetExecutionHistory",
                "arn:aws:states:eu-central-2:123456789012:execution:mm:e",
                false,
            ),
            ("sns:Publish", "no arn", false),
        ] {
            let checked = permissions.check("f", &access(action, resource));
            assert_eq!(
                checked.is_ok(),
                allowed,
                "{action} on {resource}: {checked:?}"
            );
        }
        let nobody = permissions.check(
            "g",
            &access("sns:Publish", "arn:aws:sns:eu-central-2:123456789012:t"),
        );
        assert_eq!(
            nobody,
            Err("g has no role, so it may not sns:Publish".to_owned())
        );
        assert_eq!(permissions.denied().len(), 7);
    }

    #[test]
    fn a_policy_that_cannot_be_understood_is_refused_when_it_is_set() {
        let arn = "arn:aws:iam::123456789012:role/x".to_owned();
        let policies = vec![json!({"Statement": "all"})];
        let refused = Permissions::default().set("f", Role { arn, policies });
        let refused = refused.unwrap_err();
        assert!(
            refused.starts_with("a policy of arn:aws:iam::123456789012:role/x: "),
            "{refused}"
        );
    }

    #[test]
    fn a_condition_on_the_leading_key_allows_its_values_alone() {
        let permissions = Permissions::default();
        let table = "arn:aws:dynamodb:eu-central-2:123456789012:table/t";
        let policies = vec![json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": "dynamodb:UpdateItem", "Resource": table,
            "Condition": {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["orders", "(unknown)"]}},
        }]})];
        let arn = "arn:aws:iam::123456789012:role/x".to_owned();
        permissions.set("f", Role { arn, policies }).unwrap();
        for (keys, allowed) in [
            (&["orders"][..], true),
            (&["(unknown)"], true),
            (&["payments"], false),
            (&["orders", "payments"], false),
        ] {
            let access = Access {
                leading_keys: keys.iter().map(|&key| key.to_owned()).collect(),
                ..access("dynamodb:UpdateItem", table)
            };
            assert_eq!(permissions.check("f", &access).is_ok(), allowed, "{keys:?}");
        }
    }
}
