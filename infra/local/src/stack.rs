//! What the template deploys, as the engine needs it: functions, roles, rule, table, topics, queues,
//! machine. Nothing of it is written here a second time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, TimeToLiveSpecification,
};
use serde_json::{Value, json};

use crate::definition;
use crate::engine::words;
use crate::executions::FailureRule;
use crate::lambda::FunctionSettings;
use crate::permissions::Role;
use crate::template::{Deployment, TEMPLATE, Template};

/// The only account is the one that moto knows. The only Region is one for which version 1 of the aws
/// CLI has no address of its own for SQS, which it would prefer to `AWS_ENDPOINT_URL`.
pub const REGION: &str = "eu-central-2";
/// See [`REGION`].
pub const ACCOUNT: &str = "123456789012";

/// As an application's name: every application. On AWS a stack is one application's.
pub const EVERY_APPLICATION: &str = "*";

const STACK: &str = "snapshot-manager";

/// How many processes of a function may run at once: an account's concurrency by default.
const MAX_PROCESSES: usize = 1_000;

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

    /// The functions by name: how Lambda runs them, without the program.
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
                name: name.clone(),
                binary: PathBuf::new(),
                environment: environment
                    .into_iter()
                    .flatten()
                    .map(|(name, value)| Ok((name.clone(), text(id, value)?)))
                    .collect::<Result<_, String>>()?,
                timeout: Duration::from_secs(number(id, &properties["Timeout"])?),
                max_processes: MAX_PROCESSES,
                memory_megabytes: number(id, &properties["MemorySize"])?,
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
            arn: self.0.arn_of(id)?,
            state_machines: texts(&detail["stateMachineArn"])?,
            statuses: texts(&detail["status"])?,
            function_policy: self.function_policy(&function_arn)?,
            function_arn,
            queue_policy: self.queue_policy(&dead_letter_queue)?,
            dead_letter_queue,
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

    /// The definition as it is deployed, its `Retry` intervals divided by `hurry`.
    ///
    /// # Errors
    /// The template does not fill in a name of the definition.
    pub fn definition(&self, hurry: u64) -> Result<String, String> {
        let machine = self
            .0
            .properties(self.only("AWS::Serverless::StateMachine")?)?;
        let substitutions = &machine["DefinitionSubstitutions"];
        let filled = definition::fill_in(definition::DEFINITION, |name| {
            let value = substitutions[name].as_str().map(str::to_owned);
            value.ok_or_else(|| format!("DefinitionSubstitutions has no {name}"))
        })?;
        if hurry > 1 {
            definition::hurry(&filled, hurry)
        } else {
            Ok(filled)
        }
    }

    /// Creates the table.
    ///
    /// # Errors
    /// A text for people.
    pub async fn create_table(&self, config: &SdkConfig) -> Result<(), String> {
        let id = self.only("AWS::DynamoDB::Table")?;
        let table = self.0.properties(id)?;
        let name = self.0.name_of(id)?;
        let failed =
            |error: &(dyn std::error::Error + 'static)| format!("table {name}: {}", words(error));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = |field: &str| table[field].as_array().cloned().unwrap_or_default();
        let dynamodb = aws_sdk_dynamodb::Client::new(config);
        let mut create = dynamodb
            .create_table()
            .table_name(&name)
            .billing_mode(BillingMode::from(text(&table["BillingMode"]).as_str()));
        for attribute in list("AttributeDefinitions") {
            let definition = AttributeDefinition::builder()
                .attribute_name(text(&attribute["AttributeName"]))
                .attribute_type(text(&attribute["AttributeType"]).as_str().into())
                .build();
            create = create.attribute_definitions(definition.map_err(|error| failed(&error))?);
        }
        for key in list("KeySchema") {
            let element = KeySchemaElement::builder()
                .attribute_name(text(&key["AttributeName"]))
                .key_type(text(&key["KeyType"]).as_str().into())
                .build();
            create = create.key_schema(element.map_err(|error| failed(&error))?);
        }
        create.send().await.map_err(|error| failed(&error))?;
        let ttl = &table["TimeToLiveSpecification"];
        let ttl = TimeToLiveSpecification::builder()
            .attribute_name(text(&ttl["AttributeName"]))
            .enabled(ttl["Enabled"] == true)
            .build()
            .map_err(|error| failed(&error))?;
        dynamodb
            .update_time_to_live()
            .table_name(&name)
            .time_to_live_specification(ttl)
            .send()
            .await
            .map_err(|error| failed(&error))?;
        Ok(())
    }

    /// Creates the topics.
    ///
    /// # Errors
    /// A text for people.
    pub async fn create_topics(&self, config: &SdkConfig) -> Result<(), String> {
        let sns = aws_sdk_sns::Client::new(config);
        for id in self.0.of_type("AWS::SNS::Topic")? {
            let name = self.0.name_of(id)?;
            let created = sns.create_topic().name(&name).send().await;
            created.map_err(|error| format!("topic {name}: {}", words(&error)))?;
        }
        Ok(())
    }

    /// Creates the queues.
    ///
    /// # Errors
    /// A text for people.
    pub async fn create_queues(&self, config: &SdkConfig) -> Result<(), String> {
        let sqs = aws_sdk_sqs::Client::new(config);
        for id in self.0.of_type("AWS::SQS::Queue")? {
            let name = self.0.name_of(id)?;
            let created = sqs.create_queue().queue_name(&name).send().await;
            created.map_err(|error| format!("queue {name}: {}", words(&error)))?;
        }
        Ok(())
    }

    /// Creates the state machine.
    ///
    /// # Errors
    /// A text for people.
    pub async fn create_state_machine(&self, config: &SdkConfig, hurry: u64) -> Result<(), String> {
        let id = self.only("AWS::Serverless::StateMachine")?;
        let name = self.0.name_of(id)?;
        aws_sdk_sfn::Client::new(config)
            .create_state_machine()
            .name(&name)
            .definition(self.definition(hurry)?)
            .role_arn(self.role_of(id)?.arn)
            .send()
            .await
            .map_err(|error| format!("state machine {name}: {}", words(&error)))?;
        Ok(())
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
