//! The endpoints that the SDK clients call, their timeouts, and the conversion of times.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::DateTime;
use testkit::replay::sdk_config_with;

/// Notes where requests go, and answers none.
#[derive(Clone, Debug, Default)]
struct Addressees(Arc<Mutex<Vec<String>>>);

impl HttpConnector for Addressees {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.0.lock().unwrap().push(request.uri().to_owned());
        HttpConnectorFuture::ready(Err(ConnectorError::io("no answer".into())))
    }
}

/// The addresses that clients with this configuration call: Managed Flink's and DynamoDB's.
async fn addresses(config: &SdkConfig) -> Vec<String> {
    let addressees = Addressees::default();
    let connector = SharedHttpConnector::new(addressees.clone());
    // Credentials, no retries, and the connection are the test's.
    let test = sdk_config_with(http_client_fn(move |_, _| connector.clone()));
    let mut config = config.to_builder();
    config
        .set_http_client(test.http_client())
        .set_credentials_provider(test.credentials_provider())
        .set_retry_config(test.retry_config().cloned());
    let config = config.build();
    let flink = aws_sdk_kinesisanalyticsv2::Client::new(&config);
    let list = flink.list_application_snapshots().application_name("a");
    assert!(list.send().await.is_err());
    let dynamodb = aws_sdk_dynamodb::Client::new(&config);
    assert!(dynamodb.list_tables().send().await.is_err());
    addressees.0.lock().unwrap().clone()
}

#[tokio::test]
async fn the_environment_chooses_fips_and_dual_stack_endpoints() {
    let (fips, dual_stack) = ("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT");
    for (variables, expected) in [
        (
            &[][..],
            [
                "https://kinesisanalytics.us-east-1.amazonaws.com/",
                "https://dynamodb.us-east-1.amazonaws.com/",
            ],
        ),
        (
            &[(fips, "true")],
            [
                "https://kinesisanalytics-fips.us-east-1.amazonaws.com/",
                "https://dynamodb-fips.us-east-1.amazonaws.com/",
            ],
        ),
        (
            &[(dual_stack, "TRUE"), (fips, "false")],
            [
                "https://kinesisanalytics.us-east-1.api.aws/",
                "https://dynamodb.us-east-1.api.aws/",
            ],
        ),
        (
            &[(dual_stack, "true"), (fips, "true")],
            [
                "https://kinesisanalytics-fips.us-east-1.api.aws/",
                "https://dynamodb-fips.us-east-1.api.aws/",
            ],
        ),
        (
            &[("AWS_ENDPOINT_URL", "http://127.0.0.1:1/x")],
            ["http://127.0.0.1:1/x/", "http://127.0.0.1:1/x/"],
        ),
    ] {
        let config = step::sdk_config_from(|name| {
            let region = [("AWS_REGION", "us-east-1")];
            let mut variables = variables.iter().chain(&region);
            let found = variables.find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        assert_eq!(addresses(&config).await, expected, "{variables:?}");
    }
}

#[test]
fn a_call_times_out_long_before_the_lambda_function_does() {
    let timeouts = step::timeouts();
    let config = step::sdk_config_from(|_| None);
    assert_eq!(config.timeout_config(), Some(&timeouts));
    assert_eq!(
        timeouts.connect_timeout(),
        Some(Duration::from_millis(3_100))
    );
    assert_eq!(
        timeouts.operation_attempt_timeout(),
        Some(Duration::from_secs(10))
    );
}

#[test]
fn a_time_is_converted_without_rounding() {
    let time = |seconds, nanoseconds| DateTime::from_secs_and_nanos(seconds, nanoseconds);
    let read = step::timestamp(&time(1_795_377_748, 419_999_838)).unwrap();
    assert_eq!(read.as_nanosecond(), 1_795_377_748_419_999_838);
    assert_eq!(step::timestamp(&time(i64::MAX, 0)), None);
}
