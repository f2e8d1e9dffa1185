//! Where the local deployment differs from the template.

use serde_json::{Value, json};
use stack::template::Template;

/// Every difference between the local deployment and the template: the name of a resource or parameter, and how its
/// local deployment differs. Everything else is deployed as the template says; if MiniStack cannot do that, the
/// deployment fails.
pub const DIFFERENCES: [(&str, Difference); 4] = [
    ("SnapshotQuotaAlarm", Difference::NoMetricMath),
    ("FunctionErrorsAlarm", Difference::NoMetricMath),
    ("RecordAndNotifyHistoryPolicy", Difference::NoRolePolicy),
    ("ApplicationName", Difference::AnyApplication),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    NoMetricMath,
    NoRolePolicy,
    AnyApplication,
}

impl Difference {
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

/// The template with the [`DIFFERENCES`] applied. Rename a resource in the template, and the deployment fails until its
/// entry in the list is renamed too.
pub fn local_template(template: &Template) -> Value {
    let mut document = template.document().clone();
    // `deploy.py` sets the location of each function's code instead.
    remove(&mut document["Globals"]["Function"], "CodeUri");
    for (name, difference) in DIFFERENCES {
        match difference {
            Difference::NoMetricMath => remove(&mut document["Resources"], name),
            Difference::NoRolePolicy => {
                if let Some(policy) = document["Resources"].get_mut(name) {
                    policy["Type"] = "AWS::IAM::Policy".into();
                    let role = policy["Properties"]["RoleName"].take();
                    policy["Properties"]["Roles"] = json!([role]);
                    remove(&mut policy["Properties"], "RoleName");
                }
            }
            Difference::AnyApplication => {
                remove(&mut document["Parameters"][name], "AllowedPattern");
            }
        }
    }
    document
}

fn remove(object: &mut Value, field: &str) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove(field);
    }
}
