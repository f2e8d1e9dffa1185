//! The services' answers, played back behind the real SDK clients: a test gives the exchanges that
//! it expects, in order, and each request that the code under test sends is held against the next; or
//! a function that answers any request.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

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

/// What the service does with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// HTTP 200 with this JSON.
    Ok(Value),
    /// HTTP 200 with this text.
    Text(String),
    /// An error as JSON services write it: status, code, message.
    Error(u16, &'static str, &'static str),
    /// The same with all that its body says: status, body.
    Refusal(u16, Value),
    /// This status with this text.
    Page(u16, String),
    /// An error as SNS writes it: status, code, message.
    QueryError(u16, &'static str, &'static str),
    /// A broken connection.
    Lost,
}

type Answering = dyn FnMut(&str, &Value) -> Answer + Send;

/// What answers the requests.
enum Answers {
    /// Without a body, any is right.
    Expected(VecDeque<(String, Option<Value>, Answer)>),
    Any(Box<Answering>),
}

struct Script {
    answers: Answers,
    sent: Vec<(String, Value)>,
}

/// A scripted service.
#[derive(Clone)]
pub struct Service(Arc<Mutex<Script>>);

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

impl Service {
    /// A service that expects exactly these exchanges: operation, request body, answer. A body of
    /// the query protocol is written as the JSON object of its parameters, where an entry of a map
    /// has its key instead of its number.
    pub fn expecting<'a>(exchanges: impl IntoIterator<Item = (&'a str, Value, Answer)>) -> Self {
        let exchanges = exchanges.into_iter();
        Self::new(exchanges.map(|(operation, body, answer)| (operation, Some(body), answer)))
    }

    /// A service that expects these operations and answers them, whatever the request says.
    /// [`Self::sent`] tells what it was.
    pub fn answering<'a>(answers: impl IntoIterator<Item = (&'a str, Answer)>) -> Self {
        let answers = answers.into_iter();
        Self::new(answers.map(|(operation, answer)| (operation, None, answer)))
    }

    fn new<'a>(expected: impl Iterator<Item = (&'a str, Option<Value>, Answer)>) -> Self {
        let expected = expected
            .map(|(operation, body, answer)| (operation.to_owned(), body, answer))
            .collect();
        Self::of(Answers::Expected(expected))
    }

    /// A service that answers every request, by operation and body.
    pub fn answering_by(answer: impl FnMut(&str, &Value) -> Answer + Send + 'static) -> Self {
        Self::of(Answers::Any(Box::new(answer)))
    }

    fn of(answers: Answers) -> Self {
        let sent = Vec::new();
        Self(Arc::new(Mutex::new(Script { answers, sent })))
    }

    /// The requests so far: operation, body.
    pub fn sent(&self) -> Vec<(String, Value)> {
        self.0.lock().unwrap().sent.clone()
    }

    /// The configuration of a client of this service. The SDK itself repeats nothing.
    pub fn config(&self) -> SdkConfig {
        let connector = SharedHttpConnector::new(self.clone());
        config_of(http_client_fn(move |_, _| connector.clone()))
    }

    /// Fails the test if an expected request was not sent.
    pub fn assert_done(&self) {
        if let Answers::Expected(expected) = &self.0.lock().unwrap().answers {
            assert!(expected.is_empty(), "not sent: {expected:#?}");
        }
    }
}

/// The configuration of a client that calls over `http_client`. The SDK itself repeats nothing.
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
        let mut script = self.0.lock().unwrap();
        let answer = match &mut script.answers {
            Answers::Any(answer) => answer(&operation, &body),
            Answers::Expected(expected) => {
                let Some((expected_operation, expected_body, answer)) = expected.pop_front() else {
                    panic!("a request too many: {operation} {body}");
                };
                let expected_body = expected_body.unwrap_or_else(|| body.clone());
                assert_eq!((&operation, &body), (&expected_operation, &expected_body));
                answer
            }
        };
        script.sent.push((operation, body));
        HttpConnectorFuture::ready(match answer {
            Answer::Ok(value) => Ok(of_the_service(response(200, value.to_string()))),
            Answer::Text(text) => Ok(response(200, text)),
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
        })
    }
}

/// Operation and body of a request: of the JSON protocol with the header `X-Amz-Target`, of the query
/// protocol without. The latter's is written as [`Service::expecting`] says.
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

/// `Map.entry.2.Name` = `key`, `Map.entry.2.Value…` -> `Map.key…`: entries have no order of their own.
fn with_keys(parameters: &[(String, String)]) -> serde_json::Map<String, Value> {
    let entries: Vec<(&str, String)> = parameters
        .iter()
        .filter_map(|(name, key)| {
            let entry = name.strip_suffix(".Name")?;
            let (map, _number) = entry.split_once(".entry.")?;
            Some((entry, format!("{map}.{key}")))
        })
        .collect();
    let named = |name: &str| {
        entries.iter().find_map(|(entry, key)| {
            let value = name.strip_prefix(entry)?.strip_prefix(".Value")?;
            Some(format!("{key}{value}"))
        })
    };
    parameters
        .iter()
        .filter(|(name, _)| !(name.contains(".entry.") && name.ends_with(".Name")))
        .map(|(name, value)| {
            let name = named(name).unwrap_or_else(|| name.clone());
            (name, Value::from(value.as_str()))
        })
        .collect()
}

/// With the request id that every answer of AWS has.
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
