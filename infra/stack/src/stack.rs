//! The parts of a deployment that the engine and the tests need: functions, roles and definition. All of them are read
//! from the template.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::definition::{DEFINITION, fill_in};
use crate::template::{Deployment, TEMPLATE, Template};

/// The Region of local deployments. In this Region, SQS has no legacy endpoint. In others, version 1 of the aws CLI
/// would call the legacy endpoint and ignore `AWS_ENDPOINT_URL`.
pub const REGION: &str = "eu-central-2";
/// The account of local deployments.
pub const ACCOUNT: &str = "123456789012";

/// The name that stands for every application. Only a local stack can have it: on AWS, a stack serves one application.
pub const EVERY_APPLICATION: &str = "*";

/// The name of the local stack.
pub const STACK: &str = "snapshot-manager";

/// The waits of AWS Lambda before its first and its second retry of an asynchronous invocation.
pub const AWS_RETRY_DELAYS: [Duration; 2] = [Duration::from_mins(1), Duration::from_mins(2)];

/// The settings of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionSettings {
    /// The environment variables that the template sets.
    pub environment: Vec<(String, String)>,
    pub timeout: Duration,
}

impl FunctionSettings {
    fn read(properties: &Value) -> Result<Self> {
        let environment = properties["Environment"]["Variables"].as_object();
        let environment = environment.into_iter().flatten();
        let timeout = properties["Timeout"].as_u64();
        Ok(Self {
            environment: environment
                .map(|(name, value)| Ok((name.clone(), scalar(value)?)))
                .collect::<Result<_>>()?,
            timeout: Duration::from_secs(timeout.context("the function has no timeout")?),
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Role {
    pub arn: String,
    /// The documents of the policies that the role has.
    pub policies: Vec<Value>,
}

/// A stack that is deployed from the template.
#[derive(Clone, Debug)]
pub struct Stack(Template);

impl From<Template> for Stack {
    fn from(template: Template) -> Self {
        Self(template)
    }
}

impl Stack {
    /// The local stack for an application, or for [`EVERY_APPLICATION`].
    pub fn of(application: &str) -> Result<Self> {
        let deployment = Deployment {
            stack: STACK.to_owned(),
            region: REGION.to_owned(),
            account: ACCOUNT.to_owned(),
            parameters: [("ApplicationName".to_owned(), application.to_owned())].into(),
        };
        Template::read(TEMPLATE, deployment).map(Self)
    }

    pub fn template(&self) -> &Template {
        &self.0
    }

    /// The logical id of the only resource of a type. Returns an error if there is none, or if there are several.
    pub fn only(&self, kind: &str) -> Result<&str> {
        match self.0.of_type(kind)?.as_slice() {
            [id] => Ok(id),
            found => {
                bail!("the template must have one resource of the type {kind}, but has {found:?}")
            }
        }
    }

    /// The settings of each function, by the function's name.
    pub fn functions(&self) -> Result<BTreeMap<String, FunctionSettings>> {
        let ids = self.0.of_type("AWS::Serverless::Function")?.into_iter();
        let functions = ids.map(|id| {
            let settings = FunctionSettings::read(&self.0.properties(id)?);
            Ok((self.0.name_of(id)?, settings.context(id.to_owned())?))
        });
        functions.collect()
    }

    /// The role of each function, by the function's name.
    pub fn function_roles(&self) -> Result<BTreeMap<String, Role>> {
        let ids = self.0.of_type("AWS::Serverless::Function")?.into_iter();
        let roles = ids.map(|id| Ok((self.0.name_of(id)?, self.role_of(id)?)));
        roles.collect()
    }

    /// The role of a function or state machine, which is given by its logical id.
    pub fn role_of(&self, id: &str) -> Result<Role> {
        let properties = self.0.properties(id)?;
        let arn = properties["Role"].as_str().unwrap_or_default();
        for role in self.0.of_type("AWS::IAM::Role")? {
            if self.0.arn_of(role)? == arn {
                return self.role(role);
            }
        }
        bail!("{id} has the role {arn}, which is not in the template")
    }

    /// A role, which is given by its logical id. Its policies include those that other resources attach to it.
    pub fn role(&self, id: &str) -> Result<Role> {
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
        let arn = self.0.arn_of(id)?;
        Ok(Role { arn, policies })
    }

    /// The definition, with the values that the template substitutes.
    pub fn definition(&self) -> Result<String> {
        let machine = self.only("AWS::Serverless::StateMachine")?;
        let machine = self.0.properties(machine)?;
        fill_in(DEFINITION, |name| {
            let value = machine["DefinitionSubstitutions"][name].as_str();
            let value = value.with_context(|| format!("DefinitionSubstitutions has no {name}"))?;
            Ok(value.to_owned())
        })
    }
}

/// The text of a string, a number or a boolean.
pub(crate) fn scalar(value: &Value) -> Result<String> {
    match value {
        Value::String(string) => Ok(string.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        other => bail!("{other} is not a string, number or boolean"),
    }
}
