//! Scripted responses of the services, behind the real SDK clients. A test gives either the exchanges that
//! it expects, in order, or a function that answers any request. An unexpected request fails the test.

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
    /// HTTP 200 with this JSON, and with the request id by which a function knows the service.
    Ok(Value),
    /// An error in the JSON protocol: status, code, message.
    Error(u16, &'static str, &'static str),
    /// An error in the JSON protocol: status, body.
    Refusal(u16, Value),
    /// This HTTP status with this text.
    Page(u16, String),
    /// An error in SNS's query protocol: status, code, message.
    QueryError(u16, &'static str, &'static str),
    /// A broken connection.
    Lost,
}

#[derive(Debug)]
struct Expected {
    operation: String,
    /// The expected request body. `None` accepts any.
    body: Option<Value>,
    answer: Answer,
}

/// From an operation and its request to the answer.
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

/// A scripted service.
///
/// - [`Self::expecting`], if the test is about the requests.
/// - [`Self::answering`], if it is about what the function makes of the answers.
/// - [`Self::answering_by`], if it cannot know the order of the requests, as property tests cannot.
#[derive(Clone)]
pub struct Service(Arc<Mutex<State>>);

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

impl Service {
    /// Expects exactly these exchanges: operation, request body, answer. A body of the query protocol is
    /// written as a JSON object of its parameters, with the key of a map entry in place of its number.
    pub fn expecting<'a>(exchanges: impl IntoIterator<Item = (&'a str, Value, Answer)>) -> Self {
        let exchanges = exchanges.into_iter();
        Self::new(exchanges.map(|(operation, body, answer)| (operation, Some(body), answer)))
    }

    /// Expects exactly these operations, with any request body. [`Self::sent`] returns the bodies.
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

    /// Answers every request with the function of operation and body.
    pub fn answering_by(answer: impl FnMut(&str, &Value) -> Answer + Send + 'static) -> Self {
        Self::with(Script::Function(Box::new(answer)))
    }

    fn with(script: Script) -> Self {
        Self(Arc::new(Mutex::new(State {
            script,
            delay: Duration::ZERO,
            sent: Vec::new(),
        })))
    }

    /// Makes each answer take this long by the clock of the runtime, which a test has paused.
    #[must_use]
    pub fn taking(self, delay: Duration) -> Self {
        self.0.lock().unwrap().delay = delay;
        self
    }

    /// The requests that were sent so far: operation, body.
    pub fn sent(&self) -> Vec<(String, Value)> {
        self.0.lock().unwrap().sent.clone()
    }

    /// The configuration of a client of this service. The SDK does not retry.
    pub fn config(&self) -> SdkConfig {
        let connector = SharedHttpConnector::new(self.clone());
        config_of(http_client_fn(move |_, _| connector.clone()))
    }

    /// Fails the test if an expected request was not sent.
    pub fn assert_done(&self) {
        if let Script::Exchanges(left) = &self.0.lock().unwrap().script {
            assert!(left.is_empty(), "not sent: {left:#?}");
        }
    }
}

/// The configuration of a client that uses `http_client`. The SDK does not retry.
pub fn config_of(http_client: SharedHttpClient) -> SdkConfig {
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
        let (operation, body) = read(target, request.body().bytes().expect("a body in memory"));
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
            Answer::Ok(value) => Ok(of_the_service(response(200, value.to_string()))),
            Answer::Error(status, code, message) => Ok(response(
                status,
                json!({ "__type": code, "message": message }).to_string(),
            )),
            Answer::Refusal(status, body) => Ok(response(status, body.to_string())),
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

/// The operation and the body of a request. A request of the JSON protocol has the header `X-Amz-Target`.
/// Without it, the request is of the query protocol, and its body is converted as in
/// [`Service::expecting`].
pub fn read(target: Option<&str>, body: &[u8]) -> (String, Value) {
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

/// `Map.entry.2.Name` = `key`, `Map.entry.2.Value…` -> `Map.key…`, because map entries have no order.
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

/// Adds the request id that every response of AWS has.
#[must_use]
pub fn of_the_service(mut response: HttpResponse) -> HttpResponse {
    response
        .headers_mut()
        .insert("x-amzn-requestid", "a-request");
    response
}

fn response(status: u16, body: String) -> HttpResponse {
    HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body))
}
