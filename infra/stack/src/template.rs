//! `infra/template.yaml` as CloudFormation evaluates it, with parameters, conditions and intrinsic functions resolved.
//!
//! Only the intrinsic functions and the resource types that the template uses are supported; others are errors. Where a
//! deployment would generate a name, this module uses `<stack>-<logical id>`, and for a function the name of its crate.

mod intrinsics;
#[cfg(test)]
mod tests;
mod yaml;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use crate::{ACCOUNT, REGION, STACK};

pub const TEMPLATE: &str = include_str!("../../template.yaml");

/// Where a stack is deployed, and with which parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deployment {
    pub stack: String,
    pub region: String,
    pub account: String,
    /// The values of parameters. A parameter that is not here has its default. The values are not checked against the
    /// patterns of the parameters.
    pub parameters: BTreeMap<String, String>,
}

impl Deployment {
    /// The local deployment for the application `orders`, with these parameters.
    pub fn with(parameters: &[(&str, &str)]) -> Self {
        let application = [("ApplicationName", "orders")];
        let parameters = application.iter().chain(parameters);
        Self {
            stack: STACK.to_owned(),
            region: REGION.to_owned(),
            account: ACCOUNT.to_owned(),
            parameters: parameters
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }
}

/// The template, for a deployment.
#[derive(Clone, Debug)]
pub struct Template {
    document: Value,
    deployment: Deployment,
}

/// By the beginning of a Region's name: its partition, and the domain of the services in the partition. All other
/// Regions are in the partition `aws`.
const PARTITIONS: [(&str, &str, &str); 3] = [
    ("cn-", "aws-cn", "amazonaws.com.cn"),
    ("us-gov-", "aws-us-gov", "amazonaws.com"),
    ("eusc-", "aws-eusc", "amazonaws.eu"),
];

/// What `Ref` returns for a resource.
#[derive(Clone, Copy)]
enum Reference {
    Name,
    Arn,
    Url,
}

impl Template {
    /// Reads a template for a deployment.
    pub fn read(text: &str, deployment: Deployment) -> Result<Self> {
        let document = yaml::read(text).context("the template")?;
        for name in deployment.parameters.keys() {
            let is_known = document["Parameters"].get(name).is_some();
            ensure!(is_known, "the template has no parameter {name}");
        }
        let template = Self {
            document,
            deployment,
        };
        template.check()?;
        Ok(template)
    }

    /// Returns an error for everything that this module would evaluate in another way than `CloudFormation`.
    fn check(&self) -> Result<()> {
        for (id, resource) in self.section("Resources") {
            self.kind_of(id)?;
            // SAM merges a property of a function with the same property in Globals. This module would lose one of the
            // two.
            for (field, _) in self.globals(resource) {
                let is_both = resource["Properties"].get(field).is_some();
                ensure!(!is_both, "{id} and Globals both have {field}");
            }
        }
        let mut others = self
            .section("Globals")
            .filter(|(name, _)| *name != "Function");
        match others.next() {
            Some((other, _)) => bail!("Globals of {other} are not supported"),
            None => Ok(()),
        }
    }

    fn section(&self, name: &str) -> impl Iterator<Item = (&String, &Value)> {
        self.document[name].as_object().into_iter().flatten()
    }

    fn globals(&self, resource: &Value) -> impl Iterator<Item = (&String, &Value)> {
        let is_function = resource["Type"] == "AWS::Serverless::Function";
        let globals = self.document["Globals"]["Function"].as_object();
        globals.filter(|_| is_function).into_iter().flatten()
    }

    /// The template as it is written, except that intrinsic functions have their long form.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// The logical ids of the resources of a type. Resources whose condition is false are left out.
    pub fn of_type(&self, kind: &str) -> Result<Vec<&str>> {
        let mut found = Vec::new();
        for (id, resource) in self.section("Resources") {
            let is_deployed = match resource["Condition"].as_str() {
                Some(condition) => self.condition(condition)?,
                None => true,
            };
            if is_deployed && resource["Type"] == kind {
                found.push(id.as_str());
            }
        }
        Ok(found)
    }

    /// The resolved properties of a resource, including the `Globals` of its type.
    pub fn properties(&self, id: &str) -> Result<Value> {
        let resource = self.resource(id)?;
        let own = resource["Properties"].as_object().into_iter().flatten();
        let properties = self.globals(resource).chain(own);
        let properties: Map<String, Value> = properties
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        self.resolve(&properties.into()).context(id.to_owned())
    }

    /// Checks the parameters against the `Rules` of the template. Returns the description of the first assertion that
    /// they break. `CloudFormation` refuses such a deployment with this description.
    pub fn broken_rule(&self) -> Result<Option<&str>> {
        for (_, rule) in self.section("Rules") {
            let condition = &rule["RuleCondition"];
            if !condition.is_null() && !self.resolve_bool(condition)? {
                continue;
            }
            for assertion in rule["Assertions"].as_array().into_iter().flatten() {
                if !self.resolve_bool(&assertion["Assert"])? {
                    let description = assertion["AssertDescription"].as_str();
                    return Ok(Some(description.context("an assertion is not described")?));
                }
            }
        }
        Ok(None)
    }

    pub fn output(&self, name: &str) -> Result<String> {
        match self.document["Outputs"].get(name) {
            Some(output) => self.resolve_string(&output["Value"]),
            None => bail!("the template has no output {name}"),
        }
    }

    /// The name of a resource, which is given by its logical id.
    pub fn name_of(&self, id: &str) -> Result<String> {
        let resource = self.resource(id)?;
        if let Some(binary) = resource["Metadata"]["BuildProperties"]["Binary"].as_str() {
            return Ok(binary.to_owned());
        }
        match resource["Properties"].get("TableName") {
            Some(name) => self.resolve_string(name),
            None => Ok(format!("{}-{id}", self.deployment.stack)),
        }
    }

    /// The ARN of a resource, which is given by its logical id.
    pub fn arn_of(&self, id: &str) -> Result<String> {
        let (_, arn) = self.kind_of(id)?;
        ensure!(!arn.is_empty(), "{id} has no ARN");
        let arn = arn
            .replace("{region}", &self.deployment.region)
            .replace("{account}", &self.deployment.account)
            .replace("{name}", &self.name_of(id)?);
        let (partition, _) = self.partition();
        Ok(format!("arn:{partition}:{arn}"))
    }

    /// The partition of the Region, and the domain of the partition's services.
    fn partition(&self) -> (&'static str, &'static str) {
        let region = &self.deployment.region;
        let mut rows = PARTITIONS.iter();
        let found = rows.find(|(beginning, ..)| region.starts_with(beginning));
        found.map_or(("aws", "amazonaws.com"), |&(_, partition, domain)| {
            (partition, domain)
        })
    }

    fn resource(&self, id: &str) -> Result<&Value> {
        let resource = self.document["Resources"].get(id);
        resource.with_context(|| format!("the template has no resource {id}"))
    }

    /// What `Ref` returns for a resource, and its ARN without the partition. The ARN is empty if the resource has none.
    fn kind_of(&self, id: &str) -> Result<(Reference, &'static str)> {
        use Reference::{Arn, Name, Url};
        let kind = self.resource(id)?["Type"].as_str().unwrap_or_default();
        Ok(match kind {
            "AWS::CloudWatch::Alarm" => (Name, "cloudwatch:{region}:{account}:alarm:{name}"),
            "AWS::CloudWatch::Dashboard" => (Name, "cloudwatch::{account}:dashboard/{name}"),
            "AWS::DynamoDB::Table" => (Name, "dynamodb:{region}:{account}:table/{name}"),
            "AWS::Events::Rule" => (Name, "events:{region}:{account}:rule/{name}"),
            "AWS::IAM::Role" => (Name, "iam::{account}:role/{name}"),
            "AWS::KMS::Key" => (Name, "kms:{region}:{account}:key/{name}"),
            "AWS::Logs::LogGroup" => (Name, "logs:{region}:{account}:log-group:{name}:*"),
            "AWS::SNS::Topic" => (Arn, "sns:{region}:{account}:{name}"),
            "AWS::SQS::Queue" => (Url, "sqs:{region}:{account}:{name}"),
            "AWS::Serverless::Function" => (Name, "lambda:{region}:{account}:function:{name}"),
            "AWS::Serverless::StateMachine" => {
                (Arn, "states:{region}:{account}:stateMachine:{name}")
            }
            "AWS::IAM::RolePolicy"
            | "AWS::Lambda::Permission"
            | "AWS::SNS::Subscription"
            | "AWS::SQS::QueuePolicy" => (Name, ""),
            _ => bail!("{id} is of the type {kind}, which is not supported"),
        })
    }
}
