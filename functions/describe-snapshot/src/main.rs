//! The Lambda function of the state `DescribeSnapshot`.

use aws_sdk_kinesisanalyticsv2::Client;
use jiff::Timestamp;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let flink = Client::new(&step::sdk_config());
    step::run(|input| describe_snapshot::handle(&flink, input, Timestamp::now())).await
}
