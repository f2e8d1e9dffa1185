//! The configuration of an application. The member `X` of a request is called `XDescription` in a description.

use serde_json::{Value, json};

use super::input::{Input, Rule};
use super::{Result, error, without_nulls};

pub(super) const RUNTIMES: &[&str] = &[
    "SQL-1_0",
    "FLINK-1_6",
    "FLINK-1_8",
    "ZEPPELIN-FLINK-1_0",
    "FLINK-1_11",
    "FLINK-1_13",
    "ZEPPELIN-FLINK-2_0",
    "FLINK-1_15",
    "ZEPPELIN-FLINK-3_0",
    "FLINK-1_18",
    "FLINK-1_19",
    "FLINK-1_20",
    "FLINK-2_2",
    "FLINK-2_3",
];

const ENHANCED_RUNTIMES: &[&str] = &["FLINK-1_20", "FLINK-2_2", "FLINK-2_3"];

pub(super) const LEGACY: &str = "APPLICATION_SNAPSHOTS_LEGACY";
pub(super) const ENHANCED: &str = "ENHANCED_SNAPSHOTS";

/// The members of `ApplicationSnapshotConfiguration`, or of its update.
#[derive(Default)]
pub(super) struct SnapshotSetting {
    pub(super) is_enabled: Option<bool>,
    pub(super) is_enhanced: Option<bool>,
}

impl SnapshotSetting {
    pub(super) fn read(configuration: Option<&Input>) -> Result<Self> {
        let given = configuration.map(|it| it.structure("ApplicationSnapshotConfiguration"));
        let Some(given) = given.transpose()?.flatten() else {
            return Ok(Self::default());
        };
        let is_enabled = given.boolean("SnapshotsEnabled")?;
        let mode = given.string("SnapshotMode", Rule::OneOf(&[LEGACY, ENHANCED]))?;
        Ok(Self {
            is_enabled: Some(given.required("SnapshotsEnabled", is_enabled)?),
            is_enhanced: mode.map(|mode| mode == ENHANCED),
        })
    }
}

pub(super) fn require_runtime_for_enhanced(is_enhanced: bool, runtime: &str) -> Result<()> {
    if is_enhanced && !ENHANCED_RUNTIMES.contains(&runtime) {
        let message = format!("{ENHANCED} needs Flink 1.20 or newer, not {runtime}");
        return Err(error("UnsupportedOperationException", message));
    }
    Ok(())
}

const METRICS_LEVELS: &[&str] = &["APPLICATION", "TASK", "OPERATOR", "PARALLELISM"];

const FLINK_SECTIONS: &[(&str, &[(&str, Rule)])] = &[
    (
        "CheckpointConfiguration",
        &[
            ("ConfigurationType", Rule::OneOf(&["DEFAULT", "CUSTOM"])),
            ("CheckpointingEnabled", Rule::Boolean),
            ("CheckpointInterval", Rule::Integer(1, i64::MAX)),
            ("MinPauseBetweenCheckpoints", Rule::Integer(0, i64::MAX)),
        ],
    ),
    (
        "MonitoringConfiguration",
        &[
            ("ConfigurationType", Rule::OneOf(&["DEFAULT", "CUSTOM"])),
            ("MetricsLevel", Rule::OneOf(METRICS_LEVELS)),
            ("LogLevel", Rule::OneOf(&["INFO", "WARN", "ERROR", "DEBUG"])),
        ],
    ),
    (
        "ParallelismConfiguration",
        &[
            ("ConfigurationType", Rule::OneOf(&["DEFAULT", "CUSTOM"])),
            ("Parallelism", Rule::Integer(1, i32::MAX as i64)),
            ("ParallelismPerKPU", Rule::Integer(1, i32::MAX as i64)),
            ("AutoScalingEnabled", Rule::Boolean),
        ],
    ),
];

/// The description of an application that was created without a configuration. The numbers are the defaults in the API
/// reference.
pub(super) fn default_configuration(runtime: &str) -> Value {
    let mut configuration = json!({
        "ApplicationSystemRollbackConfigurationDescription": { "RollbackEnabled": false },
        "ApplicationEncryptionConfigurationDescription": { "KeyType": "AWS_OWNED_KEY" },
    });
    if runtime.starts_with("FLINK-") {
        configuration["FlinkApplicationConfigurationDescription"] = json!({
            "CheckpointConfigurationDescription": {
                "ConfigurationType": "DEFAULT",
                "CheckpointingEnabled": true,
                "CheckpointInterval": 60_000,
                "MinPauseBetweenCheckpoints": 5_000,
            },
            "MonitoringConfigurationDescription": {
                "ConfigurationType": "DEFAULT",
                "MetricsLevel": "APPLICATION",
                "LogLevel": "INFO",
            },
            "ParallelismConfigurationDescription": {
                "ConfigurationType": "DEFAULT",
                "Parallelism": 1,
                "ParallelismPerKPU": 1,
                "CurrentParallelism": 1,
                "AutoScalingEnabled": true,
            },
        });
    }
    configuration
}

/// The description `before` after a request: `given` is a configuration or an update of one.
pub(super) fn described(before: &Value, given: Option<&Input>) -> Result<Value> {
    let mut after = before.clone();
    let Some(given) = given else {
        return Ok(after);
    };
    if let Some(flink) = given.structure("FlinkApplicationConfiguration")? {
        for (section, members) in FLINK_SECTIONS {
            let Some(given) = flink.structure(section)? else {
                continue;
            };
            let description = &mut after["FlinkApplicationConfigurationDescription"]
                [format!("{section}Description")];
            for (member, rule) in *members {
                let value = given.value(member, *rule)?;
                if *member == "ConfigurationType" && !given.is_update() {
                    given.required(member, value)?;
                }
                if let Some(value) = value {
                    description[member] = value.clone();
                }
            }
            if *section == "ParallelismConfiguration" {
                description["CurrentParallelism"] = description["Parallelism"].clone();
            }
        }
    }
    if let Some(code) = given.structure("ApplicationCodeConfiguration")? {
        describe_code(&mut after["ApplicationCodeConfigurationDescription"], &code)?;
    }
    if let Some(rollback) = given.structure("ApplicationSystemRollbackConfiguration")? {
        let enabled = rollback.boolean("RollbackEnabled")?;
        after["ApplicationSystemRollbackConfigurationDescription"]["RollbackEnabled"] =
            json!(rollback.required("RollbackEnabled", enabled)?);
    }
    if let Some(encryption) = given.structure("ApplicationEncryptionConfiguration")? {
        let kinds = Rule::OneOf(&["AWS_OWNED_KEY", "CUSTOMER_MANAGED_KEY"]);
        let kind = encryption.required_string("KeyType", kinds)?;
        let key = encryption.string("KeyId", Rule::String(1, 2048))?;
        after["ApplicationEncryptionConfigurationDescription"] =
            without_nulls(json!({ "KeyType": kind, "KeyId": key }));
    }
    if let Some(groups) = described_property_groups(given)? {
        after["EnvironmentPropertyDescriptions"]["PropertyGroupDescriptions"] = groups;
    }
    Ok(after)
}

fn describe_code(description: &mut Value, code: &Input) -> Result<()> {
    let kinds = Rule::OneOf(&["PLAINTEXT", "ZIPFILE"]);
    let kind = code.string("CodeContentType", kinds)?;
    if !code.is_update() {
        code.required("CodeContentType", kind)?;
    }
    // A description must have a type. In an update, the type is optional.
    let kind = kind.or(description["CodeContentType"].as_str());
    description["CodeContentType"] = json!(kind.unwrap_or("ZIPFILE"));
    let Some(content) = code.structure("CodeContent")? else {
        return Ok(());
    };
    let described = &mut description["CodeContentDescription"];
    if let Some(text) = content.string("TextContent", Rule::String(0, 102_400))? {
        *described = json!({ "TextContent": text });
    }
    if let Some(location) = content.structure("S3ContentLocation")? {
        let place = &mut described["S3ApplicationCodeLocationDescription"];
        for (member, rule, is_required) in [
            ("BucketARN", Rule::Arn, true),
            ("FileKey", Rule::String(1, 1024), true),
            ("ObjectVersion", Rule::String(0, 1024), false),
        ] {
            match location.string(member, rule)? {
                Some(value) => place[member] = json!(value),
                None if is_required && place[member].is_null() => {
                    location.required(member, None::<&str>)?;
                }
                None => {}
            }
        }
    }
    Ok(())
}

fn described_property_groups(given: &Input) -> Result<Option<Value>> {
    // The name of this member in an update does not follow the rule.
    let member = if given.is_update() {
        "EnvironmentPropertyUpdates"
    } else {
        "EnvironmentProperties"
    };
    let Some(properties) = given.clone().without_suffix().structure(member)? else {
        return Ok(None);
    };
    let groups = properties.list("PropertyGroups", 0..=50)?;
    let described: Result<Vec<_>> = properties
        .required("PropertyGroups", groups)?
        .into_iter()
        .map(|group| {
            let id = group.required_string("PropertyGroupId", Rule::Name(50))?;
            let map = group.string_map("PropertyMap", 1..=50, Rule::String(1, 2048))?;
            let map = group.required("PropertyMap", map)?;
            Ok(json!({ "PropertyGroupId": id, "PropertyMap": map }))
        })
        .collect();
    Ok(Some(json!(described?)))
}

pub(super) fn described_logging(input: &Input) -> Result<Vec<Value>> {
    let options = input.list("CloudWatchLoggingOptions", 0..=usize::MAX)?;
    (options.unwrap_or_default().iter().enumerate())
        .map(|(index, option)| {
            let stream = option.required_string("LogStreamARN", Rule::Arn)?;
            Ok(json!({
                "CloudWatchLoggingOptionId": format!("1.{}", index + 1),
                "LogStreamARN": stream,
            }))
        })
        .collect()
}
