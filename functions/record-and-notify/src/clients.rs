//! The AWS clients of the function.

/// The clients of the three services.
#[derive(Clone, Debug)]
pub struct Clients {
    /// For the table.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// For the history of an execution.
    pub sfn: aws_sdk_sfn::Client,
    /// For the topic.
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
