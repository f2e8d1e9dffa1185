//! What the template deploys, as the engine and the tests need it: functions, roles, rule, definition; and the template as
//! it is deployed locally. Nothing of it is written here a second time.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::definition;
use crate::template::{Deployment, TEMPLATE, Template};

/// The only Region. Version 1 of the aws CLI has no address of its own for SQS in it, which it would prefer to
/// `AWS_ENDPOINT_URL`.
pub const REGION: &str = "eu-central-2";
/// The only account.
pub const ACCOUNT: &str = "123456789012";

/// As an application's name: every application. On AWS a stack is one application's.
pub const EVERY_APPLICATION: &str = "*";

/// The stack's name.
pub const STACK: &str = "snapshot-manager";

/// What Lambda waits before it runs a failed event again: one minute, then two.
pub const AWS_RETRY_DELAYS: [Duration; 2] = [Duration::from_mins(1), Duration::from_mins(2)];

/// A function as the template has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionSettings {
    /// Its environment, beside what Lambda itself sets.
    pub environment: Vec<(String, String)>,
    /// How long an invocation may take.
    pub timeout: Duration,
    /// How often an event that fails is tried again, at most twice.
    pub event_retries: usize,
    /// The ARN of the queue that gets the events on which the last attempt has failed.
    pub failure_destination: Option<String>,
}

/// What a caller may do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Role {
    /// The ARN of the role.
    pub arn: String,
    /// Its policies' documents.
    pub policies: Vec<Value>,
}

/// The `EventBridge` rule on "Step Functions Execution Status Change".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureRule {
    /// ARNs of the state machines whose executions it matches.
    pub state_machines: Vec<String>,
    /// The statuses that it matches.
    pub statuses: Vec<String>,
    /// The resource policy of the function that gets the event.
    pub function_policy: Value,
    /// The policy of the queue for events that cannot be delivered.
    pub queue_policy: Value,
}

/// The template, deployed on the engine.
#[derive(Clone, Debug)]
pub struct Stack(Template);

impl From<Template> for Stack {
    fn from(template: Template) -> Self {
        Self(template)
    }
}

impl Stack {
    /// The stack of an application, or of [`EVERY_APPLICATION`].
    pub fn of(application: &str) -> Result<Self, String> {
        let deployment = Deployment {
            stack: STACK.to_owned(),
            region: REGION.to_owned(),
            account: ACCOUNT.to_owned(),
            parameters: [("ApplicationName".to_owned(), application.to_owned())].into(),
        };
        Template::read(TEMPLATE, deployment).map(Self)
    }

    /// The template.
    #[must_use]
    pub fn template(&self) -> &Template {
        &self.0
    }

    /// The only resource of a type.
    pub fn only(&self, kind: &str) -> Result<&str, String> {
        match self.0.of_type(kind)?.as_slice() {
            [id] => Ok(id),
            found => Err(format!("the template has {found:?} of the type {kind}")),
        }
    }

    /// The functions by name: how Lambda runs them.
    pub fn functions(&self) -> Result<BTreeMap<String, FunctionSettings>, String> {
        let ids = self.0.of_type("AWS::Serverless::Function")?;
        let functions = ids.into_iter().map(|id| {
            let name = self.0.name_of(id)?;
            let properties = self.0.properties(id)?;
            let environment = properties["Environment"]["Variables"].as_object();
            let events = &properties["EventInvokeConfig"];
            let destination = &events["DestinationConfig"]["OnFailure"]["Destination"];
            let settings = FunctionSettings {
                environment: environment
                    .into_iter()
                    .flatten()
                    .map(|(name, value)| Ok((name.clone(), text(id, value)?)))
                    .collect::<Result<_, String>>()?,
                timeout: Duration::from_secs(number(id, &properties["Timeout"])?),
                event_retries: match &events["MaximumRetryAttempts"] {
                    // Without a configuration of its own Lambda tries twice more.
                    Value::Null => 2,
                    retries => number(id, retries)?,
                },
                failure_destination: match destination {
                    Value::Null => None,
                    destination => Some(text(id, destination)?),
                },
            };
            Ok((name, settings))
        });
        functions.collect()
    }

    /// The role of each function, by the function's name.
    pub fn function_roles(&self) -> Result<BTreeMap<String, Role>, String> {
        let ids = self.0.of_type("AWS::Serverless::Function")?;
        let roles = ids
            .into_iter()
            .map(|id| Ok((self.0.name_of(id)?, self.role_of(id)?)));
        roles.collect()
    }

    /// The role that a function or machine names.
    pub fn role_of(&self, id: &str) -> Result<Role, String> {
        let properties = self.0.properties(id)?;
        let arn = properties["Role"].as_str().unwrap_or_default();
        for role in self.0.of_type("AWS::IAM::Role")? {
            if self.0.arn_of(role)? == arn {
                return self.role(role);
            }
        }
        Err(format!("{id} has the role {arn}, which the template lacks"))
    }

    /// A role by its logical id, with the policies that are attached to it elsewhere.
    pub fn role(&self, id: &str) -> Result<Role, String> {
        let name = self.0.name_of(id)?;
        let properties = self.0.properties(id)?;
        let own = properties["Policies"].as_array().into_iter().flatten();
        let mut policies: Vec<Value> = own.map(|policy| policy["PolicyDocument"].clone()).collect();
        for attached in self.0.of_type("AWS::IAM::RolePolicy")? {
            let attached = self.0.properties(attached)?;
            if attached["RoleName"] == name.as_str() {
                policies.push(attached["PolicyDocument"].clone());
            }
        }
        Ok(Role {
            arn: self.0.arn_of(id)?,
            policies,
        })
    }

    /// The rule on executions that do not succeed.
    pub fn failure_rule(&self) -> Result<FailureRule, String> {
        let id = self.only("AWS::Events::Rule")?;
        let rule = self.0.properties(id)?;
        let [target] = rule["Targets"].as_array().map_or(&[][..], Vec::as_slice) else {
            return Err(format!("{id} has not exactly one target"));
        };
        only_known(id, &rule, &["Description", "EventPattern", "Targets"])?;
        only_known(
            id,
            &rule["EventPattern"],
            &["source", "detail-type", "detail"],
        )?;
        only_known(
            id,
            &rule["EventPattern"]["detail"],
            &["status", "stateMachineArn"],
        )?;
        only_known(
            id,
            target,
            &["Id", "Arn", "RetryPolicy", "DeadLetterConfig"],
        )?;
        let texts = |value: &Value| -> Result<Vec<String>, String> {
            let texts = value.as_array().into_iter().flatten();
            texts.map(|value| text(id, value)).collect()
        };
        let function_arn = text(id, &target["Arn"])?;
        let dead_letter_queue = text(id, &target["DeadLetterConfig"]["Arn"])?;
        let detail = &rule["EventPattern"]["detail"];
        Ok(FailureRule {
            state_machines: texts(&detail["stateMachineArn"])?,
            statuses: texts(&detail["status"])?,
            function_policy: self.function_policy(&function_arn)?,
            queue_policy: self.queue_policy(&dead_letter_queue)?,
        })
    }

    /// The resource policy that a function's permissions make.
    fn function_policy(&self, function_arn: &str) -> Result<Value, String> {
        let mut statements = Vec::new();
        for id in self.0.of_type("AWS::Lambda::Permission")? {
            let permission = self.0.properties(id)?;
            let name = permission["FunctionName"].as_str().unwrap_or_default();
            if function_arn.ends_with(&format!(":{name}")) {
                statements.push(json!({
                    "Effect": "Allow",
                    "Principal": {"Service": permission["Principal"]},
                    "Action": permission["Action"],
                    "Resource": function_arn,
                    "Condition": {"ArnLike": {"aws:SourceArn": permission["SourceArn"]}},
                }));
            }
        }
        Ok(json!({"Version": "2012-10-17", "Statement": statements}))
    }

    fn queue_policy(&self, queue_arn: &str) -> Result<Value, String> {
        let name = queue_arn.rsplit(':').next().unwrap_or_default();
        for id in self.0.of_type("AWS::SQS::QueuePolicy")? {
            let policy = self.0.properties(id)?;
            let queues = policy["Queues"].as_array().into_iter().flatten();
            let mut queues = queues.filter_map(Value::as_str);
            if queues.any(|url| url.ends_with(&format!("/{name}"))) {
                return Ok(policy["PolicyDocument"].clone());
            }
        }
        Ok(json!({"Version": "2012-10-17", "Statement": []}))
    }

    /// The definition as it is deployed.
    pub fn definition(&self) -> Result<String, String> {
        let machine = self
            .0
            .properties(self.only("AWS::Serverless::StateMachine")?)?;
        let substitutions = &machine["DefinitionSubstitutions"];
        definition::fill_in(definition::DEFINITION, |name| {
            let value = substitutions[name].as_str().map(str::to_owned);
            value.ok_or_else(|| format!("DefinitionSubstitutions has no {name}"))
        })
    }
}

/// A text, or a number or boolean where one is wanted as text.
fn text(id: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        other => Err(format!("{id}: {other} is not understood here")),
    }
}

fn number<T: FromStr>(id: &str, value: &Value) -> Result<T, String> {
    let number = text(id, value)?.parse();
    number.map_err(|_| format!("{id}: {value} is no such number"))
}

/// Refuses what the engine would not act upon.
fn only_known(id: &str, value: &Value, known: &[&str]) -> Result<(), String> {
    let mut fields = value.as_object().into_iter().flatten();
    match fields.find(|(name, _)| !known.contains(&name.as_str())) {
        Some((name, _)) => Err(format!("{id}: {name} is not known here")),
        None => Ok(()),
    }
}
