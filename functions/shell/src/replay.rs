//! The services' answers, played back behind the real SDK clients: a test gives the exchanges that
//! it expects, in order, and each request that the code under test sends is held against the next.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "test support: a panic is a failed test"
)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

/// What the service does with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// HTTP 200 with this JSON.
    Ok(Value),
    /// HTTP 200 with this text.
    Text(String),
    /// An error as JSON services write it: status, code, message.
    Error(u16, &'static str, &'static str),
    /// An error as SNS writes it: status, code, message.
    QueryError(u16, &'static str, &'static str),
    /// A broken connection.
    Lost,
}

#[derive(Debug, Default)]
struct Script {
    expected: VecDeque<(String, Value, Answer)>,
}

/// A scripted service.
#[derive(Clone, Debug)]
pub struct Service(Arc<Mutex<Script>>);

impl Service {
    /// A service that expects exactly these exchanges: operation, request body, answer. A body of
    /// the query protocol is written as the JSON object of its parameters.
    pub fn expecting<'a>(exchanges: impl IntoIterator<Item = (&'a str, Value, Answer)>) -> Self {
        let expected = exchanges
            .into_iter()
            .map(|(operation, request, answer)| (operation.to_owned(), request, answer))
            .collect();
        Self(Arc::new(Mutex::new(Script { expected })))
    }

    /// The configuration of a client of this service. The SDK itself repeats nothing.
    pub fn config(&self) -> SdkConfig {
        let connector = SharedHttpConnector::new(self.clone());
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("eu-central-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                "AKIAEXAMPLE",
                "secret",
                None,
                None,
                "replay",
            )))
            .retry_config(RetryConfig::disabled())
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build()
    }

    /// Fails the test if an expected request was not sent.
    pub fn assert_done(&self) {
        let script = self.0.lock().unwrap();
        assert!(
            script.expected.is_empty(),
            "not sent: {:#?}",
            script.expected
        );
    }
}

impl HttpConnector for Service {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (operation, body) = read(&request);
        let next = self.0.lock().unwrap().expected.pop_front();
        let Some((expected_operation, expected_body, answer)) = next else {
            panic!("a request too many: {operation} {body}");
        };
        assert_eq!((&operation, &body), (&expected_operation, &expected_body));
        HttpConnectorFuture::ready(match answer {
            Answer::Ok(value) => Ok(response(200, value.to_string())),
            Answer::Text(text) => Ok(response(200, text)),
            Answer::Error(status, code, message) => Ok(response(
                status,
                json!({ "__type": code, "message": message }).to_string(),
            )),
            Answer::QueryError(status, code, message) => Ok(response(
                status,
                format!(
                    "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>\
                     <Message>{message}</Message></Error></ErrorResponse>"
                ),
            )),
            Answer::Lost => Err(ConnectorError::io("connection reset".into())),
        })
    }
}

/// Operation and body of a request in the JSON or the query protocol.
fn read(request: &HttpRequest) -> (String, Value) {
    let body = request.body().bytes().expect("a body in memory");
    if let Some(target) = request.headers().get("x-amz-target") {
        let operation = target.rsplit('.').next().unwrap_or_default();
        return (operation.to_owned(), serde_json::from_slice(body).unwrap());
    }
    let mut parameters: serde_json::Map<String, Value> = form_urlencoded::parse(body)
        .map(|(name, value)| (name.into_owned(), Value::from(value)))
        .collect();
    parameters.remove("Version");
    let operation = parameters.remove("Action").expect("an operation");
    (
        operation.as_str().unwrap().to_owned(),
        Value::Object(parameters),
    )
}

fn response(status: u16, body: String) -> HttpResponse {
    HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body))
}
