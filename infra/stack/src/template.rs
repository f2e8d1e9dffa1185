//! `infra/template.yaml` as CloudFormation reads it: with parameters, conditions and intrinsic functions resolved.
//!
//! It knows the functions and the types of resources that the template uses, and refuses others.
//! What a resource is called in the end is the engine's choice: `<stack>-<logical id>`, and a
//! function has the name of its crate.

use std::collections::BTreeMap;

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// The template as it is deployed.
pub const TEMPLATE: &str = include_str!("../../template.yaml");

/// Where and how a stack is deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// The stack's name.
    pub stack: String,
    /// The Region.
    pub region: String,
    /// The twelve digits of the account.
    pub account: String,
    /// Parameters that differ from their defaults. Their patterns are CloudFormation's to check.
    pub parameters: BTreeMap<String, String>,
}

/// A template and its deployment.
#[derive(Clone, Debug)]
pub struct Template {
    document: Value,
    deployment: Deployment,
}

/// What `Ref` gives.
#[derive(Clone, Copy)]
enum Reference {
    Name,
    Arn,
    Url,
}

/// Types of resources: what `Ref` gives, and the ARN behind `arn:aws:`.
const KINDS: [(&str, Reference, &str); 15] = [
    ("AWS::Lambda::Permission", Reference::Name, ""),
    ("AWS::SNS::Subscription", Reference::Name, ""),
    ("AWS::SQS::QueuePolicy", Reference::Name, ""),
    (
        "AWS::Serverless::Function",
        Reference::Name,
        "lambda:{region}:{account}:function:{name}",
    ),
    (
        "AWS::Serverless::StateMachine",
        Reference::Arn,
        "states:{region}:{account}:stateMachine:{name}",
    ),
    (
        "AWS::IAM::Role",
        Reference::Name,
        "iam::{account}:role/{name}",
    ),
    ("AWS::IAM::RolePolicy", Reference::Name, ""),
    (
        "AWS::DynamoDB::Table",
        Reference::Name,
        "dynamodb:{region}:{account}:table/{name}",
    ),
    (
        "AWS::SNS::Topic",
        Reference::Arn,
        "sns:{region}:{account}:{name}",
    ),
    (
        "AWS::SQS::Queue",
        Reference::Url,
        "sqs:{region}:{account}:{name}",
    ),
    (
        "AWS::KMS::Key",
        Reference::Name,
        "kms:{region}:{account}:key/{name}",
    ),
    (
        "AWS::Logs::LogGroup",
        Reference::Name,
        "logs:{region}:{account}:log-group:{name}:*",
    ),
    (
        "AWS::Events::Rule",
        Reference::Name,
        "events:{region}:{account}:rule/{name}",
    ),
    (
        "AWS::CloudWatch::Dashboard",
        Reference::Name,
        "cloudwatch::{account}:dashboard/{name}",
    ),
    (
        "AWS::CloudWatch::Alarm",
        Reference::Name,
        "cloudwatch:{region}:{account}:alarm:{name}",
    ),
];

impl Template {
    /// Reads a template for a deployment.
    pub fn read(text: &str, deployment: Deployment) -> Result<Self, String> {
        let yaml = Yaml::load_from_str(text).map_err(|error| format!("the template: {error}"))?;
        let document = long_form(yaml.first().ok_or("the template is empty")?)?;
        for name in deployment.parameters.keys() {
            if document["Parameters"].get(name).is_none() {
                return Err(format!("the template has no parameter {name}"));
            }
        }
        let template = Self {
            document,
            deployment,
        };
        template.check()?;
        Ok(template)
    }

    /// Refuses what this reader would misread. `CloudFormation` refuses the rest.
    fn check(&self) -> Result<(), String> {
        let sections = |name: &str| self.document[name].as_object().into_iter().flatten();
        for (id, _) in sections("Resources") {
            self.kind_of(id)?;
        }
        // SAM merges the two, level by level; here one of them would be lost.
        for (id, resource) in sections("Resources") {
            for (field, _) in self.globals(resource) {
                if resource["Properties"].get(field).is_some() {
                    return Err(format!("{id} and Globals both have {field}"));
                }
            }
        }
        if let Some((other, _)) = sections("Globals").find(|(name, _)| *name != "Function") {
            return Err(format!("Globals of {other} are not known here"));
        }
        Ok(())
    }

    fn globals<'a>(&'a self, resource: &Value) -> impl Iterator<Item = (&'a String, &'a Value)> {
        let kind = match resource["Type"].as_str() {
            Some("AWS::Serverless::Function") => "Function",
            _ => "",
        };
        self.document["Globals"][kind]
            .as_object()
            .into_iter()
            .flatten()
    }

    /// The template as it is written, intrinsic functions in their long form.
    #[must_use]
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// The logical ids of the resources of a type that this deployment has.
    pub fn of_type(&self, kind: &str) -> Result<Vec<&str>, String> {
        let resources = self.document["Resources"].as_object();
        let mut found = Vec::new();
        for (id, resource) in resources.into_iter().flatten() {
            let wanted = match resource["Condition"].as_str() {
                Some(condition) => self.condition(condition)?,
                None => true,
            };
            if wanted && resource["Type"] == kind {
                found.push(id.as_str());
            }
        }
        Ok(found)
    }

    /// A resource's properties, resolved, with the `Globals` of its type.
    pub fn properties(&self, id: &str) -> Result<Value, String> {
        let resource = self.resource(id)?;
        let own = resource["Properties"].as_object().into_iter().flatten();
        let properties: Map<String, Value> = self
            .globals(resource)
            .chain(own)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        self.resolve(&Value::Object(properties))
            .map_err(|error| format!("{id}: {error}"))
    }

    /// The value of an output.
    pub fn output(&self, name: &str) -> Result<String, String> {
        match self.document["Outputs"].get(name) {
            Some(output) => self.text(&output["Value"]),
            None => Err(format!("the template has no output {name}")),
        }
    }

    /// What the resource is called.
    pub fn name_of(&self, id: &str) -> Result<String, String> {
        let resource = self.resource(id)?;
        if let Some(binary) = resource["Metadata"]["BuildProperties"]["Binary"].as_str() {
            return Ok(binary.to_owned());
        }
        match resource["Properties"].get("TableName") {
            Some(name) => self.text(name),
            None => Ok(format!("{}-{id}", self.deployment.stack)),
        }
    }

    /// The ARN of the resource.
    pub fn arn_of(&self, id: &str) -> Result<String, String> {
        let (_, rest) = self.kind_of(id)?;
        if rest.is_empty() {
            return Err(format!("{id} has no ARN"));
        }
        let rest = rest
            .replace("{region}", &self.deployment.region)
            .replace("{account}", &self.deployment.account)
            .replace("{name}", &self.name_of(id)?);
        Ok(format!("arn:aws:{rest}"))
    }

    fn resource(&self, id: &str) -> Result<&Value, String> {
        let resource = self.document["Resources"].get(id);
        resource.ok_or_else(|| format!("the template has no resource {id}"))
    }

    fn kind_of(&self, id: &str) -> Result<(Reference, &'static str), String> {
        let kind = self.resource(id)?["Type"].as_str().unwrap_or_default();
        let row = KINDS.iter().find(|(name, _, _)| *name == kind);
        row.map(|(_, reference, arn)| (*reference, *arn))
            .ok_or_else(|| format!("{id} is of the type {kind}, which is not known here"))
    }

    fn condition(&self, name: &str) -> Result<bool, String> {
        self.holds(&self.document["Conditions"][name])
    }

    fn holds(&self, condition: &Value) -> Result<bool, String> {
        match self.resolve(condition)? {
            Value::Bool(holds) => Ok(holds),
            other => Err(format!("the condition {condition} is {other}")),
        }
    }

    fn resolve(&self, value: &Value) -> Result<Value, String> {
        match value {
            Value::Array(items) => items.iter().map(|item| self.resolve(item)).collect(),
            Value::Object(fields) => match function(fields) {
                Some((name, argument)) => self.call(name, argument),
                None => fields
                    .iter()
                    .map(|(name, field)| Ok((name.clone(), self.resolve(field)?)))
                    .collect::<Result<Map<_, _>, String>>()
                    .map(Value::Object),
            },
            scalar => Ok(scalar.clone()),
        }
    }

    fn call(&self, function: &str, argument: &Value) -> Result<Value, String> {
        match (function, argument) {
            ("Ref", Value::String(name)) => self.reference(name).map(Value::String),
            ("Fn::GetAtt", Value::String(path)) => self.attribute(path).map(Value::String),
            ("Fn::Sub", Value::String(text)) => {
                self.substitute(text, &Value::Null).map(Value::String)
            }
            ("Fn::Sub", Value::Array(with)) => match with.as_slice() {
                [Value::String(text), values] => self
                    .substitute(text, &self.resolve(values)?)
                    .map(Value::String),
                _ => Err(format!("Fn::Sub of {argument}")),
            },
            ("Fn::Equals", Value::Array(sides)) => match sides.as_slice() {
                [one, other] => Ok((self.text(one)? == self.text(other)?).into()),
                _ => Err(format!("Fn::Equals of {argument}")),
            },
            ("Fn::Not", Value::Array(conditions)) => match conditions.as_slice() {
                [one] => Ok((!self.holds(one)?).into()),
                _ => Err(format!("Fn::Not of {argument}")),
            },
            ("Fn::And", Value::Array(conditions)) => {
                let all = conditions.iter().map(|one| self.holds(one));
                let all: Result<Vec<bool>, String> = all.collect();
                Ok(all?.into_iter().all(|holds| holds).into())
            }
            ("Fn::If", Value::Array(ways)) => match ways.as_slice() {
                [Value::String(condition), yes, no] => {
                    self.resolve(if self.condition(condition)? { yes } else { no })
                }
                _ => Err(format!("Fn::If of {argument}")),
            },
            ("Fn::Join", Value::Array(with)) => match with.as_slice() {
                [Value::String(between), items] => {
                    let Value::Array(items) = self.resolve(items)? else {
                        return Err(format!("Fn::Join of {argument}"));
                    };
                    let items: Result<Vec<String>, String> =
                        items.iter().map(|item| self.text(item)).collect();
                    Ok(items?.join(between).into())
                }
                _ => Err(format!("Fn::Join of {argument}")),
            },
            ("Fn::Split", Value::Array(with)) => match with.as_slice() {
                [Value::String(between), text] => {
                    Ok(self.text(text)?.split(between.as_str()).collect())
                }
                _ => Err(format!("Fn::Split of {argument}")),
            },
            ("Fn::FindInMap", Value::Array(path)) => {
                let mut found = &self.document["Mappings"];
                for key in path {
                    let key = self.text(key)?;
                    found = found
                        .get(&key)
                        .ok_or_else(|| format!("no mapping has {key} of {argument}"))?;
                }
                Ok(found.clone())
            }
            _ => Err(format!("{function} of {argument} is not known here")),
        }
    }

    /// The resolved value as CloudFormation writes it where a text is wanted.
    fn text(&self, value: &Value) -> Result<String, String> {
        match self.resolve(value)? {
            Value::String(text) => Ok(text),
            scalar @ (Value::Number(_) | Value::Bool(_)) => Ok(scalar.to_string()),
            other => Err(format!("{other} is no text")),
        }
    }

    fn reference(&self, name: &str) -> Result<String, String> {
        let Deployment {
            stack,
            region,
            account,
            parameters,
        } = &self.deployment;
        match name {
            "AWS::Partition" => return Ok("aws".to_owned()),
            "AWS::URLSuffix" => return Ok("amazonaws.com".to_owned()),
            "AWS::Region" => return Ok(region.clone()),
            "AWS::AccountId" => return Ok(account.clone()),
            "AWS::StackName" => return Ok(stack.clone()),
            _ => (),
        }
        if let Some(parameter) = self.document["Parameters"].get(name) {
            return match parameters.get(name) {
                Some(value) => Ok(value.clone()),
                None if parameter["Default"].is_null() => Err(format!("{name} has no value")),
                None => self.text(&parameter["Default"]),
            };
        }
        match self.kind_of(name)?.0 {
            Reference::Name => self.name_of(name),
            Reference::Arn => self.arn_of(name),
            Reference::Url => Ok(format!(
                "https://sqs.{region}.amazonaws.com/{account}/{}",
                self.name_of(name)?
            )),
        }
    }

    fn attribute(&self, path: &str) -> Result<String, String> {
        match path.split_once('.') {
            Some((id, "Arn")) => self.arn_of(id),
            Some((id, "Name" | "QueueName")) => self.name_of(id),
            _ => Err(format!("the attribute {path} is not known here")),
        }
    }

    fn substitute(&self, text: &str, values: &Value) -> Result<String, String> {
        crate::definition::fill_in(text, |name| {
            if let Some(value) = values[name].as_str() {
                return Ok(value.to_owned());
            }
            if name.contains('.') {
                self.attribute(name)
            } else {
                self.reference(name)
            }
        })
    }
}

/// The intrinsic function that an object stands for.
fn function(fields: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (name, argument) = fields.iter().next()?;
    (fields.len() == 1 && (name == "Ref" || name.starts_with("Fn::")))
        .then_some((name.as_str(), argument))
}

/// YAML as JSON, `!Sub x` as `{"Fn::Sub": "x"}`.
fn long_form(yaml: &Yaml<'_>) -> Result<Value, String> {
    Ok(match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => (*value).into(),
        Yaml::Value(Scalar::Integer(value)) => (*value).into(),
        Yaml::Value(Scalar::FloatingPoint(value)) => value.into_inner().into(),
        Yaml::Value(Scalar::String(value)) => value.as_ref().into(),
        Yaml::Sequence(items) => items.iter().map(long_form).collect::<Result<_, _>>()?,
        Yaml::Mapping(fields) => fields
            .iter()
            .map(|(name, value)| {
                let name = name
                    .as_str()
                    .ok_or_else(|| format!("{name:?} is no name"))?;
                Ok((name.to_owned(), long_form(value)?))
            })
            .collect::<Result<Map<_, _>, String>>()?
            .into(),
        Yaml::Tagged(tag, value) => {
            let name = match tag.suffix.as_str() {
                "Ref" => "Ref".to_owned(),
                other => format!("Fn::{other}"),
            };
            json!({ name: long_form(value)? })
        }
        other => return Err(format!("the template: {other:?} is not understood")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Template {
        let deployment = Deployment {
            stack: "s".to_owned(),
            region: "r".to_owned(),
            account: "1".to_owned(),
            parameters: [("Given".to_owned(), "given".to_owned())].into(),
        };
        let parameters = "Parameters: { Given: { Type: String, Default: no }, Number: { Type: Number, Default: 7 }, Needed: { Type: String } }\n";
        Template::read(&format!("{parameters}{text}"), deployment).unwrap()
    }

    #[test]
    fn values_are_resolved_as_cloudformation_resolves_them() {
        let template = read(
            "Mappings: { M: { r: { K: found } } }\n\
             Conditions: { Yes: !Equals [a, a] }\n\
             Resources:\n  Queue: { Type: AWS::SQS::Queue }\n  Role: { Type: AWS::IAM::Role }\n  \
             Machine: { Type: AWS::Serverless::StateMachine }\n",
        );
        for (written, expected) in [
            ("!Ref Given", json!("given")),
            ("!Ref Number", json!("7")),
            ("!Ref AWS::Region", json!("r")),
            ("!Ref Queue", json!("https://sqs.r.amazonaws.com/1/s-Queue")),
            ("!GetAtt Queue.Arn", json!("arn:aws:sqs:r:1:s-Queue")),
            ("!GetAtt Queue.QueueName", json!("s-Queue")),
            ("!Ref Role", json!("s-Role")),
            (
                "!Ref Machine",
                json!("arn:aws:states:r:1:stateMachine:s-Machine"),
            ),
            (
                "!Sub '${Machine.Name} of ${AWS::AccountId}: ${Given}'",
                json!("s-Machine of 1: given"),
            ),
            (
                "!Sub ['${A}-${Given}', { A: !Ref Number }]",
                json!("7-given"),
            ),
            ("!FindInMap [M, !Ref AWS::Region, K]", json!("found")),
            ("!Equals [!Ref Number, 7]", json!(true)),
            ("!Not [!Equals [!Ref Given, no]]", json!(true)),
            (
                "!And [!Equals [a, a], !Equals [!Ref Given, given]]",
                json!(true),
            ),
            (
                "!And [!Equals [a, a], !Equals [!Ref Given, no]]",
                json!(false),
            ),
            ("!If [Yes, !Ref Given, no]", json!("given")),
            ("!Join ['-', !Split [',', 'a,b']]", json!("a-b")),
            ("{ a: [1, !Ref Given] }", json!({"a": [1, "given"]})),
        ] {
            let value = Yaml::load_from_str(written).unwrap();
            let value = long_form(&value[0]).unwrap();
            assert_eq!(template.resolve(&value), Ok(expected), "{written}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        let template = read("Mappings: { M: { r: { K: found } } }");
        for (value, complaint) in [
            (json!({"Ref": "Gone"}), "the template has no resource Gone"),
            (json!({"Ref": "Needed"}), "Needed has no value"),
            (json!({"Fn::Cidr": []}), "Fn::Cidr of [] is not known here"),
            (json!({"Fn::Not": []}), "Fn::Not of []"),
            (
                json!({"Fn::FindInMap": ["M", "x", "K"]}),
                "no mapping has x of [\"M\",\"x\",\"K\"]",
            ),
            (
                json!({"Fn::GetAtt": "A.Color"}),
                "the attribute A.Color is not known here",
            ),
        ] {
            assert_eq!(template.resolve(&value), Err(complaint.to_owned()));
        }
    }

    #[test]
    fn what_would_be_misread_is_refused() {
        for (text, complaint) in [
            (
                "Resources: { A: { Type: AWS::New::Thing } }",
                "A is of the type AWS::New::Thing, which is not known here",
            ),
            (
                "Globals: { Function: { Timeout: 1 } }\n\
                 Resources: { A: { Type: AWS::Serverless::Function, Properties: { Timeout: 2 } } }",
                "A and Globals both have Timeout",
            ),
            ("Globals: { Api: {} }", "Globals of Api are not known here"),
        ] {
            let deployment = Deployment {
                stack: String::new(),
                region: String::new(),
                account: String::new(),
                parameters: BTreeMap::new(),
            };
            assert_eq!(Template::read(text, deployment).unwrap_err(), complaint);
        }
    }

    #[test]
    fn a_resource_is_there_only_under_its_condition() {
        let template = read(
            "Conditions: { Yes: !Equals [a, a], No: !Equals [a, b] }\n\
             Resources: { A: { Type: AWS::SQS::Queue, Condition: Yes }, \
             B: { Type: AWS::SQS::Queue, Condition: No }, C: { Type: AWS::SQS::Queue } }",
        );
        assert_eq!(template.of_type("AWS::SQS::Queue"), Ok(vec!["A", "C"]));
    }

    #[test]
    fn a_parameter_that_the_template_does_not_have_is_refused() {
        let deployment = Deployment {
            stack: String::new(),
            region: String::new(),
            account: String::new(),
            parameters: [("Typo".to_owned(), String::new())].into(),
        };
        let refused = Template::read(TEMPLATE, deployment).unwrap_err();
        assert_eq!(refused, "the template has no parameter Typo");
    }
}
