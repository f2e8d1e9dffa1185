//! Evaluates intrinsic functions and conditions.

use std::slice;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use super::{Reference, Template};
use crate::definition::fill_in;
use crate::stack::scalar;

impl Template {
    pub(super) fn condition(&self, name: &str) -> Result<bool> {
        self.resolve_bool(&self.document["Conditions"][name])
    }

    pub(super) fn resolve_bool(&self, condition: &Value) -> Result<bool> {
        if let Some(name) = condition["Condition"].as_str() {
            return self.condition(name);
        }
        match self.resolve(condition)? {
            Value::Bool(value) => Ok(value),
            other => bail!("the condition {condition} is {other}"),
        }
    }

    /// The resolved value, as a string.
    pub(super) fn resolve_string(&self, value: &Value) -> Result<String> {
        scalar(&self.resolve(value)?)
    }

    /// Resolves a value. Members of objects and items of arrays that are `AWS::NoValue` are left out.
    pub(super) fn resolve(&self, value: &Value) -> Result<Value> {
        match value {
            Value::Array(items) => {
                let items = items.iter().map(|item| self.resolve(item));
                let items: Vec<Value> = items.collect::<Result<_>>()?;
                Ok(items.into_iter().filter(|item| !item.is_null()).collect())
            }
            Value::Object(fields) => {
                if let Some((name, argument)) = function(fields) {
                    self.call(name, argument)
                } else {
                    let fields = fields.iter();
                    let fields =
                        fields.map(|(name, field)| Ok((name.clone(), self.resolve(field)?)));
                    let mut fields: Map<String, Value> = fields.collect::<Result<_>>()?;
                    fields.retain(|_, field| !field.is_null());
                    Ok(Value::Object(fields))
                }
            }
            scalar => Ok(scalar.clone()),
        }
    }

    fn call(&self, function: &str, argument: &Value) -> Result<Value> {
        let arguments = match argument {
            Value::Array(arguments) => arguments.as_slice(),
            single => slice::from_ref(single),
        };
        Ok(match (function, arguments) {
            ("Ref", [Value::String(name)]) if name == "AWS::NoValue" => Value::Null,
            ("Ref", [Value::String(name)]) => self.reference(name)?.into(),
            ("Fn::GetAtt", [Value::String(path)]) => self.attribute(path)?.into(),
            ("Fn::Sub", [Value::String(text)]) => self.substitute(text, &Value::Null)?.into(),
            ("Fn::Sub", [Value::String(text), values]) => {
                self.substitute(text, &self.resolve(values)?)?.into()
            }
            ("Fn::Equals", [one, other]) => {
                (self.resolve_string(one)? == self.resolve_string(other)?).into()
            }
            ("Fn::Not", [condition]) => (!self.resolve_bool(condition)?).into(),
            ("Fn::And", conditions) => {
                let all = conditions.iter().map(|one| self.resolve_bool(one));
                let all: Vec<bool> = all.collect::<Result<_>>()?;
                all.into_iter().all(|is_true| is_true).into()
            }
            ("Fn::Or", conditions) => {
                let any = conditions.iter().map(|one| self.resolve_bool(one));
                let any: Vec<bool> = any.collect::<Result<_>>()?;
                any.into_iter().any(|is_true| is_true).into()
            }
            ("Fn::If", [Value::String(condition), yes, no]) => {
                self.resolve(if self.condition(condition)? { yes } else { no })?
            }
            ("Fn::Join", [Value::String(separator), items]) => {
                let items = self.resolve(items)?;
                let items = items.as_array().context("Fn::Join needs a list")?.iter();
                let items = items.map(|item| self.resolve_string(item));
                items.collect::<Result<Vec<_>>>()?.join(separator).into()
            }
            ("Fn::Split", [Value::String(separator), text]) => {
                let text = self.resolve_string(text)?;
                text.split(separator.as_str()).collect()
            }
            ("Fn::Contains", [Value::Array(items), value]) => {
                let value = self.resolve_string(value)?;
                let items = items.iter().map(|item| self.resolve_string(item));
                let items: Vec<String> = items.collect::<Result<_>>()?;
                items.contains(&value).into()
            }
            ("Fn::FindInMap", path) => {
                let mut found = &self.document["Mappings"];
                for key in path {
                    let key = self.resolve_string(key)?;
                    let missing = || format!("no mapping has {key} of {argument}");
                    found = found.get(&key).with_context(missing)?;
                }
                found.clone()
            }
            _ => bail!("{function} of {argument} is not supported"),
        })
    }

    fn reference(&self, name: &str) -> Result<String> {
        let deployment = &self.deployment;
        let (partition, domain) = self.partition();
        let pseudo_parameter = match name {
            "AWS::Partition" => Some(partition),
            "AWS::URLSuffix" => Some(domain),
            "AWS::Region" => Some(deployment.region.as_str()),
            "AWS::AccountId" => Some(deployment.account.as_str()),
            "AWS::StackName" => Some(deployment.stack.as_str()),
            _ => None,
        };
        if let Some(value) = pseudo_parameter {
            return Ok(value.to_owned());
        }
        if let Some(parameter) = self.document["Parameters"].get(name) {
            return match deployment.parameters.get(name) {
                Some(value) => Ok(value.clone()),
                None if parameter["Default"].is_null() => bail!("{name} has no value"),
                None => self.resolve_string(&parameter["Default"]),
            };
        }
        match self.kind_of(name)?.0 {
            Reference::Name => self.name_of(name),
            Reference::Arn => self.arn_of(name),
            Reference::Url => Ok(format!(
                "https://sqs.{}.{domain}/{}/{}",
                deployment.region,
                deployment.account,
                self.name_of(name)?
            )),
        }
    }

    fn attribute(&self, path: &str) -> Result<String> {
        match path.split_once('.') {
            Some((id, "Arn")) => self.arn_of(id),
            Some((id, "Name" | "QueueName")) => self.name_of(id),
            _ => bail!("the attribute {path} is not supported"),
        }
    }

    fn substitute(&self, text: &str, values: &Value) -> Result<String> {
        fill_in(text, |name| match values[name].as_str() {
            Some(value) => Ok(value.to_owned()),
            None if name.contains('.') => self.attribute(name),
            None => self.reference(name),
        })
    }
}

/// The name and the argument of an intrinsic function, if the object is a call of one.
fn function(fields: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (name, argument) = fields.iter().next()?;
    (fields.len() == 1 && (name == "Ref" || name.starts_with("Fn::")))
        .then_some((name.as_str(), argument))
}
