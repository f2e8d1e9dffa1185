//! The AWS clients that the function uses.

/// The clients of the three services.
#[derive(Clone, Debug)]
pub struct Clients {
    /// For the table of audit records.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// For the history of a failed execution.
    pub sfn: aws_sdk_sfn::Client,
    /// For the topic of notifications.
    pub sns: aws_sdk_sns::Client,
}

impl Clients {
    /// Creates the clients from one configuration.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            dynamodb: aws_sdk_dynamodb::Client::new(config),
            sfn: aws_sdk_sfn::Client::new(config),
            sns: aws_sdk_sns::Client::new(config),
        }
    }
}
