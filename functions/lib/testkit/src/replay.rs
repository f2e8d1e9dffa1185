//! A scripted service that answers the requests of the real SDK clients.
//!
//! The script of a test is either the list of expected requests with their answers, or a function that answers every
//! request. A request that is not in the list fails the test.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

/// How the service answers a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// HTTP 200 with this JSON and with a request id, which every response of the service has.
    Ok(Value),
    /// An error in the JSON protocol, with this HTTP status, error code and message.
    Error(u16, &'static str, &'static str),
    /// An error in the JSON protocol, with this HTTP status and body.
    ErrorBody(u16, Value),
    /// A response with this HTTP status and text that does not come from the service, for example from a proxy.
    Page(u16, String),
    /// An error in the query protocol of SNS, with this HTTP status, error code and message.
    QueryError(u16, &'static str, &'static str),
    /// No response, because the connection breaks.
    Lost,
}

#[derive(Debug)]
struct Expected {
    operation: String,
    /// The expected request body. `None` accepts any body.
    body: Option<Value>,
    answer: Answer,
}

/// A function from the operation and the body of a request to the answer.
type AnswerFunction = dyn FnMut(&str, &Value) -> Answer + Send;

enum Script {
    Exchanges(VecDeque<Expected>),
    Function(Box<AnswerFunction>),
}

struct State {
    script: Script,
    delay: Duration,
    sent: Vec<(String, Value)>,
}

/// A scripted service. There are three ways to create one:
///
/// - [`Self::expecting`] is for tests of the requests that a function sends.
/// - [`Self::answering`] is for tests of how a function handles the answers.
/// - [`Self::answering_with`] is for tests that cannot know the order of the requests, such as property tests.
#[derive(Clone)]
pub struct Service(Arc<Mutex<State>>);

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

impl Service {
    /// Expects exactly these requests in this order. Each item is the operation, the request body and the answer. If
    /// the request is in the query protocol, its body has to be given in the form that [`decode_request`] returns.
    pub fn expecting<'a>(exchanges: impl IntoIterator<Item = (&'a str, Value, Answer)>) -> Self {
        let exchanges = exchanges.into_iter();
        Self::new(exchanges.map(|(operation, body, answer)| (operation, Some(body), answer)))
    }

    /// Expects exactly these operations in this order, with any request bodies. [`Self::sent`] returns the bodies.
    pub fn answering<'a>(answers: impl IntoIterator<Item = (&'a str, Answer)>) -> Self {
        let answers = answers.into_iter();
        Self::new(answers.map(|(operation, answer)| (operation, None, answer)))
    }

    fn new<'a>(expected: impl Iterator<Item = (&'a str, Option<Value>, Answer)>) -> Self {
        let exchanges = expected
            .map(|(operation, body, answer)| Expected {
                operation: operation.to_owned(),
                body,
                answer,
            })
            .collect();
        Self::with(Script::Exchanges(exchanges))
    }

    /// Answers every request with the result of `answer`, which gets the operation and the body.
    pub fn answering_with(answer: impl FnMut(&str, &Value) -> Answer + Send + 'static) -> Self {
        Self::with(Script::Function(Box::new(answer)))
    }

    fn with(script: Script) -> Self {
        Self(Arc::new(Mutex::new(State {
            script,
            delay: Duration::ZERO,
            sent: Vec::new(),
        })))
    }

    /// Delays each answer by this time on the clock of the runtime. The test has to pause this clock.
    #[must_use]
    pub fn with_delay(self, delay: Duration) -> Self {
        self.0.lock().unwrap().delay = delay;
        self
    }

    /// The requests that were sent so far, each with its operation and body.
    pub fn sent(&self) -> Vec<(String, Value)> {
        self.0.lock().unwrap().sent.clone()
    }

    /// The SDK configuration for a client that calls this service. The SDK does not retry.
    pub fn config(&self) -> SdkConfig {
        let connector = SharedHttpConnector::new(self.clone());
        sdk_config_with(http_client_fn(move |_, _| connector.clone()))
    }

    /// Asserts that every expected request was sent.
    pub fn assert_done(&self) {
        if let Script::Exchanges(left) = &self.0.lock().unwrap().script {
            assert!(left.is_empty(), "not sent: {left:#?}");
        }
    }
}

/// The SDK configuration for a client that uses `http_client`. The SDK does not retry.
pub fn sdk_config_with(http_client: SharedHttpClient) -> SdkConfig {
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
        .http_client(http_client)
        .build()
}

impl HttpConnector for Service {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target");
        let (operation, body) =
            decode_request(target, request.body().bytes().expect("a body in memory"));
        let mut state = self.0.lock().unwrap();
        let answer = match &mut state.script {
            Script::Function(answer) => answer(&operation, &body),
            Script::Exchanges(exchanges) => {
                let Some(expected) = exchanges.pop_front() else {
                    panic!("an unexpected request: {operation} {body}");
                };
                let expected_body = expected.body.unwrap_or_else(|| body.clone());
                assert_eq!((&operation, &body), (&expected.operation, &expected_body));
                expected.answer
            }
        };
        state.sent.push((operation, body));
        let delay = state.delay;
        let response = match answer {
            Answer::Ok(value) => Ok(with_request_id(response(200, value.to_string()))),
            Answer::Error(status, code, message) => Ok(response(
                status,
                json!({ "__type": code, "message": message }).to_string(),
            )),
            Answer::ErrorBody(status, body) => Ok(response(status, body.to_string())),
            Answer::Page(status, text) => Ok(response(status, text)),
            Answer::QueryError(status, code, message) => Ok(response(
                status,
                format!(
                    "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>\
                     <Message>{message}</Message></Error></ErrorResponse>"
                ),
            )),
            Answer::Lost => Err(ConnectorError::io("connection reset".into())),
        };
        if delay.is_zero() {
            return HttpConnectorFuture::ready(response);
        }
        HttpConnectorFuture::new(async move {
            tokio::time::sleep(delay).await;
            response
        })
    }
}

/// Returns the operation and the body of a request. `target` is the header `X-Amz-Target`.
///
/// A request in the JSON protocol has this header. A request without it is in the query protocol. The body of such a
/// request becomes a JSON object of its parameters, in which the key of a map entry replaces the number of the entry.
pub fn decode_request(target: Option<&str>, body: &[u8]) -> (String, Value) {
    if let Some(target) = target {
        let operation = target.rsplit('.').next().unwrap_or_default();
        return (operation.to_owned(), serde_json::from_slice(body).unwrap());
    }
    let parameters: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
    let mut parameters = with_keys(&parameters);
    parameters.remove("Version");
    let operation = parameters.remove("Action").expect("an operation");
    (
        operation.as_str().unwrap().to_owned(),
        Value::Object(parameters),
    )
}

/// Renames the parameters of map entries: if `Map.entry.2.Name` is `key`, then `Map.entry.2.Value` becomes `Map.key`.
/// The numbers cannot be compared, because the entries of a map have no order.
fn with_keys(parameters: &[(String, String)]) -> serde_json::Map<String, Value> {
    let entries: Vec<(&str, String)> = parameters
        .iter()
        .filter_map(|(name, key)| {
            let entry = name.strip_suffix(".Name")?;
            let (map, _number) = entry.split_once(".entry.")?;
            Some((entry, format!("{map}.{key}")))
        })
        .collect();
    let with_key = |name: &str| {
        entries.iter().find_map(|(entry, key)| {
            let value = name.strip_prefix(entry)?.strip_prefix(".Value")?;
            Some(format!("{key}{value}"))
        })
    };
    parameters
        .iter()
        .filter(|(name, _)| !(name.contains(".entry.") && name.ends_with(".Name")))
        .map(|(name, value)| {
            let name = with_key(name).unwrap_or_else(|| name.clone());
            (name, Value::from(value.as_str()))
        })
        .collect()
}

/// Adds a request id to the response. Every response of an AWS service has one.
#[must_use]
pub fn with_request_id(mut response: HttpResponse) -> HttpResponse {
    response
        .headers_mut()
        .insert("x-amzn-requestid", "a-request");
    response
}

fn response(status: u16, body: String) -> HttpResponse {
    HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body))
}
