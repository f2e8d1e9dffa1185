//! The function's environment.

/// What the environment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `TABLE_NAME`: the table of audit records.
    pub table_name: String,
    /// `TOPIC_ARN`: the topic of notifications.
    pub topic_arn: String,
    /// `APPLICATION_NAME`: the stack's application, the only one that rows may be written for; any when
    /// unset or `*`.
    pub application_name: Option<String>,
    /// `RECORD_RETENTION_DAYS`: how long DynamoDB keeps a record, at least 1; for ever when unset.
    pub record_retention_days: Option<u32>,
}

impl Config {
    /// Reads the variables, by name.
    ///
    /// # Errors
    /// One sentence that names every variable that is missing or malformed.
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let var = |name: &str| var(name).filter(|value| !value.is_empty());
        let mut wrong = Vec::new();
        let mut required = |name: &str| {
            var(name).unwrap_or_else(|| {
                wrong.push(format!("{name} is not set"));
                String::new()
            })
        };
        let table_name = required("TABLE_NAME");
        let topic_arn = required("TOPIC_ARN");
        let record_retention_days = var("RECORD_RETENTION_DAYS").and_then(|days| {
            let number = days.parse().ok().filter(|days| *days >= 1);
            if number.is_none() {
                wrong.push(format!(
                    "RECORD_RETENTION_DAYS is {days:?}, not a whole number of days from 1"
                ));
            }
            number
        });
        if wrong.is_empty() {
            Ok(Self {
                table_name,
                topic_arn,
                application_name: var("APPLICATION_NAME").filter(|name| name != "*"),
                record_retention_days,
            })
        } else {
            Err(format!("The function's environment: {}.", wrong.join("; ")))
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
    fn a_whole_environment_is_read() {
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
    fn everything_that_is_wrong_is_named_at_once() {
        assert_eq!(
            read(&[("TABLE_NAME", ""), ("RECORD_RETENTION_DAYS", "0")]).unwrap_err(),
            "The function's environment: TABLE_NAME is not set; TOPIC_ARN is not set; \
             RECORD_RETENTION_DAYS is \"0\", not a whole number of days from 1."
        );
    }
}
