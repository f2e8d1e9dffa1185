//! The settings that the function reads from its environment variables.

/// The settings of the function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `TABLE_NAME`: the table of audit records.
    pub table_name: String,
    /// `TOPIC_ARN`: the topic of notifications.
    pub topic_arn: String,
    /// `APPLICATION_NAME`: the application that the stack is for. The record of a run for another application has the
    /// application name `(unknown)`. If the variable is unset or `*`, the stack is for every application.
    pub application_name: Option<String>,
    /// `RECORD_RETENTION_DAYS`: how many days DynamoDB keeps a record, at least 1. If the variable is unset, DynamoDB
    /// keeps records forever.
    pub record_retention_days: Option<u32>,
}

impl Config {
    /// Reads the settings. `var` returns the value of the environment variable with a given name.
    ///
    /// # Errors
    /// Returns one sentence that names every missing or malformed variable.
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let var = |name: &str| var(name).filter(|value| !value.is_empty());
        let mut problems = Vec::new();
        let mut required = |name: &str| {
            var(name).unwrap_or_else(|| {
                problems.push(format!("{name} is not set"));
                String::new()
            })
        };
        let table_name = required("TABLE_NAME");
        let topic_arn = required("TOPIC_ARN");
        let record_retention_days = var("RECORD_RETENTION_DAYS").and_then(|days| {
            let number = days.parse().ok().filter(|days| *days >= 1);
            if number.is_none() {
                problems.push(format!(
                    "RECORD_RETENTION_DAYS is {days:?}, not a whole number of days, at least 1"
                ));
            }
            number
        });
        if problems.is_empty() {
            Ok(Self {
                table_name,
                topic_arn,
                application_name: var("APPLICATION_NAME").filter(|name| name != "*"),
                record_retention_days,
            })
        } else {
            let problems = problems.join("; ");
            Err(format!("The function's environment: {problems}."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<Config, String> {
        Config::from_vars(|name| {
            let found = vars.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn every_variable_is_read() {
        let vars = [
            ("TABLE_NAME", "t"),
            ("TOPIC_ARN", "a"),
            ("APPLICATION_NAME", "orders"),
            ("RECORD_RETENTION_DAYS", "400"),
        ];
        let config = read(&vars).unwrap();
        assert_eq!(config.table_name, "t");
        assert_eq!(config.topic_arn, "a");
        assert_eq!(config.application_name.as_deref(), Some("orders"));
        assert_eq!(config.record_retention_days, Some(400));
        let any = [vars[0], vars[1], ("APPLICATION_NAME", "*")];
        assert_eq!(read(&any).unwrap().application_name, None);
        let least = read(&vars[..2]).unwrap();
        assert_eq!(least.application_name, None);
        assert_eq!(least.record_retention_days, None);
    }

    #[test]
    fn every_missing_or_malformed_variable_is_named_at_once() {
        assert_eq!(
            read(&[("TABLE_NAME", ""), ("RECORD_RETENTION_DAYS", "0")]).unwrap_err(),
            "The function's environment: TABLE_NAME is not set; TOPIC_ARN is not set; \
             RECORD_RETENTION_DAYS is \"0\", not a whole number of days, at least 1."
        );
    }
}
