//! What the template deploys, as the engine and the tests need it: functions, roles, rule, definition; and the template as
//! it is deployed locally. Nothing of it is written here a second time.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::definition;
use crate::permissions::Role;
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

/// Everything in which the local deployment differs from the template: a resource or parameter, and how. What is not
/// in this list is deployed as it is written, or the deployment fails.
pub const DIFFERENCES: [(&str, Difference); 4] = [
    ("SnapshotQuotaAlarm", Difference::NoMetricMath),
    ("FunctionErrorsAlarm", Difference::NoMetricMath),
    ("RecordAndNotifyHistoryPolicy", Difference::NoRolePolicy),
    ("ApplicationName", Difference::AnyApplication),
];

/// How the local deployment differs from the template, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// `MiniStack` has no alarms on metric math: the alarm is left out.
    NoMetricMath,
    /// `MiniStack` has no `AWS::IAM::RolePolicy`: an `AWS::IAM::Policy` is deployed instead.
    NoRolePolicy,
    /// The parameter takes [`EVERY_APPLICATION`].
    AnyApplication,
}

impl Difference {
    /// In words.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoMetricMath => "left out, since MiniStack has no alarms on metric math",
            Self::NoRolePolicy => {
                "an AWS::IAM::Policy, since MiniStack has no AWS::IAM::RolePolicy"
            }
            Self::AnyApplication => "may be *, so that one stack serves every application",
        }
    }
}

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
    ///
    /// # Errors
    /// The template cannot be read.
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
    ///
    /// # Errors
    /// There is another number of them.
    pub fn only(&self, kind: &str) -> Result<&str, String> {
        match self.0.of_type(kind)?.as_slice() {
            [id] => Ok(id),
            found => Err(format!("the template has {found:?} of the type {kind}")),
        }
    }

    /// The functions by name: how Lambda runs them.
    ///
    /// # Errors
    /// What the template lacks.
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
    ///
    /// # Errors
    /// What the template lacks.
    pub fn function_roles(&self) -> Result<BTreeMap<String, Role>, String> {
        let ids = self.0.of_type("AWS::Serverless::Function")?;
        let roles = ids
            .into_iter()
            .map(|id| Ok((self.0.name_of(id)?, self.role_of(id)?)));
        roles.collect()
    }

    /// The role that a function or machine names.
    ///
    /// # Errors
    /// The template has no such role.
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
    ///
    /// # Errors
    /// The template has no such role.
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
    ///
    /// # Errors
    /// What the template lacks.
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
    ///
    /// # Errors
    /// The template does not fill in a name of the definition.
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

/// A template as it is deployed locally: without what differs. Where it has a thing that differs under another name,
/// the deployment fails.
#[must_use]
pub fn local_template(template: &Template) -> Value {
    let mut document = template.document().clone();
    // The place of the code is told of each function.
    if let Some(function) = document["Globals"]["Function"].as_object_mut() {
        function.remove("CodeUri");
    }
    for (name, difference) in DIFFERENCES {
        match difference {
            Difference::NoMetricMath => {
                if let Some(resources) = document["Resources"].as_object_mut() {
                    resources.remove(name);
                }
            }
            Difference::NoRolePolicy => {
                if let Some(policy) = document["Resources"].get_mut(name) {
                    policy["Type"] = "AWS::IAM::Policy".into();
                    let role = policy["Properties"]["RoleName"].take();
                    policy["Properties"]["Roles"] = json!([role]);
                    if let Some(properties) = policy["Properties"].as_object_mut() {
                        properties.remove("RoleName");
                    }
                }
            }
            Difference::AnyApplication => {
                if let Some(parameter) = document["Parameters"][name].as_object_mut() {
                    parameter.remove("AllowedPattern");
                }
            }
        }
    }
    document
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
