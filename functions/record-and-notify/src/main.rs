//! The Lambda function that the state `RecordAndNotify` invokes. It is also the target of the EventBridge rule for
//! failed executions.

use std::env;

use jiff::Timestamp;
use record_and_notify::{Clients, Config};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let config = Config::from_vars(|name| env::var(name).ok());
    let clients = Clients::new(&step::sdk_config());
    let print = |line: &str| println!("{line}");
    step::run(|input| record_and_notify::handle(&clients, &config, input, Timestamp::now(), print))
        .await
}
