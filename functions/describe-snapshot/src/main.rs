//! The Lambda function that the state `DescribeSnapshot` invokes.

use aws_sdk_kinesisanalyticsv2::Client;
use jiff::Timestamp;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let client = Client::new(&step::sdk_config());
    step::run(|input| describe_snapshot::handle(&client, input, Timestamp::now())).await
}
