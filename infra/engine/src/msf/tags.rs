//! The tags of applications.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::input::{Input, Rule};
use super::{Answer, Emulator, Result, error, without_nulls, wrong_status};

/// The maximum number of tags of an application, from the model's `TooManyTagsException`.
const TAG_QUOTA: usize = 50;

const MAX_TAGS_PER_CALL: usize = 200;

impl Emulator {
    pub(super) fn tag_resource(&mut self, input: &Input, now: Timestamp) -> Answer {
        let name = self.tagged_application(input)?;
        let given = input.required("Tags", given_tags(input)?)?;
        let context = self.context(&name, now);
        let application = self.application(&name)?;
        let tags = tags_with(application.tags.clone(), &given)?;
        if context.status(application) == "DELETING" {
            return Err(wrong_status(&name, "DELETING", "TagResource"));
        }
        application.tags = tags;
        Ok(json!({}))
    }

    pub(super) fn list_tags_for_resource(&mut self, input: &Input, _: Timestamp) -> Answer {
        let name = self.tagged_application(input)?;
        let tags: Vec<_> = (self.application(&name)?.tags.iter())
            .map(|(key, value)| json!({ "Key": key, "Value": value }))
            .collect();
        let tags = Some(tags).filter(|tags| !tags.is_empty());
        Ok(without_nulls(json!({ "Tags": tags })))
    }

    fn tagged_application(&self, input: &Input) -> Result<String> {
        let arn = input.required_string("ResourceARN", Rule::Arn)?;
        match arn.strip_prefix(&self.arn("")) {
            Some(name) if !name.is_empty() => Ok(name.to_owned()),
            _ => Err(input.refusal(
                "ResourceARN",
                "is not the ARN of an application in this account",
            )),
        }
    }
}

pub(super) fn given_tags<'a>(input: &Input<'a>) -> Result<Option<Vec<Input<'a>>>> {
    input.list("Tags", 1..=MAX_TAGS_PER_CALL)
}

pub(super) fn tags_with(
    mut tags: BTreeMap<String, String>,
    given: &[Input],
) -> Result<BTreeMap<String, String>> {
    for tag in given {
        let key = tag.required_string("Key", Rule::String(1, 128))?;
        let value = tag.string("Value", Rule::String(0, 256))?;
        if key.starts_with("aws:") {
            return Err(tag.refusal("Key", "begins with aws:, which is reserved"));
        }
        tags.insert(key.to_owned(), value.unwrap_or_default().to_owned());
    }
    if tags.len() > TAG_QUOTA {
        let message = format!("An application has at most {TAG_QUOTA} tags");
        return Err(error("TooManyTagsException", message));
    }
    Ok(tags)
}
