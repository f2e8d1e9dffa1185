//! Converts YAML with CloudFormation's tags to JSON: `!Sub x` becomes `{"Fn::Sub": "x"}`.

use anyhow::{Context, Result, bail};
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

pub(super) fn read(text: &str) -> Result<Value> {
    let documents = Yaml::load_from_str(text)?;
    json_of(documents.first().context("the file is empty")?)
}

fn json_of(yaml: &Yaml<'_>) -> Result<Value> {
    Ok(match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => (*value).into(),
        Yaml::Value(Scalar::Integer(value)) => (*value).into(),
        Yaml::Value(Scalar::FloatingPoint(value)) => value.into_inner().into(),
        Yaml::Value(Scalar::String(value)) => value.as_ref().into(),
        Yaml::Sequence(items) => items.iter().map(json_of).collect::<Result<_>>()?,
        Yaml::Mapping(fields) => {
            let fields = fields.iter().map(|(key, value)| {
                let name = key.as_str();
                let name = name.with_context(|| format!("the key {key:?} is not a string"))?;
                Ok((name.to_owned(), json_of(value)?))
            });
            fields.collect::<Result<Map<_, _>>>()?.into()
        }
        Yaml::Tagged(tag, value) => {
            let name = match tag.suffix.as_str() {
                "Ref" => "Ref".to_owned(),
                function => format!("Fn::{function}"),
            };
            json!({ name: json_of(value)? })
        }
        other => bail!("{other:?} is not supported"),
    })
}
