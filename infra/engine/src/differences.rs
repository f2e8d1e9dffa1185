//! Where the local deployment differs from the template.

use serde_json::{Value, json};
use stack::template::Template;

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
    /// MiniStack has no alarms on metric math: the alarm is left out.
    NoMetricMath,
    /// MiniStack has no `AWS::IAM::RolePolicy`: an `AWS::IAM::Policy` is deployed instead.
    NoRolePolicy,
    /// The parameter takes [`stack::EVERY_APPLICATION`].
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
